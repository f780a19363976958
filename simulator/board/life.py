"""How long a battery lasts: what a day of wakes and sleep takes of it, and what it loses by itself."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from simulator.board.energy import MS_PER_HOUR, Use

DAY_MS = 24 * MS_PER_HOUR
DAYS_A_YEAR = 365.25
# Of firmware/lib/domino/budget.py: four answers in a window a little longer than a day, and a heartbeat listens only
# where nobody asked in it, the last heartbeat included.
WINDOW_DAYS = 21 / 20
ANSWERS_A_DAY = 4 / WINDOW_DAYS


class Moment(StrEnum):
    """The wakes that a button has."""

    ANSWERED = "press, answered"
    SOON_AGAIN = "press, answered, within 12 h"
    THREE = "press of 3 clicks, answered"
    UNANSWERED = "press, no answer comes"
    UNASKED = "press, the day's answers used"
    CANCEL = "cancel, answered"
    ASK = "ask, answered"
    LISTENING = "heartbeat that listens"
    HEARTBEAT = "heartbeat"
    FAILED = "press, no link"
    RETRY = "retry by itself, no link"
    BOOT = "boot, new battery"


@dataclass(frozen=True, slots=True)
class Battery:
    """`usable`: what of it the board gets before its voltage is too low. `loss_a_year`: what it loses by itself."""

    name: str
    mah: float
    usable: float
    loss_a_year: float
    regulator_ma: float = 0.0


BATTERIES = {
    # Energizer L91 data sheet: 3000 mAh, flat at 1.4 to 1.5 V; after 15 years 90 % is left. The ESP32 module wants
    # 2.7 V or more; the steep end of the curve and the cold are our estimate.
    "aa-lithium": Battery("2 × AA lithium", 3000, 0.85, 0.01),
    # Energizer E91 data sheet: 2500 mAh down to 0.8 V a cell at small currents; here down to 1.2 V, our reading of its
    # curves. A regulator that needs little itself, such as HT7833 (data sheet: 4 µA).
    "aa-alkaline": Battery("3 × AA alkaline, regulator", 2500, 0.6, 0.03, 0.004),
    # One 18650 cell from 4.2 to 3.4 V; some 2 % a month, its protection included, is our estimate.
    "li-ion": Battery("18650 Li-ion, regulator", 3000, 0.85, 0.22, 0.004),
}


def day(wakes: Mapping[Moment, Use], asleep: Use, presses: float) -> Use:
    """A day with `presses` and one heartbeat; `wakes` is what each kind takes, `asleep` what any time asleep does."""
    unasked = math.exp(-presses * WINDOW_DAYS)  # no press in the window, where presses come at random
    listening = unasked / (1 + unasked)  # nor a heartbeat that listened
    answered = min(presses, ANSWERS_A_DAY - listening)
    awake = (
        wakes[Moment.ANSWERED].times(answered)
        + wakes[Moment.UNASKED].times(presses - answered)
        + wakes[Moment.LISTENING].times(listening)
        + wakes[Moment.HEARTBEAT].times(1 - listening)
    )
    return awake + asleep.times(max(DAY_MS - awake.ms, 0) / asleep.ms)


def years(battery: Battery, mah_a_day: float) -> float:
    """Until what is usable is gone: by `mah_a_day`, and by a loss in proportion to what is left.

    >>> round(years(Battery("", 3652.5, 1, 0), 1), 6), round(years(Battery("", 3652.5, 1, 0.1), 1), 2)
    (10.0, 6.93)
    """
    mah_a_year = (mah_a_day + battery.regulator_ma * 24) * DAYS_A_YEAR
    lossless = battery.mah * battery.usable / mah_a_year
    return math.log1p(battery.loss_a_year * lossless) / battery.loss_a_year if battery.loss_a_year else lossless
