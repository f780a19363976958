"""Ingest in one process: batches into SQLite, WAL and synchronous FULL, against one commit each and the bare rows."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from cloud import database
from cloud.frames.model import Result
from cloud.ingest.receive import Limits, Message, receive
from cloud.ingest.writer import MOST_IN_A_BATCH
from tests.benchmarks.fleets import NOW, SqliteFleets
from tests.benchmarks.measure import Role, Way, rate
from tests.benchmarks.traffic import KEYS, first_presses
from tests.stock import lease_of

# What one message leaves in each table, in the order of the foreign keys.
INSERTED = ("pickups", "pickup_events", "uplinks", "frames")
UPDATED = {
    "stamps": ("pickup_id", "state", "lease_id", "changed_at", "id"),
    "buttons": (
        "last_seen_at",
        "battery_mv",
        "temperature_c",
        "last_counter",
        "uplinks_today",
        "downlinks_today",
        "id",
    ),
}


@contextmanager
def prepare(folder: Path, count: int) -> Iterator[Sequence[Way]]:
    fleets, messages = SqliteFleets(folder, count, [count]), first_presses(count).messages
    with fleets.fresh() as fleet:
        take(fleet.engine, messages, MOST_IN_A_BATCH)
        writes = written(fleet.engine)

    def receiving(batch_size: int, wanted: int) -> list[float]:
        with fleets.fresh() as fleet:
            return rate(wanted, lambda: take(fleet.engine, messages[:wanted], batch_size))

    def writing() -> list[float]:
        with fleets.fresh() as fleet:
            return rate(count, lambda: write(fleet.engine, writes))

    yield (
        Way(Role.OURS, f"receive, {MOST_IN_A_BATCH} a transaction", lambda: receiving(MOST_IN_A_BATCH, count)),
        Way(Role.PEER, "receive, one a transaction", lambda: receiving(1, max(count // 10, 1))),
        Way(Role.LIMIT, "the same rows by sqlite3 executemany", writing),
    )


def take(engine: sa.Engine, messages: Sequence[Message], batch_size: int) -> None:
    with database.reading(engine) as conn:
        lease = lease_of(conn)
    for at in range(0, len(messages), batch_size):
        with engine.begin() as conn:
            outcomes = receive(conn, messages[at : at + batch_size], keys=KEYS, limits=Limits(), lease=lease, now=NOW)
        assert all(outcome.result is Result.ACCEPTED and outcome.downlink for outcome in outcomes)


Write = tuple[str, list[tuple[object, ...]]]  # a statement and its rows, one for each message


def written(engine: sa.Engine) -> list[Write]:
    """What `take` left in the tables, as the bare statements that leave the same."""
    disk = opened(engine)
    writes: list[Write] = []
    for table in INSERTED:
        rows = disk.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall()  # noqa: S608
        writes.append((f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows))  # noqa: S608
    for table, columns in UPDATED.items():
        rows = disk.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {columns[0]}").fetchall()  # noqa: S608
        changes = ", ".join(f"{column} = ?" for column in columns[:-1])
        writes.append((f"UPDATE {table} SET {changes} WHERE {columns[-1]} = ?", rows))  # noqa: S608
    return writes


def write(engine: sa.Engine, writes: Sequence[Write]) -> None:
    disk = opened(engine)
    for at in range(0, len(writes[0][1]), MOST_IN_A_BATCH):
        disk.execute("BEGIN IMMEDIATE")
        for statement, rows in writes:
            disk.executemany(statement, rows[at : at + MOST_IN_A_BATCH])
        disk.execute("COMMIT")


def opened(engine: sa.Engine) -> sqlite3.Connection:
    """SQLite's own connection, with our pragmas."""
    connection = engine.raw_connection().driver_connection
    assert isinstance(connection, sqlite3.Connection)
    return connection
