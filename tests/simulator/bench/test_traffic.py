"""A thousand buttons as sealed traffic, over the real radio into the real cloud; and who says what, by the seed."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.bench.desk import Bench
from simulator.bench.traffic import FIRST_DEVICE, Plan, messages
from simulator.bench.wire import Identity
from tests.simulator.bench.conftest import wait_for
from tools.bench.stand import Stand

BUTTONS = [Identity(FIRST_DEVICE + n, 0, bytes([n]) * 16, counter=10 * n) for n in range(20)]


@given(st.integers(0, 1000), st.floats(0, 140))
def test_messages_come_in_order_and_each_button_counts_on_by_one(seed: int, presses: float) -> None:
    said = list(islice(messages(BUTTONS, Plan(presses, seed=seed)), 300))
    assert [one.at_s for one in said] == sorted(one.at_s for one in said)
    for button in BUTTONS:
        own = [one.counter for one in said if one.button is button]
        assert own == list(range(button.counter + 1, button.counter + 1 + len(own)))


def test_a_seed_is_a_day_that_can_be_had_again() -> None:
    plan = Plan(presses_a_day=6, seed=3, until_s=86_400)
    day = list(messages(BUTTONS, plan))
    assert day == list(messages(BUTTONS, plan))
    assert day != list(messages(BUTTONS, Plan(presses_a_day=6, seed=4, until_s=86_400)))
    assert sum(one.said.kind == "alive" for one in day) == len(BUTTONS)  # a heartbeat a day
    assert sum(one.is_press for one in day) == pytest.approx(6 * len(BUTTONS), rel=0.35)


def test_a_thousand_buttons_are_kept_once_each_whatever_the_air_repeats(desk: Bench, stand: Stand) -> None:
    desk.air.impair(loss=0.3, duplicates=0.3)
    since, before = stand.fleet.last_frame(), stand.fleet.count_kept(FIRST_DEVICE, 1000)
    desk.start_traffic(1000, Plan(presses_a_day=60, speed=3600, until_s=1800))
    assert desk.traffic.join(60)
    counts = desk.traffic.counts
    sent = counts["presses"] + counts["heartbeats"]
    wait_for(lambda: counts["radiated"] >= sent)
    wait_for(lambda: desk.count_kept() >= counts["heard"])
    kept = stand.fleet.log_since(since, [range(FIRST_DEVICE, FIRST_DEVICE + 1000)])
    accepted = [(one.device, one.data) for one in kept if one.result == "accepted"]
    assert sent > 1000
    assert counts["radiated"] == counts["heard"] + counts["lost"] == sent
    assert counts["twice"] > 100
    assert len(accepted) == len(set(accepted)) == counts["heard"]
    assert stand.fleet.count_kept(FIRST_DEVICE, 1000) - before == counts["heard"]
    wait_for(lambda: counts["answered"] > 0)


def test_traffic_stops_when_it_is_told_and_goes_on_with_its_counters(desk: Bench) -> None:
    desk.start_traffic(10, Plan(presses_a_day=140, speed=3600))
    wait_for(lambda: desk.traffic.counts["heard"] >= 10)
    desk.traffic.stop()
    assert not desk.traffic.is_running
    sent = desk.traffic.counts["presses"] + desk.traffic.counts["heartbeats"]
    wait_for(lambda: desk.count_kept() == desk.traffic.counts["heard"] == sent)
    desk.start_traffic(10, Plan(presses_a_day=140, speed=3600))
    wait_for(lambda: desk.traffic.counts["heard"] >= 10)
    desk.traffic.stop()
    sent = desk.traffic.counts["presses"] + desk.traffic.counts["heartbeats"]
    wait_for(lambda: desk.count_kept() == sent)  # none was a counter that had been used


def test_a_fleet_out_of_bounds_is_refused(desk: Bench) -> None:
    with pytest.raises(ValueError, match="10000 buttons"):
        desk.start_traffic(10_001, Plan())
    with pytest.raises(ValueError, match="140 times"):
        Plan(presses_a_day=141)
