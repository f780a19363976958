from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.accounts.attempts import PER_NAME, WINDOW, Attempts, of_address, of_name
from cloud.accounts.model import TooManyAttempts

START = datetime(2026, 11, 18, tzinfo=UTC)
CLAIRE = of_name("claire@example.org")


def test_too_many_failures_wait_until_the_first_is_forgotten() -> None:
    tries = Attempts()
    for minute in range(PER_NAME):
        tries.take([CLAIRE], START + timedelta(minutes=minute))
    with pytest.raises(TooManyAttempts) as refused:
        tries.take([CLAIRE], START + timedelta(minutes=PER_NAME))
    assert refused.value.again_at == START + WINDOW
    tries.take([CLAIRE], refused.value.again_at)


def test_who_succeeds_has_lost_nothing() -> None:
    tries = Attempts()
    for _ in range(3 * PER_NAME):
        tries.take([CLAIRE], START)
        tries.give_back([CLAIRE])


def test_a_refused_attempt_is_not_counted_for_anything_else() -> None:
    tries = Attempts()
    for _ in range(PER_NAME):
        tries.take([CLAIRE], START)
    once = ("address", 1)
    with pytest.raises(TooManyAttempts):
        tries.take([CLAIRE, once], START)
    tries.take([once], START)


def test_names_fold_and_one_name_disturbs_no_other() -> None:
    tries = Attempts()
    for _ in range(PER_NAME):
        tries.take([of_name(" CLAIRE@example.org")], START)
    with pytest.raises(TooManyAttempts):
        tries.take([CLAIRE], START)
    tries.take([of_name("paul@example.org")], START)


def test_an_ipv6_network_counts_as_one_address() -> None:
    assert of_address("2001:db8:1:2::1") == of_address("2001:db8:1:2:ffff::9")
    assert of_address("2001:db8:1:2::1") != of_address("2001:db8:1:3::1")
    assert of_address("192.0.2.1") != of_address("192.0.2.2")
    assert of_address("testclient") == of_address("testclient")


def test_the_memory_is_bounded() -> None:
    tries = Attempts(kept=3)
    for number in range(10):
        tries.take([(f"name {number}", 1)], START)
    assert len(tries._taken) == 3


@given(st.lists(st.integers(0, 3600), max_size=80).map(sorted))
def test_no_window_ever_holds_more_than_the_limit(seconds: list[int]) -> None:
    tries, heard, again = Attempts(), [], []
    for moment in (START + timedelta(seconds=second) for second in seconds):
        try:
            tries.take([CLAIRE], moment)
            heard.append(moment)
        except TooManyAttempts as refused:
            again.append((moment, refused.again_at))
    assert all(moment < again_at <= moment + WINDOW for moment, again_at in again)
    for moment in heard:
        assert sum(moment - WINDOW < other <= moment for other in heard) <= PER_NAME
