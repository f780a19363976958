"""Which buttons are quiet, in SQL: a look by the index of overdue ones reads these and no others.

A button is overdue when its last word is more than a period old, and silent when it has missed as many words as its
`patience` allows: fleet.rhythm has the theory. Nothing is written when a message comes in, and nothing has to run for a
button to become silent; `frames.patience` only sharpens `patience` by what the link of a quiet button loses.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from cloud.database import Instant
from cloud.fleet.model import State
from cloud.fleet.rhythm import DEFAULT_HOURS, DRIFT, FEWEST, Neighbours, Verdict, step
from cloud.fleet.store import buttons, overdue_at

SAMPLE = 200  # of a department's buttons, to tell whether neighbours are heard
NEAR = step(DEFAULT_HOURS)  # within this a well neighbour was heard
KNOWN_LATELY = timedelta(days=30)  # a neighbour that has been silent for longer says nothing of today
MOST_COUNTED = 100
STEP_MS = int(3_600_000 * DRIFT)  # of each hour of a period

_IS_ACTIVE = buttons.c.state == State.ACTIVE


@dataclass(frozen=True, slots=True)
class Quiet:
    """A button that has missed its word: due at `overdue_at`, called silent at `silent_at`."""

    id: int
    overdue_at: datetime
    silent_at: datetime


def _after_missing(words: int | sa.ColumnElement[int]) -> sa.ColumnElement[datetime]:
    """When the button has missed so many words in a row."""
    hours = sa.cast(
        sa.func.coalesce(buttons.c.heartbeat_hours, DEFAULT_HOURS), sa.BigInteger
    )  # else PostgreSQL's 32 bits
    heard = sa.type_coerce(buttons.c.last_seen_at, sa.BigInteger)
    return sa.type_coerce(heard + hours * STEP_MS * words, Instant)


_silent_at = _after_missing(buttons.c.patience)


def _overdue(now: datetime, verdict: Verdict | None, department: str | None) -> sa.ColumnElement[bool]:
    which = [_IS_ACTIVE, overdue_at <= now]
    if verdict is Verdict.SILENT:
        which.append(_silent_at <= now)
    if verdict is Verdict.LATE:
        which.append(_silent_at > now)
    if department is not None:
        which.append(buttons.c.department == department)
    return sa.and_(*which)


def quiet(
    conn: sa.Connection,
    now: datetime,
    *,
    verdict: Verdict | None = None,
    department: str | None = None,
    after: tuple[datetime, int] | None = None,
    limit: int = 50,
) -> list[Quiet]:
    """Active buttons that have missed a word, overdue for longest first; `verdict` SILENT or LATE, None for both.

    `after` is (overdue_at, id) of the last one of the page before.
    """
    query = sa.select(buttons.c.id, overdue_at.label("overdue_at"), _silent_at.label("silent_at"))
    query = query.where(_overdue(now, verdict, department))
    if after is not None:
        query = query.where(overdue_at >= after[0], sa.or_(overdue_at > after[0], buttons.c.id > after[1]))
    rows = conn.execute(query.order_by(overdue_at, buttons.c.id).limit(limit))
    return [Quiet(row.id, row.overdue_at, row.silent_at) for row in rows]


def count(
    conn: sa.Connection,
    now: datetime,
    *,
    verdict: Verdict = Verdict.SILENT,
    department: str | None = None,
    at_most: int = MOST_COUNTED,
) -> int:
    """How many are silent, or late; not counted beyond `at_most`."""
    some = sa.select(sa.literal(1)).select_from(buttons).where(_overdue(now, verdict, department)).limit(at_most)
    return conn.scalar(sa.select(sa.func.count()).select_from(some.subquery())) or 0


def silent_by_department(conn: sa.Connection, now: datetime) -> dict[str | None, int]:
    """How many active buttons are silent in each department that has any; None: their place names none.

    It reads those that are overdue, by index, whatever the size of the fleet.
    """
    # Grouped by the bare column, SQLite would walk the whole fleet in the order of its departments.
    named = sa.func.coalesce(buttons.c.department, "")
    query = sa.select(named, sa.func.count()).where(_overdue(now, Verdict.SILENT, None)).group_by(named)
    return {row[0] or None: row[1] for row in conn.execute(query)}


def never_heard(
    conn: sa.Connection, *, department: str | None = None, after: int | None = None, limit: int = 50
) -> list[int]:
    """Ids of active buttons of which no word was ever accepted, in their order, above `after`."""
    query = sa.select(buttons.c.id).where(_IS_ACTIVE, overdue_at.is_(None))
    if department is not None:
        query = query.where(buttons.c.department == department)
    if after is not None:
        query = query.where(buttons.c.id > after)
    return list(conn.scalars(query.order_by(buttons.c.id).limit(limit)))


def neighbours(conn: sa.Connection, departments: Collection[str | None], now: datetime) -> dict[str, Neighbours]:
    """Of a sample of each department's buttons that were heard in the last weeks, how many were heard within a day."""
    found: dict[str, Neighbours] = {}
    for department in {one for one in departments if one is not None}:
        some = (
            sa.select(buttons.c.last_seen_at, buttons.c.state)
            .where(buttons.c.department == department)
            .limit(SAMPLE)
            .subquery()
        )
        heard = sa.func.count().filter(some.c.last_seen_at >= now - NEAR)
        query = sa.select(sa.func.count(), heard).where(
            some.c.state == State.ACTIVE, some.c.last_seen_at >= now - KNOWN_LATELY
        )
        of, lately = conn.execute(query).one()
        found[department] = Neighbours(department, of, lately)
    return found


# What `frames.patience` does


def unweighed(conn: sa.Connection, now: datetime, limit: int) -> list[int]:
    """Buttons that have missed as many words as could make one silent, and were not weighed since their last word."""
    not_since = sa.or_(buttons.c.weighed_at.is_(None), buttons.c.weighed_at < buttons.c.last_seen_at)
    query = sa.select(buttons.c.id).where(_IS_ACTIVE, overdue_at <= now, _after_missing(FEWEST) <= now, not_since)
    return list(conn.scalars(query.order_by(overdue_at, buttons.c.id).limit(limit)))


def note_patience(conn: sa.Connection, patience: Mapping[int, int], now: datetime) -> None:
    values: list[dict[str, Any]] = [{"b_id": id, "b_patience": words} for id, words in patience.items()]
    if values:
        weighed = sa.update(buttons).where(buttons.c.id == sa.bindparam("b_id"))
        conn.execute(weighed.values(patience=sa.bindparam("b_patience"), weighed_at=now), values)
