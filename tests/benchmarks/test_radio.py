"""How many messages a second the radio model carries from `air/` to `sigfox/`, nats-server included."""

import socket
import threading
import time
from pathlib import Path

from tools import children
from tools.children import Broker

COUNT = 20_000
SUBSCRIBE = b"\x82\x10\x00\x01\x00\x0bsigfox/+/up\x00"  # QoS 0: the cloud's acknowledgements are not what is measured
TOPIC_START = b"sigfox/"
SUBACK = b"\x90\x03\x00\x01\x00"


def test_messages_a_second_through_the_radio_model(broker: Broker, tmp_path: Path) -> None:
    burst = b"".join(packet(n) for n in range(COUNT))
    with (
        children.radio(broker.url, log_file=tmp_path / "radio.log"),
        connect(broker.port) as buttons,
        connect(broker.port) as cloud,
    ):
        cloud.sendall(SUBSCRIBE)
        assert cloud.recv(len(SUBACK)) == SUBACK
        began = time.perf_counter()
        threading.Thread(target=buttons.sendall, args=(burst,)).start()
        arrived, tail = 0, b""
        while arrived < COUNT:
            chunk = tail + cloud.recv(1 << 20)
            arrived += chunk.count(TOPIC_START)
            tail = chunk[1 - len(TOPIC_START) :]
        print(f"\nradio model: {COUNT / (time.perf_counter() - began):,.0f} messages/s")  # noqa: T201


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sendall(children.CONNECT)
    assert connection.recv(len(children.CONNACK)) == children.CONNACK
    return connection


def packet(n: int) -> bytes:
    """An encoded PUBLISH at QoS 1; paho would be slower than what is measured."""
    topic = b"air/%08X/up" % (n % 100)
    body = len(topic).to_bytes(2, "big") + topic + (n + 1).to_bytes(2, "big") + n.to_bytes(12, "big")
    return bytes((0x32, len(body))) + body
