"""What became of orders up to a moment, from their history: nothing here reads what came later than its `now`.

Events are named by their text, so that a history with events that this version does not make is counted too.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from cloud.pickups.model import State
from cloud.pickups.store import pickup_events, pickups
from cloud.stamps.model import State as StampState
from cloud.stamps.store import stamps

# From the press to the door. A stamp that was redeemed says that the parcel was sorted, as the event of that name does.
STEPS = ("pressed", "confirmed", "collected", "sorted", "delivered")

_of = pickup_events.c


@dataclass(frozen=True, slots=True)
class Waiting:
    """Requests that wait for their customer's confirmation."""

    count: int
    oldest: datetime | None


def waiting(conn: sa.Connection, now: datetime) -> Waiting:
    # Those that wait still, and those that have stopped waiting since.
    still = sa.select(pickups.c.id, pickups.c.requested_at).where(
        pickups.c.state == State.REQUESTED, pickups.c.requested_at <= now
    )
    earlier = pickup_events.alias()
    had_ended = sa.exists().where(
        earlier.c.pickup_id == pickups.c.id, earlier.c.at <= now, earlier.c.state != State.REQUESTED
    )
    since = (
        sa.select(pickups.c.id, pickups.c.requested_at)
        .join(pickup_events, _of.pickup_id == pickups.c.id)
        .where(_of.at > now, _of.event.in_(("confirmed", "cancelled", "expired")))
        .where(pickups.c.requested_at <= now, ~had_ended)
    )
    each = sa.union(still, since).subquery()  # each order once
    count, oldest = conn.execute(sa.select(sa.func.count(), sa.func.min(each.c.requested_at))).one()
    return Waiting(count, oldest)


@dataclass(frozen=True, slots=True)
class Told:
    """To how many orders an event happened, and when last."""

    count: int = 0
    newest: datetime | None = None


def happened(conn: sa.Connection, since: datetime, now: datetime) -> dict[str, Told]:
    """The events from `since` until `now`, by name; those that did not happen are left out."""
    orders, newest = sa.func.count(sa.distinct(_of.pickup_id)), sa.func.max(_of.at)
    query = sa.select(_of.event, orders, newest).where(_of.at >= since, _of.at <= now)
    return {event: Told(count, newest) for event, count, newest in conn.execute(query.group_by(_of.event))}


def any_pressed(conn: sa.Connection, since: datetime, until: datetime) -> bool:
    """Whether a press made a request in [since, until)."""
    return bool(conn.scalar(sa.select(sa.select(_of.id).where(*_pressed(since, until)).exists())))


def funnel(conn: sa.Connection, since: datetime, until: datetime, now: datetime) -> dict[str, int]:
    """Of the requests that presses made in [since, until), how many have come to each of STEPS by `now`."""
    made = sa.select(_of.pickup_id).where(*_pressed(since, until), _of.at <= now).subquery()
    later = pickup_events.alias()
    events = (
        sa.select(later.c.event, sa.func.count(sa.distinct(made.c.pickup_id)))
        .join_from(made, later, later.c.pickup_id == made.c.pickup_id)
        .where(later.c.at <= now, later.c.event.in_(STEPS))
        .group_by(later.c.event)
    )
    reached: dict[str, int] = dict.fromkeys(STEPS, 0)
    for event, count in conn.execute(events):
        reached[event] = count
    sorted_by_event = sa.exists().where(
        later.c.pickup_id == made.c.pickup_id, later.c.at <= now, later.c.event == "sorted"
    )
    redeemed = sa.select(sa.func.count()).join_from(made, stamps, stamps.c.pickup_id == made.c.pickup_id)
    redeemed = redeemed.where(stamps.c.state == StampState.REDEEMED, stamps.c.changed_at <= now, ~sorted_by_event)
    reached["sorted"] += conn.scalar(redeemed) or 0
    return reached


def _pressed(since: datetime, until: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return _of.event == "pressed", _of.at >= since, _of.at < until


def pressed_in(since: datetime, until: datetime) -> sa.ColumnElement[bool]:
    """For a query of orders: those that a press made in [since, until)."""
    return pickups.c.id.in_(sa.select(_of.pickup_id).where(*_pressed(since, until)))


def reached(
    step: str, since: datetime | None = None, until: datetime | None = None, now: datetime | None = None
) -> sa.ColumnElement[bool]:
    """For a query of orders: those that have come to one of STEPS, in [since, until) where given, and by `now`."""
    events, stamp = pickup_events.alias(), stamps.alias()  # the query may have them both for its own ends
    happened = [events.c.event == step]
    redeemed = [stamp.c.pickup_id == pickups.c.id, stamp.c.state == StampState.REDEEMED]
    if now is not None:
        happened.append(events.c.at <= now)
        redeemed.append(stamp.c.changed_at <= now)
    if since is not None and until is not None:
        happened += [events.c.at >= since, events.c.at < until]
        redeemed += [stamp.c.changed_at >= since, stamp.c.changed_at < until]
        found = pickups.c.id.in_(sa.select(events.c.pickup_id).where(*happened))  # few of all: by the time's index
    else:
        found = sa.exists().where(events.c.pickup_id == pickups.c.id, *happened)
    return found | sa.exists().where(*redeemed) if step == "sorted" else found


# Single orders as they stood

_LOOKED_AT = 200  # presses before a moment, among which the newest order of then is


def newest(conn: sa.Connection, now: datetime) -> int:
    """The highest number that an order had by then, 0 before the first: orders have no index by their time."""
    lately = sa.select(_of.pickup_id).where(_of.at <= now, _of.event == "pressed").order_by(_of.at.desc())
    return conn.scalar(sa.select(sa.func.max(lately.limit(_LOOKED_AT).subquery().c.pickup_id))) or 0


def state_at(now: datetime) -> sa.ScalarSelect[str]:
    """For a query of orders: the state of each at that time."""
    earlier = pickup_events.alias()
    is_earlier = (earlier.c.pickup_id == pickups.c.id, earlier.c.at <= now)
    last = sa.select(earlier.c.state).where(*is_earlier).order_by(earlier.c.id.desc()).limit(1)
    return last.correlate(pickups).scalar_subquery()


@dataclass(frozen=True, slots=True)
class Stood:
    """Where an order stood. `version` is the number of its last event; `joins_later`: presses added to it since."""

    state: State
    changed_at: datetime
    version: int
    is_confirmed: bool
    joins_later: bool


def stood(conn: sa.Connection, ids: Collection[int], now: datetime) -> dict[int, Stood]:
    """Those of `ids` that were there then."""
    query = sa.select(_of.id, _of.pickup_id, _of.at, _of.event, _of.state).where(_of.pickup_id.in_(ids))
    found: dict[int, Stood] = {}
    for event in conn.execute(query.order_by(_of.id)):
        before = found.get(event.pickup_id)
        if event.at <= now:
            is_confirmed = event.event == "confirmed" or (before is not None and before.is_confirmed)
            found[event.pickup_id] = Stood(State(event.state), event.at, event.id, is_confirmed, False)
        elif before is not None and event.event == "joined":
            found[event.pickup_id] = replace(before, joins_later=True)
    return found
