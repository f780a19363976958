"""The frames-a-minute chart: where each mark of it stands.

A value at time t is what was heard in the minute before t, so the line ends in the last sixty seconds and not in half a
minute that looks like a fall. Refusals are few and have their own scale below the traffic.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from cloud.frames.model import Result
from cloud.words import N_, Said

MINUTE = timedelta(minutes=1)
WINDOWS = {30: 5, 60: 10, 180: 30}  # minutes shown -> minutes between the marks of the time axis
LONGEST = timedelta(minutes=max(WINDOWS))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Reasons that call for the same look, each in a word or two: no more than four textures can be told apart."""

    texture: str
    reasons: Mapping[Result, Said]


REFUSALS = (
    Refusal("f-bad", {Result.REPLAYED: N_("replayed"), Result.STALE: N_("too old")}),
    Refusal("hatched", {Result.BAD_SEAL: N_("seal wrong"), Result.WRONG_GENERATION: N_("key old")}),
    Refusal("f-soft", {Result.UNKNOWN_BUTTON: N_("unknown"), Result.REVOKED: N_("revoked")}),
    Refusal("f-warn", {Result.MALFORMED: N_("malformed"), Result.OVER_BUDGET: N_("too many")}),
)
TEXTURES = {result: one.texture for one in REFUSALS for result in one.reasons}

LEFT, RIGHT = 30.0, 782.0  # pixels, of a drawing of 790 by 200
WORTH_NAMING = 3  # refusals in a minute; below that a label says less than the bars do


@dataclass(frozen=True, slots=True)
class Mark:
    """A tick of an axis: a count, or a time of the day."""

    at: float
    value: int | datetime


@dataclass(frozen=True, slots=True)
class Scale:
    """Counts as heights, from 0 at `zero` to `top` at `high` (pixels downwards)."""

    zero: float
    high: float
    top: int

    def y(self, count: int) -> float:
        return self.zero - (self.zero - self.high) * count / self.top

    def marks(self, *counts: int) -> tuple[Mark, ...]:
        return tuple(Mark(self.y(count), count) for count in counts)


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    texture: str


@dataclass(frozen=True, slots=True)
class Peak:
    x: float
    y: float
    refused: int
    at: datetime  # the minute


@dataclass(frozen=True, slots=True)
class Traffic:
    since: datetime
    until: datetime
    line: str  # the points of a polyline
    now_y: float
    bars: tuple[Bar, ...]
    peak: Peak | None
    hours: tuple[Mark, ...]
    counts: tuple[Mark, ...]
    refused_counts: tuple[Mark, ...]
    most: int  # a minute
    refused: int  # in all
    table: tuple[tuple[datetime, Counter[Result]], ...]  # how many of each in a minute; newest first


def traffic(
    minutes: Sequence[tuple[datetime, Result, int]], in_last_minute: int, now: datetime, zone: tzinfo
) -> Traffic:
    """The chart of the shortest window that holds all of `minutes`, which are counts of clock minutes up to `now`."""
    until = now.replace(second=0, microsecond=0)
    oldest = min((at for at, _, _ in minutes), default=until)
    length = next((length for length in WINDOWS if oldest >= until - length * MINUTE), max(WINDOWS))
    since = until - length * MINUTE

    heard: Counter[datetime] = Counter()
    table: defaultdict[datetime, Counter[Result]] = defaultdict(Counter)
    refused: defaultdict[datetime, Counter[str]] = defaultdict(Counter)
    for at, result, count in minutes:
        if at >= since:
            heard[at] += count
            table[at][result] += count
            if result in TEXTURES:
                refused[at][TEXTURES[result]] += count
    most, most_refused = max([in_last_minute, *heard.values()]), max((s.total() for s in refused.values()), default=0)
    scale, refused_scale = Scale(116, 8, _round_up(most)), Scale(180, 136, _round_up(most_refused))

    def x(at: datetime) -> float:
        return LEFT + (RIGHT - LEFT) * ((at - since) / (now - since))

    ends = [since + i * MINUTE for i in range(length + 1)]
    points = [(x(end), scale.y(heard[end - MINUTE])) for end in ends] + [(RIGHT, scale.y(in_last_minute))]
    bars = []
    for at, stack in sorted(refused.items()):
        width, below = max(1.0, min(x(at + MINUTE), RIGHT) - x(at) - 0.8), 0
        for texture in stack:
            low, high = refused_scale.y(below), refused_scale.y(below := below + stack[texture])
            bars.append(Bar(x(at), high, width, low - high, texture))
    peak = None
    if most_refused >= WORTH_NAMING:
        at = max(at for at, stack in refused.items() if stack.total() == most_refused)
        peak = Peak(x(at), refused_scale.y(most_refused), most_refused, at)

    return Traffic(
        since=since,
        until=now,
        line=" ".join(f"{px:.1f},{py:.1f}" for px, py in points),
        now_y=scale.y(in_last_minute),
        bars=tuple(bars),
        peak=peak,
        hours=tuple(
            Mark(x(at), at)
            for at in ends
            if at.astimezone(zone).minute % WINDOWS[length] == 0 and LEFT + 14 < x(at) < RIGHT - 14
        ),
        counts=scale.marks(0, scale.top // 2, scale.top),
        refused_counts=refused_scale.marks(0, refused_scale.top),
        most=most,
        refused=sum(stack.total() for stack in refused.values()),
        table=tuple((at, table[at]) for at in sorted(table, reverse=True)),
    )


def _round_up(count: int) -> int:
    """The end of a scale: the next of 4, 8, 10, 20, 40, 80, 100, 200, …, whose halves are whole.

    >>> [_round_up(count) for count in (0, 4, 5, 11, 81, 1001)]
    [4, 4, 8, 20, 100, 2000]
    """
    power = 1
    while True:
        for digit in (4, 8, 10, 20):
            if count <= digit * power:
                return digit * power
        power *= 10
