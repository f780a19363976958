"""The raw log as it is read from a database: frames, what people did to orders, and stamps, in order, in parts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from cloud.database import milliseconds, moment, reading
from cloud.frames.store import frames
from cloud.pickups.store import pickup_events, pickups
from cloud.rawlog.model import Cursor, Diverged, Entry, Move, RawFrame, StampMove, begins
from cloud.stamps.model import State
from cloud.stamps.store import stamps

AT_ONCE = 5000  # frames: several of the largest batches
LATE = timedelta(minutes=1)  # between the time that a change bears and its commit; other machines' clocks included
_GIVEN = [state for state in State if state is not State.MINTED]  # to an order
_FRAME = (
    frames.c.id,
    frames.c.received_at,
    frames.c.carrier,
    frames.c.topic,
    frames.c.raw,
    frames.c.raw_size,
    frames.c.renamed,
    frames.c.uplinks_per_day,
    frames.c.downlinks_per_day,
    frames.c.result,
    frames.c.device,
    frames.c.key_generation,
    frames.c.counter,
    frames.c.kind,
    frames.c.pickup_id,
    frames.c.downlink,
)


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the log, and how far it reaches; `is_news` where anything in it was not read before."""

    entries: Iterator[Entry]
    reaches: Cursor
    frames: int
    is_news: bool


def read(
    engine: sa.Engine, after: Cursor, now: datetime, *, with_stamps: bool = True, at_once: int = AT_ONCE
) -> Iterator[Part]:
    """All that came after, in parts of whole batches, each read at one moment; `now` is the present.

    A part is read while its entries are: take them all before the next one.
    """
    seen_move = after.move
    while True:
        with reading(engine) as conn:
            found, is_all = _frames(conn, after.frame, at_once)
            horizon = None if is_all else found[-1].received_at
            moves = _moves(conn, after.move, horizon)
            reaches = Cursor(
                found[-1].id if found else after.frame,
                milliseconds(found[-1].received_at) or 0 if found else after.frame_at,
                _settled(conn, after.move, (horizon or now) - LATE),
                milliseconds(now) or 0 if is_all and with_stamps else after.stamps,
            )
            changed = _stamps(conn, after.stamps) if is_all and with_stamps else iter(())
            fresh_stamp = is_all and with_stamps and _is_stamp_after(conn, after.stamps)
            is_news = bool(found or fresh_stamp or any(move.id > seen_move for move in moves))
            yield Part(_in_order(found, moves, changed), reaches, len(found), is_news)
        seen_move = max([seen_move, *(move.id for move in moves)])
        after = reaches
        if is_all:
            return


def check(engine: sa.Engine, reaches: Cursor) -> None:
    """Raises `Diverged` where a log that reaches so far is not this database's."""
    with reading(engine) as conn:
        last = conn.scalar(sa.select(sa.func.max(frames.c.id))) or 0
        at = conn.scalar(sa.select(frames.c.received_at).where(frames.c.id == reaches.frame))
    if reaches.frame > last:
        raise Diverged(f"the log reaches to frame {reaches.frame}, the database only to {last}: replay the log first")
    if at is not None and milliseconds(at) != reaches.frame_at:  # none: it has gone, by the retention job
        raise Diverged(f"frame {reaches.frame} of the log is another than that of the database")


def numbers(conn: sa.Connection, told: Sequence[RawFrame]) -> dict[int, int]:
    """The numbers that the orders of these frames have in the database, by those that the log tells.

    Raises `Diverged` where a frame is not as it is told; those that the retention job took count as if they were.
    """
    query = sa.select(frames.c.id, frames.c.received_at, frames.c.raw, frames.c.pickup_id)
    there = {row.id: row for row in conn.execute(query.where(frames.c.id.in_([one.id for one in told])))}
    found: dict[int, int] = {}
    for one in told:
        row = there.get(one.id)
        if row is not None and (row.received_at, row.raw) != (one.received_at, one.raw):
            said = f"frame {one.id} is another in the database"
            raise Diverged(f"{said}: it has taken in messages by itself since the copy, or is no copy of it")
        if row is not None and one.pickup_id is not None and row.pickup_id is not None:
            found[one.pickup_id] = row.pickup_id
    return found


def _frames(conn: sa.Connection, after: int, at_once: int) -> tuple[list[RawFrame], bool]:
    """Whole batches; whether they are the last."""
    query = sa.select(*_FRAME).where(frames.c.id > after).order_by(frames.c.id).limit(at_once)
    found: list[RawFrame] = []
    for row in conn.execute(query):
        found.append(_frame(row, found[-1].id if found else after))
    if len(found) < at_once:
        return found, True
    last = next((place for place in range(len(found) - 1, 0, -1) if begins(found[place], found[place - 1])), None)
    return found[:last], False


def _frame(row: Any, after: int) -> RawFrame:
    return RawFrame(
        id=row.id,
        after=after,
        received_at=row.received_at,
        carrier=row.carrier,
        topic=row.topic,
        raw=row.raw,
        raw_size=row.raw_size,
        renamed=row.renamed,
        limits=None if row.uplinks_per_day is None else (row.uplinks_per_day, row.downlinks_per_day),
        result=row.result,
        device=row.device,
        key_generation=row.key_generation,
        counter=row.counter,
        kind=row.kind,
        pickup_id=row.pickup_id,
        downlink=row.downlink,
    )


def _moves(conn: sa.Connection, after: int, until: datetime | None) -> list[Move]:
    """What people did, up to `until`; what buttons did is in the frames."""
    query = (
        sa.select(pickup_events, pickups.c.addressee)
        .join(pickups)
        .where(pickup_events.c.id > after, pickup_events.c.actor.not_like("button %"))
        .order_by(pickup_events.c.id)
    )
    if until is not None:
        query = query.where(pickup_events.c.at <= until)
    return [
        Move(
            row.id,
            row.at,
            row.pickup_id,
            row.event,
            row.actor,
            tuple(row.addressee) if row.event == "confirmed" and row.addressee else None,
            row.detail,
            row.happened_at,
            row.key,
        )
        for row in conn.execute(query)
    ]


def _settled(conn: sa.Connection, after: int, before: datetime) -> int:
    """The id up to which every event is older than `before`, so that no smaller one can still be committed."""
    later = sa.select(sa.func.min(pickup_events.c.id)).where(pickup_events.c.id > after, pickup_events.c.at >= before)
    unsettled = conn.scalar(later)
    if unsettled is not None:
        return unsettled - 1
    return conn.scalar(sa.select(sa.func.max(pickup_events.c.id)).where(pickup_events.c.id > after)) or after


def _stamps(conn: sa.Connection, since: int) -> Iterator[StampMove]:
    """What was given to orders or moved since, each as it is now."""
    columns = [stamps.c[name] for name in StampMove.__slots__]
    moved_at = moment(since) - LATE
    query = sa.select(*columns).where(
        stamps.c.state.in_(_GIVEN),
        stamps.c.changed_at >= moved_at,
        stamps.c.pickup_id.is_not(None),
        stamps.c.released_at.is_(None),
    )
    for row in conn.execution_options(yield_per=1000).execute(query):
        yield StampMove(*row)


def _is_stamp_after(conn: sa.Connection, since: int) -> bool:
    """Whether any moved after that time."""
    query = sa.select(stamps.c.id).where(
        stamps.c.state.in_(_GIVEN), stamps.c.changed_at > moment(since), stamps.c.released_at.is_(None)
    )
    return conn.scalar(query.limit(1)) is not None


def _in_order(found: Sequence[RawFrame], moves: Sequence[Move], changed: Iterator[StampMove]) -> Iterator[Entry]:
    """Moves between the batches by their time, stamps at the end, where their orders are."""
    left = iter(moves)
    move = next(left, None)
    for place, frame in enumerate(found):
        if not place or begins(frame, found[place - 1]):
            while move is not None and move.at < frame.received_at:
                yield move
                move = next(left, None)
        yield frame
    while move is not None:
        yield move
        move = next(left, None)
    yield from changed
