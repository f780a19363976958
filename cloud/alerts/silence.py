"""Which buttons are silent: active, with an owner, and not heard for some of their heartbeat periods.

A button says `alive` once a period, which is a day until a configuration with another was proven.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from cloud.database import Instant
from cloud.downlinks.store import downlinks
from cloud.fleet.model import State
from cloud.fleet.store import buttons

PERIODS = 2  # without a frame: one may be lost by the radio
USUAL_HOURS = 24  # from one `alive` to the next, docs/wire-format.md
HOUR_MS = 3_600_000
EXAMPLES = 10


@dataclass(frozen=True, slots=True)
class Silent:
    """How many of a department's buttons are silent, of those that are in use there; and some of them."""

    department: str
    silent: int
    buttons: int
    examples: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unheard:
    """A button that is silent. `since` is when it was heard last, or else taken into use."""

    button_id: int
    since: datetime
    period_h: int


# The period that each button has proven last; few have ever been given one.
_newest = sa.func.row_number().over(
    partition_by=downlinks.c.button_id, order_by=(downlinks.c.proven_at.desc(), downlinks.c.id.desc())
)
_ranked = (
    sa.select(downlinks.c.button_id, downlinks.c.hours, _newest.label("rank"))
    .where(downlinks.c.proven_at.is_not(None))
    .subquery()
)
_proven = sa.select(_ranked.c.button_id, _ranked.c.hours).where(_ranked.c.rank == 1).subquery()
_hours = sa.func.coalesce(_proven.c.hours, USUAL_HOURS)
_since = sa.func.coalesce(buttons.c.last_seen_at, buttons.c.claimed_at, buttons.c.created_at)
_with_period = buttons.outerjoin(_proven, _proven.c.button_id == buttons.c.id)


def _is_silent(now: datetime, periods: float) -> sa.ColumnElement[bool]:
    quiet_ms = sa.literal(now, Instant) - sa.type_coerce(_since, sa.BigInteger)
    return sa.type_coerce(quiet_ms, sa.BigInteger) > _hours * int(periods * HOUR_MS)


def silent_by_department(conn: sa.Connection, now: datetime) -> list[Silent]:
    """Of every department with a silent button. Reads the fleet's table once: for once a minute."""
    in_use = (buttons.c.state == State.ACTIVE, buttons.c.owner_id.is_not(None), buttons.c.department.is_not(None))
    silent = sa.func.count().filter(_is_silent(now, PERIODS))
    query = (
        sa.select(buttons.c.department, silent.label("silent"), sa.func.count().label("buttons"))
        .select_from(_with_period)
        .where(*in_use)
        .group_by(buttons.c.department)
        .having(silent > 0)
    )
    found = []
    for row in conn.execute(query).all():
        some = sa.select(buttons.c.id).select_from(_with_period).where(*in_use, _is_silent(now, PERIODS))
        examples = conn.scalars(some.where(buttons.c.department == row.department).limit(EXAMPLES))
        found.append(Silent(row.department, row.silent, row.buttons, tuple(examples)))
    return found


def silent_among(conn: sa.Connection, ids: Collection[int], periods: float, now: datetime) -> list[Unheard]:
    """Those of `ids` that are active and silent for more than `periods`, whoever owns them."""
    query = (
        sa.select(buttons.c.id, _since.label("since"), _hours.label("hours"))
        .select_from(_with_period)
        .where(buttons.c.id.in_(ids), buttons.c.state == State.ACTIVE, _is_silent(now, periods))
        .order_by(buttons.c.id)
    )
    return [Unheard(row.id, row.since, row.hours) for row in conn.execute(query)]
