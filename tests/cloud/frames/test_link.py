"""What the gaps in Sigfox's sequence numbers say of a link."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.frames.link import NUMBERS, Loss, Numbered, loss

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def heard(*numbers: int, answered: frozenset[int] = frozenset(), step: timedelta = MINUTE) -> list[Numbered]:
    """A message a minute with these numbers."""
    return [Numbered(START + i * step, number % NUMBERS, i in answered) for i, number in enumerate(numbers)]


def test_nothing_heard_is_nothing_lost():
    assert loss([]) == Loss()
    assert Loss().share is None


@pytest.mark.parametrize(
    ("messages", "expected", "missed"),
    [
        (heard(7), 1, 0),
        (heard(7, 8, 9), 3, 0),
        (heard(7, 8, 11), 5, 2),
        (heard(4094, 4095, 0, 2), 5, 1),
        (heard(7, 9, answered=frozenset({0})), 2, 0),
        (heard(7, 10, answered=frozenset({0})), 3, 1),
        (heard(7, 8, answered=frozenset({0})), 2, 0),
        (heard(7, 7, 7, 8), 2, 0),
        (heard(3000, 0, 1), 3, 0),
        (heard(100, 0, 1), 3, 0),
        (heard(7, 2000), 2, 0),
        (heard(7, 9, step=timedelta(days=13)), 2, 0),
        (heard(7, 9, step=timedelta(days=7)), 3, 1),
    ],
    ids=[
        "one message",
        "no gap",
        "a gap of two",
        "over the top of twelve bits",
        "a confirmation",
        "a confirmation and a message",
        "an answer that was not heard",
        "repeats",
        "a modem that was reset",
        "a network that forgot its numbers",
        "further than a device may send in a minute",
        "silent for so long that the numbers may have come round",
        "silent for a week",
    ],
)
def test_a_gap_is_what_no_station_heard_but_for_confirmations_and_new_modems(messages, expected, missed):
    found = loss(messages)
    assert (found.expected, found.missed) == (expected, missed)


def test_a_message_told_within_the_second_of_its_successor_is_not_lost():
    assert loss([Numbered(START, 8), Numbered(START, 7), Numbered(START, 9)]) == Loss(3, 0, START)


@given(
    st.integers(0, NUMBERS - 1),
    st.lists(st.booleans(), min_size=1, max_size=60),
    st.data(),
)
def test_delivery_in_any_order_and_any_number_of_times_changes_no_figure(first, arrives, data):
    """Of a run of messages some are lost; the others come shuffled, each once or more."""
    sent = [Numbered(START + i * MINUTE, (first + i) % NUMBERS) for i in range(len(arrives))]
    came = [message for message, is_heard in zip(sent, arrives, strict=True) if is_heard]
    copies = [message for message in came for _ in range(data.draw(st.integers(1, 3)))]
    found = loss(data.draw(st.permutations(copies)))
    inner = arrives[arrives.index(True) : len(arrives) - arrives[::-1].index(True)] if came else []
    assert (found.expected, found.missed) == (len(inner), inner.count(False))


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, NUMBERS - 1), st.booleans()), max_size=50))
def test_whatever_numbers_come_no_more_is_missed_than_expected(raw):
    messages = [Numbered(START + timedelta(seconds=second), number, answered) for second, number, answered in raw]
    found = loss(messages)
    assert 0 <= found.missed <= found.expected
    assert found.expected - found.missed <= len(messages)
