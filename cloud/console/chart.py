"""The frames-a-minute chart: where each mark of it stands.

A value at time t is what was heard in the minute before t, so the line ends in the last sixty seconds and not in half a
minute that looks like a fall. Refusals are few and have their own scale below the traffic.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from cloud.frames.model import Result

MINUTE = timedelta(minutes=1)
WINDOWS = {30: 5, 60: 10, 180: 30}  # minutes shown -> minutes between the marks of the time axis
LONGEST = timedelta(minutes=max(WINDOWS))

# Four textures at most can be told apart, so refusals that call for the same look stand together.
REFUSALS = (
    ("replayed, stale", "f-bad", {Result.REPLAYED, Result.STALE}),
    ("wrong seal or key", "hatched", {Result.BAD_SEAL, Result.WRONG_GENERATION}),
    ("unknown, revoked", "f-soft", {Result.UNKNOWN_BUTTON, Result.REVOKED}),
    ("malformed, too many", "f-warn", {Result.MALFORMED, Result.OVER_BUDGET}),
)
TEXTURES = {result: texture for _, texture, results in REFUSALS for result in results}

LEFT, RIGHT = 30.0, 782.0  # pixels, of a drawing of 952 by 200
WORTH_NAMING = 3  # refusals in a minute; below that a label says less than the bars do


@dataclass(frozen=True, slots=True)
class Mark:
    """A tick of an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Scale:
    """Counts as heights, from 0 at `zero` to `top` at `high` (pixels downwards)."""

    zero: float
    high: float
    top: int

    def y(self, count: int) -> float:
        return self.zero - (self.zero - self.high) * count / self.top

    def marks(self, *counts: int) -> tuple[Mark, ...]:
        return tuple(Mark(self.y(count), str(count)) for count in counts)


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
    text: str


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
    label: str  # the chart in one sentence
    table: tuple[tuple[datetime, int, int], ...]  # minute, heard, refused; newest first


def traffic(
    minutes: Sequence[tuple[datetime, Result, int]], in_last_minute: int, now: datetime, zone: tzinfo
) -> Traffic:
    """The chart of the shortest window that holds all of `minutes`, which are counts of clock minutes up to `now`."""
    until = now.replace(second=0, microsecond=0)
    oldest = min((at for at, _, _ in minutes), default=until)
    length = next((length for length in WINDOWS if oldest >= until - length * MINUTE), max(WINDOWS))
    since = until - length * MINUTE

    heard: Counter[datetime] = Counter()
    refused: defaultdict[datetime, Counter[str]] = defaultdict(Counter)
    for at, result, count in minutes:
        if at >= since:
            heard[at] += count
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
        said = f"{most_refused} refused in the minute of {_clock(at, zone)}"
        peak = Peak(x(at), refused_scale.y(most_refused), said)

    return Traffic(
        since=since,
        until=now,
        line=" ".join(f"{px:.1f},{py:.1f}" for px, py in points),
        now_y=scale.y(in_last_minute),
        bars=tuple(bars),
        peak=peak,
        hours=tuple(
            Mark(x(at), _clock(at, zone))
            for at in ends
            if at.astimezone(zone).minute % WINDOWS[length] == 0 and LEFT + 14 < x(at) < RIGHT - 14
        ),
        counts=scale.marks(0, scale.top // 2, scale.top),
        refused_counts=refused_scale.marks(0, refused_scale.top),
        label=(
            f"Frames a minute from {_clock(since, zone)} to {_clock(now, zone)}: {in_last_minute} now, {most} at most; "
            f"{sum(stack.total() for stack in refused.values())} refused"
        ),
        table=tuple((at, heard[at], refused[at].total()) for at in sorted(heard, reverse=True)),
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


def _clock(at: datetime, zone: tzinfo) -> str:
    return f"{at.astimezone(zone):%H:%M}"
