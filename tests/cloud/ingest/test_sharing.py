"""Inlets that share a subscription, and one that is retired, on a real Mosquitto."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import prometheus_client
import pytest
import sqlalchemy as sa

from cloud import database
from cloud.frames.model import Result
from cloud.frames.store import frames
from cloud.ingest.mqtt import Inlet, Unreachable, has_shared_subscriptions
from cloud.ingest.receive import Limits
from cloud.ingest.writer import Writer
from cloud.stamps.lease import Lease
from tests.cloud.ingest.test_mqtt import WAIT_S, in_threads, send, wait_frames, wait_until
from tests.cloud.ingest.test_receive import KEYS, make_engine, press
from tools.children import Broker


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def engine(request: pytest.FixtureRequest, tmp_path) -> Iterator[sa.Engine]:
    in_file = f"sqlite:///{tmp_path / 'domino.db'}"
    engine = make_engine(in_file if request.param == "SQLite" else request.getfixturevalue("postgres_url"))
    yield engine
    engine.dispose()


@contextmanager
def sharing(engine: sa.Engine, url: str, number: int, *, retiring: bool = False) -> Iterator[tuple[Inlet, Writer]]:
    registry = prometheus_client.CollectorRegistry()
    writer = Writer(engine, KEYS, limits=Limits(0), lease=Lease(), registry=registry, committed=lambda: None)
    name = f"test-{number}"
    inlet = Inlet(url, writer, registry=registry, client_id=name, group="test", retiring=retiring)
    with in_threads(inlet, writer):
        assert retiring or inlet.wait_connected(WAIT_S)
        yield inlet, writer


def log(engine: sa.Engine) -> list[Result]:
    with database.reading(engine) as conn:
        return [Result(one) for one in conn.scalars(sa.select(frames.c.result))]


def retire(engine: sa.Engine, url: str, number: int) -> None:
    with sharing(engine, url, number, retiring=True) as (inlet, _):
        wait_until(lambda: inlet.retired)


def test_of_inlets_that_share_each_message_comes_to_one(engine, mosquitto: Broker):
    with ExitStack() as stack:
        for number in (1, 2, 3):
            stack.enter_context(sharing(engine, mosquitto.url, number))
        send(mosquitto, *(press(n) for n in range(1, 61)))
        assert {frame.result for frame in wait_frames(engine, 60)} == {Result.ACCEPTED}
    assert log(engine) == [Result.ACCEPTED] * 60


def test_a_broker_goes_on_filling_the_session_of_one_that_is_away_until_it_is_retired(engine, mosquitto: Broker):
    """Which is why a worker that is no more wanted has to be retired: measured on Mosquitto, half of 40 wait for it."""
    for number in (1, 2):
        with sharing(engine, mosquitto.url, number):
            pass
    with sharing(engine, mosquitto.url, 1):
        send(mosquitto, *(press(n) for n in range(1, 41)))
        wait_frames(engine, 20)
        retire(engine, mosquitto.url, 2)
        assert len(wait_frames(engine, 40)) == 40
        send(mosquitto, *(press(n) for n in range(41, 81)))
        wait_frames(engine, 80)
    assert log(engine) == [Result.ACCEPTED] * 80


def test_one_that_is_retired_takes_all_its_session_holds_though_it_is_more_than_the_broker_sends_at_once(
    engine, mosquitto: Broker
):
    with sharing(engine, mosquitto.url, 1):
        pass
    send(mosquitto, *(press(n) for n in range(1, 301)))  # Mosquitto sends 20 ahead of their acknowledgements
    retire(engine, mosquitto.url, 1)
    assert log(engine) == [Result.ACCEPTED] * 300
    retire(engine, mosquitto.url, 1)  # nothing is left, and to be told so twice does no harm
    assert len(log(engine)) == 300


def test_a_broker_says_whether_it_has_shared_subscriptions(mosquitto: Broker, broker: Broker):
    assert has_shared_subscriptions(mosquitto.url)
    assert not has_shared_subscriptions(broker.url)  # nats-server


def test_a_broker_that_is_not_there_is_named_without_its_password(free_port: int):
    with pytest.raises(Unreachable) as raised:
        has_shared_subscriptions(f"mqtt://claire:secret@127.0.0.1:{free_port}")
    assert f"127.0.0.1:{free_port}" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]
