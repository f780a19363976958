"""How long a battery lasts: the sums."""

import doctest
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.board import energy, life
from simulator.board.energy import Part, Use
from simulator.board.life import BATTERIES, DAY_MS, Battery, Moment

ASLEEP = energy.asleep(DAY_MS)
WAKES = {
    moment: Use({Part.PROCESSOR: mah}, 5000)
    for moment, mah in {
        Moment.ANSWERED: 1.0,
        Moment.UNASKED: 0.25,
        Moment.LISTENING: 0.8,
        Moment.HEARTBEAT: 0.2,
    }.items()
}


def test_its_example_is_true():
    assert doctest.testmod(life).failed == 0


def test_a_day_without_presses_is_sleep_and_a_heartbeat_that_listens_every_other_day():
    day = life.day(WAKES, ASLEEP, presses=0)
    assert day.ms == DAY_MS
    assert day.charge_mah == pytest.approx(ASLEEP.charge_mah + (0.8 + 0.2) / 2, rel=1e-3)


def test_more_presses_than_a_day_has_answers_cost_less_each():
    day, busier = (life.day(WAKES, ASLEEP, presses).charge_mah for presses in (8, 9))
    assert busier - day == pytest.approx(0.25, rel=1e-2)


@given(st.floats(0, 50), st.floats(0, 50))
def test_more_presses_never_cost_less(one: float, other: float):
    few, many = sorted((one, other))
    assert life.day(WAKES, ASLEEP, few).charge_mah <= life.day(WAKES, ASLEEP, many).charge_mah + 1e-9


@given(st.sampled_from(list(BATTERIES.values())), st.floats(0.05, 500))
def test_what_a_battery_loses_and_what_is_taken_add_up_to_what_is_usable(battery: Battery, mah_a_day: float):
    lasts = life.years(battery, mah_a_day)
    per_year = (mah_a_day + 24 * battery.regulator_ma) * life.DAYS_A_YEAR
    # The charge at time t of q' = -loss·q - per_year, which is nothing left at the end.
    loss = battery.loss_a_year
    left = (battery.mah * battery.usable + per_year / loss) * math.exp(-loss * lasts) - per_year / loss
    assert left == pytest.approx(0, abs=1e-6 * battery.mah)
