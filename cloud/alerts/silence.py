"""Which buttons are silent: in a department as the list of silent ones has it, of the watched as their rule has it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from cloud.database import Instant
from cloud.downlinks.store import downlinks
from cloud.fleet import silence as fleet
from cloud.fleet.model import State
from cloud.fleet.rhythm import Verdict
from cloud.fleet.store import buttons

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
    """Of every department with a silent button, as the list of silent buttons has them (cloud.fleet.silence)."""
    found = []
    for department, silent in fleet.silent_by_department(conn, now).items():
        if department is None:
            continue
        in_use = (
            buttons.c.department == department,
            buttons.c.state == State.ACTIVE,
            buttons.c.last_seen_at.is_not(None),
        )
        total = conn.scalar(sa.select(sa.func.count()).select_from(buttons).where(*in_use)) or 0
        some = fleet.quiet(conn, now, verdict=Verdict.SILENT, department=department, limit=EXAMPLES)
        found.append(Silent(department, silent, total, tuple(one.id for one in some)))
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
