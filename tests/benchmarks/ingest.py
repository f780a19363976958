"""Ingest in one process: batches into SQLite, WAL and synchronous FULL, against one commit each and the bare rows."""

import os
import random
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

import cloud.fleet.store as fleet
import cloud.stamps.store as stamps
from cloud import database
from cloud.accounts.store import accounts
from cloud.frames.model import Result
from cloud.ingest.keys import Keys
from cloud.ingest.receive import Limits, Message, receive
from cloud.ingest.writer import MOST_IN_A_BATCH
from tests.benchmarks.measure import Role, Way, rate
from tests.sealing import callback, seal

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
KEYS = Keys(bytes(range(32)))

# What one message leaves in each table, in the order of the foreign keys.
INSERTED = ("pickups", "pickup_events", "uplinks", "frames")
UPDATED = {
    "stamps": ("pickup_id", "state", "changed_at", "code"),
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


def presses(count: int) -> list[Message]:
    """The dearest message there is, `count` times: each from a button of its own, each an order, a stamp, an answer."""
    devices = random.Random(1).sample(range(1, count + 1), count)
    return [
        Message("mqtt", f"{d:08X}", callback(d, seal(device=d, key=KEYS.device_key(d, 0), counter=1), seq=d & 0xFFF))
        for d in devices
    ]


class Fleets:
    """Databases with `count` claimed buttons that were never heard, and as many stamps in the pool."""

    def __init__(self, folder: Path, count: int) -> None:
        self._template, self._copy = folder / "template.db", folder / "fleet.db"
        engine = database.connect(f"sqlite:///{self._template}")
        database.metadata.create_all(engine)
        owner = {"id": 1, "name": "claire", "display_name": "Claire", "role": "customer", "password_hash": "-"}
        with engine.begin() as conn:
            conn.execute(sa.insert(accounts).values(**owner, created_at=NOW))
            for device in range(1, count + 1):
                fleet.add(conn, id=device, place=None, claim_code="", now=NOW, owner_id=1)
            stamps.mint(conn, count, NOW)
        engine.dispose()

    @contextmanager
    def fresh(self) -> Iterator[sa.Engine]:
        shutil.copy(self._template, self._copy)
        with self._copy.open("rb+") as copy:
            os.fsync(copy.fileno())  # or the first commit would wait for the copy
        engine = database.connect(f"sqlite:///{self._copy}")
        engine.connect().close()
        try:
            yield engine
        finally:
            engine.dispose()  # which folds the WAL back and removes it


@contextmanager
def prepare(folder: Path, count: int) -> Iterator[Sequence[Way]]:
    fleets, messages = Fleets(folder, count), presses(count)
    with fleets.fresh() as engine:
        take(engine, messages, MOST_IN_A_BATCH)
        writes = written(engine)

    def receiving(batch_size: int, wanted: int) -> list[float]:
        with fleets.fresh() as engine:
            return rate(wanted, lambda: take(engine, messages[:wanted], batch_size))

    def writing() -> list[float]:
        with fleets.fresh() as engine:
            return rate(count, lambda: write(engine, writes))

    yield (
        Way(Role.OURS, f"receive, {MOST_IN_A_BATCH} a transaction", lambda: receiving(MOST_IN_A_BATCH, count)),
        Way(Role.PEER, "receive, one a transaction", lambda: receiving(1, max(count // 10, 1))),
        Way(Role.LIMIT, "the same rows by sqlite3 executemany", writing),
    )


def take(engine: sa.Engine, messages: Sequence[Message], batch_size: int) -> None:
    for at in range(0, len(messages), batch_size):
        with engine.begin() as conn:
            outcomes = receive(conn, messages[at : at + batch_size], keys=KEYS, limits=Limits(), now=NOW)
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
