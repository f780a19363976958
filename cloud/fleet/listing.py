"""The fleet as a list: filtered, in an order, a page at a time, however long it is.

A page begins after a row, not at a number: the row's place in the order and its id stand in the address, and an index
in that order finds it at once. So every row that stays where it is comes exactly once, whatever is added or heard
meanwhile; and a page costs the same at the list's end as at its start.

Reading through an order until enough rows fit a filter is quick where many do, and reads the whole fleet in the worst
way where hardly any does. So whoever has counted, up to `COUNTED`, says whether they are `few`: then these are found
first, by whatever leads to them, and only they are sorted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from cloud import database
from cloud.database import milliseconds
from cloud.fleet.filters import NO_LABEL, Filter, Order, Sort, moment
from cloud.fleet.model import ID_DIGITS, Button, fold, format_id, parse_id
from cloud.fleet.store import HAS_LOW_BATTERY, buttons, from_row, heard_ms

COUNTED = 10_000  # buttons are counted so far; then there are "more"
BATCH = 1000  # rows of an export that are in memory at once
MOST_LABELS = 200  # that are offered to choose from

Key = str | int

_KEYS: dict[Sort, sa.ColumnElement[str] | sa.ColumnElement[int]] = {
    Sort.PLACE: buttons.c.place_key,
    Sort.LABEL: buttons.c.label,
    Sort.HEARD: heard_ms,
    Sort.BATTERY: buttons.c.battery_mv,
}


@dataclass(frozen=True, slots=True)
class Position:
    """A row in an order: by what it stands there, none in the order of the ids, and its id."""

    key: Key | None
    id: int

    def __str__(self) -> str:
        """As it stands in an address: ``35 RENNES~0012AB34``."""
        return format_id(self.id) if self.key is None else f"{self.key}~{format_id(self.id)}"


def position(text: str, order: Order) -> Position:
    """The position that an address names; raises ValueError for one that is not of this order."""
    key, tilde, id = text.rpartition("~")
    if bool(tilde) != (order.sort is not Sort.ID) or len(id) != ID_DIGITS or not key.isprintable():
        raise ValueError(f"no place in the order {order}: {text[:80]!r}")
    if order.sort is Sort.ID:
        return Position(None, parse_id(id))
    if order.sort in (Sort.PLACE, Sort.LABEL):
        return Position(key, parse_id(id))
    if not (key.isascii() and key.isdecimal() and len(key) <= 18):
        raise ValueError(f"no place in the order {order}: {text[:80]!r}")
    return Position(int(key), parse_id(id))


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of the list. `start` is where the page before it ends, and `end` where the next one begins; None: none."""

    buttons: list[Button]
    start: Position | None
    end: Position | None


def page(
    conn: sa.Connection,
    wanted: Filter,
    order: Order,
    *,
    limit: int,
    now: datetime,
    after: Position | None = None,
    before: Position | None = None,
    few: bool = False,
) -> Page:
    """The rows after a position, or the last ones before one, else the first; `limit` of them, in the order."""
    if before is None:
        rows, more = _rows(conn, wanted, order, limit, now, after, few)
        starts = after is not None
    else:
        rows, starts = _rows(conn, wanted, Order(order.sort, not order.descending), limit, now, before, few)
        rows.reverse()
        more = True
        if not starts:  # it is the first page, and is shown whole
            rows, more = _rows(conn, wanted, order, limit, now, None, few)
    if not rows:
        return Page([], None, None)
    first, last = rows[0], rows[-1]
    return Page(
        [from_row(row) for row in rows],
        Position(first.key if order.sort is not Sort.ID else None, first.id) if starts else None,
        Position(last.key if order.sort is not Sort.ID else None, last.id) if more else None,
    )


def _rows(
    conn: sa.Connection, wanted: Filter, order: Order, limit: int, now: datetime, after: Position | None, few: bool
) -> tuple[list[sa.Row], bool]:
    """Rows after the position, and whether there are more."""
    rows = list(conn.execute(query(wanted, order, now, after, few=few).limit(limit + 1)))
    return rows[:limit], len(rows) > limit


def query(
    wanted: Filter, order: Order, now: datetime, after: Position | None = None, *, few: bool = False
) -> sa.Select:
    """All rows of the list after a position, each with its `key` in the order."""
    id: sa.ColumnElement[int] = buttons.c.id
    key = _KEYS.get(order.sort)
    if few:  # an expression has no index, and stands in the same order
        id = id + 0
        key = None if key is None else key + ("" if order.sort in (Sort.PLACE, Sort.LABEL) else 0)
    ways = [column for column in (key, id) if column is not None]
    found = sa.select(buttons, (sa.null() if key is None else key).label("key")).where(*_where(wanted, now))
    if order.sort is Sort.BATTERY:
        found = found.where(HAS_LOW_BATTERY)
    found = found.order_by(*(way.desc() if order.descending else way for way in ways))
    if after is None:
        return found
    beyond = id < after.id if order.descending else id > after.id
    if key is None or after.key is None:
        return found.where(beyond)
    # The first condition is one that an index is entered by; the second leaves out what has the very key.
    if order.descending:
        return found.where(key <= after.key, sa.or_(key < after.key, beyond))
    return found.where(key >= after.key, sa.or_(key > after.key, beyond))


def count(conn: sa.Connection, wanted: Filter, now: datetime, most: int = COUNTED) -> int:
    """How many buttons there are; `most` + 1 stands for more."""
    found = sa.select(sa.literal(1)).select_from(buttons).where(*_where(wanted, now)).limit(most + 1)
    return conn.scalar(sa.select(sa.func.count()).select_from(found.subquery())) or 0


def are_few(wanted: Filter, count: int) -> bool:
    """Whether those that fit are better found first and then put in order."""
    return bool(wanted.asked()) and count <= COUNTED


def every(engine: sa.Engine, wanted: Filter, now: datetime) -> Iterator[list[Button]]:
    """All of them by id, in batches; each is read by itself, so that nobody waits however slowly they are taken."""
    after, order = None, Order(Sort.ID, descending=False)
    while True:
        with database.reading(engine) as conn:
            found = page(conn, wanted, order, limit=BATCH, now=now, after=after)
        yield found.buttons
        if found.end is None:
            return
        after = found.end


def labels(conn: sa.Connection, most: int = MOST_LABELS) -> list[str]:
    """The groups that there are, each found by one look into the index."""
    above = sa.select(sa.func.min(buttons.c.label).label("label")).where(buttons.c.label > "").cte("l", recursive=True)
    following = sa.select(sa.func.min(buttons.c.label)).where(buttons.c.label > above.c.label).scalar_subquery()
    all_of_them = above.union_all(sa.select(following).where(above.c.label.is_not(None)))
    found = sa.select(all_of_them.c.label).where(all_of_them.c.label.is_not(None)).limit(most)
    return list(conn.scalars(found))


def _where(wanted: Filter, now: datetime) -> Iterator[sa.ColumnElement[bool]]:
    column = buttons.c
    if wanted.id:
        digits = len(wanted.id)
        lowest = int(wanted.id, 16) << 4 * (ID_DIGITS - digits)
        yield column.id.between(lowest, lowest + (1 << 4 * (ID_DIGITS - digits)) - 1)
    if wanted.place:
        yield column.place_key.contains(fold(wanted.place), autoescape=True)
    if wanted.label:
        yield column.label == ("" if wanted.label == NO_LABEL else wanted.label)
    if wanted.department:
        yield column.department == wanted.department
    if wanted.state:
        yield column.state == wanted.state
    if wanted.claimed:
        yield column.owner_id.is_not(None) if wanted.claimed == "yes" else column.owner_id.is_(None)
    if wanted.battery:
        yield column.battery_mv < int(wanted.battery)
    if wanted.silent:
        yield heard_ms < milliseconds(moment(wanted.silent, now))
    if wanted.since:
        yield heard_ms >= max(1, milliseconds(moment(wanted.since, now)) or 0)
    if wanted.key:
        yield column.key_generation == int(wanted.key)
