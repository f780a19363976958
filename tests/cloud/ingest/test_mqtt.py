"""The MQTT inlet on a real broker: what is acknowledged is on disk, and what is not comes again."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import prometheus_client
import pytest
import sqlalchemy as sa

import cloud.frames.store as frames
from cloud import database
from cloud.frames.model import Frame, Result
from cloud.ingest.mqtt import Inlet
from cloud.ingest.receive import Limits, Message
from tests.cloud.ingest.test_receive import DEVICE, KEYS, make_engine, message, press
from tests.mqtt import Subscriber, publish
from tools.children import Broker

WAIT_S = 20


@pytest.fixture
def engine(tmp_path) -> Iterator[sa.Engine]:
    engine = make_engine(f"sqlite:///{tmp_path / 'domino.db'}")
    yield engine
    engine.dispose()


@contextmanager
def listening(engine: sa.Engine, url: str) -> Iterator[Inlet]:
    inlet = Inlet(
        url,
        engine,
        KEYS,
        limits=Limits(),
        registry=prometheus_client.CollectorRegistry(),
        committed=lambda: None,
    )
    thread = threading.Thread(target=inlet.run)
    thread.start()
    try:
        assert inlet.wait_connected(WAIT_S)
        yield inlet
    finally:
        inlet.stop()
        thread.join()


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
