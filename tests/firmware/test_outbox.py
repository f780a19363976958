"""Presses that found no link: kept, tried again, folded, dropped after a day; and what a day and an hour allow."""

from dataclasses import replace

import pytest

from simulator.board import vm
from simulator.board.vm import Board
from tests.firmware.conftest import Cloud, opened_uplink, sealed_answer

DAY_S = 24 * 3600


@pytest.fixture
def cut_off(board: Board) -> Board:
    """A board whose access point is gone."""
    board.surroundings = replace(board.surroundings, wifi_status=vm.WIFI_NO_AP)
    return board


def back_on_air(board: Board) -> None:
    board.surroundings = replace(board.surroundings, wifi_status=vm.WIFI_CONNECTED)


def uplinks(wake: vm.Wake) -> list[str]:
    return [line.value for line in wake.lines if line.step == "uplink"]


def test_an_unsent_press_is_tried_again_as_the_same_bytes_by_the_timer(cut_off: Board, cloud: Cloud):
    pressed = cut_off.wake(cut_off.clicks())
    assert (pressed.value("light"), pressed.trace[-1]["for_ms"] > 0) == ("not-sent", True)
    back_on_air(cut_off)
    cut_off.let_pass(60)
    retried = cut_off.wake()
    assert [line.step for line in retried.lines] == ["wake", "counter", "uplink", "link", "downlink", "answer", "sleep"]
    assert cloud.heard().hex() == uplinks(retried)[0] == uplinks(pressed)[0]
    assert cut_off.wake().value("uplink") == ""  # sent is sent


def test_attempts_come_ever_more_rarely(cut_off: Board):
    sleeps = [cut_off.wake(cut_off.clicks()).trace[-1]["for_ms"] // 1000]
    for _ in range(9):
        cut_off.let_pass(sleeps[-1] + 1)
        sleeps.append(cut_off.wake().trace[-1]["for_ms"] // 1000)
    assert [round(seconds / 60) for seconds in sleeps] == [1, 2, 4, 8, 16, 32, 64, 128, 240, 240]


def test_a_wake_before_its_turn_does_not_try(cut_off: Board):
    cut_off.wake(cut_off.clicks())
    assert cut_off.wake().value("link") == ""


def test_presses_that_never_left_are_folded_into_one_under_a_new_counter(cut_off: Board, cloud: Cloud):
    first = cut_off.wake(cut_off.clicks(2))
    second = cut_off.wake(cut_off.clicks(3))
    back_on_air(cut_off)
    cloud.answers = [sealed_answer(4, 1)]
    third = cut_off.wake(cut_off.clicks(1))
    assert [wake.value("counter") for wake in (first, second, third)] == ["2", "3", "4"]
    assert (len(uplinks(third)), third.value("light")) == (1, "accepted")
    assert opened_uplink(4, cloud.heard()) >> 18 == 6  # a pickup of all of them
    assert cloud.uplinks.empty()


def test_what_does_not_fit_into_one_message_waits_beside_it(cut_off: Board, cloud: Cloud):
    cut_off.wake(cut_off.clicks(5))
    cut_off.wake(cut_off.clicks(4))
    back_on_air(cut_off)
    cut_off.let_pass(150)
    cut_off.wake()
    assert [opened_uplink(counter, cloud.heard()) >> 18 for counter in (2, 3)] == [5, 4]


def test_a_cancel_follows_the_press_that_it_takes_back(cut_off: Board, cloud: Cloud):
    cut_off.wake(cut_off.clicks(1))
    for _ in range(2):  # the second is the same wish
        cut_off.wake(cut_off.clicks(1, 2_000))
    back_on_air(cut_off)
    cut_off.let_pass(600)
    cut_off.wake()
    assert [opened_uplink(counter, cloud.heard()) >> 21 for counter in (2, 3)] == [0, 1]
    assert cloud.uplinks.empty()


def test_a_press_unsent_for_a_day_is_dropped_and_counted(cut_off: Board, cloud: Cloud):
    cut_off.wake(cut_off.clicks())
    back_on_air(cut_off)
    cut_off.let_pass(DAY_S + 1)
    wake = cut_off.wake()
    assert wake.value("dropped") == "1"
    assert opened_uplink(3, cloud.heard()) >> 21 == 2  # the day's `alive`
    assert cut_off.flash["kept"] == ["blob", "0001"]


def test_a_kept_press_outlives_the_battery(cut_off: Board, cloud: Cloud):
    pressed = cut_off.wake(cut_off.clicks())
    back_on_air(cut_off)
    wake = cut_off.wake(reset_cause=vm.PWRON_RESET)
    assert uplinks(wake)[0] == uplinks(pressed)[0] == cloud.heard().hex()
    assert opened_uplink(18, cloud.heard()) >> 21 == 3  # and its `boot` behind it


def test_an_ask_is_not_kept(cut_off: Board):
    wake = cut_off.wake(cut_off.clicks(1, None))
    cut_off.flash = {name: value for name, value in cut_off.flash.items() if name != "kept"}
    wake = cut_off.wake(cut_off.clicks(2, 2_000))
    assert (wake.value("gesture"), wake.value("light"), "kept" in cut_off.flash) == ("ask", "not-sent", False)


def test_alive_is_sent_every_day_and_presses_leave_it_alone(board: Board, cloud: Cloud):
    board.wake()
    board.let_pass(DAY_S)
    wake = board.wake()
    assert opened_uplink(2, cloud.heard()) >> 21 == 2
    assert wake.value("light") == ""
    assert abs(wake.trace[-1]["for_ms"] / 1000 - DAY_S) < 60


def test_configure_sets_the_period_and_is_kept(board: Board, cloud: Cloud):
    board.wake()
    board.let_pass(DAY_S)
    cloud.answers = [sealed_answer(2, 5, 168)]
    wake = board.wake()
    assert (wake.value("answer"), board.flash["hours"]) == ("configure 168", ["i32", 168])
    assert wake.trace[-1]["for_ms"] / 1000 == 60
    cloud.heard()
    board.let_pass(61)
    proof = board.wake()  # ahead of its time, which tells the cloud that it has the period
    assert opened_uplink(3, cloud.heard()) >> 21 == 2
    assert proof.value("answer") == "none"  # presses keep the answers that are left of the day
    assert abs(proof.trace[-1]["for_ms"] / 1000 - 7 * DAY_S) < 60


def test_a_configuration_with_a_press_is_proven_too(board: Board, cloud: Cloud):
    board.wake()
    cloud.answers = [sealed_answer(2, 5, 12)]
    pressed = board.wake(board.clicks())
    assert (pressed.value("light"), pressed.trace[-1]["for_ms"]) == ("sent-not-confirmed", 60_000)
    board.let_pass(61)
    cloud.answers = []
    cloud.heard()
    board.wake()
    assert opened_uplink(3, cloud.heard()) >> 21 == 2


@pytest.mark.parametrize("hours", [0, 169, 65_535])
def test_a_period_that_no_button_has_is_not_taken(board: Board, cloud: Cloud, hours: int):
    cloud.answers = [sealed_answer(2, 5, hours)]
    assert board.wake(board.clicks()).value("light") == "sent-not-confirmed"
    assert "hours" not in board.flash


def test_four_answers_a_day_are_asked_for_and_no_fifth(board: Board, cloud: Cloud):
    lights = []
    for counter in range(2, 7):
        cloud.answers = [sealed_answer(counter, 1)]
        lights.append(board.wake(board.clicks()).value("light"))
    assert lights == ["accepted"] * 4 + ["sent-not-confirmed"]
    board.let_pass(DAY_S * 1.06)
    cloud.answers = [sealed_answer(8, 1)]
    board.wake()
    cloud.answers = [sealed_answer(8, 1)]
    assert board.wake(board.clicks()).value("light") == "accepted"
