from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cloud.stamps.allowance import Allowance

START = datetime(2026, 3, 2, 7, 0, tzinfo=UTC)
ALLOWANCE = Allowance(burst=60, per_hour=60)


def test_a_full_bucket_lets_the_burst_out_at_once_and_then_one_a_minute() -> None:
    full_at = ALLOWANCE.after(START, 60, START)
    assert ALLOWANCE.open_again_at(full_at, START) is None  # empty to the last string: that one reading is still heard
    full_at = ALLOWANCE.after(full_at, 5, START)
    assert ALLOWANCE.open_again_at(full_at, START) == START + timedelta(minutes=5)
    assert ALLOWANCE.open_again_at(full_at, START + timedelta(minutes=5)) is None


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 30)), min_size=1, max_size=60))
def test_whoever_asks_however_tries_no_more_than_burst_and_rate_and_one_reading(asks: list[tuple[int, int]]) -> None:
    now, full_at, tried = START, START, 0
    for minutes, strings in asks:
        now += timedelta(minutes=minutes)
        if ALLOWANCE.open_again_at(full_at, now) is None:
            full_at, tried = ALLOWANCE.after(full_at, strings, now), tried + strings
        assert tried <= 60 + (now - START) / timedelta(minutes=1) + 30
