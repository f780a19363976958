"""The MQTT inlet on a real broker: what is acknowledged is on disk, and what is not comes again."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import paho.mqtt.client as paho
import prometheus_client
import pytest
import sqlalchemy as sa
from paho.mqtt.enums import CallbackAPIVersion

import cloud.frames.store as frames
from cloud import database
from cloud.frames.model import Frame, Result
from cloud.ingest.mqtt import Inlet
from cloud.ingest.receive import Limits, Message
from tests.cloud.ingest.test_receive import DEVICE, KEYS, make_engine, message, press

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


class Network:
    """Publishes as the radio network does, and hears what is sent down."""

    def __init__(self, port: int) -> None:
        self.down: list[tuple[str, bytes]] = []
        self._heard = threading.Condition()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="test-network", protocol=paho.MQTTv311)
        self._client.max_inflight_messages_set(0)
        subscribed = threading.Event()
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe("sigfox/+/down", qos=1)
        assert subscribed.wait(WAIT_S)

    def _on_message(self, _client: object, _data: object, heard: paho.MQTTMessage) -> None:
        with self._heard:
            self.down.append((heard.topic, heard.payload))
            self._heard.notify_all()

    def publish(self, *messages: Message) -> None:
        """Publish with QoS 1 and wait for every PUBACK."""
        sent = [self._client.publish(f"sigfox/{m.device}/up", m.payload, qos=1) for m in messages]
        for one in sent:
            one.wait_for_publish(WAIT_S)
            assert one.is_published()

    def wait_down(self, count: int) -> None:
        with self._heard:
            assert self._heard.wait_for(lambda: len(self.down) >= count, WAIT_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def network(broker) -> Iterator[Network]:
    network = Network(broker.port)
    yield network
    network.close()


def wait_frames(engine: sa.Engine, count: int) -> list[Frame]:
    """The log once it has `count` lines."""
    tick = threading.Event()
    for _ in range(WAIT_S * 50):
        with database.reading(engine) as conn:
            found = frames.after(conn, 0, limit=count + 1)
        if len(found) >= count:
            return found
        tick.wait(0.02)
    raise AssertionError(f"{len(found)} of {count} frames after {WAIT_S} s")


def test_a_press_over_mqtt_is_kept_and_answered(engine, broker, network):
    with listening(engine, broker.url):
        network.publish(press(1))
        (frame,) = wait_frames(engine, 1)
        network.wait_down(1)
    assert (frame.result, frame.carrier, frame.counter) == (Result.ACCEPTED, "mqtt", 1)
    topic, answer = network.down[0]
    assert topic == f"sigfox/{DEVICE:08X}/down"
    assert frame.downlink is not None
    assert frame.downlink.hex().encode() in answer


def test_what_was_published_while_nobody_listened_is_taken_later(engine, broker, network):
    with listening(engine, broker.url):
        pass  # the session exists from now on, and the broker keeps what comes for it
    network.publish(*(press(n) for n in range(1, 31)))
    with listening(engine, broker.url):
        assert {frame.result for frame in wait_frames(engine, 30)} == {Result.ACCEPTED}


def test_garbage_is_stored_counted_and_acknowledged_and_disturbs_nothing(engine, broker, network):
    garbage = [b"", b"{", b"\xff" * 100, b'{"data": "zz"}', b"0" * 1_000_000]
    with listening(engine, broker.url):
        network.publish(*(message(DEVICE, one) for one in garbage), Message("mqtt", "not-an-id", b"{}"), press(1))
        results = [frame.result for frame in wait_frames(engine, 7)]
    assert results == [Result.MALFORMED] * 6 + [Result.ACCEPTED]
    with listening(engine, broker.url):  # all was acknowledged: nothing comes again
        network.publish(press(2))
        assert len(wait_frames(engine, 8)) == 8


def test_a_message_whose_batch_was_not_committed_comes_again(engine, broker, network):
    """The database refuses writes while the press arrives; the press is there when it takes them again."""
    blocker = engine.connect()
    with listening(engine, broker.url):
        blocker.exec_driver_sql("SELECT 1")  # begins IMMEDIATE and keeps the one writer's lock
        network.publish(press(1))
        blocker.rollback()
        blocker.close()
        (frame,) = wait_frames(engine, 1)
    assert frame.result is Result.ACCEPTED
