"""History decoded anew, by this code or another decoder, and what it would have come to, beside what it did come to.

The whole log is replayed into a database of its own in a temporary file, and frame by frame and order by order the two
are compared. Nothing is written to the real one, and memory does not grow with the log.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

import cloud.fleet.store as fleet
from cloud import database
from cloud.database import reading
from cloud.fleet.model import format_id
from cloud.frames.model import Result
from cloud.frames.store import frames
from cloud.ingest.keys import Keys
from cloud.ingest.receive import Decoder, Limits, Outcome
from cloud.pickups.store import pickups
from cloud.rawlog.model import Cursor, Entry, RawFrame
from cloud.rawlog.replay import replay
from cloud.rawlog.store import read

MOST_TOLD = 1000  # of each kind; all are counted
NO_SYNC = "PRAGMA synchronous=OFF"  # the file is thrown away


@dataclass(frozen=True, slots=True)
class Ending:
    """How a frame ended: the result, and what the seal proved."""

    result: str
    counter: int | None
    kind: str | None

    def __str__(self) -> str:
        return self.result if self.kind is None else f"{self.result}, {self.kind} {self.counter}"


@dataclass(frozen=True, slots=True)
class Changed:
    """A frame that would end otherwise."""

    frame: int
    received_at: datetime
    device: int | None
    before: Ending
    after: Ending


@dataclass(frozen=True, slots=True)
class Order:
    """An order by what presses decide of it."""

    button: int
    requested_at: datetime
    number: int  # in its own database
    parcels: int
    state: str

    def __str__(self) -> str:
        return f"{format_id(self.button)} {self.requested_at:%Y-%m-%d %H:%M:%S} {self.parcels} × {self.state}"


@dataclass
class Difference:
    frames: int = 0
    cut: int = 0  # refused then, and too little is kept of them to be read again
    changed: int = 0
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)  # results before and after
    examples: list[Changed] = field(default_factory=list)
    same_orders: int = 0
    only_there: list[Order] = field(default_factory=list)  # were made, and would not be
    only_here: list[Order] = field(default_factory=list)  # were not, and would be
    differing: list[tuple[Order, Order]] = field(default_factory=list)
    orders: Counter[str] = field(default_factory=Counter)  # of only_there, only_here and differing, all

    @property
    def is_none(self) -> bool:
        return not self.changed and not self.orders


def compare(
    engine: sa.Engine,
    now: datetime,
    *,
    keys: Keys,
    limits: Limits,
    decode: Decoder,
    since: datetime | None = None,
    until: datetime | None = None,
    progress: Callable[[int], object] = lambda frames: None,
) -> Difference:
    """Decode the whole log, as what came first decides what comes later; compare what came in [since, until)."""
    difference = Difference()

    def look(frame: RawFrame, outcome: Outcome | None) -> None:
        if outcome is None or (since is not None and frame.received_at < since):
            return
        if until is not None and frame.received_at >= until:
            return
        difference.frames += 1
        if frame.is_cut:
            difference.cut += 1
            return
        uplink = outcome.uplink
        before = Ending(frame.result, frame.counter, frame.kind)
        after = Ending(
            outcome.result.value,
            None if uplink is None else uplink.counter,
            None if uplink is None else uplink.kind.word,
        )
        if before != after:
            difference.changed += 1
            difference.changes[before.result, after.result] += 1
            if len(difference.examples) < MOST_TOLD:
                difference.examples.append(Changed(frame.id, frame.received_at, frame.device, before, after))

    with tempfile.TemporaryDirectory(prefix="domino-diff-") as folder:
        scratch = _scratch(Path(folder) / "scratch.db")
        entries = _entries(engine, now, progress)
        replay(
            scratch,
            entries,
            keys=keys,
            limits=limits,
            decode=decode,
            known=lambda device: _known(engine, device, now),
            look=look,
            may_miss=True,
        )
        _compare_orders(engine, scratch, since, until, difference)
        scratch.dispose()
    return difference


def _scratch(path: Path) -> sa.Engine:
    engine = database.connect(f"sqlite:///{path}")
    event.listen(engine, "connect", lambda connection, _: connection.execute(NO_SYNC))
    database.metadata.create_all(engine)
    return engine


def _entries(engine: sa.Engine, now: datetime, progress: Callable[[int], object]) -> Iterator[Entry]:
    for part in read(engine, Cursor(), now, with_stamps=False):
        yield from part.entries
        progress(part.frames)


def _known(engine: sa.Engine, device: int, now: datetime) -> fleet.Standing | None:
    """The button as it was when the log begins: before its first message there, and with that one's key."""
    accepted = (frames.c.device == device, frames.c.result == Result.ACCEPTED)
    first = sa.select(frames.c.key_generation, frames.c.counter).where(*accepted).order_by(frames.c.id).limit(1)
    with reading(engine) as conn:
        now_known = fleet.standings(conn, [device], now.date()).get(device)
        row = conn.execute(first).first()
    if now_known is None or row is None:
        return now_known
    return now_known._replace(key_generation=row.key_generation, last_counter=row.counter - 1)


def _compare_orders(
    engine: sa.Engine, scratch: sa.Engine, since: datetime | None, until: datetime | None, difference: Difference
) -> None:
    """By button and the time of their first press, two sorted streams side by side."""
    with reading(engine) as there_conn, reading(scratch) as here_conn:
        began = there_conn.scalar(sa.select(sa.func.min(frames.c.received_at)))
        if began is None:
            return
        begin = max(began, since) if since is not None else began
        there, here = (_orders(conn, begin, until) for conn in (there_conn, here_conn))
        one, other = next(there, None), next(here, None)
        while one is not None or other is not None:
            place, its = _place(one), _place(other)
            if one is not None and (other is None or place < its):
                _tell(difference, "only_there", one)
                one = next(there, None)
            elif other is not None and (one is None or its < place):
                _tell(difference, "only_here", other)
                other = next(here, None)
            elif one is not None and other is not None:
                if (one.parcels, one.state) == (other.parcels, other.state):
                    difference.same_orders += 1
                else:
                    _tell(difference, "differing", (one, other))
                one, other = next(there, None), next(here, None)


def _place(order: Order | None) -> tuple[Any, ...]:
    return () if order is None else (order.button, order.requested_at)


def _orders(conn: sa.Connection, since: datetime, until: datetime | None) -> Iterator[Order]:
    c = pickups.c
    query = sa.select(c.button_id, c.requested_at, c.id, c.parcels, c.state).where(c.requested_at >= since)
    if until is not None:
        query = query.where(c.requested_at < until)
    ordered = query.order_by(c.button_id, c.requested_at, c.id)
    for row in conn.execution_options(yield_per=1000).execute(ordered):
        yield Order(*row)


def _tell(difference: Difference, kind: str, what: Any) -> None:
    difference.orders[kind] += 1
    told = getattr(difference, kind)
    if len(told) < MOST_TOLD:
        told.append(what)
