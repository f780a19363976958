"""What is ready, and since when; and that a database is asked to write before it is called well."""

from collections.abc import Iterator
from pathlib import Path

import prometheus_client
import pytest
import sqlalchemy as sa
from sqlalchemy import event

from cloud import database
from cloud.health import Health, WriteProbe


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    url = f"sqlite:///{tmp_path / 'domino.db'}"
    database.migrate(url, lambda: bytes(32))
    engine = database.connect(url)
    yield engine
    engine.dispose()


class Time:
    """The monotonic clock, moved by the test."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Time:
    return Time()


def probe_of(engine: sa.Engine, clock: Time, trouble: str | None = None) -> WriteProbe:
    registry = prometheus_client.CollectorRegistry()
    return WriteProbe(engine, registry=registry, written_at=lambda: 0.0, trouble=lambda: trouble, clock=clock)


def test_a_part_that_falls_ill_is_told_with_its_reason_and_since_when():
    reasons: dict[str, str | None] = {"broker": None}
    registry = prometheus_client.CollectorRegistry()
    health = Health({"broker": lambda: reasons["broker"]}, registry=registry)
    well = health.look()["broker"]
    assert well.is_well
    assert registry.get_sample_value("domino_ready", {"part": "broker"}) == 1

    reasons["broker"] = "it does not answer"
    ill = health.look()["broker"]
    assert (ill.why, ill.since >= well.since) == ("it does not answer", True)
    assert registry.get_sample_value("domino_ready", {"part": "broker"}) == 0

    reasons["broker"] = "it refused the connection"
    still = health.look()["broker"]
    assert (still.why, still.since) == ("it refused the connection", ill.since)


def test_a_part_that_is_added_is_asked_too():
    health = Health({}, registry=prometheus_client.CollectorRegistry())
    health.add("radio", lambda: "the process has ended")
    assert health.look()["radio"].why == "the process has ended"


def test_a_database_that_takes_a_write_is_well(engine: sa.Engine, clock: Time):
    probe = probe_of(engine, clock)
    probe.probe()
    assert probe.why() is None


def test_a_batch_that_waits_is_the_reason_whatever_the_probe_found(engine: sa.Engine, clock: Time):
    assert (
        probe_of(engine, clock, trouble="database or disk is full").why() == "a batch waits: database or disk is full"
    )


def test_a_database_that_refuses_writes_is_told_in_its_own_words(engine: sa.Engine, clock: Time):
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA query_only=ON"))
    engine.dispose()  # so that every connection is a new one
    with database.reading(engine) as conn:
        assert conn.scalar(sa.text("SELECT count(*) FROM alembic_version")) == 1
    probe = probe_of(engine, clock)
    clock.now_s += 60
    probe.probe()
    assert "readonly" in (probe.why() or "")


def test_a_write_that_does_not_end_is_told(engine: sa.Engine, clock: Time):
    probe = probe_of(engine, clock)
    clock.now_s += 60
    assert probe.why() == "no write has ended for 60 s"


def test_postgresql_is_asked_to_write_too(postgres, clock: Time):
    with postgres.database("template1") as url:
        database.migrate(url, lambda: bytes(32))
        engine = database.connect(url)
        probe = probe_of(engine, clock)
        clock.now_s += 60
        probe.probe()
        assert probe.why() is None
        event.listen(engine, "begin", lambda conn: conn.exec_driver_sql("SET TRANSACTION READ ONLY"))
        clock.now_s += 60
        probe.probe()
        assert "read-only" in (probe.why() or "")
        engine.dispose()
