"""What many requests leave behind, kept in memory and written now and then, so that no request waits for it.

When a session and a token were used last is written once a minute. Refused sign-ins go into the audit trail: the first
of a name, an address and a minute at once, the others of that minute as one entry with their count. However many guess,
that is a few dozen entries a minute; decision 0099.
"""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError

from cloud import database
from cloud.accounts import store
from cloud.accounts.attempts import of_address
from cloud.audit.store import record

WRITE_S = 20.0  # between looks at what is to be written
MINUTE = timedelta(minutes=1)
PER_MINUTE = 30  # names and addresses that a minute tells apart; the rest of it is counted together
MOST = 10_000  # sessions and tokens between two writings

log = structlog.get_logger(__name__)

_Key = TypeVar("_Key", bytes, int)


@dataclass(frozen=True, slots=True)
class Refused:
    """What is counted together: sign-ins of one name from one network, or uses of one token."""

    action: str
    tried: str  # as it was typed: never written, because people type passwords there
    subject: str
    network: str


SEVERAL = "several"


class Notes:
    """Run `run` in a thread, or call `write`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._seen: dict[bytes, datetime] = {}
        self._used: dict[int, datetime] = {}
        self._written: dict[bytes | int, datetime] = {}
        self._minute: datetime | None = None
        self._told: set[Refused] = set()  # of this minute, each by an entry of its own
        self._counted: Counter[Refused] = Counter()  # of this minute, beyond those
        self._over: list[tuple[datetime, Refused, int]] = []  # of minutes before

    def seen(self, token_hash: bytes, now: datetime) -> None:
        """A session opened a page or sent a form."""
        self._note(self._seen, token_hash, now)

    def used(self, token: int, now: datetime) -> None:
        self._note(self._used, token, now)

    def _note(self, noted: dict[_Key, datetime], key: _Key, now: datetime) -> None:
        with self._lock:
            before = self._written.get(key)
            if (before is None or now - before >= store.NOTED) and len(noted) < MOST:
                noted[key] = now

    def refused(self, action: str, *, tried: str, subject: str, address: str, now: datetime) -> None:
        """Count a refusal; the first of its kind in this minute is written before this returns."""
        network = of_address(address)[0].removeprefix("address ").removesuffix("/32")
        one = Refused(action, tried, subject, network)
        with self._lock:
            self._turn(now)
            is_first = one not in self._told and len(self._told) < PER_MINUTE
            if is_first:
                self._told.add(one)
            else:
                self._counted[one if one in self._told else _several(action)] += 1
        if is_first:
            try:
                with self._engine.begin() as conn:
                    self._record(conn, one, 1, now)
            except DBAPIError:
                with self._lock:  # told with the others, when the database is well again
                    self._counted[one] += 1

    def _turn(self, now: datetime) -> None:
        minute = now.replace(second=0, microsecond=0)
        if self._minute is None or minute > self._minute:
            if self._minute is not None:
                self._over += [(self._minute + MINUTE, one, count) for one, count in self._counted.items()]
            self._minute = minute
            self._told, self._counted = set(), Counter()

    def write(self, now: datetime, *, is_last: bool = False) -> None:
        """What is due. What the database does not take now is kept. `is_last`: this minute's count too."""
        with self._lock:
            self._turn(now + MINUTE if is_last else now)
            seen, used, over = self._seen, self._used, self._over
            self._seen, self._used, self._over = {}, {}, []
        if not (seen or used or over):
            return
        try:
            with self._engine.begin() as conn:
                store.note_seen(conn, seen)
                store.note_used(conn, used)
                for until, one, count in over:
                    self._record(conn, one, count, min(until, now))
        except DBAPIError as error:
            log.warning("notes of sign-ins and uses wait", error=database.why(error))
            with self._lock:
                self._over = over + self._over[: MOST - len(over)]
            return
        with self._lock:
            self._written = {key: at for key, at in self._written.items() if now - at < MINUTE} | _both(seen, used)

    def _record(self, conn: sa.Connection, one: Refused, count: int, now: datetime) -> None:
        record(
            conn,
            actor="visitor",
            action=one.action,
            subject=one.subject,
            now=now,
            count=count,
            network=one.network,
        )

    def run(self) -> None:
        while not self._stopping.wait(WRITE_S):
            self.write(database.now())
        self.write(database.now(), is_last=True)

    def stop(self) -> None:
        self._stopping.set()


def _several(action: str) -> Refused:
    return Refused(action, "", "several names", SEVERAL)


def _both(seen: Mapping[bytes, datetime], used: Mapping[int, datetime]) -> dict[bytes | int, datetime]:
    return {**seen, **used}
