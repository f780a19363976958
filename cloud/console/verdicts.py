"""How buttons are judged, and the list of those that are not well, read across the features' tables."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

import cloud.fleet.store
import cloud.frames.past
from cloud import database
from cloud.fleet import battery, silence
from cloud.fleet.model import Button, State, format_id, parse_id
from cloud.fleet.rhythm import DEFAULT_HOURS, Facts, Judgement, Neighbours, Verdict, judge
from cloud.fleet.store import buttons, overdue_at
from cloud.frames.patience import loss_of
from cloud.pickups.store import pickups
from cloud.words import N_, Said

LISTED = (Verdict.SILENT, Verdict.LATE, Verdict.NEVER_HEARD, Verdict.UNUSED)
SCANNED = 5_000  # buttons looked through for unused ones at once: most have been pressed


@dataclass(frozen=True, slots=True)
class Judged:
    button: Button
    facts: Facts
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the list; `after` is where the next one begins, None at the end."""

    rows: tuple[Judged, ...] = ()
    after: str | None = None


def facts(conn: sa.Connection, some: Sequence[Button], now: datetime) -> dict[int, Facts]:
    """What is known of each, for a page of buttons: the frames of each, and a sample of its department."""
    around = silence.neighbours(conn, {button.department for button in some}, now)
    pressed = _pressed(conn, [button.id for button in some])
    return _facts(conn, some, now, around, pressed)


def facts_then(conn: sa.Connection, button: Button, now: datetime, frame: int) -> Facts:
    """What was known at `now`, when `frame` was the log's newest, of a button that is as it was then."""
    around = cloud.frames.past.neighbours(conn, button.department, now)
    by_then = sa.exists().where(pickups.c.button_id == button.id, pickups.c.requested_at <= now)
    pressed = {button.id} if conn.scalar(sa.select(by_then)) else set[int]()
    named = {} if around is None else {around.department: around}
    return _facts(conn, [button], now, named, pressed, frame)[button.id]


def _facts(
    conn: sa.Connection,
    some: Sequence[Button],
    now: datetime,
    around: Mapping[str, Neighbours],
    pressed: Collection[int],
    frame: int | None = None,
) -> dict[int, Facts]:
    found: dict[int, Facts] = {}
    for button in some:
        loss = loss_of(conn, button.id, frame) if button.last_seen_at is not None else None
        low = None not in (button.battery_mv, button.temperature_c) and battery.is_low(
            button.battery_mv or 0, button.temperature_c or 0
        )
        found[button.id] = Facts(
            last_seen_at=button.last_seen_at,
            hours=button.heartbeat_hours or DEFAULT_HOURS,
            is_revoked=button.state is State.REVOKED,
            is_claimed=button.owner_id is not None,
            has_board=button.key_board is not None,
            has_pressed=button.id in pressed,
            lost=loss.missed if loss else 0,
            sent=loss.expected if loss else 0,
            neighbours=_others(around.get(button.department or ""), button, now),
            battery_mv=button.battery_mv,
            battery_is_low=low,
        )
    return found


def _others(around: Neighbours | None, button: Button, now: datetime) -> Neighbours | None:
    """Without the button itself, where the sample holds all of its department."""
    if around is None or around.of >= silence.SAMPLE or button.last_seen_at is None or button.state is State.REVOKED:
        return around
    is_in, is_heard = (button.last_seen_at >= now - span for span in (silence.KNOWN_LATELY, silence.NEAR))
    return replace(around, of=around.of - is_in, heard=around.heard - is_heard)


def judged(conn: sa.Connection, some: Sequence[Button], now: datetime) -> list[Judged]:
    known = facts(conn, some, now)
    return [Judged(button, known[button.id], judge(known[button.id], now)) for button in some]


def listed(
    conn: sa.Connection,
    now: datetime,
    *,
    verdict: Verdict = Verdict.SILENT,
    department: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> Page:
    """The buttons of one of `LISTED`, overdue for longest first; raises ValueError for another, or a bad `after`."""
    if verdict not in LISTED:
        said = {"known": tuple(map(Said, LISTED)), "verdict": Said(verdict)}
        raise ValueError(N_("a list has buttons that are one of: %(known)s, not %(verdict)s", **said))
    begin = None if after is None else _read_place(after)
    if verdict is Verdict.NEVER_HEARD:
        ids = silence.never_heard(conn, department=department, after=begin and begin[1], limit=limit)
        return Page(tuple(_rows(conn, ids, now)), _place(None, ids[-1]) if len(ids) == limit else None)
    if verdict is Verdict.UNUSED:
        return _unused(conn, now, department, begin, limit)
    quiet = silence.quiet(conn, now, verdict=verdict, department=department, after=begin, limit=limit)
    more = _place(quiet[-1].overdue_at, quiet[-1].id) if len(quiet) == limit else None
    return Page(tuple(_rows(conn, [one.id for one in quiet], now)), more)


def _unused(
    conn: sa.Connection, now: datetime, department: str | None, after: tuple[datetime, int] | None, limit: int
) -> Page:
    """Those that are heard and have no order, among the next SCANNED of those that are heard."""
    query = sa.select(buttons.c.id, overdue_at.label("overdue_at")).where(
        buttons.c.state == State.ACTIVE, overdue_at > now
    )
    if department is not None:
        query = query.where(buttons.c.department == department)
    if after is not None:
        query = query.where(overdue_at >= after[0], sa.or_(overdue_at > after[0], buttons.c.id > after[1]))
    some = query.order_by(overdue_at, buttons.c.id).limit(SCANNED).subquery()
    no_order = ~sa.exists().where(pickups.c.button_id == some.c.id)
    found = conn.execute(
        sa.select(some.c.id, some.c.overdue_at).where(no_order).order_by(some.c.overdue_at, some.c.id).limit(limit)
    ).all()
    last = found[-1] if len(found) == limit else None
    if last is None:  # where the scan ended, if it did not come to the end
        ends = sa.select(some.c.id, some.c.overdue_at).order_by(some.c.overdue_at, some.c.id).offset(SCANNED - 1)
        last = conn.execute(ends.limit(1)).first()
    more = None if last is None else _place(last.overdue_at, last.id)
    return Page(tuple(_rows(conn, [row.id for row in found], now)), more)


def _rows(conn: sa.Connection, ids: Sequence[int], now: datetime) -> list[Judged]:
    found = cloud.fleet.store.find_many(conn, ids)
    return judged(conn, [found[id] for id in ids], now)


def _pressed(conn: sa.Connection, ids: Collection[int]) -> set[int]:
    """Those of `ids` that have opened an order."""
    has_order = sa.exists().where(pickups.c.button_id == buttons.c.id)
    return set(conn.scalars(sa.select(buttons.c.id).where(buttons.c.id.in_(ids), has_order)))


def _place(at: datetime | None, id: int) -> str:
    return f"{database.milliseconds(at) or 0}-{format_id(id)}"


def _read_place(text: str) -> tuple[datetime, int]:
    """
    >>> _read_place("1795251600000-0012AB34")[1] == 0x12AB34
    True
    """
    at, _, id = text.partition("-")
    if not (at.isascii() and at.isdigit() and len(at) <= 14):
        raise ValueError(N_("a list goes on after a place such as %(example)s", example="1795251600000-0012AB34"))
    return database.moment(int(at)), parse_id(id)
