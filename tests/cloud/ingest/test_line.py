"""The contract of the line: whatever is sent in whatever pieces, paho's own reading and ours make the same of it."""

import socket
from collections.abc import Sequence

import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from cloud.ingest.line import Line, publish_packet, repeated
from cloud.ingest.mqtt import Client

CONNACK = b"\x20\x02\x00\x00"
MOST = 3  # messages at once, so that what is left over is met too


class Socket:
    """What a broker sent, a piece a read, and then nothing, or the end."""

    def __init__(self, pieces: Sequence[bytes], ends: bool = False) -> None:
        self._left = [piece for piece in pieces if piece]
        self._ends = ends
        self.sent = bytearray()

    def recv(self, most: int) -> bytes:
        if not self._left:
            if self._ends:
                return b""
            raise BlockingIOError
        piece = self._left.pop(0)
        if piece[most:]:
            self._left.insert(0, piece[most:])
        return piece[:most]

    def send(self, data: bytes) -> int:
        self.sent += data
        return len(data)

    def setblocking(self, flag: bool) -> None:
        pass

    def close(self) -> None:
        pass

    def fileno(self) -> int:
        return -1

    def pending(self) -> int:
        return 0


Heard = list[tuple[object, ...]]


def connect(client: paho.Client, made: Socket) -> None:
    """Over `made` instead of a socket of paho's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paho.Client, "_create_socket", lambda _: made)
        client.connect("a broker")


def listening(client: paho.Client) -> Heard:
    heard: Heard = []
    client.on_connect = lambda *_: heard.append(("connected",))
    client.on_subscribe = lambda _client, _data, mid, *_: heard.append(("subscribed", mid))
    client.on_unsubscribe = lambda _client, _data, mid, *_: heard.append(("unsubscribed", mid))
    client.on_disconnect = lambda *_: heard.append(("disconnected",))
    client.on_message = lambda _client, _data, one: heard.append((one.mid, one._topic, one.payload))
    return heard


def by_paho(pieces: Sequence[bytes], ends: bool) -> Heard:
    client = paho.Client(CallbackAPIVersion.VERSION2, "one", clean_session=False, manual_ack=True)
    heard = listening(client)
    connect(client, Socket(pieces, ends))
    while client.socket() is not None and client.loop_read() == paho.MQTT_ERR_SUCCESS and _has_more(client.socket()):
        pass
    return heard


def _has_more(connection: object) -> bool:
    return isinstance(connection, Socket) and bool(connection._left or connection._ends)


def by_line(pieces: Sequence[bytes], ends: bool) -> Heard:
    client = Client("one")
    heard = listening(client)
    connect(client, Socket(pieces, ends))
    line = client.line
    while client.is_on(line):
        taken = line.take(MOST)
        heard += taken
        if line.is_theirs:
            client.loop_read()
        elif len(taken) < MOST and not line.fill():
            break
    return heard


TOPICS = st.binary(min_size=1, max_size=40)
PAYLOADS = st.binary(max_size=50) | st.integers(100, 40_000).map(bytes)
MESSAGES = st.builds(publish_packet, TOPICS, PAYLOADS, st.integers(1, 65535))
AT_MOST_ONCE = st.builds(
    lambda topic, payload: bytes([0x30, 2 + len(topic) + len(payload)]) + len(topic).to_bytes(2) + topic + payload,
    TOPICS,
    st.binary(max_size=50),
)
OTHERS = st.sampled_from([b"\xd0\x00", b"\x90\x03\x00\x05\x01", b"\xb0\x02\x00\x06", b"\x40\x02\x80\x01"])
PACKETS = st.lists(MESSAGES | MESSAGES.map(repeated) | AT_MOST_ONCE | OTHERS, max_size=12)


@st.composite
def pieces(draw: st.DrawFn, said: st.SearchStrategy[bytes]) -> list[bytes]:
    """What is said, cut anywhere."""
    whole = CONNACK + draw(said)
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    return [whole[at:end] for at, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


@given(pieces=pieces(PACKETS.map(b"".join)), ends=st.booleans())
def test_what_is_sent_is_heard_as_paho_hears_it(pieces: list[bytes], ends: bool):
    assert by_line(pieces, ends) == by_paho(pieces, ends)


@pytest.mark.parametrize(
    "length",
    [b"\x80\x80\x80\x80\x01", b"\xff\xff\xff\xff\x7f"],
)
def test_a_length_of_more_than_four_bytes_ends_the_connection(length: bytes):
    said = [CONNACK, b"\x32" + length + bytes(20)]
    assert by_line(said, True) == [("connected",), ("disconnected",)]


def test_a_packet_of_which_the_end_never_comes_is_no_message():
    whole = publish_packet(b"sigfox/0012AB34/up", bytes(1000), 1)
    for end in range(1, len(whole), 97):
        assert by_line([CONNACK, whole[:end]], True) == [("connected",), ("disconnected",)]


def test_acknowledgements_are_those_of_paho():
    ours, theirs = Socket([CONNACK]), Socket([CONNACK])
    client, plain = Client("one"), paho.Client(CallbackAPIVersion.VERSION2, "one", manual_ack=True)
    for one, made in ((client, ours), (plain, theirs)):
        connect(one, made)
        made.sent.clear()
    client.line._unsent.clear()
    mids = [1, 255, 256, 65535]
    client.line.acknowledge(mids)
    client.line.flush()
    for mid in mids:
        plain.ack(mid, 1)
        plain.loop_write()
    assert ours.sent == theirs.sent == b"".join(b"\x40\x02" + mid.to_bytes(2) for mid in mids)


@given(topic=st.text("abc/", min_size=1), payload=st.binary(max_size=300))
def test_a_publication_is_that_of_paho(topic: str, payload: bytes):
    plain, made = paho.Client(CallbackAPIVersion.VERSION2, "one"), Socket([])
    connect(plain, made)
    made.sent.clear()
    mid = plain.publish(topic, payload, qos=1).mid
    assert bytes(made.sent) == publish_packet(topic.encode(), payload, mid)


def test_what_the_broker_has_not_acknowledged_is_sent_anew_and_marked():
    client, first = Client("one"), Socket([CONNACK, b"\x40\x02\x80\x00"])
    connect(client, first)
    client.flush()
    client.publish_all([(b"a", b"1"), (b"b", b"2")])
    client.flush()
    assert first.sent.endswith(publish_packet(b"a", b"1", 0x8000) + publish_packet(b"b", b"2", 0x8001))
    while client.line.fill():
        client.line.take(1)
        if client.line.is_theirs:
            client.loop_read()
    client.line.take(1)
    client.forget_heard()
    again = Socket([CONNACK])
    connect(client, again)
    client.flush()
    client.repeat_unheard()
    client.flush()
    assert again.sent.endswith(b"\x3a" + publish_packet(b"b", b"2", 0x8001)[1:])
    assert b"\x001" not in again.sent


def test_a_socket_that_takes_only_some_is_given_the_rest_later():
    here, there = socket.socketpair()
    here.setblocking(False)
    line = Line(here)
    line.send(bytes(1_000_000))
    line.flush()
    assert line.unsent
    got = 0
    while got < 1_000_000:
        got += len(there.recv(65536))
        line.flush()
    assert not line.unsent
    line.close()
    there.close()
