"""The thread that follows the audit trail's chain as it grows, and says so when it is broken.

It goes on from the last entry that it has seen hold, and once a day over all of them. What it has seen it remembers, so
while it runs it also finds an end that was cut off and a chain that was made anew; over a restart only a digest that
was noted outside does, which is why each day's stands in the log.
"""

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy.exc import DBAPIError

from cloud import database
from cloud.audit import store
from cloud.audit.model import BEFORE_ALL, Broken, verify

LOOK_S = 30.0  # between looks
WHOLE = timedelta(days=1)  # between looks at every entry
AT_ONCE = 1_000  # entries a transaction: some 10 ms
PAUSE_S = 0.01  # between those, for others

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """How far the chain is known to hold, and since when; `why` it does not, where it does not."""

    last: int
    at: datetime
    digest: bytes = field(repr=False)
    broken: int | None = None  # the entry
    why: str = ""


class Watch:
    """Run `run` in a thread; `seen` tells what it has found, None as long as it has not looked."""

    def __init__(self, engine: sa.Engine, *, registry: CollectorRegistry) -> None:
        self._engine = engine
        self._stopping = threading.Event()
        self._whole_at: datetime | None = None
        self.seen: Seen | None = None
        self._broken = Gauge("domino_audit_broken", "1 where the audit trail's chain does not hold", registry=registry)
        self._verified = Gauge(
            "domino_audit_verified_id", "The audit trail's newest entry up to which its chain holds", registry=registry
        )

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look(database.now())
            except DBAPIError as error:
                log.warning("the audit trail is not followed now; tried again soon", error=database.why(error))
            self._stopping.wait(LOOK_S)

    def look(self, now: datetime) -> None:
        """Follow what came since; all of it where that is due. A chain once found broken stays so until a restart."""
        if self.seen is not None and self.seen.broken is not None:
            if self._whole_at is None or now - self._whole_at >= WHOLE:
                self._tell_broken(now)
            return
        is_whole = self._whole_at is None or now - self._whole_at >= WHOLE
        known = (self.seen.last, self.seen.digest) if self.seen else (0, BEFORE_ALL)
        last, digest = (0, BEFORE_ALL) if is_whole else known
        try:
            if known[0]:
                self._check_is_there(*known)
            while not self._stopping.is_set():
                with database.reading(self._engine) as conn:
                    until, digest = verify(store.chain(conn, last, AT_ONCE), digest, last)
                count, last = until - last, until
                if count < AT_ONCE:
                    break
                self._stopping.wait(PAUSE_S)
            else:
                return  # before it came to the end
        except Broken as broken:
            self.seen = Seen(known[0], now, known[1], broken.id, broken.why)
            self._tell_broken(now)
            return
        self.seen = Seen(last, now, digest)
        self._verified.set(last)
        if is_whole:
            self._whole_at = now
            log.info("the audit trail holds", entry=last, digest=digest.hex())

    def _check_is_there(self, id: int, digest: bytes) -> None:
        with database.reading(self._engine) as conn:
            there = store.digest_of(conn, id)
        if there is None:
            raise Broken(id, "was there, and is missing: the trail was cut off at its end")
        if there != digest:
            raise Broken(id, "is another than it was: the chain was made anew, from there or before")

    def _tell_broken(self, now: datetime) -> None:
        assert self.seen is not None
        self._whole_at = now
        self._broken.set(1)
        log.error("the audit trail is broken", entry=self.seen.broken, why=self.seen.why)

    def facts(self) -> dict[str, object]:
        """For /health: no digest, which is told in the log alone."""
        if self.seen is None:
            return {"verified": None}
        told: dict[str, object] = {"verified": self.seen.last, "at": self.seen.at.isoformat(timespec="seconds")}
        return told if self.seen.broken is None else told | {"broken": self.seen.broken, "why": self.seen.why}
