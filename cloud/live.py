"""The bell between what commits and the live pages: it says that there is something new, never what.

What is new is read from the log by its id, so a missed ring costs a moment, not an event. A bell is heard in its own
process; what another process committed rings it by an `Ear`: PostgreSQL's NOTIFY is committed with what it tells of,
and SQLite is asked a few times a second whether anybody wrote.
"""

import asyncio
import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError

CHANNEL = "domino"  # of LISTEN and NOTIFY
LOOK_S = 0.2  # between looks at SQLite's counter of commits, which cost 10 µs
RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)  # between tries to reach a database that is away

log = structlog.get_logger(__name__)


class Bell:
    """Rung from any thread, awaited from any event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rings = 0
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    @property
    def rings(self) -> int:
        """How often it has rung. Taken before a look at the log, it tells `wait` what that look may have missed."""
        return self._rings

    def ring(self) -> None:
        with self._lock:
            self._rings += 1
            waiting, self._waiting = self._waiting, set()
        for loop, event in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    async def wait(self, rings: int, timeout_s: float) -> bool:
        """Whether the bell has rung more than `rings` times, waiting for that up to `timeout_s` seconds."""
        entry = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            if self._rings > rings:
                return True
            self._waiting.add(entry)
        try:
            await asyncio.wait_for(entry[1].wait(), timeout_s)
        except TimeoutError:
            return False
        finally:
            with self._lock:
                self._waiting.discard(entry)
        return True


def notification() -> sa.Function[Any]:
    """For a SELECT on PostgreSQL: rings the bells of all processes once the transaction is committed."""
    return sa.func.pg_notify(CHANNEL, "")


def announce(conn: sa.Connection) -> None:
    """Ring the bells of other processes once `conn`'s transaction is committed; on SQLite they see by themselves."""
    if conn.dialect.name == "postgresql":
        conn.execute(sa.select(notification()))


class Ear:
    """Calls `heard` when another process may have committed something, until it is stopped. Run `run` in a thread.

    It may be called for nothing, and after every time that the database was away: something may have been missed.
    """

    def __init__(self, engine: sa.Engine, heard: Callable[[], object]) -> None:
        self._engine, self._heard = engine, heard
        self._stopping = threading.Event()
        self._listens = threading.Event()
        self._wakes, self._woken = socket.socketpair()

    def wait_listening(self, timeout_s: float) -> bool:
        """Whether from now on nothing is missed, waited for."""
        return self._listens.wait(timeout_s)

    def stop(self) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):  # it has ended by itself
            self._wakes.send(b"\0")

    def run(self) -> None:
        hear = self._hear_notifications if self._engine.dialect.name == "postgresql" else self._hear_commits
        driver: Any = self._engine.dialect.dbapi
        tries = 0
        while not self._stopping.is_set():
            try:
                with self._connection() as connection:
                    for _ in hear(connection):
                        tries = 0
                        self._listens.set()
                        self._heard()
            except (DBAPIError, driver.Error) as error:
                log.warning("the pages hear nothing of other processes", error=str(error).partition("\n")[0])
            except Exception:
                log.exception("the pages' ear met a bug; it begins anew")
            if not self._stopping.is_set():
                self._listens.clear()
                self._stopping.wait(RETRY_S[min(tries, len(RETRY_S) - 1)])
                tries += 1
        self._wakes.close()
        self._woken.close()

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """The driver's own, taken out of the pool for good."""
        pooled = self._engine.raw_connection()
        try:
            pooled.detach()
            yield pooled.driver_connection
        finally:
            pooled.close()

    def _hear_notifications(self, connection: Any) -> Iterator[None]:
        connection.autocommit = True
        connection.execute(f"LISTEN {CHANNEL}")
        yield
        while not self._stopping.is_set():
            readable, _, _ = select.select([connection, self._woken], [], [])
            if connection in readable and list(connection.notifies(timeout=0)):
                yield

    def _hear_commits(self, connection: Any) -> Iterator[None]:
        before = None
        while not self._stopping.is_set():
            (count,) = connection.execute("PRAGMA data_version").fetchone()  # changes with others' commits
            if count != before:
                yield
            before = count
            self._stopping.wait(LOOK_S)
