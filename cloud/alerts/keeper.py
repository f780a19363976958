"""The thread that watches: reads the log on, looks at the rules, follows the alerts. One process at a time does it.

Which one is decided by a row with a time limit. Should two believe for a moment that it is they, nothing is counted or
told twice: the mark of how far the log was read, the index over open alerts and the outbox's names see to that.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from sqlalchemy.exc import DBAPIError

from cloud import database, live
from cloud.alerts import checks, routes, store, tallies
from cloud.alerts.checks import Around
from cloud.alerts.model import Changes, Found, Pace, Terms

ROUND_S = 5.0
LEASE = timedelta(seconds=30)  # renewed when half is over; a process that died is followed by another after this time
SLOW = timedelta(minutes=1)  # between looks at what is looked at each minute
HOUSE = timedelta(hours=1)  # between the deletions of what is old
NAME = "watch"

log = structlog.get_logger(__name__)


def holder() -> str:
    """This process, for people and for leases."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Watch:
    """Watches until it is stopped. Run `run` in a thread; `tend` is one round, at whatever time it is told."""

    def __init__(
        self,
        engine: sa.Engine,
        around: Around,
        *,
        registry: CollectorRegistry,
        given: Mapping[str, Changes] | None = None,
        changed: Callable[[], object] = lambda: None,
        name: str | None = None,
    ) -> None:
        """`given`: what the settings file says of the rules; `changed` is called when an alert was told."""
        self._engine, self._around, self._given, self._changed = engine, around, given or {}, changed
        self._name = name or holder()
        self._stopping = threading.Event()
        self._slow_at: datetime | None = None
        self._house_at: datetime | None = None
        self._noted_file = False
        self._took = Histogram("domino_alert_round_seconds", "A look at all rules", registry=registry)
        self._read = Counter("domino_alert_frames", "Frames of the log that the rules have counted", registry=registry)

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.wait(ROUND_S):
            started = time.monotonic()
            try:
                if self.tend(database.now()):
                    self._took.observe(time.monotonic() - started)
            except DBAPIError as error:
                log.warning("the alerts are not watched: the database refuses", error=database.why(error))
            except Exception:
                log.exception("the watch of the alerts met a bug; it tries again")
        self._leave()

    def _leave(self) -> None:
        try:
            with self._engine.begin() as conn:
                store.drop_lease(conn, NAME, self._name)
        except DBAPIError as error:
            log.warning("the alerts' lease runs out by itself", error=database.why(error))

    def tend(self, now: datetime) -> bool:
        """One round; False where another process watches."""
        if not self._hold(now):
            self._slow_at = None  # should the watch come to this process, it begins with a look at everything
            return False
        with database.reading(self._engine) as conn:
            terms = store.all_terms(conn, self._given)
        self._read_on(timedelta(seconds=terms["lag"].limit("seconds")), now)

        is_slow_due = self._slow_at is None or now - self._slow_at >= SLOW
        wanted = [one for one in terms.values() if is_slow_due or one.rule.pace is Pace.EACH_ROUND]
        found, looked = self._look(wanted, now)
        with self._engine.begin() as conn:
            if not store.has_lease(conn, NAME, self._name, now):
                return False  # the look took so long that another has begun
            told = store.apply(conn, found, looked, now)
            if told:
                live.announce(conn)
        if is_slow_due:
            self._slow_at = now
        for alert, event in told:
            log.info("alert", rule=alert.rule, about=alert.subject, what=event.value, alert=alert.id)
        if told:
            self._changed()
        self._keep_house(now)
        return True

    def _hold(self, now: datetime) -> bool:
        """Whether this process watches, having renewed its lease where that is due."""
        with database.reading(self._engine) as conn:
            if self._noted_file and store.has_lease(conn, NAME, self._name, now + LEASE / 2):
                return True
        with self._engine.begin() as conn:
            if not store.take_lease(conn, NAME, self._name, now, LEASE):
                return False
            if not self._noted_file:
                store.note_file(conn, self._given, now)
        self._noted_file = True
        return True

    def _read_on(self, late_after: timedelta, now: datetime) -> None:
        for _ in range(tallies.MOST_A_ROUND):
            count = self._keep(lambda conn: tallies.next_frames(conn, late_after))
            self._read.inc(count)
            if count < tallies.BATCH or self._stopping.is_set():
                break
        self._keep(lambda conn: tallies.next_readings(conn, now))

    def _keep(self, read: Callable[[sa.Connection], tallies.Batch | None]) -> int:
        """How many rows a batch had that was read, and written as no other process had."""
        with database.reading(self._engine) as conn:
            batch = read(conn)
        if batch is None:
            return 0
        with self._engine.begin() as conn:
            return batch.size if tallies.keep(conn, batch) else 0

    def _look(self, wanted: list[Terms], now: datetime) -> tuple[list[Found], dict[str, Terms]]:
        """What is there, and the rules that could be looked at: a bug in one leaves its alerts as they are."""
        found: list[Found] = []
        looked: dict[str, Terms] = {}
        with database.reading(self._engine) as conn:
            for one in wanted:
                try:
                    found += checks.find(conn, one, self._around, now) if one.is_on else []
                except DBAPIError:
                    raise
                except Exception:
                    log.exception("a rule met a bug", rule=one.rule.name)
                    continue
                looked[one.rule.name] = one
        return found, looked

    def _keep_house(self, now: datetime) -> None:
        if self._house_at is not None and now - self._house_at < HOUSE:
            return
        with self._engine.begin() as conn:
            tallies.forget(conn, now)
            routes.forget(conn, now)
        self._house_at = now
