"""What a button's link loses, from the gaps that Sigfox's sequence numbers leave between the messages that came.

A modem numbers whatever it radiates in 12 bits, and the confirmation of a downlink too. So a missing number is a
message that no station heard, but for one after an answer, which is taken for its confirmation. A gap is a figure,
never an error: our own counter decides what counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

NUMBERS = 4096  # 12 bits
A_DAY = 140  # messages that a device may send; with their confirmations 144
CONFIRMATIONS = 4
# Two messages of one modem are six seconds apart; the network tells whole seconds, so nearer ones may stand either way.
TIE = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class Numbered:
    """A message that came, with the network's number. `at` is when it was heard; `answered`: a downlink was sent."""

    at: datetime
    number: int
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Loss:
    """Of `expected` messages since `since`, `missed` were heard by no station. Confirmations are in neither."""

    expected: int = 0
    missed: int = 0
    since: datetime | None = None

    @property
    def share(self) -> float | None:
        return self.missed / self.expected if self.expected else None


def loss(messages: Iterable[Numbered]) -> Loss:
    """What was missed between `messages` of one button, in any order, each any number of times.

    They are read in the order in which they were heard. A number that goes back, or further on than a device may send
    in the time between, begins a new series: another modem, or one that was reset. So does a silence of twelve days, in
    which the numbers may have come round. What was lost in between is not known.
    """
    ordered = sorted(messages, key=lambda message: message.at)
    expected = missed = 0
    series: dict[int, bool] = {}  # the numbers that came, counted on past 4095, and whether an answer went out
    last = ordered[0].at if ordered else None
    for message in ordered:
        assert last is not None
        place = message.number
        if series:
            newest = max(series)
            step = (message.number - newest + NUMBERS // 2) % NUMBERS - NUMBERS // 2
            place = newest + step
            is_late = step < 0 and message.at - last <= TIE
            if not ((0 <= step <= (most := _most(message.at - last)) and most < NUMBERS // 2) or is_late):
                heard, lost = _count(series)
                expected, missed, series = expected + heard + lost, missed + lost, {}
                place = message.number
        series[place] = series.get(place, False) or message.answered
        last = message.at
    heard, lost = _count(series)
    return Loss(expected + heard + lost, missed + lost, ordered[0].at if ordered else None)


def _most(elapsed: timedelta) -> int:
    """By how much the number may grow in that time: two days' budgets may lie side by side."""
    return (A_DAY + CONFIRMATIONS) * (elapsed // timedelta(days=1) + 2)


def _count(series: dict[int, bool]) -> tuple[int, int]:
    """How many came, and how many are missing between the first and the last."""
    numbers = sorted(series)
    lost = 0
    for one, other in pairwise(numbers):
        gap = other - one - 1
        lost += gap - (1 if gap and series[one] else 0)
    return len(numbers), lost
