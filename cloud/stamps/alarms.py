"""Whether a place shows more bad codes than chance explains.

Of the readings of a place some are bad without any fraud: a hand that no reader reads, a parcel sent on with an old
code. That share is the place's own, so today is held against the place's last days. With `a` bad ones usual in
`a / usual` readings before anything is known (a gamma prior), and E bad among R readings since, the count today among n
readings is negative binomial: a Poisson count whose rate is known only as well as E and R tell it. The alarm is at the
smallest count that chance reaches with probability RARE or less, and never below LEAST.

A place cannot teach its way out of an alarm: of its own past no more than LEARNED times the usual share is believed.
Looking again and again through a day finds a chance run somewhat more often than looking once at its end;
tests/cloud/stamps/test_alarms.py counts both.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import exp, lgamma, log, log1p

RARE = 1e-5  # for a place, a day and a sign: 100 places with three signs have one false alarm a year at most
LEAST = 5  # bad ones a day; fewer are no alarm, whatever the share: a village office has bad days
PRIOR = 2.0  # bad ones that the usual share stands for: a new place is soon judged by itself
LEARNED = 5.0  # times the usual share
DAYS = 28  # of the past that count


class Sign(StrEnum):
    """What is counted."""

    UNKNOWN_CLEAR = "unknown clear"  # well written, and no stamp of ours: invented, or guessed
    ALREADY_USED = "already used"  # copied, or handed on
    NEAR_SPENT = "near a spent one"  # unknown, and one symbol from a spent code: a used stamp, altered


# Shares of all readings before a place has a past of its own. Assumed, not measured: no post has used this yet.
USUAL = {Sign.UNKNOWN_CLEAR: 0.005, Sign.ALREADY_USED: 0.002, Sign.NEAR_SPENT: 0.0005}


@dataclass(frozen=True, slots=True)
class Tally:
    """So many bad ones among so many readings."""

    bad: int
    readings: int


@dataclass(frozen=True, slots=True)
class Finding:
    """How today compares: `expected` is what chance gives on average, `limit` the count that it hardly ever reaches."""

    sign: Sign
    today: Tally
    expected: float
    limit: int

    @property
    def is_alarm(self) -> bool:
        return self.today.bad >= self.limit


def judge(sign: Sign, today: Tally, before: Tally) -> Finding:
    """`before`: of the same place, the DAYS before today, without today."""
    usual = USUAL[sign]
    shape = PRIOR + min(before.bad, LEARNED * usual * before.readings)
    past = PRIOR / usual + before.readings
    limit = max(LEAST, smallest_rare(shape, past, today.readings))
    return Finding(sign, today, shape * today.readings / past, limit)


def smallest_rare(shape: float, past: float, readings: int, rare: float = RARE) -> int:
    """The smallest x with P(X ≥ x) ≤ `rare` for the negative binomial of `shape`, and mean shape · readings / past.

    >>> smallest_rare(1e9, 1e9, 1)  # as good as Poisson with mean 1, where P(X ≥ 9) = 1.1e-6 and P(X ≥ 8) = 1.02e-5
    9
    """
    if readings == 0:
        return 1
    ratio = readings / (past + readings)
    x = int(shape * readings / past)
    term = exp(_log_probability(shape, past, readings, x))
    # Upwards to where nothing is left, then back down until the tail is more than rare.
    terms = []
    while term > 1e-9 * rare * (1 - ratio):
        terms.append(term)
        term *= (shape + x) / (x + 1) * ratio
        x += 1
    tail = 0.0
    while terms and tail + terms[-1] <= rare:
        tail += terms.pop()
        x -= 1
    return x


def _log_probability(shape: float, past: float, readings: int, x: int) -> float:
    # log1p for the first factor: with a long past, past / (past + readings) is close to 1.
    none = -shape * log1p(readings / past)
    return none + lgamma(shape + x) - lgamma(shape) - lgamma(x + 1) + x * log(readings / (past + readings))
