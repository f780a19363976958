"""The writer on a real PostgreSQL that refuses, in each of its ways: the batch waits, and nothing of it is lost."""

import queue
from collections.abc import Iterator
from contextlib import contextmanager

import prometheus_client
import psycopg
import psycopg.types.json
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from cloud import database
from cloud.fleet.store import buttons
from cloud.frames.model import Result
from cloud.ingest.receive import Limits
from cloud.ingest.writer import Outcomes, Writer
from cloud.stamps.lease import Lease
from tests.cloud.ingest.test_mqtt import WAIT_S, in_threads, wait_until
from tests.cloud.ingest.test_receive import DEVICE, KEYS, OTHER, log, make_engine, press


@pytest.fixture
def engine(postgres_url: str) -> Iterator[sa.Engine]:
    engine = make_engine(postgres_url)
    yield engine
    engine.dispose()


@contextmanager
def writing(engine: sa.Engine) -> Iterator[Writer]:
    registry = prometheus_client.CollectorRegistry()
    writer = Writer(engine, KEYS, limits=Limits(), lease=Lease(), registry=registry, committed=lambda: None)
    with in_threads(writer):
        yield writer


@contextmanager
def owner(url: str) -> Iterator[psycopg.Connection]:
    """A connection of the test's own, whose statements each stand alone."""
    plain = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        yield connection


def test_a_batch_waits_while_the_database_is_read_only(engine: sa.Engine, postgres_url: str):
    name = engine.url.database
    done: queue.Queue[Outcomes] = queue.Queue()
    with owner(postgres_url) as conn:
        conn.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")  # pyright: ignore[reportCallIssue, reportArgumentType]
        engine.dispose()  # new connections are under it
        with writing(engine) as writer:
            writer.put([press(1), press(2)], done.put)
            wait_until(lambda: writer.held_up)
            assert done.empty()
            conn.execute(f"SET default_transaction_read_only = off; ALTER DATABASE {name} RESET ALL")  # pyright: ignore[reportCallIssue, reportArgumentType]
            engine.dispose()
            outcomes = done.get(timeout=WAIT_S)
            assert not writer.held_up
    assert [outcome and outcome.result for outcome in outcomes] == [Result.ACCEPTED] * 2


def test_a_batch_whose_connection_the_server_ends_is_written_on_another(engine: sa.Engine, postgres_url: str):
    done: queue.Queue[Outcomes] = queue.Queue()
    with owner(postgres_url) as conn, owner(postgres_url) as blocker, writing(engine) as writer:
        with blocker.transaction():
            blocker.execute("LOCK TABLE uplinks IN ACCESS EXCLUSIVE MODE")
            writer.put([press(1)], done.put)
            wait_until(lambda: waiting(conn) == 1)
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            wait_until(lambda: writer.held_up)
        (outcome,) = done.get(timeout=WAIT_S)
    assert outcome is not None
    assert outcome.result is Result.ACCEPTED
    assert log(engine) == [Result.ACCEPTED]


def waiting(conn: psycopg.Connection) -> int:
    row = conn.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    ).fetchone()
    return row[0] if row else 0


def test_of_two_in_a_deadlock_the_writer_gives_way_and_begins_anew(engine: sa.Engine, postgres_url: str):
    """The writer notes what it heard in the buttons' rows; another holds one of them and then wants the log."""
    done: queue.Queue[Outcomes] = queue.Queue()
    with owner(postgres_url) as conn, owner(postgres_url) as other, writing(engine) as writer:
        with other.transaction():
            # It looks for a deadlock much later than the writer, so it is the writer that finds it and gives way.
            other.execute("SET LOCAL deadlock_timeout = '1min'")
            other.execute("SELECT 1 FROM buttons WHERE id = %s FOR UPDATE", [OTHER])
            writer.put([press(1), press(1, OTHER)], done.put)
            wait_until(lambda: waiting(conn) == 1)
            # What the writer has already: its rows in the press log.
            other.execute(
                "INSERT INTO uplinks SELECT * FROM jsonb_populate_record(NULL::uplinks, %s) ON CONFLICT DO NOTHING",
                [psycopg.types.json.Jsonb(row_of(DEVICE, 1))],
            )
            raise psycopg.Rollback
        outcomes = done.get(timeout=WAIT_S)
    assert [outcome and outcome.result for outcome in outcomes] == [Result.ACCEPTED] * 2
    assert log(engine) == [Result.ACCEPTED] * 2


def row_of(device: int, counter: int) -> dict[str, object]:
    numbers = ("received_at", "parcels", "battery_mv", "temperature_c", "reset_cause", "link_failures")
    key = {"button_id": device, "key_generation": 0, "counter": counter}
    return {**key, "kind": "pickup", **dict.fromkeys(numbers, 0)}


# SQLSTATE: whether it is worth another try, and whether at once.
TRIES = {
    "40P01": (True, True),  # deadlock detected
    "40001": (True, True),  # serialization failure
    "57P01": (True, False),  # the server is shut down
    "25006": (True, False),  # read-only
    "53100": (True, False),  # disk full
    "53300": (True, False),  # too many connections
    "55P03": (True, False),  # lock not available
    "58030": (True, False),  # input/output error
    "XX000": (True, False),  # its own fault
    "08006": (True, False),  # connection lost
    "23505": (False, False),  # unique violation
    "23514": (False, False),  # check violation
    "22003": (False, False),  # number out of range
    "42P01": (False, False),  # no such table
}


def test_what_postgresql_says_tells_whether_it_is_worth_another_try(engine: sa.Engine):
    def tries(sqlstate: str) -> tuple[bool, bool]:
        with pytest.raises(DBAPIError) as raised, engine.begin() as conn:
            conn.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION 'so it is' USING ERRCODE = '{sqlstate}'; END $$")
        return database.refuses(raised.value), database.in_conflict(raised.value)

    assert {sqlstate: tries(sqlstate) for sqlstate in TRIES} == TRIES


def test_what_sqlite_says_tells_it_too(tmp_path):
    url = f"sqlite:///{tmp_path / 'domino.db'}"
    engine = make_engine(url)
    with pytest.raises(IntegrityError) as doubled, engine.begin() as conn:
        conn.execute(sa.insert(buttons), [{"id": 1, "state": "active", "created_at": database.now()}] * 2)
    assert not database.refuses(doubled.value)
    with engine.connect() as conn:
        conn.exec_driver_sql("PRAGMA query_only = ON")
        with pytest.raises(DBAPIError) as read_only:
            conn.execute(sa.delete(buttons))
    engine.dispose()
    assert database.refuses(read_only.value)
    (tmp_path / "domino.db").write_bytes(b"no database at all" * 1000)
    with pytest.raises(DBAPIError) as damaged, database.connect(url).begin() as conn:
        conn.execute(sa.select(buttons)).all()
    assert database.refuses(damaged.value)


def test_what_was_planned_while_the_tables_were_empty_does_not_read_them_whole_once_they_are_full(
    engine: sa.Engine, postgres_url: str
):
    done: queue.Queue[Outcomes] = queue.Queue()
    with owner(postgres_url) as conn, writing(engine) as writer:
        conn.execute("VACUUM ANALYZE")  # the statistics say: empty
        for counter in range(1, 61):
            writer.put([press(counter)], done.put)
            done.get(timeout=WAIT_S)
        engine.dispose()  # its sessions tell what they have read
        read = "SELECT sum(seq_tup_read)::int FROM pg_stat_user_tables WHERE relname IN ('uplinks', 'pickup_events')"
        (rows,) = conn.execute(read).fetchone() or (0,)
    assert rows < 60  # where it would be more than a thousand
