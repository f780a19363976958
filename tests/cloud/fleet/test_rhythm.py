from datetime import UTC, datetime, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.fleet.rhythm import (
    BOUND,
    FEWEST,
    MOST,
    Cause,
    Facts,
    Neighbours,
    Verdict,
    Word,
    chance_of_loss,
    habit,
    judge,
    missed_words,
    next_heartbeat,
    patience,
    step,
    strip,
)

NOW = datetime(2026, 11, 20, 9, 42, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
DEADNESS = {Verdict.ALIVE: 0, Verdict.UNUSED: 0, Verdict.LATE: 1, Verdict.SILENT: 2}
HEARD = Neighbours("35", 40, 38)
QUIET = Neighbours("35", 40, 2)

hours = st.integers(1, 168)
spans = st.timedeltas(timedelta(0), timedelta(days=400))
counts = st.tuples(st.integers(0, 500), st.integers(0, 500)).map(sorted)


def ago(span: timedelta, **other: object) -> Facts:
    return Facts(last_seen_at=NOW - span, **other)  # pyright: ignore[reportArgumentType]


@given(spans, spans, hours, counts)
def test_longer_silence_never_makes_a_button_more_alive(one, other, hours, counts):
    shorter, longer = sorted((one, other))
    lost, sent = counts
    judged = [judge(ago(span, hours=hours, lost=lost, sent=sent), NOW) for span in (shorter, longer)]
    assert DEADNESS[judged[0].verdict] <= DEADNESS[judged[1].verdict]
    assert judged[0].missed <= judged[1].missed


@given(spans, hours, st.integers(0, 500), st.integers(0, 500), st.integers(0, 500))
def test_a_worse_link_never_makes_a_button_silent_sooner(span, hours, sent, one, other):
    better, worse = sorted((min(one, sent), min(other, sent)))
    judged = [judge(ago(span, hours=hours, lost=lost, sent=sent), NOW) for lost in (better, worse)]
    assert DEADNESS[judged[0].verdict] >= DEADNESS[judged[1].verdict]
    assert judged[0].silent_at <= judged[1].silent_at  # pyright: ignore[reportOperatorIssue]


@given(st.floats(0.0001, 0.9999))
def test_a_button_is_called_silent_when_chance_explains_it_no_more(loss):
    words = patience(loss)
    assert FEWEST <= words <= MOST
    assert words == MOST or loss**words <= BOUND * (1 + 1e-9)
    assert words == FEWEST or loss ** (words - 1) > BOUND * (1 - 1e-9)


@given(spans, hours, counts)
def test_the_verdict_turns_at_the_moments_that_it_tells(span, hours, counts):
    facts = ago(span, hours=hours, lost=counts[0], sent=counts[1])
    told = judge(facts, NOW)
    assert told.due_at is not None
    assert told.silent_at is not None
    assert (told.verdict is Verdict.ALIVE) == (told.due_at > NOW)
    assert (told.verdict is Verdict.SILENT) == (told.silent_at <= NOW)
    assert judge(facts, told.silent_at).verdict is Verdict.SILENT
    assert judge(facts, told.silent_at - timedelta(seconds=1)).verdict is Verdict.LATE


@given(st.integers(0, 500), st.integers(0, 500))
def test_the_chance_of_a_loss_is_never_nought_and_never_certain(lost, heard):
    assert 0 < chance_of_loss(lost, lost + heard) < 1


def test_dead_is_told_from_unused():
    unused = judge(ago(9 * HOUR, has_pressed=False), NOW)
    dead = judge(ago(9 * DAY, has_pressed=False), NOW)
    assert (unused.verdict, dead.verdict) == (Verdict.UNUSED, Verdict.SILENT)
    assert "nothing is wrong" in str(unused.reasons[0])


def test_a_period_of_a_week_is_waited_for():
    assert judge(ago(6 * DAY, hours=168), NOW).verdict is Verdict.ALIVE
    assert judge(ago(6 * DAY, hours=24), NOW).verdict is Verdict.SILENT
    assert missed_words(NOW - 16 * DAY, 168, NOW) == 2


@pytest.mark.parametrize(
    ("known", "cause", "said"),
    [
        ({"neighbours": QUIET, "battery_is_low": True}, Cause.RADIO_THERE, "the radio there, not the button"),
        ({"neighbours": HEARD, "battery_is_low": True, "battery_mv": 2750}, Cause.BATTERY, "likely the battery"),
        ({"neighbours": HEARD, "lost": 50, "sent": 100}, Cause.WEAK_LINK, "weak before"),
        ({"neighbours": HEARD, "battery_mv": 3000}, Cause.REMOVED, "taken away, or it broke"),
        ({"neighbours": Neighbours("48", 2, 0)}, Cause.UNKNOWN, "cannot be told"),
        ({"is_claimed": False}, Cause.UNKNOWN, "lie in its box"),
    ],
)
def test_a_silence_is_told_with_its_likely_cause_and_the_reasons(known, cause, said):
    judged = judge(ago(30 * DAY, **known), NOW)
    assert (judged.verdict, judged.cause) == (Verdict.SILENT, cause)
    assert said in " ".join(map(str, judged.reasons))


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"has_board": False}, "No board was given its key"),
        ({"is_claimed": False}, "not installed yet"),
        ({}, "no station ever heard it"),
    ],
)
def test_one_that_was_never_heard_is_told_by_how_far_it_came(known, said):
    judged = judge(Facts(last_seen_at=None, **known), NOW)
    assert judged.verdict is Verdict.NEVER_HEARD
    assert said in str(judged.reasons[0])


def test_a_revoked_button_is_not_called_silent():
    assert judge(ago(90 * DAY, is_revoked=True), NOW).verdict is Verdict.REVOKED


def nights(*back: int) -> list[Word]:
    """A heartbeat at half past midnight in UTC, so many days ago."""
    return [Word(NOW.replace(hour=0, minute=30) - days * DAY, "alive") for days in back]


def test_the_strip_marks_what_was_heard_missed_pressed_and_due():
    words = [*nights(6, 5, 3, 2, 1, 0), Word(NOW - 2 * DAY, "pickup")]
    days = strip(words, [(NOW - 90 * DAY, 24)], NOW, UTC, days=9)
    marks = [("due" if day.due else "missed" if day.missed else day.heartbeats) for day in days]
    assert marks == [0, 1, 1, "missed", 1, 1, 1, 1, "due"]
    assert [day.presses for day in days] == [0, 0, 0, 0, 0, 1, 0, 0, 0]


def test_a_longer_period_misses_nothing_in_between():
    words = nights(14, 7, 0)
    assert not any(day.missed for day in strip(words, [(NOW - 90 * DAY, 168)], NOW, UTC))
    assert next_heartbeat(words, [(NOW - 90 * DAY, 168)]) == words[-1].at + 7 * DAY


def test_a_period_that_was_changed_counts_from_its_change():
    words = nights(20, 13, 6, 5, 4, 2, 1, 0)
    days = strip(words, [(NOW - 90 * DAY, 168), (NOW - 6.5 * DAY, 24)], NOW, UTC)
    assert [(NOW.date() - day.date).days for day in days if day.missed] == [3]


@given(st.lists(st.tuples(spans, st.sampled_from(["alive", "boot", "pickup", "cancel"])), max_size=60), hours)
def test_the_strip_holds_for_any_past(told, hours):
    words = [Word(NOW - span, kind) for span, kind in told]
    days = strip(words, [(NOW - 400 * DAY, hours)], NOW, UTC)
    assert len(days) == 42
    assert all(other.date - one.date == DAY for one, other in pairwise(days))
    assert sum(day.due for day in days) <= 1
    assert not any(day.missed and day.heartbeats for day in days)
    assert sum(day.presses for day in days) <= sum(word.kind == "pickup" for word in words)


def test_a_habit_is_told_only_where_there_is_one():
    evenings = [Word(datetime(2026, 10, day, 18, tzinfo=UTC), "pickup") for day in (6, 7, 13, 14, 20, 21, 28)]
    found = habit([*nights(*range(10)), *evenings], UTC)
    assert found.between == (time(0, 30), time(0, 30))
    assert (found.days, found.weekdays) == (3.5, (1, 2))
    assert habit([], UTC).between is None
    scattered = [Word(NOW - n * 31 * HOUR, "alive") for n in range(12)]
    assert habit(scattered, UTC).between is None


def test_a_night_that_crosses_midnight_is_one_stretch():
    words = [Word(NOW.replace(hour=hour, minute=minute) - n * DAY, "alive") for n, (hour, minute) in enumerate(
        [(23, 50), (0, 5), (23, 58), (0, 12), (0, 1), (23, 55)])]  # fmt: skip
    assert habit(words, UTC).between == (time(23, 50), time(0, 5))


def test_a_step_allows_for_the_boards_own_clock():
    assert step(24) == timedelta(hours=25, minutes=12)
