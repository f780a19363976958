"""What is an alarm: against sums of its own distribution, and against days of chance."""

import random
from math import comb, exp, factorial

import pytest

from cloud.stamps.alarms import LEARNED, LEAST, RARE, USUAL, Sign, Tally, judge, smallest_rare


def _tail(shape: int, past: float, readings: int, x: int) -> float:
    """P(X ≥ x), term by term; for a whole `shape` the coefficients are plain binomials."""
    ratio = readings / (past + readings)
    below = sum(comb(k + shape - 1, k) * (1 - ratio) ** shape * ratio**k for k in range(x))
    return 1 - below


@pytest.mark.parametrize(("shape", "past", "readings"), [(2, 400, 100), (2, 400, 1000), (30, 6000, 300), (7, 50, 50)])
def test_the_limit_is_the_first_count_that_chance_reaches_rarely_enough(shape: int, past: int, readings: int) -> None:
    limit = smallest_rare(shape, past, readings)
    assert _tail(shape, past, readings, limit) <= RARE < _tail(shape, past, readings, limit - 1)


def test_with_a_long_past_the_limit_is_that_of_poisson() -> None:
    for mean in (1, 4, 20):
        limit = smallest_rare(1e9 * mean, 1e9, 1)
        below = [exp(-mean) * mean**k / factorial(k) for k in range(limit)]
        assert 1 - sum(below) <= RARE < 1 - sum(below[:-1])


def test_few_bad_ones_are_no_alarm_whatever_their_share() -> None:
    assert not judge(Sign.UNKNOWN_CLEAR, Tally(LEAST - 1, LEAST - 1), Tally(0, 0)).is_alarm
    assert judge(Sign.UNKNOWN_CLEAR, Tally(LEAST, LEAST), Tally(0, 0)).is_alarm


def test_a_place_that_is_always_so_is_left_alone_and_a_quiet_one_is_not() -> None:
    today = Tally(14, 1000)
    assert not judge(Sign.UNKNOWN_CLEAR, today, Tally(380, 28_000)).is_alarm
    assert judge(Sign.UNKNOWN_CLEAR, today, Tally(28, 28_000)).is_alarm


def test_nobody_teaches_a_place_that_fraud_is_usual() -> None:
    for sign in Sign:
        taught = judge(sign, Tally(0, 1000), Tally(14_000, 28_000))
        assert taught.expected <= LEARNED * USUAL[sign] * 1000


def test_a_day_of_chance_alarms_about_as_rarely_as_said_and_looking_all_day_not_much_more_often() -> None:
    """Counted at a hundred times the rate of RARE's own, or no test would see one: as seldom as 1 in 1000 is asked."""
    rare, share, readings, looks = 1e-3, 0.005, 600, 20
    noise = random.Random(1)  # the same days at every run
    days = 4000
    past = 28 * readings
    before = sum(noise.random() < share for _ in range(past))
    shape, known = 2 + before, 2 / share + past
    limits = [smallest_rare(shape, known, readings * look // looks, rare) for look in range(1, looks + 1)]
    at_the_end = at_any_look = 0
    for _ in range(days):
        bad = [0]
        for _ in range(looks):
            bad.append(bad[-1] + sum(noise.random() < share for _ in range(readings // looks)))
        at_the_end += bad[-1] >= limits[-1]
        at_any_look += any(seen >= limit for seen, limit in zip(bad[1:], limits, strict=True))
    assert at_the_end <= 2 * rare * days
    assert at_any_look <= 6 * rare * days
