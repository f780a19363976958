from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.console.chart import LEFT, RIGHT, traffic
from cloud.frames.model import Result
from cloud.pages import PARIS

NOW = datetime(2026, 11, 20, 8, 42, 18, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def at(minutes_ago: int) -> datetime:
    return NOW.replace(second=0) - minutes_ago * MINUTE


minutes = st.lists(st.tuples(st.integers(0, 181).map(at), st.sampled_from(Result), st.integers(1, 5000)), max_size=60)


@given(minutes=minutes, in_last_minute=st.integers(0, 5000))
def test_whatever_was_heard_every_mark_stands_inside_the_drawing(minutes, in_last_minute):
    chart = traffic(minutes, in_last_minute, NOW, PARIS)

    for point in chart.line.split():
        x, y = map(float, point.split(","))
        assert LEFT <= x <= RIGHT
        assert 8 <= y <= 116
    for bar in chart.bars:
        assert LEFT <= bar.x <= RIGHT
        assert 136 - 0.001 <= bar.y <= bar.y + bar.height <= 180 + 0.001


@given(minutes=minutes)
def test_the_table_counts_every_frame_of_the_window_once(minutes):
    chart = traffic(minutes, 0, NOW, PARIS)

    shown = [count for minute, _, count in minutes if minute >= chart.since]
    assert sum(results.total() for _, results in chart.table) == sum(shown)


@pytest.mark.parametrize(("oldest", "window"), [(5, 30), (45, 60), (30, 30), (181, 180)])
def test_the_window_is_the_shortest_that_holds_all_that_was_heard(oldest, window):
    chart = traffic([(at(oldest), Result.ACCEPTED, 1)], 1, NOW, PARIS)

    assert chart.until - chart.since == window * MINUTE + timedelta(seconds=18)


def test_the_highest_refusal_is_named_with_its_minute():
    chart = traffic([(at(20), Result.REPLAYED, 7), (at(10), Result.BAD_SEAL, 2)], 0, NOW, PARIS)

    assert chart.peak is not None
    assert (chart.peak.refused, chart.peak.at) == (7, at(20))


def test_a_copy_is_traffic_and_no_refusal():
    chart = traffic([(at(3), Result.DUPLICATE, 9)], 0, NOW, PARIS)

    assert chart.bars == ()
    assert chart.table == ((at(3), {Result.DUPLICATE: 9}),)
    assert chart.refused == 0
