"""MQTT 3.1.1 on a bare socket: a load generator and a subscriber that cost next to nothing beside what is measured."""

import socket
import threading
from collections.abc import Iterable

from tools.children import CONNACK

PATIENCE_S = 120  # only ever waited out by what is broken
PUBACK = b"\x40\x02"


def connect(port: int, client_id: bytes = b"") -> socket.socket:
    """A connection to the broker on this machine; the session outlives it where it has a client id."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    clean_session = b"\x00" if client_id else b"\x02"
    connection.sendall(_packet(0x10, b"\x00\x04MQTT\x04" + clean_session + b"\x00\x00" + _text(client_id)))
    assert connection.recv(len(CONNACK))[3:] == CONNACK[3:]
    return connection


def subscribe(connection: socket.socket, topic: bytes, qos: int) -> None:
    connection.sendall(_packet(0x82, b"\x00\x01" + _text(topic) + bytes([qos])))
    assert connection.recv(5) == b"\x90\x03\x00\x01" + bytes([qos])


def packets(messages: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """These (topic, payload) as PUBLISH packets at QoS 1, encoded ahead: paho would be slower than what it loads."""
    return [
        _packet(0x32, _text(topic) + (n % 0xFFFF + 1).to_bytes(2, "big") + payload)
        for n, (topic, payload) in enumerate(messages)
    ]


def publishes(messages: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The same in one piece."""
    return b"".join(packets(messages))


def fill(port: int, burst: bytes, count: int) -> None:
    """Publish a burst of `count` and return once the broker has acknowledged all of it."""
    with connect(port) as connection:
        sender = threading.Thread(target=connection.sendall, args=(burst,))
        sender.start()
        left = count * len(PUBACK + b"id")
        while left:
            left -= len(connection.recv(1 << 20))
        sender.join()


def drain(connection: socket.socket, count: int) -> None:
    """Take `count` packets, each under 16 KiB, and acknowledge the messages at QoS 1 among them."""
    arrived = bytearray()
    while count > 0:  # below it when the broker repeats itself
        chunk = connection.recv(1 << 20)
        assert chunk, "the broker hung up"
        arrived += chunk
        at, acknowledgements = 0, bytearray()
        while len(arrived) - at >= 4:
            length, start = arrived[at + 1], at + 2
            if length & 0x80:
                length, start = (length & 0x7F) + 128 * arrived[at + 2], at + 3
            if start + length > len(arrived):
                break
            if arrived[at] & 0x06:
                id_at = start + 2 + int.from_bytes(arrived[start : start + 2], "big")
                acknowledgements += PUBACK + arrived[id_at : id_at + 2]
            at = start + length
            count -= 1
        del arrived[:at]
        connection.sendall(acknowledgements)


def topics(arrived: bytearray) -> list[bytes]:
    """The topics of the whole PUBLISH packets in `arrived`, each under 16 KiB, which are taken out of it."""
    at, found = 0, []
    while len(arrived) - at >= 3:
        length, start = arrived[at + 1], at + 2
        if length & 0x80:
            length, start = (length & 0x7F) + 128 * arrived[at + 2], at + 3
        if start + length > len(arrived):
            break
        topic_bytes = int.from_bytes(arrived[start : start + 2], "big")
        found.append(bytes(arrived[start + 2 : start + 2 + topic_bytes]))
        at = start + length
    del arrived[:at]
    return found


def _packet(first: int, body: bytes) -> bytes:
    high, low = divmod(len(body), 128)
    return bytes([first, *([low | 0x80, high] if high else [low])]) + body


def _text(text: bytes) -> bytes:
    return len(text).to_bytes(2, "big") + text
