"""Whether each rule's condition is there: a function a rule, which reads a few rows by index, or the fleet's table.

What a check finds is what is there at this moment; since when, and whether it is told, is `model.follow`'s. A function
here knows its rule's numbers by `terms`, and the process that watches by `Around`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import quote

import sqlalchemy as sa

import cloud.stamps.ledger
import cloud.stamps.store
from cloud.alerts import routes, silence, store, tallies
from cloud.alerts.model import ALL_PLACES, NBSP, SERVICE, Evidence, Found, Terms
from cloud.fleet.model import State as ButtonState
from cloud.fleet.model import format_id, parse_id
from cloud.fleet.store import buttons
from cloud.frames import stations
from cloud.health import Part
from cloud.pickups.model import State as PickupState
from cloud.pickups.store import pickups
from cloud.stamps.alarms import smallest_rare

MOST = 1000  # rows that are counted or grouped of what may be many
QUARTER = timedelta(minutes=15)
# The share of refused frames before there is a past, and how many frames that guess is worth.
PRIOR_REFUSED, PRIOR_FRAMES = 2.0, 200.0


@dataclass(frozen=True, slots=True)
class Around:
    """What the process that watches knows of itself. `disk` gives free and all bytes; `pool`: codes kept ahead."""

    host: str
    health: Callable[[], Mapping[str, Part]] = dict
    waited_s: Callable[[], float] = lambda: 0.0
    disk: Callable[[], tuple[int, int]] = lambda: (1, 1)
    pool: int = 2000


Check = Callable[[sa.Connection, Terms, Around, datetime], list[Found]]


def find(conn: sa.Connection, terms: Terms, around: Around, now: datetime) -> list[Found]:
    """The conditions of one rule that are there now, each with the department of its button."""
    return _with_departments(conn, CHECKS[terms.rule.name](conn, terms, around, now))


def _silence(conn: sa.Connection, terms: Terms, around: Around, now: datetime) -> list[Found]:
    return [
        Found(
            "silence",
            f"department {one.department}",
            {"department": one.department, "silent": one.silent, "buttons": one.buttons},
            [("list", f"/silent?department={quote(one.department)}"), *_buttons(one.examples)],
            one.department,
        )
        for one in silence.silent_by_department(conn, now)
        if one.silent >= terms.limit("buttons") and 100 * one.silent >= terms.limit("percent") * one.buttons
    ]


def _button(conn: sa.Connection, terms: Terms, around: Around, now: datetime) -> list[Found]:
    ids = [one.button_id for one in store.watched(conn)]
    return [
        Found(
            "button",
            f"button {format_id(one.button_id)}",
            {
                "button": format_id(one.button_id),
                "hours": int((now - one.since).total_seconds() // 3600),
                "period": one.period_h,
            },
            _buttons([one.button_id]),
        )
        for one in (silence.silent_among(conn, ids, terms.limit("periods"), now) if ids else [])
    ]


def _nothing(conn: sa.Connection, terms: Terms, around: Around, now: datetime) -> list[Found]:
    minutes = terms.limit("minutes")
    if tallies.total(conn, tallies.HEARD, now - timedelta(minutes=minutes)):
        return []
    past = tallies.usual(conn, now)
    expected = past.heard / past.hours / 60 * minutes if past.hours else 0.0
    if expected < terms.limit("expected"):
        return []
    values = {"minutes": int(minutes), "expected": round(expected)}
    return [Found("nothing", SERVICE, values, [("list", "/live")])]


def _refusals(conn: sa.Connection, terms: Terms, around: Around, now: datetime) -> list[Found]:
    since = now - QUARTER
    refused = tallies.total(conn, tallies.REFUSED, since)
    if refused < terms.limit("refused"):
        return []
    heard, past = tallies.total(conn, tallies.HEARD, since), tallies.usual(conn, now)
    shape, frames = PRIOR_REFUSED + past.refused, PRIOR_FRAMES + past.heard
    expected = shape / frames * heard
    if refused < terms.limit("times") * expected or refused < smallest_rare(shape, frames, heard):
        return []
    by_reason = tallies.within(conn, tallies.REFUSED, since)
    values = {"refused": refused, "frames": heard, "expected": round(expected), "reason": by_reason[0].subject}
    evidence: list[Evidence] = [
        ("list", f"/live?result={quote(by_reason[0].subject)}"),
        *(("frame", one.last_id) for one in by_reason),
    ]
    return [Found("refusals", SERVICE, values, evidence)]


def _replays(conn: sa.Connection, terms: Terms, around: Around, now: datetime) -> list[Found]:
    return _of_buttons(conn, terms, tallies.REPLAYED, now)


def _seals(conn: sa.Connection, terms: Terms, around: Around, now: datetime) -> list[Found]:
    return _of_buttons(conn, terms, tallies.BAD_SEAL, now)


def _of_buttons(conn: sa.Connection, terms: Terms, series: str, now: datetime) -> list[Found]:
    """Buttons with so many frames of one result."""
    minutes = terms.limit("minutes")
    found = []
    for one in tallies.within(conn, series, now - timedelta(minutes=minutes), int(terms.limit("count"))):
        button = one.subject.removeprefix("button ")
        values = {"button": button, "count": one.count, "minutes": int(minutes)}
        of = f"/live?button={button}&result={quote(series)}"
        evidence: list[Evidence] = [("list", of), ("frame", one.last_id), ("button", parse_id(button))]
        found.append(Found(terms.rule.name, one.subject, values, evidence))
    return found


def _unknown(conn: sa.Connection, terms: Terms, around: Around, now: datetime) -> list[Found]:
    minutes = terms.limit("minutes")
    since = now - timedelta(minutes=minutes)
    all_refused = {one.subject: one for one in tallies.within(conn, tallies.REFUSED, since)}
    whole = all_refused.get(tallies.UNKNOWN)
    if whole is None or whole.count < terms.limit("count"):
        return []
    values: dict[str, str | int] = {"count": whole.count, "minutes": int(minutes)}
    for one in tallies.within(conn, tallies.UNKNOWN, since, limit=1):
        values |= {"button": one.subject.removeprefix("button "), "most": one.count}
    of = f"/live?result={quote(tallies.UNKNOWN)}"
    return [Found("unknown", SERVICE, values, [("list", of), ("frame", whole.last_id)])]


def _counter(conn: sa.Connection, terms: Terms, around: Around, now: datetime) -> list[Found]:
    jump = int(terms.limit("jump"))
    found = []
    for one in tallies.within(conn, tallies.JUMP, now - QUARTER, most=jump):
        button = one.subject.removeprefix("button ")
        evidence: list[Evidence] = [("frame", one.last_id), ("button", parse_id(button))]
        found.append(Found("counter", one.subject, {"button": button, "jump": one.most}, evidence))
    return found


def _battery(conn: sa.Connection, terms: Terms, around: Around, now: datetime) -> list[Found]:
    limit_mv = int(terms.limit("battery"))
    of = buttons.c
    is_low = (of.state == ButtonState.ACTIVE, of.battery_mv < limit_mv)
    counted = sa.select(of.department, sa.func.count()).where(*is_low).group_by(of.department)
    many = {row[0]: row[1] for row in conn.execute(counted) if row[1] >= terms.limit("count")}
    if not many:
        return []
    lowest: dict[str | None, list[tuple[int, int]]] = {}
    first = sa.select(of.id, of.department, of.battery_mv).where(*is_low).order_by(of.battery_mv, of.id).limit(MOST)
    for row in conn.execute(first):
        lowest.setdefault(row.department, []).append((row.id, row.battery_mv))
    found = []
    for department, count in sorted(many.items(), key=lambda one: one[0] or ""):
        low = lowest.get(department, [])
        values: dict[str, str | int] = {"department": department or "—", "count": count, "limit": limit_mv}
        if low:
            values |= {"button": format_id(low[0][0]), "battery": low[0][1]}
        evidence = _buttons([id for id, _ in low[: silence.EXAMPLES]])
        found.append(Found("battery", f"department {department or '—'}", values, evidence, department))
    return found


def _station(conn: sa.Connection, terms: Terms, around: Around, now: datetime) -> list[Found]:
    found, named = [], stations.known(conn)
    for one in tallies.stations(conn):
        seen = len(one.missed_from)
        if one.expected < terms.limit("expected") or seen < terms.limit("buttons"):
            continue
        known = named.get(one.station.upper())
        different = f"≥{NBSP}{seen}" if seen == tallies.MOST_BUTTONS else str(seen)
        values = {
            "station": one.station if known is None else str(known),
            "expected": round(one.expected),
            "missed": one.missed,
            "buttons": different,
        }
        evidence: list[Evidence] = [("frame", one.last_id), *_buttons(one.missed_from[:5])]
        found.append(Found("station", f"station {one.station}", values, evidence, known and known.department))
    return found[:MOST]


def _lag(conn: sa.Connection, terms: Terms, around: Around, now: datetime) -> list[Found]:
    since = now - timedelta(minutes=5)
    late = tallies.within(conn, tallies.LATE_FRAMES, since)
    timed = tallies.total(conn, tallies.TIMED, since)
    if not late or late[0].count < terms.limit("frames") or 100 * late[0].count < terms.limit("percent") * timed:
        return []
    values = {"late": late[0].count, "timed": timed, "seconds": int(terms.limit("seconds"))}
    return [Found("lag", SERVICE, values, [("frame", late[0].last_id)])]


def _part(conn: sa.Connection, terms: Terms, around: Around, now: datetime) -> list[Found]:
    return [
        Found("part", f"part {name}", {"part": name, "why": part.why, "host": around.host})
        for name, part in around.health().items()
        if part.why is not None
    ]


def _backlog(conn: sa.Connection, terms: Terms, around: Around, now: datetime) -> list[Found]:
    waited_s = around.waited_s()
    if waited_s < terms.limit("seconds"):
        return []
    return [Found("backlog", SERVICE, {"waited": round(waited_s), "host": around.host})]


def _pool(conn: sa.Connection, terms: Terms, around: Around, now: datetime) -> list[Found]:
    """A pool that is set smaller than the limit is low at a quarter of itself."""
    least = min(int(terms.limit("codes")), around.pool // 4)
    minted, waiting = cloud.stamps.store.stock(conn, MOST)
    if minted >= least and not waiting:
        return []
    return [Found("pool", SERVICE, {"minted": minted, "waiting": waiting}, [("list", "/stamps")])]


def _used(conn: sa.Connection, terms: Terms, around: Around, now: datetime) -> list[Found]:
    hours = terms.limit("hours")
    return [
        Found(
            "used",
            one.subject,
            {"count": one.count, "hours": int(hours), "place": one.subject.removeprefix("place ")},
            [("list", "/stamps")],
        )
        for one in tallies.within(conn, tallies.USED, now - timedelta(hours=hours), int(terms.limit("count")))
    ]


def _readings(conn: sa.Connection, terms: Terms, around: Around, now: datetime) -> list[Found]:
    found = []
    for one in cloud.stamps.ledger.today(conn, now.date()):
        place = one.place or ALL_PLACES.text
        for finding in one.alarms:
            values = {
                "place": place,
                "sign": finding.sign.value,
                "bad": finding.today.bad,
                "readings": finding.today.readings,
                "expected": round(finding.expected),
                "limit": finding.limit,
            }
            subject = f"place {place}, {finding.sign}"
            found.append(Found("readings", subject, values, [("list", "/stamps")]))
    return found


def _requests(conn: sa.Connection, terms: Terms, around: Around, now: datetime) -> list[Found]:
    hours, of = terms.limit("hours"), pickups.c
    waits = (of.state == PickupState.REQUESTED, of.requested_at < now - timedelta(hours=hours))
    first = conn.scalars(sa.select(of.id).where(*waits).order_by(of.id).limit(MOST)).all()
    if len(first) < terms.limit("count") or not first:
        return []
    values: dict[str, str | int] = {"hours": int(hours), "count": len(first), "order": first[0]}
    if len(first) == MOST:
        values["count"] = f"≥{NBSP}{MOST}"
    evidence: list[Evidence] = [("list", "/pickups?state=requested"), *(("order", id) for id in first[:5])]
    return [Found("requests", SERVICE, values, evidence)]


def _delivery(conn: sa.Connection, terms: Terms, around: Around, now: datetime) -> list[Found]:
    failing = [one for one in routes.all_routes(conn) if one.is_on and one.fails >= terms.limit("times")]
    waiting = routes.waiting(conn) if failing else {}
    return [
        Found(
            "delivery",
            f"route {one.name}",
            {"route": one.name, "times": one.fails, "answer": one.answer or "", "waiting": waiting.get(one.id, 0)},
            [("list", "/alerts/routes")],
        )
        for one in failing
    ]


def _disk(conn: sa.Connection, terms: Terms, around: Around, now: datetime) -> list[Found]:
    free, size = around.disk()
    if size <= 0 or 100 * free >= terms.limit("percent") * size:
        return []
    values = {"percent": f"{100 * free // size}{NBSP}%", "free": free // 1_000_000, "host": around.host}
    return [Found("disk", f"machine {around.host}", values)]


CHECKS: Mapping[str, Check] = {
    "silence": _silence,
    "button": _button,
    "nothing": _nothing,
    "refusals": _refusals,
    "replays": _replays,
    "seals": _seals,
    "unknown": _unknown,
    "counter": _counter,
    "battery": _battery,
    "station": _station,
    "lag": _lag,
    "part": _part,
    "backlog": _backlog,
    "pool": _pool,
    "used": _used,
    "readings": _readings,
    "requests": _requests,
    "delivery": _delivery,
    "disk": _disk,
}


def _buttons(ids: Sequence[int]) -> list[Evidence]:
    return [("button", id) for id in ids]


def _with_departments(conn: sa.Connection, found: list[Found]) -> list[Found]:
    ids = {one.subject: parse_id(one.subject[7:]) for one in found if one.subject.startswith("button ")}
    if not ids:
        return found
    query = sa.select(buttons.c.id, buttons.c.department).where(buttons.c.id.in_(ids.values()))
    departments = {row.id: row.department for row in conn.execute(query)}
    return [replace(one, department=departments.get(ids[one.subject])) if one.subject in ids else one for one in found]
