"""How long a battery will last, from what a button said of its voltage, with a range that is honest about it.

A voltage says little: a lithium cell stays flat until shortly before its end, the cold lowers it, the wire carries
steps of 50 mV, and each board's divider and converter are off by some per cent of their own. So nothing is read off a
straight line. Every pair of (share used when the readings begin, days that a whole battery lasts) is a way the battery
may have gone; the readings, a median a week, say how likely each is, and what the button's wakes take by docs/power.md
says it before there are readings. What is told is the median of the days left and the range that holds 95 of 100.

The discharge curves are our reading of the data sheets that docs/power.md names, over the charge that is usable there:
0 is full, 1 is where the board stops. Offset and cold are weighed out as a Gaussian of known size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from statistics import median
from typing import Any


class Pack(StrEnum):
    """The batteries of docs/power.md."""

    LITHIUM = "2 × AA lithium"
    ALKALINE = "3 × AA alkaline"
    LI_ION = "18650 Li-ion"


@dataclass(frozen=True, slots=True)
class Curve:
    """`at` shares of the usable charge the pack has `mv`; the last is where the board stops. `likely` beforehand."""

    usable_mah: float
    at: tuple[float, ...]
    mv: tuple[int, ...]
    likely: float

    @property
    def stop_mv(self) -> int:
        return self.mv[-1]


CURVES = {
    # Energizer L91: 1.8 V fresh, flat at 1.5 to 1.4 V a cell; the module wants 2.7 V.
    Pack.LITHIUM: Curve(
        3000 * 0.85, (0, 0.02, 0.08, 0.5, 0.8, 0.93, 1), (3500, 3250, 3080, 2970, 2890, 2810, 2700), 0.8
    ),
    # Energizer E91: a slope down to 1.2 V a cell.
    Pack.ALKALINE: Curve(2500 * 0.6, (0, 0.1, 0.5, 1), (4750, 4350, 3950, 3600), 0.1),
    # From 4.2 to 3.4 V.
    Pack.LI_ION: Curve(3000 * 0.85, (0, 0.1, 0.5, 0.85, 1), (4200, 4050, 3780, 3600, 3400), 0.1),
}

# mAh, by Wi-Fi and by Sigfox: the table of docs/power.md, which a test holds this to. Nothing on the wire tells which
# link a board has, so a use lies between the two.
ASLEEP = 0.28, 0.32  # a day
HEARTBEAT = 0.05, 0.21
LISTENED = 0.21, 0.87  # a heartbeat that listens
PRESSED = 0.08, 0.89  # answered
OTHER_USE = 2.0  # the factor by which a board may use more or less: far from its access point, in the cold
TAIL = 3.0  # degrees of freedom of that, Student's t: a DevKit takes a hundred times as much, and readings may say so

STEP_MV = 50  # of the wire
NOISE_MV = 35.0  # of a week's median: half a step, and how hard the last wake was
OFFSET_MV = 60.0  # of a board: its divider and converter, 2 %
SHAPE_MV, SHAPE_DAYS = 35.0, 90.0  # of a curve: how far a pack may go beside it, and for how long
COLD_MV = 3.0, 2.0  # a degree below 20 °C lowers the pack by so much, give or take: our estimate
WARM_C = 20
LOW_MV = 2800  # what two lithium cells have left at a twentieth of their life: change them on the next visit
CHANGED_MV = 200  # a rise that lasts is a new battery
FEWEST_DAYS = 14  # of readings, before anything is said
TOO_WIDE = 8.0  # a range of more than so many times its lower end says nothing,
SOON_DAYS = 200  # unless its upper end is this near
RANGE = 0.025, 0.5, 0.975  # of the days left; told as "likely", because the curves are our reading of data sheets
LIFE_DAYS = 20.0, 15 * 365.25  # a DevKit on two cells; beyond that cells have a life of their own
MEDIANS = 52  # at most: more add nothing that the curve's own doubt would not drown
WEEK = timedelta(weeks=1)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Reading:
    at: datetime
    mv: int
    temperature_c: int


@dataclass(frozen=True, slots=True)
class Use:
    """A day's words on average."""

    heartbeats: float = 1.0
    listening: float = 0.5  # of these
    presses: float = 0.1

    @property
    def mah(self) -> tuple[float, float]:
        """What that takes by Wi-Fi and by Sigfox.

        >>> [round(mah, 2) for mah in Use(1, 0.45, 1).mah]
        [0.48, 1.72]
        """
        silent = self.heartbeats - self.listening
        wifi, sigfox = (
            ASLEEP[link] + silent * HEARTBEAT[link] + self.listening * LISTENED[link] + self.presses * PRESSED[link]
            for link in (0, 1)
        )
        return wifi, sigfox


@dataclass(frozen=True, slots=True)
class Outlook:
    """`days` are left, between `low` and `high`; all None where too little is known. `path`: when, and mV of the three.

    `since` is when these batteries were first heard of; `changed` whether they were new then.
    """

    pack: Pack
    since: datetime
    changed: bool
    now_mv: int
    temperature_c: int
    days: int | None = None
    low: int | None = None
    high: int | None = None
    path: tuple[tuple[datetime, float, float, float], ...] = ()

    @property
    def stop_mv(self) -> int:
        return CURVES[self.pack].stop_mv

    @property
    def low_mv(self) -> int:
        return self.stop_mv + LOW_MV - CURVES[Pack.LITHIUM].stop_mv

    @property
    def is_low(self) -> bool:
        return is_low(self.now_mv, self.temperature_c, self.stop_mv)


def is_low(mv: int, temperature_c: int, stop_mv: int = CURVES[Pack.LITHIUM].stop_mv) -> bool:
    """Whether a pack is near its end: it would read so at 20 °C too.

    >>> is_low(2800, 20), is_low(2800, -15), is_low(2900, 20)
    (True, False, False)
    """
    return mv + COLD_MV[0] * max(0, WARM_C - temperature_c) <= stop_mv + (LOW_MV - CURVES[Pack.LITHIUM].stop_mv)


@cache
def _grid() -> tuple[Any, Any, Any]:
    """Lives in days, shares used, and the logarithm of what each share weighs: equal shares weigh the same, however far
    apart the grid's points are. numpy is loaded here and below by who asks after a battery, not by every press.
    """
    import numpy as np

    used = np.concatenate([np.linspace(0, 0.1, 6), np.linspace(0.13, 0.99, 25)])
    return np.geomspace(*LIFE_DAYS, 150), used, np.log(np.gradient(used))


def outlook(readings: Sequence[Reading], use: Use, now: datetime, *, is_new: bool = False) -> Outlook | None:
    """What is known of the battery that is in there now; None without readings.

    `is_new`: the first reading is the button's first word ever. In any order, each any number of times.
    """
    weeks = by_week(readings)
    if not weeks:
        return None
    begins = _last_change(weeks)
    changed = is_new or begins > 0
    weeks = weeks[begins:]
    last = max(readings, key=lambda one: one.at)
    pack, weights = _weigh(weeks, use, changed)
    known = {"pack": pack, "since": weeks[0].at, "changed": changed, "now_mv": last.mv}
    known["temperature_c"] = last.temperature_c
    elapsed = max(0.0, (now - weeks[0].at) / DAY)
    lives, used, _ = _grid()
    left = ((1 - used)[:, None] * lives[None, :] - elapsed).clip(min=0)
    low, days, high = (int(value) for value in _quantiles(left, weights, RANGE))
    is_over = _warmed(last) <= CURVES[pack].stop_mv
    if is_over:
        low, days, high = 0, 0, min(high, 60)
    span = (last.at - weeks[0].at) / DAY
    if not is_over and (span < FEWEST_DAYS or high > max(SOON_DAYS, TOO_WIDE * low)):
        return Outlook(**known)
    return Outlook(**known, days=days, low=low, high=high, path=_path(pack, weights, weeks, now, high))


def by_week(readings: Sequence[Reading]) -> list[Reading]:
    """The medians of weeks, or of longer spans where there are years, oldest first: one odd reading moves none."""
    if not readings:
        return []
    ordered = sorted(readings, key=lambda one: one.at)
    span = max(WEEK, (ordered[-1].at - ordered[0].at) / MEDIANS)
    groups: dict[int, list[Reading]] = {}
    for one in ordered:
        groups.setdefault((one.at - ordered[0].at) // span, []).append(one)
    return [
        Reading(some[0].at, round(median(one.mv for one in some)), round(median(one.temperature_c for one in some)))
        for some in groups.values()
    ]


def _warmed(reading: Reading) -> float:
    return reading.mv + COLD_MV[0] * max(0, WARM_C - reading.temperature_c)


def _last_change(weeks: Sequence[Reading]) -> int:
    """From which week on these batteries are in there: where the voltage rose, and stayed up for the next week too."""
    begins = 0
    for at in range(1, len(weeks)):
        rise = _warmed(weeks[at]) - _warmed(weeks[at - 1])
        stays = at + 1 == len(weeks) or _warmed(weeks[at + 1]) - _warmed(weeks[at - 1]) >= CHANGED_MV / 2
        if rise >= CHANGED_MV and stays:
            begins = at
    return begins


def _weigh(weeks: Sequence[Reading], use: Use, changed: bool) -> tuple[Pack, Any]:
    """The likeliest pack, and how likely each (share used, life) is with it: shape (shares, lives), sum 1."""
    import numpy as np

    lived, used, evenly = _grid()
    days = np.array([(one.at - weeks[0].at) / DAY for one in weeks])
    said = np.array([float(one.mv) for one in weeks])
    cold = np.array([float(max(0, WARM_C - one.temperature_c)) for one in weeks])
    apart = np.abs(days[:, None] - days[None, :])
    spread = NOISE_MV**2 * np.eye(len(weeks)) + OFFSET_MV**2 + COLD_MV[1] ** 2 * np.outer(cold, cold)
    spread += SHAPE_MV**2 * np.exp(-apart / SHAPE_DAYS)
    whiten = np.linalg.inv(np.linalg.cholesky(spread))
    gone = used[:, None, None] + days[None, None, :] / lived[None, :, None]
    wifi, sigfox = use.mah
    best: tuple[float, Pack, Any] | None = None
    for pack, curve in CURVES.items():
        # Below the stop a pack falls fast; nobody hears of it.
        expected = np.interp(gone, (*curve.at, 1.1), (*curve.mv, curve.stop_mv - 700)) - COLD_MV[0] * cold
        odd = (said - expected) @ whiten.T
        fit = -0.5 * np.sum(odd**2, axis=-1)
        lives = curve.usable_mah / np.array([sigfox * OTHER_USE, wifi / OTHER_USE])
        middle, width = np.log(lives).mean(), np.log(lives[1] / lives[0]) / 2 / 1.64  # nine of ten lie within
        before = -(TAIL + 1) / 2 * np.log1p(((np.log(lived) - middle) / width) ** 2 / TAIL)
        # New ones have lost nothing yet; of others nothing is known, but that equal shares are equally likely.
        begun = evenly - used / 0.02 if changed else evenly
        log_weights = fit + before[None, :] + begun[:, None] + np.log(curve.likely)
        top = float(log_weights.max())
        evidence = top + float(np.log(np.exp(log_weights - top).sum())) - float(np.log(np.exp(begun).sum()))
        if best is None or evidence > best[0]:
            weights = np.exp(log_weights - top)
            best = evidence, pack, weights / weights.sum()
    assert best is not None
    return best[1], best[2]


def _quantiles(values: Any, weights: Any, at: Sequence[float]) -> list[float]:
    import numpy as np

    order = np.argsort(values, axis=None)
    passed = np.cumsum(weights.ravel()[order])
    return [float(values.ravel()[order][min(np.searchsorted(passed, share), len(passed) - 1)]) for share in at]


def _path(
    pack: Pack, weights: Any, weeks: Sequence[Reading], now: datetime, days: int
) -> tuple[tuple[datetime, float, float, float], ...]:
    """The voltage from now on, as a pack at 20 °C: median, and the range that holds 95 of 100."""
    import numpy as np

    (lives, used, _), curve, points = _grid(), CURVES[pack], []
    elapsed = (now - weeks[0].at) / DAY
    for ahead in np.linspace(0, max(days, 30), 25):
        gone = used[:, None] + (elapsed + ahead) / lives[None, :]
        mv = np.interp(gone, curve.at, curve.mv)
        low, middle, high = _quantiles(mv, weights, RANGE)
        points.append((now + float(ahead) * DAY, middle, low, high))
    return tuple(points)
