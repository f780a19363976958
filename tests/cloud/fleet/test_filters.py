from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.fleet import filters
from cloud.fleet.filters import NEWEST, Asked, Filter, Order, Sort

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)

spans = st.builds("{}{}".format, st.integers(0, 9999), st.sampled_from("hd"))
texts = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=20)
questions = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text("0123456789abcdefABCDEF", min_size=1, max_size=8),
        "place": texts,
        "label": texts,
        "department": st.sampled_from(["35", "2A", "2a", "974"]),
        "state": st.sampled_from(["active", "revoked", "REVOKED"]),
        "claimed": st.sampled_from(["yes", "no"]),
        "battery": st.integers(1, 9999).map(str),
        "silent": spans,
        "since": spans | st.dates(date(1971, 1, 1), date(2199, 1, 1)).map(str),
        "key": st.sampled_from("0123"),
        "sort": st.builds("{}{}".format, st.sampled_from(["", "-"]), st.sampled_from(Sort)),
    },
)


@given(questions)
def test_an_address_comes_back_as_the_question_that_it_holds(said: dict[str, str]):
    asked = filters.read(said)
    assert asked.faults == {}
    assert filters.parse(asked.address()) == asked
    assert {name for name, _ in asked.filter.asked()} >= said.keys() - {"sort"}


@given(st.dictionaries(st.sampled_from([*filters._READERS, "sort", "page", "after"]), st.text(max_size=90)))
def test_no_address_breaks_it_and_what_cannot_be_read_is_told(said: dict[str, str]):
    asked = filters.read(said)
    assert filters.parse(asked.address()) == Asked(asked.filter, asked.order)
    for name in asked.faults:
        assert not getattr(asked.filter, name, "") or name == "battery"
    for _, words in asked.filter.words():
        assert str(words)


@given(questions)
def test_each_part_can_be_taken_off_alone(said: dict[str, str]):
    asked = filters.read(said)
    for name, _ in asked.filter.asked():
        less = asked.without(name)
        assert [one for one, _ in less.filter.asked()] == [one for one, _ in asked.filter.asked() if one != name]


def test_the_order_by_battery_brings_its_bound_and_goes_with_it():
    asked = Asked().by(Sort.BATTERY)
    assert asked.address() == "battery=2700&sort=battery"
    assert asked.without("battery") == Asked()
    assert filters.read({"sort": "-battery", "battery": "2400"}).address() == "battery=2400&sort=-battery"
    assert filters.read({"sort": "battery", "battery": "3000"}).filter.battery == "2700"


def test_a_column_asked_for_again_is_turned_round():
    asked = Asked()
    assert asked.order == NEWEST == Order(Sort.HEARD, descending=True)
    assert asked.by(Sort.PLACE).order == Order(Sort.PLACE, descending=False)
    assert asked.by(Sort.PLACE).by(Sort.PLACE).order == Order(Sort.PLACE, descending=True)
    assert asked.by(Sort.HEARD).order == Order(Sort.HEARD, descending=False)


@pytest.mark.parametrize(
    "text", ["", "d", "7w", "-7d", "2026-13-01", "2026-11-01T25:00", "now", "99999d", "0001-01-01"]
)
def test_what_is_no_moment_is_a_fault(text: str):
    asked = filters.read({"silent": text})
    assert (asked.filter, bool(asked.faults)) == (Filter(), bool(text))


def test_a_day_begins_in_paris_and_a_span_ends_now():
    assert filters.moment("2026-11-01", NOW) == datetime(2026, 10, 31, 23, tzinfo=UTC)
    assert filters.moment("2026-07-01T08:30", NOW) == datetime(2026, 7, 1, 6, 30, tzinfo=UTC)
    assert filters.moment("7d", NOW) == NOW - timedelta(days=7)
    assert filters.read({"silent": "7 J"}).filter.silent == "7d"
