"""What became of orders up to a moment: against a plain look at each order's history, and as later things happen."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event

import cloud.console.store
from cloud import database
from cloud.fleet.store import buttons
from cloud.pickups import past
from cloud.pickups.past import STEPS, Told
from cloud.pickups.store import pickup_events, pickups
from cloud.stamps.model import code_of
from cloud.stamps.store import stamps
from cloud.tables import cloud as _tables  # noqa: F401  all tables, before they are made
from tests.stock import VAULT

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
TODAY = NOW - 9 * HOUR
# Of the order when that has happened; else as the event. Whether sorting is a state of its own matters not here.
STATES = {"pressed": "requested", "joined": "requested", "put on round": "on round"}
STATES |= dict.fromkeys(("sorted", "delivered"), "collected")


class Life(NamedTuple):
    """An order's history: what happened, and how many hours before NOW. `redeemed`: its stamp was, so long ago."""

    events: tuple[tuple[str, int], ...]
    redeemed: int | None = None

    def until(self, now: datetime) -> "Life":
        """What had happened by then."""
        events = tuple((event, ago) for event, ago in self.events if NOW - ago * HOUR <= now)
        redeemed = self.redeemed if self.redeemed is not None and NOW - self.redeemed * HOUR <= now else None
        return Life(events, redeemed)

    def reached(self, step: str) -> bool:
        return step in dict(self.events) or (step == "sorted" and self.redeemed is not None)

    @property
    def pressed_at(self) -> datetime:
        return NOW - dict(self.events)["pressed"] * HOUR

    @property
    def waits(self) -> bool:
        return {event for event, _ in self.events} <= {"pressed", "joined"}


WAYS = (
    ("pressed",),
    ("pressed", "joined"),
    ("pressed", "expired"),
    ("pressed", "cancelled"),
    ("pressed", "confirmed", "cancelled"),
    ("pressed", "confirmed"),
    ("pressed", "confirmed", "put on round", "collected"),
    ("pressed", "joined", "confirmed", "put on round", "collected", "sorted", "delivered"),
    ("pressed", "confirmed", "put on round", "failed"),
)


@st.composite
def lives(draw: st.DrawFn) -> Life:
    way = draw(st.sampled_from(WAYS))
    ends = draw(st.lists(st.integers(0, 80), min_size=len(way), max_size=len(way)).map(lambda a: sorted(a)[::-1]))
    redeemed = draw(st.none() | st.integers(0, ends[-1])) if "collected" in way else None
    return Life(tuple(zip(way, ends, strict=True)), redeemed)


def enter(conn: sa.Connection, entered: Sequence[Life]) -> None:
    """Each with a button of its own, as a button has one open request."""
    before = conn.scalar(sa.select(sa.func.count()).select_from(pickups)) or 0
    for id, life in enumerate(entered, before + 1):
        conn.execute(buttons.insert().values(id=id, state="active", created_at=NOW))
        states = [STATES.get(event, event) for event, _ in life.events]
        row = {"id": id, "button_id": id, "state": states[-1], "parcels": 1}
        conn.execute(pickups.insert().values(**row, requested_at=life.pressed_at, changed_at=NOW))
        for (name, ago), state in zip(life.events, states, strict=True):
            at = NOW - ago * HOUR
            conn.execute(pickup_events.insert().values(pickup_id=id, at=at, event=name, state=state, actor="a test"))
        if life.redeemed is not None:
            at = NOW - life.redeemed * HOUR
            values = {"sealed": VAULT.seal(code_of(id)), "state": "redeemed", "pickup_id": id, "minted_at": at}
            conn.execute(stamps.insert().values(**values, changed_at=at))


def fresh(url: str = "sqlite://") -> sa.Engine:
    engine = database.connect(url)
    database.metadata.create_all(engine)
    return engine


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def conn(request: pytest.FixtureRequest) -> Iterator[sa.Connection]:
    engine = fresh("sqlite://" if request.param == "SQLite" else request.getfixturevalue("postgres_url"))
    with engine.begin() as conn:
        yield conn
    engine.dispose()


def figures(conn: sa.Connection, now: datetime) -> dict[str, Any]:
    return {
        "waiting": past.waiting(conn, now),
        "happened": past.happened(conn, now - 9 * HOUR, now),
        "funnel": past.funnel(conn, now - 40 * HOUR, now - 10 * HOUR, now),
    }


def plainly(told: Sequence[Life], now: datetime) -> dict[str, Any]:
    begun = [life for one in told if (life := one.until(now)).events]
    waiting = [life.pressed_at for life in begun if life.waits]
    happened: dict[str, list[datetime]] = {}
    for life in begun:
        for name, ago in life.events:
            if now - 9 * HOUR <= (at := NOW - ago * HOUR):
                happened.setdefault(name, []).append(at)
    made = [life for life in begun if now - 40 * HOUR <= life.pressed_at < now - 10 * HOUR]
    return {
        "waiting": past.Waiting(len(waiting), min(waiting, default=None)),
        "happened": {event: Told(len(ats), max(ats)) for event, ats in happened.items()},
        "funnel": {step: sum(life.reached(step) for life in made) for step in STEPS},
    }


@settings(max_examples=40)
@given(told=st.lists(lives(), max_size=8), ago=st.integers(0, 80))
def test_the_past_is_what_a_plain_look_at_each_history_finds(told, ago):
    engine = fresh()
    with engine.begin() as conn:
        enter(conn, told)
        now = NOW - ago * HOUR
        assert figures(conn, now) == plainly(told, now)
    engine.dispose()


@settings(max_examples=40)
@given(told=st.lists(lives(), max_size=8), ago=st.integers(0, 80))
def test_what_happened_later_changes_nothing_of_the_past(told, ago):
    now = NOW - ago * HOUR
    found = []
    for lives_of in (told, [life for one in told if (life := one.until(now)).events]):
        engine = fresh()
        with engine.begin() as conn:
            enter(conn, lives_of)
            found.append(figures(conn, now))
        engine.dispose()
    assert found[0] == found[1]


TOLD = [
    Life((("pressed", 30), ("confirmed", 28), ("put on round", 20), ("collected", 12), ("delivered", 2)), redeemed=10),
    Life((("pressed", 29), ("confirmed", 5))),
    Life((("pressed", 8),)),
    Life((("pressed", 7), ("joined", 6), ("cancelled", 1))),
]


def test_both_databases_tell_the_same_past(conn):
    enter(conn, TOLD)

    assert past.waiting(conn, NOW) == past.Waiting(1, NOW - 8 * HOUR)
    assert past.waiting(conn, NOW - 6 * HOUR) == past.Waiting(3, NOW - 29 * HOUR)
    assert past.happened(conn, TODAY, NOW)["confirmed"] == Told(1, NOW - 5 * HOUR)
    assert past.funnel(conn, TODAY - 24 * HOUR, TODAY, NOW) == dict(zip(STEPS, (2, 2, 1, 1, 1), strict=True))
    assert past.any_pressed(conn, TODAY, NOW)
    assert not past.any_pressed(conn, NOW - 100 * HOUR, NOW - 50 * HOUR)


def listed(conn: sa.Connection, *which: sa.ColumnElement[bool]) -> list[int]:
    return [order.id for order in cloud.console.store.orders(conn, VAULT, which=which)]


def test_the_orders_behind_each_figure_are_listed(conn):
    enter(conn, TOLD)

    assert listed(conn, past.pressed_in(TODAY - 24 * HOUR, TODAY)) == [2, 1]
    assert listed(conn, past.pressed_in(TODAY - 24 * HOUR, TODAY), past.reached("sorted")) == [1]
    assert listed(conn, past.reached("confirmed")) == [2, 1]
    assert listed(conn, past.reached("confirmed", TODAY, NOW)) == [2]
    assert listed(conn, past.reached("sorted", TODAY - 24 * HOUR, TODAY)) == [1]
    assert listed(conn, past.reached("sorted", TODAY, NOW)) == []


def test_no_figure_scans_the_history(conn):
    enter(conn, [Life((("pressed", 1000 + n), ("confirmed", 900 + n), ("collected", 800 + n))) for n in range(600)])
    enter(conn, TOLD)
    conn.exec_driver_sql("ANALYZE")
    asked: list[tuple[str, Any]] = []

    def note(_conn, _cursor, statement, parameters, _context, _many) -> None:
        asked.append((statement, parameters))

    event.listen(conn, "before_cursor_execute", note)
    figures(conn, NOW)
    past.any_pressed(conn, TODAY, NOW)
    event.remove(conn, "before_cursor_execute", note)
    assert len(asked) == 5
    for statement, parameters in asked:
        if conn.dialect.name == "postgresql":
            plan = conn.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars().all()
            whole = [line for line in plan if "Seq Scan on pickup" in line]
        else:
            plan = [row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            whole = [line for line in plan if line.startswith("SCAN pickup")]
        assert whole == [], (statement, plan)
