"""The list of buttons, as laws on both databases."""

from datetime import timedelta
from urllib.parse import parse_qsl

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.fleet import filters, listing
from cloud.fleet.filters import Filter, Order, Sort
from cloud.fleet.model import LAST_GENERATION, fold
from cloud.fleet.store import buttons, placed
from tests.cloud.fleet.conftest import NOW

# Each example has a transaction of its own, so it finds the fixture's database as it was.
law = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

PLACES = ("35 Rennes", "42 Saint-Étienne", "42 saint-etienne", "2A Ajaccio", "974 Saint-Denis", None, "%_", "35 Zoé")
rows = st.fixed_dictionaries(
    {
        "place": st.sampled_from(PLACES),
        "label": st.sampled_from(["", "lot 7", "Lot 7", "pilote", "étape"]),
        "state": st.sampled_from(["active", "revoked"]),
        "owner_id": st.sampled_from([None, 1, 2]),
        "last_seen_at": st.none() | st.integers(0, 12).map(lambda days: NOW - timedelta(days=days)),
        "battery_mv": st.none() | st.sampled_from([2100, 2400, 2699, 2700, 3000]),
        "key_generation": st.integers(0, LAST_GENERATION),
    }
)
fleets = st.dictionaries(st.integers(0, 2**32 - 1), rows, max_size=25)
orders = st.builds(Order, st.sampled_from(Sort), st.booleans())


def fill(conn: sa.Connection, fleet: dict[int, dict]) -> None:
    for id, row in fleet.items():
        conn.execute(sa.insert(buttons).values({"id": id, "created_at": NOW, **row, **placed(row["place"])}))


def walk(
    conn: sa.Connection, wanted: Filter, order: Order, limit: int, between=lambda: None, few: bool = False
) -> list[int]:
    """The ids of all pages, from the first to the last."""
    found, after = [], None
    while True:
        page = listing.page(conn, wanted, order, limit=limit, now=NOW, after=after, few=few)
        found += [button.id for button in page.buttons]
        if page.end is None:
            return found
        after = listing.position(str(page.end), order)  # as it comes back in the address
        between()


def key_of(order: Order, id: int, row: dict) -> tuple:
    heard = row["last_seen_at"].timestamp() if row["last_seen_at"] else 0
    key = {
        Sort.ID: 0, Sort.PLACE: fold(row["place"]), Sort.LABEL: row["label"], Sort.HEARD: heard,
        Sort.BATTERY: row["battery_mv"],
    }[order.sort]  # fmt: skip
    return key, id


def in_order(fleet: dict[int, dict], order: Order) -> list[int]:
    listed = {
        id: row
        for id, row in fleet.items()
        if order.sort is not Sort.BATTERY or (row["battery_mv"] or filters.LOW_MV) < filters.LOW_MV
    }
    return sorted(listed, key=lambda id: key_of(order, id, listed[id]), reverse=order.descending)


@law
@given(fleet=fleets, order=orders, limit=st.integers(1, 7))
def test_every_button_comes_once_and_in_order(engine: sa.Engine, fleet, order, limit):
    with engine.connect() as conn, conn.begin() as work:
        fill(conn, fleet)
        assert walk(conn, Filter(), order, limit) == in_order(fleet, order)
        work.rollback()


@law
@given(fleet=fleets, order=orders, limit=st.integers(1, 7))
def test_the_way_back_shows_the_same_pages(engine: sa.Engine, fleet, order, limit):
    with engine.connect() as conn, conn.begin() as work:
        fill(conn, fleet)
        page = listing.page(conn, Filter(), order, limit=limit, now=NOW)
        pages = [page]
        while page.end is not None:
            page = listing.page(conn, Filter(), order, limit=limit, now=NOW, after=page.end)
            pages.append(page)
        assert pages[0].start is None
        for earlier, later in zip(reversed(pages[:-1]), reversed(pages[1:]), strict=True):
            assert later.start is not None
            back = listing.page(conn, Filter(), order, limit=limit, now=NOW, before=later.start)
            assert [one.id for one in back.buttons] == [one.id for one in earlier.buttons]
            assert (back.start, back.end) == (earlier.start, earlier.end)
        work.rollback()


@law
@given(fleet=fleets, newcomers=fleets, order=orders, limit=st.integers(1, 5))
def test_a_button_that_stays_in_its_place_comes_once_whoever_joins_meanwhile(
    engine: sa.Engine, fleet, newcomers, order, limit
):
    joining = [(id, row) for id, row in newcomers.items() if id not in fleet]
    with engine.connect() as conn, conn.begin() as work:
        fill(conn, fleet)
        found = walk(conn, Filter(), order, limit, lambda: fill(conn, dict([joining.pop()])) if joining else None)
        assert len(found) == len(set(found))
        assert [id for id in found if id in fleet] == in_order(fleet, order)
        work.rollback()


MATCHES = {
    "place=SAINT-etienne": lambda id, row: "SAINT ETIENNE" in fold(row["place"]),
    "place=%25": lambda id, row: "%" in (row["place"] or ""),
    "department=2A": lambda id, row: row["place"] == "2A Ajaccio",
    "label=lot+7": lambda id, row: row["label"] == "lot 7",
    "label=-": lambda id, row: row["label"] == "",
    "state=revoked": lambda id, row: row["state"] == "revoked",
    "claimed=yes": lambda id, row: row["owner_id"] is not None,
    "claimed=no": lambda id, row: row["owner_id"] is None,
    "battery=2700": lambda id, row: row["battery_mv"] is not None and row["battery_mv"] < 2700,
    "silent=5d": lambda id, row: row["last_seen_at"] is None or row["last_seen_at"] < NOW - timedelta(days=5),
    "since=5d": lambda id, row: row["last_seen_at"] is not None and row["last_seen_at"] >= NOW - timedelta(days=5),
    "key=2": lambda id, row: row["key_generation"] == 2,
    "id=0": lambda id, row: id < 2**28,
    "id=fF": lambda id, row: id >= 0xFF << 24,
}


@law
@given(fleet=fleets, asked=st.sets(st.sampled_from(sorted(MATCHES)), max_size=3), order=orders, few=st.booleans())
def test_a_filter_gives_those_buttons_that_are_like_that(engine: sa.Engine, fleet, asked, order, few):
    words = dict(parse_qsl("&".join(asked)))
    matching = [
        MATCHES[part] for part in asked if words.get(part.partition("=")[0]) == dict(parse_qsl(part)).popitem()[1]
    ]
    wanted = filters.read(words).filter
    with engine.connect() as conn, conn.begin() as work:
        fill(conn, fleet)
        expected = [id for id in in_order(fleet, order) if all(match(id, fleet[id]) for match in matching)]
        assert walk(conn, wanted, order, 4, few=few) == expected
        if order.sort is not Sort.BATTERY:
            assert listing.count(conn, wanted, NOW) == len(expected)
            assert listing.count(conn, wanted, NOW, most=3) == min(4, len(expected))
        work.rollback()


def test_an_export_reads_all_of_it_batch_by_batch(engine: sa.Engine):
    with engine.begin() as conn:
        values = [{"id": n, "created_at": NOW, "state": "active", **placed("35 Rennes")} for n in range(2500)]
        conn.execute(sa.insert(buttons), values)
    batches = list(listing.every(engine, Filter(department="35"), NOW))
    assert [len(batch) for batch in batches] == [1000, 1000, 500]
    assert [button.id for batch in batches for button in batch] == list(range(2500))


def test_the_labels_that_there_are_are_offered_each_once(engine: sa.Engine):
    with engine.begin() as conn:
        assert listing.labels(conn) == []
        for id, label in enumerate(["b", "", "a", "b", "é", "a", "Z"]):
            conn.execute(sa.insert(buttons).values(id=id, created_at=NOW, state="active", label=label))
        assert listing.labels(conn) == ["Z", "a", "b", "é"]
        assert listing.labels(conn, most=2) == ["Z", "a"]


INDEXES = {
    Sort.PLACE: "ix_buttons_place_key_id",
    Sort.LABEL: "ix_buttons_label_id",
    Sort.HEARD: "ix_buttons_heard",
    Sort.BATTERY: "ix_buttons_low_battery",
}


@pytest.mark.parametrize("order", [Order(sort, way) for sort in Sort for way in (False, True)], ids=str)
def test_no_order_sorts_the_fleet(engine: sa.Engine, order: Order):
    with engine.begin() as conn:
        values = [
            {"id": n, "created_at": NOW, "state": "active", "battery_mv": 2000 + n, "last_seen_at": NOW, **placed("35")}
            for n in range(3000)
        ]
        conn.execute(sa.insert(buttons), values)
        if conn.dialect.name == "postgresql":
            conn.exec_driver_sql("ANALYZE buttons")
        end = listing.page(conn, Filter(), order, limit=50, now=NOW).end
        assert end is not None
        for after in (None, end):
            plan = explain(conn, listing.query(Filter(), order, NOW, after).limit(51))
            assert INDEXES.get(order.sort, "") in plan, plan
            assert "Sort" not in plan, plan
            assert "TEMP B-TREE" not in plan, plan


def explain(conn: sa.Connection, query: sa.Select) -> str:
    text = query.compile(conn, compile_kwargs={"literal_binds": True})
    word = "EXPLAIN" if conn.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
    return "\n".join(str(tuple(row)) for row in conn.exec_driver_sql(f"{word} {text}".replace("%", "%%")))


@pytest.mark.parametrize("text", ["", "~", "x~00000001", "00000001", "1~1", "-1~00000001", "9" * 40 + "~00000001"])
def test_what_is_no_place_in_the_order_is_refused(text: str):
    with pytest.raises(ValueError, match=r"place in the order|hex digits"):
        listing.position(text, Order(Sort.HEARD))
