"""Pickup orders and their history in SQL."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

import cloud.stamps.store as stamps
from cloud import live
from cloud.database import BigId, Instant, Many, insert, metadata, milliseconds
from cloud.fleet.model import format_id
from cloud.fleet.store import buttons
from cloud.pickups.model import (
    AFTER,
    MAX_PARCELS,
    NOTHING,
    ONCE,
    OPEN,
    Detail,
    Event,
    Faulty,
    NotFound,
    Pickup,
    PickupEvent,
    Press,
    Requested,
    State,
    WrongState,
    check_detail,
    check_time,
)
from cloud.places.model import Address
from cloud.stamps.lease import Lease
from cloud.stamps.model import Stamp

pickups = sa.Table(
    "pickups",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("button_id", sa.BigInteger, sa.ForeignKey("buttons.id"), nullable=False, index=True),
    sa.Column("state", sa.Text, nullable=False, index=True),  # pickups.model.State
    sa.Column("parcels", sa.Integer, nullable=False),
    sa.Column(
        "addressee", sa.JSON(none_as_null=True)
    ),  # the six lines of the envelope, places.model.Address; none until confirmed
    sa.Column("requested_at", Instant, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
)
# A press makes the button's open request or joins it: the database holds that there is one at most.
_IS_REQUESTED = sa.text(
    "state = 'requested'"
)  # as text: ON CONFLICT finds the index by its very condition, without parameters
sa.Index(
    "uq_pickups_open_request",
    pickups.c.button_id,
    unique=True,
    sqlite_where=_IS_REQUESTED,
    postgresql_where=_IS_REQUESTED,
)

_HAS_KEY = sa.text("key IS NOT NULL")

pickup_events = sa.Table(
    "pickup_events",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("pickup_id", BigId, sa.ForeignKey("pickups.id"), nullable=False, index=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("event", sa.Text, nullable=False),  # pickups.model.Event
    sa.Column("state", sa.Text, nullable=False),  # the state it led to
    sa.Column("actor", sa.Text, nullable=False),  # "button 0012AB34", "customer c.morvan@example.org", "staff admin"
    sa.Column("detail", sa.JSON(none_as_null=True)),  # pickups.model.Detail, what is known of it; none: nothing
    sa.Column("happened_at", Instant),  # none: when it was taken in
    sa.Column("key", sa.Text),  # the handset's own name for it
    sa.Index("uq_pickup_events_key", "pickup_id", "key", unique=True, sqlite_where=_HAS_KEY, postgresql_where=_HAS_KEY),
    sa.Index("ix_pickup_events_at", "at", "event", "pickup_id"),  # what happened on a day, from the index alone
)

# By which words of street and town orders are found; the newest order of a word is the last of its range.
pickup_words = sa.Table(
    "pickup_words",
    metadata,
    sa.Column("word", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), primary_key=True),
    sa.Column("pickup_id", BigId, sa.ForeignKey("pickups.id"), primary_key=True, autoincrement=False),
    # By which it is seen whether an order has a word that begins so; and what an order that goes takes with it.
    sa.Index("ix_pickup_words_pickup_id_word", "pickup_id", "word"),
    sqlite_with_rowid=False,
)


# Of MAX_PARCELS at most.
_REQUEST = Many(
    """INSERT INTO pickups (button_id, parcels, state, requested_at, changed_at)
    SELECT new.button, new.count, 'requested', new.at, new.at FROM {new} WHERE true
    ON CONFLICT (button_id) WHERE state = 'requested' DO UPDATE SET changed_at = excluded.changed_at,
        parcels = CASE WHEN pickups.parcels + excluded.parcels > 99 THEN 99
            ELSE pickups.parcels + excluded.parcels END
    RETURNING button_id, id""",
    "button bigint, count integer, at bigint",
)
_WITH_EVENTS = Many(
    "SELECT DISTINCT pickup_id FROM {new} CROSS JOIN pickup_events WHERE pickup_id = new.id", "id bigint"
)
_EVENT = Many(
    """INSERT INTO pickup_events (pickup_id, at, event, state, actor)
    SELECT new.pickup, new.at, new.event, new.state, new.actor FROM {new}""",
    "pickup bigint, at bigint, event text, state text, actor text",
)


def request(conn: sa.Connection, presses: Sequence[Press], lease: Lease, now: datetime) -> list[Requested]:
    """For each press, in their order, the open request of its button that it made or joined; a new one has a stamp."""
    parcels: Counter[int] = Counter()
    for press in presses:
        parcels[press.button_id] += press.parcels
    at = milliseconds(now)
    # In the buttons' order, so that two workers with the same buttons wait for each other and never in a ring.
    asked = [(button, min(count, MAX_PARCELS), at) for button, count in sorted(parcels.items())]
    ids = dict(_REQUEST.rows(conn, asked))

    # A request and its first event are committed together: one without an event was made just now.
    new = set(ids.values()) - {row[0] for row in _WITH_EVENTS.rows(conn, [(id,) for id in ids.values()])}
    stamps.reserve(conn, lease, sorted(new), now)

    requested = []
    for press in presses:
        pickup_id = ids[press.button_id]
        requested.append(Requested(pickup_id, pickup_id in new))
        new.discard(pickup_id)  # a second press of the batch joins the first
    _EVENT.run(
        conn,
        [
            (pickup_id, at, (Event.PRESSED if is_new else Event.JOINED).value, "requested", _button(press.button_id))
            for press, (pickup_id, is_new) in zip(presses, requested, strict=True)
        ],
    )
    return requested


def cancel_newest(conn: sa.Connection, button_id: int, now: datetime) -> Pickup | None:
    """The button's long press takes back its open request, else its newest confirmed pickup not yet on a round."""
    pickup_id = conn.scalar(
        sa.select(pickups.c.id)
        .where(pickups.c.button_id == button_id, pickups.c.state.in_(_moves(Event.CANCELLED)))
        .order_by(pickups.c.id.desc())  # a button has one request at most, so an open one is newer than all confirmed
        .limit(1)
        .with_for_update()
    )
    return None if pickup_id is None else cancel(conn, pickup_id, _button(button_id), now)


def cancel(conn: sa.Connection, pickup_id: int, actor: str, now: datetime) -> Pickup:
    """Voids the stamp too, unless it is spent. Raises `NotFound` and `WrongState`."""
    pickup = _move(conn, pickup_id, Event.CANCELLED, actor, now)
    stamps.void(conn, pickup_id, now)
    return pickup


def confirm(conn: sa.Connection, pickup_id: int, address: Address, actor: str, now: datetime) -> Pickup:
    """The stamp goes live too. Raises `NotFound` and `WrongState`."""
    pickup = _move(conn, pickup_id, Event.CONFIRMED, actor, now, addressee=address.lines)
    words = [{"word": word, "pickup_id": pickup_id} for word in address.street_words]
    conn.execute(insert(conn, pickup_words).on_conflict_do_nothing(), words)
    stamps.go_live(conn, pickup_id, now)
    return pickup


def tell(
    conn: sa.Connection,
    pickup_id: int,
    event: Event,
    detail: Detail,
    *,
    key: str,
    actor: str,
    now: datetime,
    happened_at: datetime | None = None,
) -> bool:
    """What a postman did, told once under the handset's own `key` for it; False where it was told before.

    Of a collection that failed the stamp becomes void. Raises `Faulty`, `NotFound`, `WrongState`.
    """
    # Whoever tells of the same pickup waits here, so that of the same event told twice at once one is the second.
    row = conn.execute(sa.select(pickups.c.requested_at).where(pickups.c.id == pickup_id).with_for_update()).first()
    if row is None:
        raise NotFound(pickup_id)
    told = sa.select(pickup_events.c.event).where(pickup_events.c.pickup_id == pickup_id, pickup_events.c.key == key)
    if (before := conn.scalar(told)) is not None:
        if before != event:
            raise Faulty(f"{key!r} was the name of another event, that the pickup is {before}")
        return False
    if happened_at is not None:
        check_time(happened_at, row.requested_at, now)
    _tell(conn, pickup_id, event, actor, now, check_detail(event, detail), happened_at, key)
    return True


def _tell(
    conn: sa.Connection,
    pickup_id: int,
    event: Event,
    actor: str,
    now: datetime,
    detail: Detail,
    happened_at: datetime | None,
    key: str | None,
) -> None:
    _move(conn, pickup_id, event, actor, now, detail, happened_at, key)
    if event is Event.FAILED:
        stamps.void(conn, pickup_id, now)


def redeemed(conn: sa.Connection, stamp: Stamp, weight_g: int | None, now: datetime) -> None:
    """The stamp has paid at a sorting centre, in this very transaction: its pickup is sorted, once.

    Whatever state the pickup is in, the stamp was good: one that cannot be sorted stays as it is.
    """
    if stamp.pickup_id is None:
        return
    detail = Detail(place=stamp.place, piece=stamp.piece, weight_g=weight_g)
    try:
        _move(conn, stamp.pickup_id, Event.SORTED, stamp.actor or "", now, detail)
    except WrongState:
        return


def repeat(
    conn: sa.Connection,
    pickup_id: int,
    event: Event,
    address: Address | None,
    actor: str,
    now: datetime,
    detail: Detail = NOTHING,
    happened_at: datetime | None = None,
    key: str | None = None,
) -> bool:
    """Move a pickup as somebody moved it then, in a replay of the log; False where it has this in its history.

    Raises `NotFound` and `WrongState`.
    """
    past = (pickup_events.c.pickup_id == pickup_id, pickup_events.c.at == now, pickup_events.c.event == event)
    if conn.scalar(sa.select(pickup_events.c.id).where(*past, pickup_events.c.actor == actor).limit(1)):
        return False
    if event is Event.CONFIRMED and address is not None:
        confirm(conn, pickup_id, address, actor, now)
    elif event is Event.CANCELLED:
        cancel(conn, pickup_id, actor, now)
    else:
        _tell(conn, pickup_id, event, actor, now, detail, happened_at, key)
    return True


def enter(conn: sa.Connection, numbers: Mapping[int, int], now: datetime) -> set[int]:
    """Open a request without parcels or history for each button, under the number it had: the press to come joins it.

    In a replay of the log alone. Gives the numbers that could be had; a button with an open request gets no other.
    """
    if not numbers:
        return set()
    rows = [{"id": id, "button_id": button} for button, id in numbers.items()]
    added = insert(conn, pickups).values(state=State.REQUESTED, parcels=0, requested_at=now, changed_at=now)
    entered = set(conn.scalars(added.on_conflict_do_nothing().returning(pickups.c.id), rows))
    next_number(conn)
    return entered


def next_number(conn: sa.Connection) -> int:
    """The number of the next order, which on PostgreSQL is made the one after the highest there is."""
    number = conn.scalar(sa.select(sa.func.coalesce(sa.func.max(pickups.c.id), 0) + 1)) or 1
    if conn.dialect.name == "postgresql":
        sequence = sa.func.pg_get_serial_sequence("pickups", "id")
        conn.execute(sa.select(sa.func.setval(sequence, number, sa.false())))
    return number


def leave(conn: sa.Connection, entered: Collection[int]) -> None:
    """Take back those that were entered and that no press has joined."""
    began = sa.exists().where(pickup_events.c.pickup_id == pickups.c.id)
    if entered:
        conn.execute(pickups.delete().where(pickups.c.id.in_(entered), ~began))


def _move(
    conn: sa.Connection,
    pickup_id: int,
    event: Event,
    actor: str,
    now: datetime,
    detail: Detail = NOTHING,
    happened_at: datetime | None = None,
    key: str | None = None,
    **changes: Any,
) -> Pickup:
    """One compare-and-set by the table, so that of two who move a pickup at once one is told `WrongState`."""
    moves = _moves(event)
    move = pickups.update().where(pickups.c.id == pickup_id, pickups.c.state.in_(moves))
    if event in ONCE:
        move = move.where(~sa.exists().where(pickup_events.c.pickup_id == pickups.c.id, pickup_events.c.event == event))
    row = conn.execute(
        move.values(state=sa.case(moves, value=pickups.c.state), changed_at=now, **changes).returning(pickups)
    ).one_or_none()
    if row is None:
        pickup = find(conn, pickup_id)
        if pickup is None:
            raise NotFound(pickup_id)
        raise WrongState(pickup.state, event)
    conn.execute(
        pickup_events.insert().values(
            pickup_id=pickup_id,
            at=now,
            event=event,
            state=row.state,
            actor=actor,
            detail=detail.as_json() or None,
            happened_at=happened_at,
            key=key,
        )
    )
    live.announce(conn)
    return _pickup(row)


def _moves(event: Event) -> dict[State, State]:
    return {before: after for (before, cause), after in AFTER.items() if cause is event and before is not None}


def _button(button_id: int) -> str:
    return f"button {format_id(button_id)}"


def find(conn: sa.Connection, pickup_id: int) -> Pickup | None:
    return next(_read(conn, sa.select(pickups).where(pickups.c.id == pickup_id)), None)


def newest(conn: sa.Connection, limit: int = 50, state: State | None = None, before: int | None = None) -> list[Pickup]:
    """Newest first; the next page is `before` the last id of this one."""
    query = sa.select(pickups).order_by(pickups.c.id.desc()).limit(limit)
    if state is not None:
        query = query.where(pickups.c.state == state)
    if before is not None:
        query = query.where(pickups.c.id < before)
    return list(_read(conn, query))


def latest_of_button(conn: sa.Connection, button_id: int) -> Pickup | None:
    """The button's newest open pickup; where none is open, its newest."""
    is_open = pickups.c.state.in_(OPEN)
    query = sa.select(pickups).where(pickups.c.button_id == button_id).order_by(is_open.desc(), pickups.c.id.desc())
    return next(_read(conn, query.limit(1)), None)


def of_button(conn: sa.Connection, button_id: int, limit: int) -> list[Pickup]:
    """Newest first."""
    query = sa.select(pickups).where(pickups.c.button_id == button_id).order_by(pickups.c.id.desc())
    return list(_read(conn, query.limit(limit)))


def of_owner(conn: sa.Connection, owner_id: int) -> list[Pickup]:
    """Of all buttons that the account owns, newest first."""
    query = sa.select(pickups).join(buttons).where(buttons.c.owner_id == owner_id).order_by(pickups.c.id.desc())
    return list(_read(conn, query))


def events(conn: sa.Connection, pickup_id: int) -> list[PickupEvent]:
    """The pickup's history, oldest first."""
    rows = conn.execute(
        sa.select(pickup_events).where(pickup_events.c.pickup_id == pickup_id).order_by(pickup_events.c.id)
    )
    return [
        PickupEvent(
            row.at,
            Event(row.event),
            State(row.state),
            row.actor,
            Detail.of(row.detail or {}),
            row.happened_at,
            row.key,
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class Found:
    """Orders whose street and town have all the words, newest first; `is_all` where no more was to be looked at."""

    ids: tuple[int, ...]
    is_all: bool


def of_street(conn: sa.Connection, sought: Sequence[str], *, limit: int = 50, scanned: int = 20_000) -> Found:
    """By `places.model.words`; the last may be the beginning of a word. At most the newest `scanned` of one word.

    The words' index gives the orders of the rarest word, and of each of these whether it has the others.
    """
    if not sought:
        return Found((), True)
    *whole, last = sought
    ranges = [pickup_words.c.word == word for word in whole] + [_begins(pickup_words.c.word, last)]
    some = [sa.select(pickup_words.c.pickup_id).where(one).limit(scanned + 1).subquery() for one in ranges]
    counts = [conn.scalar(sa.select(sa.func.count()).select_from(one)) or 0 for one in some]
    rarest = min(range(len(counts)), key=lambda place: (counts[place], place))  # of equals a whole word
    if counts[rarest] == 0:
        return Found((), True)
    if not whole and counts[0] > scanned:
        return Found(_newest_of(conn, last, limit), False)
    of = sa.select(pickup_words.c.pickup_id).where(ranges[rarest])
    if rarest < len(whole):  # whole words have their orders in order; of a beginning all are looked at
        of = of.order_by(pickup_words.c.pickup_id.desc())
    candidates = of.limit(scanned).subquery()
    query = sa.select(candidates.c.pickup_id).distinct()
    for place, one in enumerate([*whole, last]):
        if place != rarest:
            other = pickup_words.alias()
            has = other.c.word == one if place < len(whole) else _begins(other.c.word, one)
            query = query.where(sa.exists().where(has, other.c.pickup_id == candidates.c.pickup_id))
    ids = conn.scalars(query.order_by(candidates.c.pickup_id.desc()).limit(limit + 1)).all()
    return Found(tuple(ids[:limit]), len(ids) <= limit and counts[rarest] <= scanned)


def _newest_of(conn: sa.Connection, beginning: str, limit: int, most_words: int = 40) -> tuple[int, ...]:
    """The newest orders of the first `most_words` words that begin so, each word found by one look into the index."""
    found: set[int] = set()
    word = ""
    for _ in range(most_words):
        later = sa.select(sa.func.min(pickup_words.c.word)).where(_begins(pickup_words.c.word, beginning))
        word = conn.scalar(later.where(pickup_words.c.word > word))
        if word is None:
            break
        newest = sa.select(pickup_words.c.pickup_id).where(pickup_words.c.word == word)
        found.update(conn.scalars(newest.order_by(pickup_words.c.pickup_id.desc()).limit(limit)))
    return tuple(sorted(found, reverse=True)[:limit])


def _begins(column: sa.ColumnElement[str], beginning: str) -> sa.ColumnElement[bool]:
    """As a range, which an index answers on every database; words are capitals and digits, sorted by their bytes."""
    return sa.and_(column >= beginning, column < beginning[:-1] + chr(ord(beginning[-1]) + 1))


def count_by_state(conn: sa.Connection) -> dict[State, int]:
    """Every state is there, if only with 0."""
    rows = conn.execute(sa.select(pickups.c.state, sa.func.count().label("pickups")).group_by(pickups.c.state))
    return dict.fromkeys(State, 0) | {State(row.state): row.pickups for row in rows}


def _read(conn: sa.Connection, query: sa.Select[Any]) -> Iterator[Pickup]:
    return map(_pickup, conn.execute(query))


def _pickup(row: sa.Row[Any]) -> Pickup:
    return Pickup(
        id=row.id,
        button_id=row.button_id,
        state=State(row.state),
        parcels=row.parcels,
        addressee=None if row.addressee is None else Address(tuple(row.addressee)),
        requested_at=row.requested_at,
        changed_at=row.changed_at,
    )
