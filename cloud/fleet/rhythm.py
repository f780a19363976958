"""Is a button well? What its silence says, by how likely that silence is: dead is told from unused, late from silent.

A button that nobody presses still says `alive` once a period, 24 hours if it was told no other. A message is lost on
the radio with some chance p, so k of them in a row with p^k: a button is called silent when fewer than one in a
thousand buttons with such a link would have missed so many by chance. That takes two nights on a good link and ten on
one that loses every second message, where "offline after N minutes" would be wrong about both.

What has become of a silent one is guessed from its neighbours: where they are not heard either, it is the radio there.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from itertools import pairwise
from statistics import median

from cloud.words import N_, Said

DEFAULT_HOURS = 24  # from one `alive` to the next, firmware/lib/domino/board.py
DRIFT = (
    1.05  # a period as the board's own clock may have it: its RC oscillator is some per cent off, and warms and cools
)
BOUND = 1 / 1000  # called silent when chance alone would have it so in fewer cases
FEWEST, MOST = 2, 10  # words missed before a button is called silent, whatever its link
USUAL_PATIENCE = 3  # of a link of which nothing is known
# What is assumed of a link before it is known: it loses one of ten messages, as if ten had been counted.
PRIOR_LOST, PRIOR_SENT = 1, 10
WEAK = 0.3  # a link that loses so many is a likely cause itself
FEWEST_NEIGHBOURS = 3  # of whom one can say that they are heard
NEIGHBOURS_QUIET = 0.5  # fewer of them heard within a day and an hour: it is the radio there
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)


class Verdict(StrEnum):
    ALIVE = "alive"
    UNUSED = "unused"  # as well, and nobody has pressed it yet
    LATE = "late"  # a word or more was missed, which still happens by chance
    SILENT = "silent"
    NEVER_HEARD = "never heard"
    REVOKED = "revoked"


class Cause(StrEnum):
    """What a silence looks like. Nobody has been there to see."""

    RADIO_THERE = "radio there"  # its neighbours are not heard either
    WEAK_LINK = "weak link"
    BATTERY = "battery"
    REMOVED = "removed or broken"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Of `of` other buttons in the same department, a sample of at most some hundreds, `heard` were heard lately."""

    department: str
    of: int = 0
    heard: int = 0

    @property
    def are_known(self) -> bool:
        return self.of >= FEWEST_NEIGHBOURS

    @property
    def are_quiet(self) -> bool:
        return self.are_known and self.heard < self.of * NEIGHBOURS_QUIET


@dataclass(frozen=True, slots=True)
class Facts:
    """What a judgement rests on. `lost` of `sent` messages were heard by no station; None is what is not known."""

    last_seen_at: datetime | None
    hours: int = DEFAULT_HOURS  # from one `alive` to the next
    is_revoked: bool = False
    is_claimed: bool = True
    has_board: bool = True  # its key was given to a board
    has_pressed: bool | None = None
    lost: int = 0
    sent: int = 0
    neighbours: Neighbours | None = None
    battery_mv: int | None = None
    battery_is_low: bool = False

    @property
    def loss(self) -> float:
        return chance_of_loss(self.lost, self.sent)


@dataclass(frozen=True, slots=True)
class Judgement:
    """`missed` words in a row at least; `due_at` the next, or the first missed; silent from `silent_at` on."""

    verdict: Verdict
    cause: Cause | None = None
    missed: int = 0
    patience: int = USUAL_PATIENCE
    due_at: datetime | None = None
    silent_at: datetime | None = None
    reasons: tuple[Said, ...] = ()


def chance_of_loss(lost: int, sent: int) -> float:
    """That a message is heard by no station, as far as one can tell from so many: the mean of a beta distribution.

    >>> chance_of_loss(0, 0), chance_of_loss(0, 90), chance_of_loss(45, 90)
    (0.1, 0.01, 0.46)
    """
    return (lost + PRIOR_LOST) / (sent + PRIOR_SENT)


def patience(loss: float) -> int:
    """How many words in a row have to be missed before chance alone is less likely than `BOUND`.

    >>> [patience(loss) for loss in (0.01, 0.05, 0.1, 0.3, 0.9)]
    [2, 3, 3, 6, 10]
    """
    if not 0 < loss < 1:
        return FEWEST if loss <= 0 else MOST
    return min(max(math.ceil(math.log(BOUND) / math.log(loss)), FEWEST), MOST)


def step(hours: int) -> timedelta:
    """The longest that a well button lets pass between two words that are heard."""
    return hours * HOUR * DRIFT


def missed_words(last_seen_at: datetime, hours: int, now: datetime) -> int:
    """How many words in a row were missed at least: after a press the next `alive` comes sooner than a period."""
    return max(0, (now - last_seen_at) // step(hours))


def judge(facts: Facts, now: datetime) -> Judgement:
    """Longer silence never makes a button more alive, and a worse link never makes it silent sooner."""
    needed = patience(facts.loss)
    if facts.is_revoked:
        return Judgement(Verdict.REVOKED, patience=needed)
    if facts.last_seen_at is None:
        return Judgement(Verdict.NEVER_HEARD, patience=needed, reasons=_never_heard(facts))
    missed = missed_words(facts.last_seen_at, facts.hours, now)
    due_at = facts.last_seen_at + step(facts.hours)
    silent_at = facts.last_seen_at + needed * step(facts.hours)
    if not missed:
        unused = facts.has_pressed is False
        verdict = Verdict.UNUSED if unused else Verdict.ALIVE
        reasons = (N_("Its heartbeats are heard, and nobody has pressed it yet: nothing is wrong."),) if unused else ()
        return Judgement(verdict, None, 0, needed, due_at, silent_at, reasons)
    if missed < needed:
        return Judgement(Verdict.LATE, None, missed, needed, due_at, silent_at, (_by_chance(facts, missed),))
    cause = _cause(facts)
    return Judgement(Verdict.SILENT, cause, missed, needed, due_at, silent_at, _silent(facts, cause, missed))


def _cause(facts: Facts) -> Cause:
    if facts.neighbours is not None and facts.neighbours.are_quiet:
        return Cause.RADIO_THERE
    if facts.battery_is_low:
        return Cause.BATTERY
    if facts.loss >= WEAK:
        return Cause.WEAK_LINK
    return Cause.REMOVED if facts.neighbours is not None and facts.neighbours.are_known else Cause.UNKNOWN


def _by_chance(facts: Facts, missed: int) -> Said:
    """How surprising the silence is."""
    lost = max(1, round(100 * facts.loss))
    if missed == 1:
        return N_(
            "One word was missed. Its link loses about %(lost)s of 100 messages, so that happens by chance.", lost=lost
        )
    power = -missed * math.log10(facts.loss)
    if power > 6:
        return N_(
            "%(missed)s words in a row were missed, at a link that loses about %(lost)s of 100 messages: that is no"
            " chance.",
            missed=missed,
            lost=lost,
        )
    return N_(
        "%(missed)s words in a row were missed. At a link that loses about %(lost)s of 100 messages, chance alone does"
        " that once in %(odds)s times.",
        missed=missed,
        lost=lost,
        odds=int(round(10**power, 1 - math.floor(power))),  # two figures are more than is known
    )


def _silent(facts: Facts, cause: Cause, missed: int) -> tuple[Said, ...]:
    said = [_by_chance(facts, missed)]
    around = facts.neighbours
    if around is None or not around.are_known:
        said.append(N_("Too few neighbours are known to tell it from its surroundings."))
    else:
        said.append(
            N_(
                "Of %(of)s neighbours in department %(department)s, %(heard)s were heard within the last day.",
                of=around.of,
                department=around.department,
                heard=around.heard,
            )
        )
    if facts.battery_mv is not None:
        volts = facts.battery_mv / 1000
        said.append(
            N_("At its last word the battery had %(volts)s V, which is low.", volts=volts)
            if facts.battery_is_low
            else N_("At its last word the battery had %(volts)s V, which is well.", volts=volts)
        )
    said.append(
        {
            Cause.RADIO_THERE: N_("So it is likely the radio there, not the button."),
            Cause.BATTERY: N_("So it is likely the battery."),
            Cause.WEAK_LINK: N_("So it is likely its radio link, which was weak before."),
            Cause.REMOVED: N_("So it was likely taken away, or it broke."),
            Cause.UNKNOWN: N_("So the cause cannot be told from here."),
        }[cause]
    )
    if not facts.is_claimed:
        said.append(N_("No customer has claimed it: it may lie in its box."))
    return tuple(said)


def _never_heard(facts: Facts) -> tuple[Said, ...]:
    if not facts.has_board:
        return (N_("No board was given its key yet, so nothing can be heard."),)
    if not facts.is_claimed:
        return (N_("Its board has the key and nobody has claimed it: it is likely not installed yet."),)
    return (N_("Its board has the key and a customer has claimed it, yet no station ever heard it: look at it there."),)


# The rhythm of one button


@dataclass(frozen=True, slots=True)
class Word:
    """An accepted uplink."""

    at: datetime
    kind: str

    @property
    def is_heartbeat(self) -> bool:
        return self.kind in ("alive", "boot")


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the strip. `due`: the next word comes on it."""

    date: date
    heartbeats: int = 0
    presses: int = 0
    missed: bool = False
    due: bool = False


# From when on which period held, oldest first: (since, hours).
Periods = Sequence[tuple[datetime, int]]


def strip(words: Sequence[Word], periods: Periods, now: datetime, zone: tzinfo, days: int = 42) -> list[Day]:
    """The last `days` days, oldest first: what was heard, and where a heartbeat should have been and was not.

    The last day is today, or tomorrow where the next word is due on it. Nothing is missed before the first word.
    """
    heartbeats = sorted(word.at for word in words if word.is_heartbeat)
    heard = Counter(at.astimezone(zone).date() for at in heartbeats)
    presses = Counter(word.at.astimezone(zone).date() for word in words if word.kind == "pickup")
    today = now.astimezone(zone).date()
    due = next_heartbeat(words, periods)
    due_on = None if due is None else max(due.astimezone(zone).date(), today)
    last = due_on if due_on is not None and due_on - today <= DAY else today
    missed = {at.astimezone(zone).date() for at in _missed(heartbeats, periods, now)} - heard.keys()
    dates = [last - timedelta(days=back) for back in range(days - 1, -1, -1)]
    return [
        Day(one, heard[one], presses[one], one in missed and one <= today, one == due_on and not heard[one])
        for one in dates
    ]


def next_heartbeat(words: Sequence[Word], periods: Periods) -> datetime | None:
    """When the next `alive` is planned; None where none was heard yet. It may lie in the past."""
    last = max((word.at for word in words if word.is_heartbeat), default=None)
    return None if last is None else last + _period(periods, last)


def _missed(heartbeats: Sequence[datetime], periods: Periods, now: datetime) -> list[datetime]:
    """When heartbeats were expected and none came, by the period that held then."""
    missed: list[datetime] = []
    for one, other in pairwise(heartbeats):
        period = _period(periods, one)
        missed += [one + i * period for i in range(1, round((other - one) / period))]
    if heartbeats:
        period = _period(periods, heartbeats[-1])
        late = (now - heartbeats[-1]) // (period * DRIFT)
        missed += [heartbeats[-1] + i * period for i in range(1, late + 1)]
    return missed


def _period(periods: Periods, at: datetime) -> timedelta:
    hours = next((hours for since, hours in reversed(periods) if since <= at), None)
    return (hours or (periods[0][1] if periods else DEFAULT_HOURS)) * HOUR


@dataclass(frozen=True, slots=True)
class Habit:
    """How a button is used. `between` is when its heartbeats come, `days` what lies between two presses."""

    between: tuple[time, time] | None = None
    days: float | None = None
    weekdays: tuple[int, ...] = ()  # Monday is 0


NARROW = 120  # minutes: heartbeats that come within so many are said to have their hour


def habit(words: Sequence[Word], zone: tzinfo) -> Habit:
    """What its newest words have in common; what they have not is None."""
    local = sorted(word.at.astimezone(zone) for word in words if word.is_heartbeat)[-15:]
    presses = sorted(word.at.astimezone(zone) for word in words if word.kind == "pickup")[-40:]
    gaps = [(other - one) / DAY for one, other in pairwise(presses)]
    every = median(gaps) if len(gaps) >= 3 else None
    weekdays: tuple[int, ...] = ()
    if len(presses) >= 6:
        most = Counter(at.weekday() for at in presses).most_common(2)
        if sum(count for _, count in most) >= 0.6 * len(presses):
            weekdays = tuple(sorted(day for day, _ in most))
    return Habit(_narrow([at.hour * 60 + at.minute for at in local]), every, weekdays)


def _narrow(minutes: Sequence[int]) -> tuple[time, time] | None:
    """The shortest stretch of the day that holds all of these times but the oddest one, where it is narrow."""
    if len(minutes) < 5:
        return None
    ordered = sorted(minutes)
    count, wanted = len(ordered), len(ordered) - 1
    stretches = [
        ((ordered[(i + wanted - 1) % count] - ordered[i]) % 1440, ordered[i], ordered[(i + wanted - 1) % count])
        for i in range(count)
    ]
    length, first, last = min(stretches)
    return (time(*divmod(first, 60)), time(*divmod(last, 60))) if length <= NARROW else None
