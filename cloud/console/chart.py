"""The frames-a-minute chart: where each mark of it stands.

A value at time t is what was heard in the minute before t, so the line ends in the last sixty seconds and not in half a
minute that looks like a fall. Refusals are few and have their own scale below the traffic.
"""

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
REFUSED = frozenset().union(*(results for _, _, results in REFUSALS))

# Pixels of the drawing, 952 by 200.
LEFT, RIGHT = 30.0, 782.0
TRAFFIC_ZERO, TRAFFIC_HIGH = 116.0, 8.0
REFUSED_ZERO, REFUSED_HIGH = 180.0, 136.0


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    texture: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A tick of an axis, or the label of the highest bar."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Traffic:
    since: datetime
    until: datetime
    line: str  # the points of a polyline
    bars: tuple[Bar, ...]
    now_y: float
    hours: tuple[Mark, ...]
    scale: tuple[Mark, ...]
    refused_scale: tuple[Mark, ...]
    peak: Mark | None
    peak_y: float
    label: str  # the chart in one sentence
    table: tuple[tuple[datetime, int, int], ...]  # minute, heard, refused; newest first


def traffic(
    minutes: Sequence[tuple[datetime, Result, int]], in_last_minute: int, now: datetime, zone: tzinfo
) -> Traffic:
    """The chart of the shortest window that holds all of `minutes`, which are counts of clock minutes up to `now`."""
    until = now.replace(second=0, microsecond=0)
    oldest = min((at for at, _, _ in minutes), default=until)
    length = next((length for length in WINDOWS if oldest > until - length * MINUTE), max(WINDOWS))
    since = until - length * MINUTE

    heard: dict[datetime, int] = {}
    refused: dict[datetime, dict[str, int]] = {}
    for at, result, count in minutes:
        if at < since - MINUTE:
            continue
        heard[at] = heard.get(at, 0) + count
        for _, texture, results in REFUSALS:
            if result in results:
                stack = refused.setdefault(at, {})
                stack[texture] = stack.get(texture, 0) + count
    totals = {at: sum(stack.values()) for at, stack in refused.items()}

    top = _round_up(max([in_last_minute, *heard.values()]))
    refused_top = _round_up(max(totals.values(), default=0))

    def x(at: datetime) -> float:
        return LEFT + (RIGHT - LEFT) * max(0.0, (at - since) / (now - since))

    def y(count: int) -> float:
        return TRAFFIC_ZERO - (TRAFFIC_ZERO - TRAFFIC_HIGH) * count / top

    def refused_y(count: int) -> float:
        return REFUSED_ZERO - (REFUSED_ZERO - REFUSED_HIGH) * count / refused_top

    ends = [since + i * MINUTE for i in range(length + 1)]
    points = [(x(end), y(heard.get(end - MINUTE, 0))) for end in ends] + [(RIGHT, y(in_last_minute))]
    bars = []
    for at, stack in sorted(refused.items()):
        if at < since:
            continue
        left, right, below = x(at), min(x(at + MINUTE), RIGHT), 0
        for _, texture, _ in REFUSALS:
            if count := stack.get(texture):
                high, low = refused_y(below + count), refused_y(below)
                bars.append(Bar(left, high, max(1.0, right - left - 0.8), low - high, texture))
                below += count

    worst = max(totals, key=lambda at: (totals[at], at), default=None)
    peak = None
    if worst is not None and totals[worst] >= 3:  # below that a label says less than the bars do
        peak = Mark(x(worst), f"{totals[worst]} refused in the minute of {_clock(worst, zone)}")
    return Traffic(
        since=since,
        until=now,
        line=" ".join(f"{px:.1f},{py:.1f}" for px, py in points),
        bars=tuple(bars),
        now_y=y(in_last_minute),
        hours=tuple(
            Mark(x(at), _clock(at, zone))
            for at in ends
            if at.astimezone(zone).minute % WINDOWS[length] == 0 and LEFT + 14 < x(at) < RIGHT - 14
        ),
        scale=tuple(Mark(y(count), str(count)) for count in (0, top // 2, top)),
        refused_scale=tuple(Mark(refused_y(count), str(count)) for count in (0, refused_top)),
        peak=peak,
        peak_y=refused_y(totals[worst]) if worst is not None else REFUSED_ZERO,
        label=(
            f"Frames a minute from {_clock(since, zone)} to {_clock(now, zone)}: {in_last_minute} now, "
            f"{max([in_last_minute, *heard.values()])} at most; {sum(totals.values())} refused"
        ),
        table=tuple((at, heard[at], totals.get(at, 0)) for at in sorted(heard, reverse=True)),
    )


def _round_up(count: int) -> int:
    """The end of a scale: the next of 4, 8, 10, 20, 40, 80, 100, 200, …, whose halves are whole."""
    power = 1
    while True:
        for digit in (4, 8, 10, 20):
            if count <= digit * power:
                return digit * power
        power *= 10


def _clock(at: datetime, zone: tzinfo) -> str:
    return f"{at.astimezone(zone):%H:%M}"
