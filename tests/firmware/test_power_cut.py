"""The battery falls out at every boundary of a press: no counter ever seals two messages."""

from dataclasses import replace

import pytest

from simulator.board import vm
from simulator.board.vm import Board, Exit
from tests.firmware.conftest import Cloud, sealed_answer

AT = [
    f"{side} {boundary}"
    for boundary in ("nvs_set", "nvs_commit", "wifi_connect", "rtc_write")
    for side in ("before", "after")
]


def sealed(wake: vm.Wake) -> set[tuple[str, str]]:
    return {(wake.value("counter"), wake.value("uplink"))} if wake.value("uplink") else set()


def assert_no_counter_twice(messages: set[tuple[str, str]]) -> None:
    assert len({counter for counter, _ in messages}) == len(messages)


@pytest.mark.parametrize("at", AT)
def test_a_power_cut_at_a_write_repeats_no_counter(board: Board, cloud: Cloud, at: str):
    whole = board.surroundings
    board.surroundings = replace(whole, power_cut=at)
    cut = board.wake(board.clicks())
    assert cut.exit is Exit.POWER_CUT
    board.surroundings = replace(whole, battery_mv=2900)  # so that a repeated counter would seal other bytes
    after = board.wake(reset_cause=vm.PWRON_RESET)
    assert after.slept
    assert_no_counter_twice(sealed(cut) | sealed(after))
    assert after.value("counter") == ("2" if at in ("before nvs_set", "after nvs_set", "before nvs_commit") else "3")


@pytest.mark.parametrize("step", ["wake", "gesture", "counter", "uplink", "link", "downlink", "answer", "light"])
def test_a_power_cut_after_any_step_repeats_no_counter(board: Board, cloud: Cloud, step: str):
    messages: set[tuple[str, str]] = set()
    cloud.answers = [sealed_answer(2, 1), sealed_answer(3, 1)]

    def pull_the_battery(line: vm.Line) -> None:
        if line.step == step:
            board.cut_power()

    for battery_mv in (3000, 2900):
        board.surroundings = replace(board.surroundings, battery_mv=battery_mv)
        cut = board.wake(board.clicks(), on_line=pull_the_battery)
        assert cut.exit is Exit.POWER_CUT
        messages |= sealed(cut)
    assert_no_counter_twice(messages)
    heard = {cloud.uplinks.get() for _ in range(cloud.uplinks.qsize())}
    assert heard <= {bytes.fromhex(uplink) for _, uplink in messages}
