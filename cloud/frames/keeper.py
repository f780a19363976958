"""The thread that keeps the log: the next months' tables are made ahead, and what is kept long enough is let go of."""

import threading
from datetime import timedelta

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError

from cloud import database
from cloud.audit.store import record
from cloud.frames import months, retention

HOUSE_S = 3600.0  # between looks
AGAIN_S = 60.0  # after one that failed

log = structlog.get_logger(__name__)


class LogKeeper:
    """Keeps frames for `kept_days` days, 0 meaning for ever, until it is stopped. Run `run` in a thread."""

    def __init__(self, engine: sa.Engine, kept_days: int) -> None:
        self._engine, self._kept_days = engine, kept_days
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.is_set():
            pause_s = HOUSE_S
            try:
                self.tend()
            except DBAPIError as error:  # most likely a lock that was not had in time
                log.warning("the log is not kept now; tried again soon", error=database.why(error))
                pause_s = AGAIN_S
            except Exception:
                log.exception("the keeper of the log met a bug")
            self._stopping.wait(pause_s)

    def tend(self) -> None:
        """One round."""
        now = database.now()
        if self._engine.dialect.name == "postgresql":
            with database.reading(self._engine) as conn:
                missing = list(months.missing(conn, now))
            for month in missing:
                with self._engine.begin() as conn:
                    if not months.begin_change(conn) or month in months.made(conn):
                        break  # another process is at it
                    moved = months.make(conn, month)
                log.info("a month of the log was made", table=month.table, moved=moved)
        if self._kept_days:
            pruned = retention.prune(self._engine, now - timedelta(days=self._kept_days), self._stopping.is_set)
            if pruned.frames or pruned.months:
                with self._engine.begin() as conn:  # what went, went in many transactions; a kill may lose this one
                    about = {"count": pruned.frames, "months": [month.table for month in pruned.months]}
                    record(conn, actor="service", action="log.prune", subject="the log", now=now, **about)
                log.info("old frames were let go of", frames=pruned.frames, months=[m.table for m in pruned.months])
