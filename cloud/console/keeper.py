"""The thread behind the overview's figures: it counts the log on, and samples what is too slow to count on a page.

Any number of processes may run it. Of those that count the same frames one has its counts taken (frames.tally), and a
sample that another took a moment ago is not taken again.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy.exc import DBAPIError

import cloud.fleet.store as fleet
import cloud.stamps.store as stamps
from cloud import database, gauges
from cloud.fleet import silence
from cloud.frames import tally
from cloud.frames.store import last_id

ROUND_S = 2.0  # between looks at the log; a page counts by itself what came since
PAUSE_S = 0.02  # between batches, so that no press waits longer for SQLite's one writer
HOUSE_S = 600.0  # between looks at what has been kept long enough
AGAIN_S = 10.0  # after a round that failed

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How often a gauge is counted, and how."""

    every: timedelta
    count: Callable[[sa.Connection, datetime], Mapping[str, int]]


def count_stamps(conn: sa.Connection, _now: datetime) -> dict[str, int]:
    return {"live": stamps.count_live(conn), "minted": stamps.pool_left(conn)}


def count_silent(conn: sa.Connection, now: datetime) -> dict[str, int]:
    """Active buttons by department, and those of them that are silent."""
    of = fleet.buttons.c
    query = sa.select(of.department, sa.func.count().label("buttons")).where(of.state == fleet.State.ACTIVE)
    silent = silence.silent_by_department(conn, now)
    counted = {"buttons": 0, "silent": sum(silent.values())}  # there at all times, in all departments together
    for row in conn.execute(query.group_by(of.department)):
        counted["buttons"] += row.buttons
        counted[f"buttons {row.department or ''}"] = row.buttons
        counted[f"silent {row.department or ''}"] = silent.get(row.department, 0)
    return counted


STAMPS, SILENCE = "stamps", "silence"
GAUGES = {
    STAMPS: Sampling(timedelta(minutes=1), count_stamps),  # a third of a second with 10 million live ones
    SILENCE: Sampling(timedelta(minutes=10), count_silent),  # 0.1 s with 100 000 buttons
}


class FigureKeeper:
    """Counts and samples until it is stopped. Run `run` in a thread. `kept_days`: of the log, 0 for ever."""

    def __init__(self, engine: sa.Engine, kept_days: int, registry: CollectorRegistry) -> None:
        self._engine, self._kept_days = engine, kept_days
        self._stopping = threading.Event()
        self._house_at = 0.0  # by the monotonic clock
        self._behind = Gauge("domino_tally_behind_frames", "Frames of the log not counted yet", registry=registry)

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.is_set():
            pause_s = ROUND_S
            try:
                self.tend()
            except DBAPIError as error:
                log.warning("the log is not counted now; tried again soon", error=database.why(error))
                pause_s = AGAIN_S
            except Exception:
                log.exception("the keeper of the figures met a bug")
                pause_s = AGAIN_S
            self._stopping.wait(pause_s)

    def tend(self) -> None:
        """One round: count all that there is, sample what is due."""
        while not self._stopping.is_set() and count_on(self._engine) == tally.AT_ONCE:
            self._tell()
            self._stopping.wait(PAUSE_S)
        self._tell()
        for what in GAUGES:
            sample(self._engine, what, database.now())
        if time.monotonic() >= self._house_at:
            self._house_at = time.monotonic() + HOUSE_S
            self._prune(database.now())

    def _tell(self) -> None:
        with database.reading(self._engine) as conn:
            self._behind.set(last_id(conn) - tally.position(conn).through)

    def _prune(self, now: datetime) -> None:
        bounds = {tally.INSTANT: now - tally.INSTANTS_KEPT}
        if self._kept_days:  # what was heard on a day is kept for ever
            bounds |= dict.fromkeys((tally.MINUTE, tally.HOUR), now - timedelta(days=self._kept_days))
        for span, before in bounds.items():
            while not self._stopping.wait(PAUSE_S):
                with self._engine.begin() as conn:
                    if not tally.prune(conn, span, before):
                        break
        for what in GAUGES if self._kept_days else ():
            while not self._stopping.wait(PAUSE_S):
                with self._engine.begin() as conn:
                    if not gauges.prune(conn, what, now - timedelta(days=self._kept_days)):
                        break


def count_on(engine: sa.Engine, at_once: int = tally.AT_ONCE) -> int:
    """Count the next batch of the log; its size, whoever had its counts taken. 0: everything is counted."""
    # Counted before the transaction that writes: while that lasts nobody else writes on SQLite.
    with database.reading(engine) as conn:
        batch = tally.look(conn, at_once)
    if batch is None:
        return 0
    with engine.begin() as conn:
        tally.write(conn, batch)
    return batch.size


def sample(engine: sa.Engine, what: str, now: datetime) -> bool:
    """Count a gauge where its newest sample is old enough; whether it was."""
    due = GAUGES[what]
    with database.reading(engine) as conn:
        before = gauges.newest_at(conn, what, now)
        if before is not None and before > now - due.every:
            return False
        values = due.count(conn, now)
    at = max(database.now(), now)  # everything that was counted had happened by then
    with engine.begin() as conn:
        gauges.put(conn, what, at, values)
    return True
