"""Whether the service can do its work now, part by part, each with the reason in words and since when.

Ready means that a message which arrives now would be kept and answered: the database takes writes, the inlet is
subscribed, the broker takes messages. Nothing here waits when it is asked: what takes time, a write to the database or
a message to the broker, is tried by a thread of its own, and only where the work itself has not just proved it.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
import structlog
from prometheus_client import CollectorRegistry, Gauge, Histogram
from sqlalchemy.exc import DBAPIError

from cloud import database

LOOK_S = 2.0  # between looks: `since` is that exact
QUIET_S = 10.0  # without a commit, then a write is tried
STALE_S = 15.0  # longer than a writer waits for SQLite's lock; an older success proves nothing

# A write that changes nothing, of one row that every database has: the revision of its schema.
PROBE = sa.text("UPDATE alembic_version SET version_num = version_num")

log = structlog.get_logger(__name__)

Check = Callable[[], str | None]  # why it is not well; None: it is


@dataclass(frozen=True, slots=True)
class Part:
    """One part as it was seen last."""

    why: str | None  # None: it is well
    since: datetime  # when that began

    @property
    def is_well(self) -> bool:
        return self.why is None


class Health:
    """Asks each of `checks` when somebody looks, and every LOOK_S by itself. Run `run` in a thread."""

    def __init__(self, checks: Mapping[str, Check], *, registry: CollectorRegistry) -> None:
        self._checks = dict(checks)
        self._lock = threading.Lock()
        self._parts: dict[str, Part] = {}
        self._stopping = threading.Event()
        self._well = Gauge("domino_ready", "1 while this part can do its work", ["part"], registry=registry)
        for name in self._checks:
            self._well.labels(name)

    def add(self, name: str, check: Check) -> None:
        """One more part to be asked."""
        self._checks[name] = check

    def look(self) -> dict[str, Part]:
        """Every part as it is now. A change is told in the log."""
        now = database.now()
        found = {name: check() for name, check in list(self._checks.items())}
        with self._lock:
            for name, why in found.items():
                before = self._parts.get(name)
                self._well.labels(name).set(why is None)
                if before is None or (before.why is None) != (why is None):
                    self._parts[name] = Part(why, now)
                    if why is not None:
                        log.warning("not well", part=name, why=why)
                    elif before is not None:
                        log.info("well again", part=name, after_s=round((now - before.since).total_seconds(), 1))
                elif before.why != why:
                    self._parts[name] = Part(why, before.since)
            return dict(self._parts)

    def run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            self.look()

    def stop(self) -> None:
        self._stopping.set()


class WriteProbe:
    """Writes to the database where nothing else has for QUIET_S, so that a full or read-only one is known at once.

    `written_at` gives the monotonic time of the last commit of the work itself; `trouble` what a batch is told that
    waits. Run `run` in a thread: a write may wait long for the database's lock.
    """

    def __init__(
        self,
        engine: sa.Engine,
        *,
        registry: CollectorRegistry,
        written_at: Callable[[], float],
        trouble: Callable[[], str | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._written_at, self._trouble, self._clock = engine, written_at, trouble, clock
        self._probed_at = clock()  # the migration has just written
        self._refused: str | None = None
        self._stopping = threading.Event()
        self._took = Histogram(
            "domino_write_probe_seconds", "A write that only tries whether it can", registry=registry
        )

    def why(self) -> str | None:
        """For `Health`."""
        if trouble := self._trouble():
            return f"a batch waits: {trouble}"
        quiet_s = self._clock() - max(self._written_at(), self._probed_at)
        if self._refused and quiet_s >= QUIET_S:
            return self._refused
        return f"no write has ended for {int(quiet_s)} s" if quiet_s > STALE_S else None

    def probe(self) -> None:
        """Write, and note what comes of it."""
        started = self._clock()
        try:
            with self._engine.begin() as conn:
                conn.execute(PROBE)
        except DBAPIError as error:
            self._refused = database.why(error)
            return
        self._refused, self._probed_at = None, self._clock()
        self._took.observe(self._probed_at - started)

    def run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            if self._clock() - max(self._written_at(), self._probed_at) >= QUIET_S:
                self.probe()

    def stop(self) -> None:
        self._stopping.set()
