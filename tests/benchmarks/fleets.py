"""Databases with claimed buttons that were never heard, and a pool of stamps: a new one for each run."""

import atexit
import functools
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from cloud import database
from cloud.accounts.store import accounts
from cloud.fleet.store import buttons
from tests import postgres
from tests.stock import stock

SHORT = 500  # buttons: up to here it is a benchmark's short form, and nothing need reach the disk
NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Fleet:
    """A new database, warm and on disk."""

    engine: sa.Engine
    leases: Sequence[int]  # of its pools of stamps

    @property
    def url(self) -> str:
        return self.engine.url.render_as_string(hide_password=False)


class Fleets(Protocol):
    """Gives one database after the other, all alike."""

    def fresh(self) -> AbstractContextManager[Fleet]: ...


Opened = Callable[[Path, int, Sequence[int]], AbstractContextManager[Fleets]]  # a folder, buttons, pools of stamps


class SqliteFleets:
    def __init__(self, folder: Path, count: int, stamps: Sequence[int]) -> None:
        self._template, self._copy = folder / "template.db", folder / "fleet.db"
        engine = database.connect(f"sqlite:///{self._template}")
        database.metadata.create_all(engine)
        self._leases = people(engine, count, stamps)
        engine.dispose()

    @contextmanager
    def fresh(self) -> Iterator[Fleet]:
        shutil.copy(self._template, self._copy)
        with self._copy.open("rb+") as copy:
            os.fsync(copy.fileno())  # or the first commit would wait for the copy
        engine = database.connect(f"sqlite:///{self._copy}")
        engine.connect().close()
        try:
            yield Fleet(engine, self._leases)
        finally:
            engine.dispose()  # which folds the WAL back and removes it


@dataclass(frozen=True, slots=True)
class PostgresFleets:
    cluster: postgres.Cluster
    template: str
    leases: Sequence[int]

    @contextmanager
    def fresh(self) -> Iterator[Fleet]:
        with self.cluster.database(self.template) as url:
            engine = database.connect(url)
            with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as conn:
                conn.exec_driver_sql("VACUUM ANALYZE")
                conn.exec_driver_sql("CHECKPOINT")
            try:
                yield Fleet(engine, self.leases)
            finally:
                engine.dispose()


@contextmanager
def sqlite(folder: Path, count: int, stamps: Sequence[int]) -> Iterator[Fleets]:
    yield SqliteFleets(folder, count, stamps)


@contextmanager
def postgresql(_folder: Path, count: int, stamps: Sequence[int]) -> Iterator[Fleets]:
    running = cluster(durable=count > SHORT)
    with running.database() as url:
        engine = database.connect(url)
        leases = people(engine, count, stamps)
        engine.dispose()
        template = engine.url.database
        assert template
        yield PostgresFleets(running, template, leases)


@functools.cache
def cluster(durable: bool) -> postgres.Cluster:
    """Of all benchmarks of this process, until its end.

    In a folder that is on a disk by the hierarchy's standard and that PostgreSQL's own user may enter.
    """
    end = ExitStack()
    atexit.register(end.close)
    return end.enter_context(postgres.cluster(postgres.DURABLE if durable else postgres.SETTINGS, on_disk=durable))


def people(engine: sa.Engine, count: int, stamps: Sequence[int]) -> list[int]:
    """`count` buttons, and pools of so many stamps; gives the pools' leases."""
    owner = {"id": 1, "name": "claire", "display_name": "Claire", "role": "customer", "password_hash": "-"}
    button = {"owner_id": 1, "state": "active", "created_at": NOW, "claimed_at": NOW}
    with engine.begin() as conn:
        conn.execute(sa.insert(accounts).values(**owner, created_at=NOW))
        conn.execute(sa.insert(buttons), [button | {"id": device} for device in range(1, count + 1)])
        return [stock(conn, one).id for one in stamps]
