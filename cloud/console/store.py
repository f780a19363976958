"""What the console reads across the other features' tables: counts for the strip, and orders with their stamps."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

import cloud.frames.past
from cloud.accounts.store import accounts
from cloud.fleet.store import buttons
from cloud.frames.store import frames
from cloud.pickups import past
from cloud.pickups.model import State
from cloud.pickups.store import pickup_events, pickups
from cloud.stamps.store import stamps
from cloud.stamps.vault import Vault

MAX_ID = 2**63 - 1  # the database holds no larger one, and breaks when asked for it
RECENT = 200  # frames with an order, among which the newest order of a moment is
SEARCHED = 200_000  # frames read through for a pasted one, a third of a second; their bytes have no index
SEARCHED_ORDERS = 10_000  # whose state at a moment is looked up in their histories, some tenths of a second
SEARCHED_OF_BUTTON = 20_000  # likewise of one button, by its index: six years of ten frames a day


@dataclass(frozen=True, slots=True)
class Order:
    """One line of the orders' list. `version` grows with each event of the order."""

    id: int
    button_id: int
    state: State
    parcels: int
    town: str | None  # the addressee's sixth line
    stamp: str | None
    requested_at: datetime
    changed_at: datetime
    version: int
    place: str | None


_version = (
    sa.select(sa.func.coalesce(sa.func.max(pickup_events.c.id), 0))
    .where(pickup_events.c.pickup_id == pickups.c.id)
    .scalar_subquery()
)
_ORDERS = (
    sa.select(pickups, stamps.c.sealed, buttons.c.place, _version.label("version"))
    .outerjoin(stamps, stamps.c.pickup_id == pickups.c.id)
    .join(buttons, buttons.c.id == pickups.c.button_id)
)


def orders(
    conn: sa.Connection,
    vault: Vault,
    *,
    limit: int = 50,
    before: int | None = None,
    state: State | None = None,
    button_id: int | None = None,
    which: Sequence[sa.ColumnElement[bool]] = (),
) -> list[Order]:
    """Orders with an id below `before`, newest first; `which` are further conditions, such as those of pickups.past."""
    query = _ORDERS.order_by(pickups.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(pickups.c.id < before)
    if state is not None:
        query = query.where(pickups.c.state == state)
    if button_id is not None:
        query = query.where(pickups.c.button_id == button_id)
    query = query.where(*which)
    return [_order(row, vault) for row in conn.execute(query)]


def orders_at(conn: sa.Connection, vault: Vault, at: datetime, frame: int, limit: int) -> list[Order]:
    """The newest orders as they stood at `at`, newest first; `frame` is the log's newest of then.

    The newest order of then is the one that a frame just before it made or joined: orders have no index by their time.
    """
    lately = sa.select(frames.c.pickup_id).where(frames.c.id <= frame, frames.c.id > frame - SEARCHED)
    lately = lately.where(frames.c.pickup_id.is_not(None)).order_by(frames.c.id.desc()).limit(RECENT).subquery()
    newest = conn.scalar(sa.select(sa.func.max(lately.c.pickup_id)))
    if newest is None:
        return []
    return _as_they_stood(conn, orders(conn, vault, limit=limit, before=newest + 1), at)


@dataclass(frozen=True, slots=True)
class Past:
    """A page of orders as they stood at a moment; `before` is where the next one begins, None at the end.

    `searched` is through how many orders it looked, where it stopped before it had found enough.
    """

    orders: list[Order]
    before: int | None = None
    searched: int | None = None


def orders_then(
    conn: sa.Connection,
    vault: Vault,
    at: datetime,
    *,
    limit: int = 50,
    before: int | None = None,
    state: State | None = None,
    button_id: int | None = None,
    which: Sequence[sa.ColumnElement[bool]] = (),
    span: int = SEARCHED_ORDERS,
) -> Past:
    """As `orders` at `at`. What an order's state was is in its history alone, so at most `span` orders are looked at,
    but all of one button, of which there are few."""
    top = past.newest(conn, at)
    top = top if before is None else min(top, before - 1)
    floor = 0 if button_id is not None else max(0, top - span)
    query = sa.select(pickups.c.id).where(pickups.c.id <= top, pickups.c.id > floor, pickups.c.requested_at <= at)
    if button_id is not None:
        query = query.where(pickups.c.button_id == button_id)
    if state is not None:
        query = query.where(past.state_at(at) == state)
    ids = conn.scalars(query.where(*which).order_by(pickups.c.id.desc()).limit(limit)).all()
    found = _as_they_stood(conn, find_orders(conn, vault, ids)[::-1], at)
    if len(ids) == limit:
        return Past(found, ids[-1])
    return Past(found, floor + 1 if floor else None, span if floor else None)


def _as_they_stood(conn: sa.Connection, found: Sequence[Order], at: datetime) -> list[Order]:
    """Those that were there, with what was known of each."""
    stood = past.stood(conn, [order.id for order in found], at)
    parcels = cloud.frames.past.parcels(conn, [id for id, one in stood.items() if one.joins_later], at)
    return [
        replace(
            order,
            state=then.state,
            changed_at=then.changed_at,
            version=then.version,
            town=order.town if then.is_confirmed else None,
            parcels=min(parcels.get(order.id, order.parcels), order.parcels),
        )
        for order in found
        if (then := stood.get(order.id)) is not None
    ]


def find_orders(conn: sa.Connection, vault: Vault, ids: Collection[int]) -> list[Order]:
    """Those of `ids`, oldest first."""
    query = _ORDERS.where(pickups.c.id.in_(ids)).order_by(pickups.c.id)
    return [_order(row, vault) for row in conn.execute(query)]


def changed_orders(conn: sa.Connection, vault: Vault, after_event: int, limit: int) -> tuple[list[Order], int]:
    """The orders of the next `limit` events after `after_event`, and the last of those events."""
    events = conn.execute(
        sa.select(pickup_events.c.id, pickup_events.c.pickup_id)
        .where(pickup_events.c.id > after_event)
        .order_by(pickup_events.c.id)
        .limit(limit)
    ).all()
    if not events:
        return [], after_event
    return find_orders(conn, vault, {event.pickup_id for event in events}), events[-1].id


def last_event(conn: sa.Connection) -> int:
    return conn.scalar(sa.select(sa.func.coalesce(sa.func.max(pickup_events.c.id), 0))) or 0


def count_buttons(conn: sa.Connection, heard_since: datetime) -> tuple[int, int]:
    """How many buttons the fleet has, and how many of them were heard since."""
    heard = sa.func.count().filter(buttons.c.last_seen_at >= heard_since)
    total, lately = conn.execute(sa.select(sa.func.count(), heard).select_from(buttons)).one()
    return total, lately


def owner_names(conn: sa.Connection, ids: Collection[int | None]) -> dict[int, str]:
    query = sa.select(accounts.c.id, accounts.c.display_name).where(accounts.c.id.in_(ids))
    return {row.id: row.display_name for row in conn.execute(query)}


def frame_of_data(conn: sa.Connection, data: bytes) -> int | None:
    """The newest frame that carried these bytes, among the newest SEARCHED of the log."""
    newest = sa.select(sa.func.max(frames.c.id)).scalar_subquery()
    query = sa.select(sa.func.max(frames.c.id)).where(frames.c.id > newest - SEARCHED, frames.c.data == data)
    return conn.scalar(query)


def frame_of_button(conn: sa.Connection, device: int, data: bytes) -> int | None:
    """The newest frame that claims this button and carried these bytes, among its newest SEARCHED_OF_BUTTON."""
    of = sa.select(frames.c.id, frames.c.data).where(frames.c.device == device).order_by(frames.c.id.desc())
    newest = of.limit(SEARCHED_OF_BUTTON).subquery()
    return conn.scalar(sa.select(sa.func.max(newest.c.id)).where(newest.c.data == data))


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a search for a frame's bytes looked back."""

    most: int  # frames that it looks at
    since: datetime | None  # when the oldest of them was taken in; None where there are none
    is_all: bool  # nothing lies before


def reach(conn: sa.Connection, device: int | None = None) -> Reach:
    """Of `frame_of_data` or, for a device, `frame_of_button`."""
    if device is None:
        above = (conn.scalar(sa.select(sa.func.max(frames.c.id))) or 0) - SEARCHED
        oldest = sa.select(frames.c.received_at).where(frames.c.id > above).order_by(frames.c.id).limit(1)
        before = sa.select(frames.c.id).where(frames.c.id <= above).limit(1)
        return Reach(SEARCHED, conn.scalar(oldest), conn.scalar(before) is None)
    of = sa.select(frames.c.received_at).where(frames.c.device == device)
    last = list(conn.scalars(of.order_by(frames.c.id.desc()).offset(SEARCHED_OF_BUTTON - 1).limit(2)))
    since = last[0] if last else conn.scalar(of.order_by(frames.c.id).limit(1))
    return Reach(SEARCHED_OF_BUTTON, since, len(last) < 2)


@dataclass(frozen=True, slots=True)
class Addressed:
    """An order as a search shows it."""

    id: int
    button_id: int
    state: State
    street: str
    town: str
    requested_at: datetime


def addressed(conn: sa.Connection, ids: Collection[int]) -> list[Addressed]:
    """Those of `ids` that have an addressee, newest first."""
    c = pickups.c
    query = sa.select(c.id, c.button_id, c.state, c.addressee, c.requested_at).where(c.id.in_(ids))
    return [
        Addressed(row.id, row.button_id, State(row.state), row.addressee[3], row.addressee[5], row.requested_at)
        for row in conn.execute(query.order_by(c.id.desc()))
        if row.addressee
    ]


def _order(row: sa.Row[Any], vault: Vault) -> Order:
    return Order(
        id=row.id,
        button_id=row.button_id,
        state=State(row.state),
        parcels=row.parcels,
        town=row.addressee[5] if row.addressee else None,
        stamp=None if row.sealed is None else vault.open(row.sealed),
        requested_at=row.requested_at,
        changed_at=row.changed_at,
        version=row.version,
        place=row.place,
    )
