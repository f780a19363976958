"""A radio that hangs, and an owner at the cable: the watchdog bites, the service window opens."""

import socket
import threading
from dataclasses import replace

import pytest

from simulator.board import vm
from simulator.board.vm import Board, Exit
from tests.firmware.conftest import DEVICE_ID, KEY, Cloud
from tests.firmware.test_power_cut import serve_until

LINK_MS, SHOW_MS = 10_000, 10_000


def test_a_hung_radio_is_bitten_and_waits_for_its_turn_with_the_press_kept(board: Board, cloud: Cloud):
    board.surroundings = replace(board.surroundings, radio_hangs=True)
    bitten = board.wake(board.clicks())
    assert bitten.exit is Exit.WATCHDOG
    after = board.wake(reset_cause=vm.WDT_RESET)  # which the bite is
    assert (after.value("link"), after.slept) == ("failed the radio hung", True)
    assert "wifi_connect" not in [event["kind"] for event in after.trace]  # it might hang again, for ever
    board.surroundings = replace(board.surroundings, radio_hangs=False)
    board.let_pass(90)
    assert board.wake().value("link") == "radiated"
    assert cloud.heard().hex() == bitten.value("uplink")


def test_the_watchdog_is_armed_for_the_links_deadline_before_the_radio_runs(board: Board, cloud: Cloud):
    kinds = [event for event in board.wake(board.clicks()).trace if event["kind"] in ("watchdog", "wifi_active")]
    assert [event["kind"] for event in kinds] == ["watchdog", "wifi_active", "wifi_active", "watchdog"]
    assert kinds[0]["timeout_ms"] == LINK_MS + SHOW_MS


def test_the_service_window_is_unwatched_and_closes_by_itself(board: Board, cloud: Cloud):
    wake = board.wake(reset_cause=vm.PWRON_RESET)
    armed = next(event["ms"] for event in wake.trace if event["kind"] == "watchdog")
    assert 5_000 <= armed < 7_000
    assert wake.slept


def test_a_long_hold_at_power_on_opens_the_window_again(board: Board, cloud: Cloud):
    board.surroundings = replace(board.surroundings, speed=20)
    wake = board.wake([(0, True), (3_000, False)], reset_cause=vm.PWRON_RESET)
    assert [line.value for line in wake.lines if line.step == "service"] == ["5", "120"]
    assert wake.trace[-1]["ms"] > 120_000
    assert wake.value("gesture") == ""  # and is no cancel


def test_a_watchdogs_reset_opens_no_window(board: Board, cloud: Cloud):
    assert board.wake(reset_cause=vm.WDT_RESET).value("service") == ""


@pytest.mark.parametrize("dropped_at", [1, 2, 3, 4, 5])
def test_a_broker_that_drops_at_any_packet_leaves_the_press_kept(board: Board, cloud: Cloud, dropped_at: int):
    with socket.create_server(("127.0.0.1", 0)) as server:
        board.provision(DEVICE_ID, KEY, 0, "127.0.0.1", server.getsockname()[1], counter=1)
        hang_up = HangUp(server, board, dropped_at)
        wake = hang_up.during_a_press()
    assert (wake.slept, wake.value("link").startswith("failed"), wake.value("light")) == (True, True, "not-sent")
    assert wake.trace[-1]["ms"] < LINK_MS + SHOW_MS
    board.provision(DEVICE_ID, KEY, 0, "127.0.0.1", cloud.client.port, counter=board.counter)
    board.let_pass(90)
    assert board.wake().value("link") == "radiated"
    assert cloud.heard().hex() == wake.value("uplink")


class HangUp:
    """A broker that hangs up at the n-th step of the conversation."""

    def __init__(self, server: socket.socket, board: Board, step: int) -> None:
        self._server, self._board, self._step = server, board, step

    def cut_power(self) -> None:
        """Not the board's: the connection ends as `serve_until` returns."""

    def during_a_press(self) -> vm.Wake:
        thread = threading.Thread(target=serve_until, args=(self._server, self, self._step, []))
        thread.start()
        wake = self._board.wake(self._board.clicks())
        thread.join()
        return wake


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"wifi_status": vm.WIFI_NO_AP}, "failed wifi: no access point"),
        ({"wifi_status": vm.WIFI_WRONG_PASSWORD}, "failed wifi: wrong password"),
        ({"wifi_status": vm.WIFI_CONNECTING}, "failed wifi: no answer in time"),
        ({"dhcp_answers": False}, "failed wifi: no answer in time"),
    ],
)
def test_every_fault_of_the_wifi_ends_asleep_in_time_with_the_press_kept(board, cloud, fault, why):
    working = board.surroundings
    board.surroundings = replace(working, **fault)
    wake = board.wake(board.clicks())
    assert (wake.value("link"), wake.slept) == (why, True)
    assert wake.trace[-1]["ms"] < LINK_MS + SHOW_MS
    board.surroundings = working
    board.let_pass(90)
    board.wake()
    assert cloud.heard().hex() == wake.value("uplink")


def test_the_way_that_worked_is_taken_again_and_forgotten_when_it_is_gone(board: Board, cloud: Cloud):
    def ways(wake: vm.Wake) -> list[tuple[str | None, bool]]:
        return [(event["bssid"], event["dhcp"]) for event in wake.trace if event["kind"] == "wifi_connect"]

    here = board.surroundings.access_point
    assert ways(board.wake(board.clicks())) == [(None, True)]
    assert ways(board.wake(board.clicks())) == [(here, False)]
    board.let_pass(13 * 3600)  # the lease may be another's
    assert ways(board.wake(board.clicks())) == [(here, True)]
    board.surroundings = replace(board.surroundings, access_point="02d0314e0002")
    moved = board.wake(board.clicks())
    assert (ways(moved), moved.value("link")) == ([(here, False), (None, True)], "radiated")


def test_a_press_that_may_have_been_heard_is_not_folded(board: Board, cloud: Cloud):
    """The broker took it and hung up before its PUBACK: folded, its parcel would count twice."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        board.provision(DEVICE_ID, KEY, 0, "127.0.0.1", server.getsockname()[1], counter=1)
        first = HangUp(server, board, 5).during_a_press()
    board.provision(DEVICE_ID, KEY, 0, "127.0.0.1", cloud.client.port, counter=board.counter)
    second = board.wake(board.clicks())
    sent = [line.value for line in second.lines if line.step == "uplink"]
    assert [cloud.heard().hex(), cloud.heard().hex()] == sent
    assert (sent[0], len(set(sent))) == (first.value("uplink"), 2)
