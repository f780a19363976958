"""What the log tells of a moment in the past: each question is answered by an index, and nothing later is read."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from cloud.fleet.rhythm import Neighbours
from cloud.fleet.silence import KNOWN_LATELY, NEAR, SAMPLE
from cloud.fleet.store import buttons
from cloud.frames.model import Result
from cloud.frames.store import frames, id_at, uplinks


@dataclass(frozen=True, slots=True)
class Known:
    """Of one button, what its row said then. `last_seen_at` None: no word was accepted yet."""

    last_seen_at: datetime | None
    downlinks_today: int  # of the UTC day


def known(conn: sa.Connection, button_id: int, now: datetime) -> Known:
    """By the button's own part of the press log."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    answered = sa.func.count().filter(uplinks.c.downlink.is_not(None), uplinks.c.received_at >= midnight)
    query = sa.select(sa.func.max(uplinks.c.received_at), answered)
    row = conn.execute(query.where(uplinks.c.button_id == button_id, uplinks.c.received_at <= now)).one()
    return Known(row[0], row[1])


def next_frame(conn: sa.Connection, button_id: int, until: int) -> datetime | None:
    """When the button was heard next, after the frame `until`."""
    query = sa.select(frames.c.received_at).where(frames.c.device == button_id, frames.c.id > until)
    return conn.scalar(query.order_by(frames.c.id).limit(1))


def parcels(conn: sa.Connection, pickup_ids: Collection[int], now: datetime) -> dict[int, int]:
    """How many parcels the presses of each order had said by then, as far as their frames are kept."""
    same = sa.and_(
        uplinks.c.button_id == frames.c.device,
        uplinks.c.key_generation == frames.c.key_generation,
        uplinks.c.counter == frames.c.counter,
    )
    query = sa.select(frames.c.pickup_id, sa.func.sum(uplinks.c.parcels)).join_from(frames, uplinks, same)
    of_presses = (frames.c.result == Result.ACCEPTED, frames.c.kind == "pickup", frames.c.received_at <= now)
    rows = conn.execute(query.where(frames.c.pickup_id.in_(pickup_ids), *of_presses).group_by(frames.c.pickup_id))
    return {row[0]: int(row[1]) for row in rows}


def neighbours(conn: sa.Connection, department: str | None, now: datetime) -> Neighbours | None:
    """As `fleet.silence.neighbours`, which goes by the buttons' rows, does now: a sample of its buttons as of then."""
    if department is None:
        return None
    here = id_at(conn, now)
    some = sa.select(buttons.c.id).where(buttons.c.department == department).limit(SAMPLE).subquery()

    def is_heard(since: int) -> sa.ColumnElement[bool]:
        words = (frames.c.device == some.c.id, frames.c.id > since, frames.c.id <= here)
        return sa.exists().where(*words, frames.c.result == Result.ACCEPTED).correlate(some)

    lately, near = (is_heard(id_at(conn, now - span)) for span in (KNOWN_LATELY, NEAR))
    rows = conn.scalars(sa.select(near).select_from(some).where(lately)).all()
    return Neighbours(department, len(rows), sum(map(bool, rows)))
