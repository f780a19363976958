"""The energy meter's sums."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.board import energy
from simulator.board.energy import MODEM_MA, MS_PER_HOUR, Part

HOUR = MS_PER_HOUR
EVENTS = st.sampled_from(
    [
        {"kind": "wifi_active", "is_active": True},
        {"kind": "wifi_active", "is_active": False},
        {"kind": "modem", "state": "tx"},
        {"kind": "modem", "state": "idle"},
        {"kind": "pin", "id": 2, "level": 1},
    ]
)


def test_its_example_is_true():
    assert doctest.testmod(energy).failed == 0


def test_each_state_has_its_current():
    trace = [
        {"ms": 1 * HOUR, "kind": "wifi_active", "is_active": True},
        {"ms": 2 * HOUR, "kind": "wifi_active", "is_active": False},
        {"ms": 2 * HOUR, "kind": "modem", "state": "idle"},
        {"ms": 3 * HOUR, "kind": "modem", "state": "tx"},
        {"ms": 4 * HOUR, "kind": "modem", "state": "rx"},
        {"ms": 5 * HOUR, "kind": "modem", "state": "sleep"},
        {"ms": 5 * HOUR, "kind": "pin", "id": 2, "level": 1},
        {"ms": 5 * HOUR, "kind": "pin", "id": 4, "level": 1},
    ]
    use = energy.awake(trace, 6 * HOUR, "sleep") + energy.asleep(10 * HOUR, "sleep")
    assert use.ms == 16 * HOUR
    assert use.parts == {
        Part.PROCESSOR: pytest.approx(5 * energy.AWAKE_MA),
        Part.WIFI: pytest.approx(energy.WIFI_MA),
        Part.LIGHT: pytest.approx(energy.LIGHT_MA),
        Part.MODEM_IDLE: pytest.approx(MODEM_MA["idle"]),
        Part.MODEM_TX: pytest.approx(MODEM_MA["tx"]),
        Part.MODEM_RX: pytest.approx(MODEM_MA["rx"]),
        Part.ASLEEP: pytest.approx(10 * energy.DEEP_SLEEP_MA + 13 * MODEM_MA["sleep"]),
    }
    assert use.charge_mah == pytest.approx(sum(use.parts.values()))


def test_a_devkit_takes_its_own_day_and_night():
    use = energy.on_devkit(energy.awake([], 2 * HOUR) + energy.asleep(3 * HOUR))
    assert (use.parts[Part.DEVKIT], use.ms) == (pytest.approx(5 * energy.DEVKIT_MA), 5 * HOUR)


def test_without_a_modem_no_modem_takes_anything():
    assert set((energy.awake([], HOUR) + energy.asleep(HOUR)).parts) == {Part.PROCESSOR, Part.ASLEEP}


@given(st.lists(st.tuples(st.integers(0, HOUR), EVENTS)), st.integers(0, HOUR))
def test_no_trace_costs_less_than_waiting_or_more_than_everything_at_once(moments, ms):
    trace = [{"ms": at_ms} | event for at_ms, event in moments]
    charge = energy.awake(trace, ms).charge_mah * MS_PER_HOUR
    rounding = 1e-6 * ms
    most = energy.WIFI_MA + energy.LIGHT_MA + MODEM_MA["tx"]
    assert energy.AWAKE_MA * ms - rounding <= charge <= most * ms + rounding
