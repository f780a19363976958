"""The drawings of a button's page: where each mark of the rhythm strip, the battery and the link stands, in pixels."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

from cloud.fleet.battery import Outlook, Reading
from cloud.fleet.rhythm import Day
from cloud.frames.history import LinkDay

DAY = timedelta(days=1)
WIDTH = 620.0  # of the strip
LEFT, RIGHT, TOP, FOOT = 44.0, 590.0, 8.0, 172.0  # of the battery's and the link's drawing
MOST_POINTS = 240  # of a line
LONGEST_PAST, LONGEST_AHEAD = 550, 1100  # days drawn: beyond that the words say it


@dataclass(frozen=True, slots=True)
class Cell:
    """A day of the strip."""

    x: float
    width: float
    day: Day
    begins_week: bool

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


def strip_cells(days: Sequence[Day]) -> list[Cell]:
    pitch = WIDTH / len(days)
    return [Cell(i * pitch + 1, pitch - 3, day, day.date.weekday() == 0) for i, day in enumerate(days)]


@dataclass(frozen=True, slots=True)
class Tick:
    at: float
    when: date


@dataclass(frozen=True, slots=True)
class Level:
    y: float
    volts: float


@dataclass(frozen=True, slots=True)
class BatteryChart:
    line: str  # a path: what was said
    guess: str  # a polyline: the median of what is ahead, empty where too little is known
    band: str  # a polygon around it
    now_x: float
    now_y: float
    stop_y: float
    levels: tuple[Level, ...]
    months: tuple[Tick, ...]
    coldest: tuple[float, float, Reading] | None


def battery_chart(readings: Sequence[Reading], outlook: Outlook, now: datetime, zone: tzinfo) -> BatteryChart:
    """`readings` oldest first, at least one."""
    begin = max(readings[0].at, now - LONGEST_PAST * DAY)
    ahead = min(max(outlook.high or 0, 30), LONGEST_AHEAD) if outlook.path else 30
    end = now + ahead * DAY
    kept = [one for one in readings if one.at >= begin]
    tops = [one.mv for one in kept] + [round(high) for _, _, _, high in outlook.path[:1]]
    low_mv = (min(min(tops, default=outlook.stop_mv), outlook.stop_mv) - 100) // 500 * 500
    high_mv = -(-(max(tops, default=outlook.stop_mv) + 20) // 500) * 500

    def x(at: datetime) -> float:
        return LEFT + (RIGHT - LEFT) * ((at - begin) / (end - begin))

    def y(mv: float) -> float:
        return FOOT - (FOOT - TOP) * (max(mv, low_mv) - low_mv) / (high_mv - low_mv)

    points = [(x(one.at), y(one.mv)) for one in _thinned(kept)]
    line = f"M{points[0][0]:.1f} {points[0][1]:.1f}" + "".join(f"H{px:.1f}V{py:.1f}" for px, py in points[1:])
    path = [point for point in outlook.path if point[0] <= end]
    coldest = min(kept, key=lambda one: one.temperature_c)
    return BatteryChart(
        line=line + f"H{x(now):.1f}",
        guess=" ".join(f"{x(at):.1f},{y(mv):.1f}" for at, mv, _, _ in _until(path, outlook.stop_mv)),
        band=" ".join(
            [f"{x(at):.1f},{y(low):.1f}" for at, _, low, _ in path]
            + [f"{x(at):.1f},{y(high):.1f}" for at, _, _, high in reversed(path)]
        ),
        now_x=x(now),
        now_y=y(outlook.now_mv),
        stop_y=y(outlook.stop_mv),
        levels=tuple(Level(y(mv), mv / 1000) for mv in range(low_mv, high_mv + 1, 500)),
        months=tuple(Tick(x(at), at.date()) for at in _months(begin, end, zone) if LEFT + 18 < x(at) < RIGHT - 14),
        coldest=(x(coldest.at), y(coldest.mv), coldest) if coldest.temperature_c <= 3 and len(kept) > 30 else None,
    )


def _until(
    path: Sequence[tuple[datetime, float, float, float]], stop_mv: int
) -> Sequence[tuple[datetime, float, float, float]]:
    """Up to the first point where the median has come to the stop."""
    end = next((i for i, point in enumerate(path) if point[1] <= stop_mv), len(path))
    return path[: end + 1]


def _thinned(readings: Sequence[Reading]) -> list[Reading]:
    """Every so manieth, and the last."""
    every = -(-len(readings) // MOST_POINTS)
    return [*readings[:-1:every], readings[-1]]


def _months(begin: datetime, end: datetime, zone: tzinfo) -> list[datetime]:
    """The firsts of months between, at most eight."""
    first = begin.astimezone(zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    firsts = []
    while first <= end:
        firsts.append(first)
        first = (first + 32 * DAY).replace(day=1)
    every = next((n for n in (1, 2, 3, 6, 12) if len(firsts) / n <= 8), 24)
    return [one for one in firsts if (one.month - 1) % min(every, 12) == 0 and (every <= 12 or one.year % 2 == 0)]


@dataclass(frozen=True, slots=True)
class LinkMark:
    """A day: a dot at its best signal, a tail of `tail` pixels for its stations."""

    x: float
    y: float
    tail: float
    day: LinkDay


@dataclass(frozen=True, slots=True)
class LinkChart:
    marks: tuple[LinkMark, ...]
    lost: tuple[Tick, ...]
    weeks: tuple[Tick, ...]
    good_y: float
    limit_y: float


GOOD_DBM, LIMIT_DBM = -122, -135  # Sigfox's classes in Europe: above, between, below
STATION_PX, MOST_STATIONS = 7.0, 6
LINK_FOOT = 134.0


def link_chart(days: Sequence[LinkDay], strip: Sequence[Day]) -> LinkChart:
    """Over the days of `strip`, which also knows which of them were missed."""
    first, count = strip[0].date, len(strip)
    shown = [day for day in days if day.date >= first]
    top = max([-108.0, *(day.rssi + 3 for day in shown)])
    foot = min([-148.0, *(day.rssi - 3 for day in shown)])

    def x(on: date) -> float:
        return LEFT + (RIGHT - LEFT) * ((on - first).days + 0.5) / count

    def y(dbm: float) -> float:
        return LINK_FOOT - (LINK_FOOT - 20) * (dbm - foot) / (top - foot)

    heard = {day.date for day in shown}
    return LinkChart(
        marks=tuple(
            LinkMark(x(day.date), y(day.rssi), STATION_PX * min(day.stations, MOST_STATIONS), day) for day in shown
        ),
        lost=tuple(Tick(x(day.date), day.date) for day in strip if day.missed and day.date not in heard),
        weeks=tuple(Tick(x(day.date), day.date) for day in strip if day.date.weekday() == 0),
        good_y=y(GOOD_DBM),
        limit_y=y(LIMIT_DBM),
    )


def heard_days(days: Collection[Day]) -> tuple[int, int, int]:
    """Of the strip, for its sentence: heartbeats heard, days missed, presses."""
    return (
        sum(day.heartbeats for day in days),
        sum(day.missed for day in days),
        sum(day.presses for day in days),
    )
