"""The MQTT inlet on a real broker: what is acknowledged is on disk, and what is not comes again."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import prometheus_client
import pytest
import sqlalchemy as sa
from sqlalchemy import event

import cloud.frames.store as frames
from cloud import database
from cloud.frames.model import Frame, Result
from cloud.ingest import mqtt
from cloud.ingest.line import publish_packet, repeated
from cloud.ingest.mqtt import PINGREQ, RETRY_S, Inlet
from cloud.ingest.receive import Limits, Message, Outcome
from cloud.ingest.writer import MOST_IN_A_BATCH, Writer
from cloud.stamps.lease import Lease
from tests.cloud.ingest.test_receive import DEVICE, KEYS, make_engine, message, press
from tests.mqtt import Subscriber, publish
from tools.children import Broker

WAIT_S = 20
CONNACK, REFUSED = b"\x20\x02\x00\x00", b"\x20\x02\x00\x05"
BAD_TOPIC = b"\x32\x10\x00\x0csigfox/\xff\xff/up\x00\x01"  # a PUBLISH of nothing, QoS 1, packet id 1


@pytest.fixture
def engine(tmp_path) -> Iterator[sa.Engine]:
    engine = make_engine(f"sqlite:///{tmp_path / 'domino.db'}")
    yield engine
    engine.dispose()


@contextmanager
def running(engine: sa.Engine, url: str) -> Iterator[tuple[Inlet, Writer]]:
    registry = prometheus_client.CollectorRegistry()
    writer = Writer(engine, KEYS, limits=Limits(), lease=Lease(), registry=registry, committed=lambda: None)
    inlet = Inlet(url, writer, registry=registry)
    with in_threads(inlet, writer):
        yield inlet, writer


@contextmanager
def in_threads(*parts: Inlet | Writer) -> Iterator[None]:
    threads = [threading.Thread(target=part.run) for part in parts]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for part in parts:
            part.stop()
        for thread in threads:
            thread.join()


@contextmanager
def listening(engine: sa.Engine, url: str) -> Iterator[Writer]:
    with running(engine, url) as (inlet, writer):
        assert inlet.wait_connected(WAIT_S)
        yield writer


class HostileBroker:
    """Has `talk` with one connection after another, from its CONNECT on."""

    def __init__(self, talk: Callable[[socket.socket], None]) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._talk = talk
        self.url = f"mqtt://127.0.0.1:{self._server.getsockname()[1]}"

    def meet(self) -> None:
        """One connection, awaited, and all of what is said on it."""
        self._server.settimeout(WAIT_S)
        connection, _ = self._server.accept()
        with connection:
            connection.settimeout(WAIT_S)
            connection.recv(4096)
            self._talk(connection)

    def close(self) -> None:
        self._server.close()


def grant(connection: socket.socket, code: bytes = b"\x01") -> None:
    connection.sendall(CONNACK)
    subscribe = connection.recv(4096)
    connection.sendall(b"\x90\x03" + subscribe[2:4] + code)


def wait_frames(engine: sa.Engine, count: int) -> list[Frame]:
    """The log once it has `count` lines."""
    give_up_at = time.monotonic() + WAIT_S
    while True:
        with database.reading(engine) as conn:
            found = frames.after(conn, 0, limit=count + 1)
        if len(found) >= count:
            return found
        assert time.monotonic() < give_up_at, f"{len(found)} of {count} frames after {WAIT_S} s"
        time.sleep(0.02)


def send(broker: Broker, *messages: Message) -> None:
    """Publish as the radio network does, until every PUBACK is there."""
    publish(broker.port, [(f"sigfox/{m.device}/up", m.payload) for m in messages])


def test_a_press_over_mqtt_is_kept_and_answered(engine, broker):
    with listening(engine, broker.url), Subscriber(broker.port, "sigfox/+/down") as button:
        send(broker, press(1))
        ((topic, answer),) = button.take()
        (frame,) = wait_frames(engine, 1)
    assert (frame.result, frame.carrier, frame.counter) == (Result.ACCEPTED, "mqtt", 1)
    assert topic == f"sigfox/{DEVICE:08X}/down"
    assert frame.downlink is not None
    assert frame.downlink.hex().encode() in answer


def test_what_was_published_while_nobody_listened_is_taken_later(engine, broker):
    with listening(engine, broker.url):
        pass  # the session exists from now on, and the broker keeps what comes for it
    send(broker, *(press(n) for n in range(1, 31)))
    with listening(engine, broker.url):
        assert {frame.result for frame in wait_frames(engine, 30)} == {Result.ACCEPTED}


def test_garbage_is_stored_counted_and_acknowledged_and_disturbs_nothing(engine, broker):
    garbage = [b"", b"{", b"\xff" * 100, b'{"data": "zz"}', b"0" * 1_000_000]
    with listening(engine, broker.url):
        send(broker, *(message(DEVICE, one) for one in garbage), Message("mqtt", "not-an-id", b"{}"), press(1))
        results = [frame.result for frame in wait_frames(engine, 7)]
    assert results == [Result.MALFORMED] * 6 + [Result.ACCEPTED]
    with listening(engine, broker.url):  # all was acknowledged: nothing comes again
        send(broker, press(2))
        assert len(wait_frames(engine, 8)) == 8


def test_a_message_whose_batch_was_not_committed_comes_again(engine, broker):
    """The database refuses writes while the press arrives; the press is there when it takes them again."""
    blocker = engine.connect()
    with listening(engine, broker.url):
        blocker.exec_driver_sql("SELECT 1")  # begins IMMEDIATE and keeps the one writer's lock
        send(broker, press(1))
        blocker.rollback()
        blocker.close()
        (frame,) = wait_frames(engine, 1)
    assert frame.result is Result.ACCEPTED


def test_it_is_told_when_the_database_takes_nothing(engine, broker):
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=10"))
    engine.dispose()  # so that every connection is a new one
    with listening(engine, broker.url) as writer:
        with engine.begin():  # keeps the one writer's lock
            send(broker, press(1))
            wait_until(lambda: writer.held_up)
        wait_until(lambda: not writer.held_up)
        (frame,) = wait_frames(engine, 1)
    assert frame.result is Result.ACCEPTED


def wait_until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


@pytest.mark.parametrize("said", [b"", REFUSED], ids=["hangs up", "refuses"])
def test_a_broker_that_lets_nobody_in_is_called_ever_more_seldom(engine, said):
    hostile = HostileBroker(lambda connection: connection.sendall(said))
    with running(engine, hostile.url) as (inlet, _):
        hostile.meet()
        met_at = time.monotonic()
        for _ in range(3):
            hostile.meet()
        paused_s = time.monotonic() - met_at
        assert not inlet.connected
    hostile.close()
    assert paused_s > sum(RETRY_S[:3]) * 0.9


def test_a_refused_subscription_is_no_connection(engine):
    def refuse(connection: socket.socket) -> None:
        grant(connection, b"\x80")
        assert connection.recv(1) == b"\xe0"  # DISCONNECT

    hostile = HostileBroker(refuse)
    with running(engine, hostile.url) as (inlet, _):
        hostile.meet()
        hostile.meet()
        assert not inlet.connected
    hostile.close()


def test_a_topic_that_is_no_utf_8_is_malformed_like_any_other(engine):
    def publish_it(connection: socket.socket) -> None:
        grant(connection)
        connection.sendall(BAD_TOPIC)
        assert connection.recv(4096) == b"\x40\x02\x00\x01"  # PUBACK

    hostile = HostileBroker(publish_it)
    with running(engine, hostile.url):
        hostile.meet()
        (frame,) = wait_frames(engine, 1)
    hostile.close()
    assert (frame.result, frame.reason) == (Result.MALFORMED, "device '' is not an id of up to 8 hex digits")


def test_a_packet_that_breaks_the_client_costs_a_connection_and_not_the_inlet(engine):
    def break_it(connection: socket.socket) -> None:
        grant(connection)
        connection.sendall(b"\x32\x02\x00\x7f")  # a PUBLISH that ends within its topic
        while connection.recv(4096):
            pass

    hostile = HostileBroker(break_it)
    with running(engine, hostile.url):
        hostile.meet()
        hostile.meet()
    hostile.close()


class SlowWriter(Writer):
    """Commits nothing before it is let."""

    gate: threading.Event

    def _commit(self, batch: Sequence[Message]) -> list[Outcome | None] | None:
        assert self.gate.wait(WAIT_S)
        return super()._commit(batch)


def test_however_slow_the_database_and_however_much_waits_the_connection_stays(engine, monkeypatch):
    monkeypatch.setattr(mqtt, "KEEPALIVE_S", 1)
    monkeypatch.setattr(mqtt, "MOST_HELD", 1000)
    count, pings = 2 * MOST_IN_A_BATCH + 10, 4  # more than is taken in hand; more than two keep-alives
    registry = prometheus_client.CollectorRegistry()
    writer = SlowWriter(engine, KEYS, limits=Limits(), lease=Lease(), registry=registry, committed=lambda: None)
    writer.gate = threading.Event()

    def talk(connection: socket.socket) -> None:
        grant(connection)
        packets = [publish_packet(b"sigfox/0012AB34/up", b"?", mid) for mid in range(1, count + 1)]
        connection.sendall(b"".join(packets))
        said, acknowledged = b"", b""
        while (heard := said.count(PINGREQ)) < pings:
            said += connection.recv(4096) or pytest.fail("the connection has ended")
            connection.sendall(b"\xd0\x00" * (said.count(PINGREQ) - heard))
        writer.gate.set()
        while acknowledged.replace(PINGREQ, b"").count(b"\x40\x02") < count:
            acknowledged += connection.recv(65536) or pytest.fail("the connection has ended")

    hostile = HostileBroker(talk)
    with in_threads(Inlet(hostile.url, writer, registry=registry), writer):
        hostile.meet()
    hostile.close()


def test_what_the_broker_repeats_meanwhile_is_taken_once(engine):
    registry = prometheus_client.CollectorRegistry()
    writer = SlowWriter(engine, KEYS, limits=Limits(), lease=Lease(), registry=registry, committed=lambda: None)
    writer.gate = threading.Event()
    packets = [publish_packet(b"sigfox/0012AB34/up", bytes(100), mid) for mid in range(1, 2 * MOST_IN_A_BATCH + 1)]

    def talk(connection: socket.socket) -> None:
        grant(connection)
        for _ in range(50):  # 12 MB, more than the sockets between us hold, so it waits until all was read
            connection.sendall(b"".join(map(repeated, packets)))
        writer.gate.set()
        said = b""
        while said.count(b"\x40\x02") < len(packets):
            said += connection.recv(65536) or pytest.fail("the connection has ended")

    hostile = HostileBroker(talk)
    with in_threads(Inlet(hostile.url, writer, registry=registry), writer):
        hostile.meet()
        hostile.close()
        assert len(wait_frames(engine, len(packets))) == len(packets)
