"""The energy meter's sums."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.board import energy
from simulator.board.energy import AWAKE_MA, DEEP_SLEEP_MA, MODEM_RX_MA, MODEM_TX_MA, MS_PER_HOUR, WIFI_MA

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
        {"ms": 3 * HOUR, "kind": "modem", "state": "tx"},
        {"ms": 4 * HOUR, "kind": "modem", "state": "rx"},
        {"ms": 5 * HOUR, "kind": "modem", "state": "idle"},
    ]
    use = energy.awake(trace, 6 * HOUR) + energy.asleep(10 * HOUR)
    expected = 3 * AWAKE_MA + WIFI_MA + MODEM_TX_MA + MODEM_RX_MA + 10 * DEEP_SLEEP_MA
    assert (use.charge_mah, use.ms) == (pytest.approx(expected), 16 * HOUR)


@given(st.lists(st.tuples(st.integers(0, HOUR), EVENTS)), st.integers(0, HOUR))
def test_no_trace_costs_less_than_waiting_or_more_than_sending(moments, ms):
    trace = [{"ms": at_ms} | event for at_ms, event in moments]
    charge = energy.awake(trace, ms).charge_mah * MS_PER_HOUR
    rounding = 1e-6 * ms
    assert AWAKE_MA * ms - rounding <= charge <= MODEM_TX_MA * ms + rounding
