"""The figures of the overview as of a moment: what each one counts, and what is usual at this hour.

Everything here takes `now` and reads nothing that came later, so the same figures can be shown of a moment in the past.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from math import ceil, sqrt

import sqlalchemy as sa

from cloud import gauges, pages
from cloud.console import chart
from cloud.console.keeper import GAUGES, STAMPS
from cloud.frames.model import Result
from cloud.frames.tally import HOUR, MINUTE, Counts, Lag, What, lag
from cloud.pickups import past
from cloud.pickups.past import Told, Waiting

USUAL_DAYS = 14  # looked back on, at the same hour of the day
ENOUGH = 3  # of them, else nothing is usual yet
LATE = 2.5  # times as long as a gauge is taken: beyond, its figure is old
CHANCE = 2.0  # standard deviations of a count that are no news


@dataclass(frozen=True, slots=True)
class Usual:
    """The least and the most at this hour on the days before."""

    low: int
    high: int

    def says(self, count: int) -> str:
        """ "high", "low", or nothing: chance alone moves a count by its square root (Poisson).

        >>> usual = Usual(12, 30)
        >>> [usual.says(count) for count in (4, 6, 30, 40, 41)]
        ['low', '', '', '', 'high']
        """
        if count > self.high + CHANCE * sqrt(self.high):
            return "high"
        return "low" if count < self.low - CHANCE * sqrt(self.low) else ""


@dataclass(frozen=True, slots=True)
class Gauge:
    """A figure that is counted now and then; None: not yet."""

    value: int | None = None
    at: datetime | None = None
    is_stale: bool = False


@dataclass(frozen=True, slots=True)
class Strip:
    """The strip over the overview.

    Its last hour is sixty minutes of the clock, of which the last goes as far as it has come.
    """

    last_minute: int
    usual_minute: Usual | None
    results: Counter[str]  # of the last hour
    usual_refused: Usual | None
    lag: Lag | None  # of the last hour
    waiting: Waiting
    confirmed: Told
    collected: Told
    put_on_round: Told
    stamps_live: Gauge
    pool: Gauge
    is_behind: bool  # the counts of frames are as of `as_of`
    as_of: datetime

    @property
    def heard(self) -> int:
        return self.results.total()

    @property
    def accepted(self) -> int:
        return self.results[Result.ACCEPTED]

    @property
    def refused(self) -> int:
        return refused(self.results)

    @property
    def judged(self) -> int:
        """Accepted or refused: a copy is neither."""
        return self.accepted + self.refused

    @property
    def refusals(self) -> tuple[tuple[chart.Refusal, int], ...]:
        return tuple((one, sum(self.results[result] for result in one.reasons)) for one in chart.REFUSALS)


def strip(conn: sa.Connection, counts: Counts) -> Strip:
    now = counts.now
    hour_ago = MINUTE.start(now) - 59 * MINUTE.length
    usual = [hour for hour in counts.in_hours(What.RESULT, usual_hours(now)).values() if hour]
    events = past.happened(conn, midnight(now), now)
    stamps = gauges.newest(conn, STAMPS, now)
    return Strip(
        last_minute=counts.in_last_minute(),
        usual_minute=_usual([hour.total() for hour in usual], per=60),
        results=counts.since(What.RESULT, hour_ago),
        usual_refused=_usual([refused(hour) for hour in usual]),
        lag=lag(counts.since(What.LAG, hour_ago), counts.since(What.LAG_S, hour_ago)),
        waiting=past.waiting(conn, now),
        confirmed=events.get("confirmed", Told()),
        collected=events.get("collected", Told()),
        put_on_round=events.get("put on round", Told()),
        stamps_live=_gauge(stamps, "live", now),
        pool=_gauge(stamps, "minted", now),
        is_behind=counts.is_behind,
        as_of=counts.as_of,
    )


def minutes(counts: Counts) -> list[tuple[datetime, Result, int]]:
    """For the chart: how many frames ended with which result in each minute that it can show."""
    since = MINUTE.start(counts.now) - chart.LONGEST - MINUTE.length
    each = counts.each_minute(What.RESULT, since)
    return [(at, Result(which), count) for at, results in sorted(each.items()) for which, count in results.items()]


def lags(counts: Counts) -> dict[datetime, Lag]:
    """From heard to kept, of each minute that the chart can show; those without an accepted frame are left out."""
    since = MINUTE.start(counts.now) - chart.LONGEST
    fine, whole = (counts.each_minute(what, since) for what in (What.LAG, What.LAG_S))
    found = {at: lag(fine.get(at, Counter()), whole.get(at, Counter())) for at in fine.keys() | whole.keys()}
    return {at: one for at, one in found.items() if one is not None}


def refused(results: Counter[str]) -> int:
    return sum(count for result, count in results.items() if result in chart.TEXTURES)


def midnight(now: datetime) -> datetime:
    """When the day began in Paris."""
    return start_of(today(now))


def today(now: datetime) -> date:
    return now.astimezone(pages.PARIS).date()


def start_of(day: date) -> datetime:
    """When that day begins in Paris."""
    return datetime.combine(day, time(), pages.PARIS).astimezone(UTC)


def usual_hours(now: datetime) -> list[datetime]:
    """The hour that most of the last sixty minutes lie in, as a clock in Paris has it, on each of the days before."""
    local = (now - HOUR.length / 2).astimezone(pages.PARIS).replace(minute=0, second=0, microsecond=0, tzinfo=None)
    days = (local - timedelta(days=day) for day in range(1, USUAL_DAYS + 1))
    return [day.replace(tzinfo=pages.PARIS).astimezone(UTC) for day in days]


def _usual(counts: Sequence[int], per: int = 1) -> Usual | None:
    return Usual(min(counts) // per, ceil(max(counts) / per)) if len(counts) >= ENOUGH else None


def _gauge(sample: gauges.Sample | None, which: str, now: datetime) -> Gauge:
    if sample is None:
        return Gauge()
    return Gauge(sample.values.get(which, 0), sample.at, now - sample.at > LATE * GAUGES[STAMPS].every)


# The funnel

SOON_ENDED = timedelta(days=7)  # after which little more is delivered of what was pressed on a day


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    count: int
    share: float | None  # of the step before


@dataclass(frozen=True, slots=True)
class Funnel:
    """What was pressed on a day, and how far it has come."""

    day: date
    before: date
    after: date | None
    steps: tuple[Step, ...]
    goes_on: bool

    @property
    def pressed(self) -> int:
        return self.steps[0].count


def funnel(conn: sa.Connection, now: datetime, day: date | None = None) -> Funnel:
    """Of `day`; else of the day before yesterday, when most that was pressed should have been delivered, unless
    nothing was pressed then, but later."""
    this = today(now)
    days = [this - timedelta(days=back) for back in (2, 1, 0)]
    if day is None:
        day = next((one for one in days if past.any_pressed(conn, start_of(one), _end_of(one))), this)
    reached = past.funnel(conn, start_of(day), _end_of(day), now)
    counts = [reached[name] for name in past.STEPS]
    shares = [None, *(count / before if before else None for before, count in pairwise(counts))]
    return Funnel(
        day=day,
        before=day - timedelta(days=1),
        after=day + timedelta(days=1) if day < this else None,
        steps=tuple(Step(*one) for one in zip(past.STEPS, counts, shares, strict=True)),
        goes_on=now < _end_of(day) + SOON_ENDED,
    )


def _end_of(day: date) -> datetime:
    return start_of(day + timedelta(days=1))
