"""Whole wakes of the unmodified firmware: real VM, real broker, real seal; each ends asleep."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from simulator.board import vm
from simulator.board.vm import Board
from tests.firmware.conftest import DEVICE_ID, KEY, Cloud, free_port, opened_uplink, sealed_answer

KINDS = ["pickup", "cancel", "alive", "boot", "ask"]


def steps(wake: vm.Wake) -> list[str]:
    return [str(line).removeprefix("domino: ") for line in wake.lines]


def test_a_press_is_sealed_radiated_answered_and_shown(board: Board, cloud: Cloud):
    cloud.answers = [sealed_answer(2, 1, 90)]
    wake = board.wake(board.clicks())
    heard = cloud.heard()
    assert steps(wake) == [
        "wake press",
        "gesture pickup 1",
        "counter 2",
        f"uplink {heard.hex()}",
        "link radiated",
        f"downlink {cloud.answers[0].hex()}",
        "answer accepted 90",
        "light accepted",
        "sleep until-pressed",
    ]
    assert wake.slept
    assert wake.trace[-1]["wake_on"] == [[4, 0]]
    assert heard.hex() == "0000027e5d76ad50a56eb797"  # the golden vector of this very press


@pytest.mark.parametrize(
    ("clicks", "hold_ms", "status", "gesture", "light"),
    [
        (3, None, 1, "pickup 3", "accepted"),
        (1, None, 2, "pickup 1", "unclaimed"),
        (1, 2_000, 3, "cancel", "cancelled"),
        (1, None, 4, "pickup 1", "refused"),
        (2, 2_000, 6, "ask", "state"),
        (1, None, 5, "pickup 1", "sent-not-confirmed"),  # a setting is no answer to a press
    ],
)
def test_every_gesture_arrives_and_every_answer_has_its_light(board, cloud, clicks, hold_ms, status, gesture, light):
    board.surroundings = replace(board.surroundings, speed=1)  # a finger's pace
    cloud.answers = [sealed_answer(2, status, 3)]
    wake = board.wake(board.clicks(clicks, hold_ms))
    assert (wake.value("gesture"), wake.value("light"), wake.slept) == (gesture, light, True)
    body = opened_uplink(2, cloud.heard())
    assert KINDS[body >> 21] == gesture.split()[0]
    assert body >> 18 & 7 == (clicks if gesture.startswith("pickup") else 0)


def test_a_press_leaves_heap_free(board: Board, cloud: Cloud):
    """Of 64 KB in which the stand-ins lie too (13 KB), with pointers twice as wide as an ESP32's."""
    cloud.answers = [sealed_answer(2, 1)]
    assert min(event["free"] for event in board.wake(board.clicks()).trace) > 5 * 1024


def test_press_gives_its_lines_as_they_come(board: Board, cloud: Cloud):
    cloud.answers = [sealed_answer(2, 1)]
    life = board.press()
    assert str(next(life)) == "domino: wake press"
    assert board.counter == 1
    assert [line.step for line in life][-1] == "sleep"
    assert board.counter == 2


def test_no_answer_is_sent_not_confirmed(board: Board, cloud: Cloud):
    wake = board.wake(board.clicks())
    assert steps(wake)[-5:] == [
        "link radiated", "downlink none", "answer none", "light sent-not-confirmed", "sleep until-pressed",
    ]  # fmt: skip


def test_a_forged_answer_is_no_success_and_does_not_hide_the_true_one(board: Board, cloud: Cloud):
    forged = sealed_answer(2, 1)[:-1] + b"\xff"
    cloud.answers = [forged, b"noise", sealed_answer(1, 1)]
    assert board.wake(board.clicks()).value("light") == "sent-not-confirmed"
    cloud.answers = [sealed_answer(2, 1), sealed_answer(3, 2)]  # the first answered the last press
    assert board.wake(board.clicks()).value("light") == "unclaimed"


def test_power_coming_back_sends_boot_once_and_waits_for_nothing(board: Board, cloud: Cloud):
    wake = board.wake(reset_cause=vm.PWRON_RESET)
    assert [line.step for line in wake.lines] == ["wake", "service", "counter", "uplink", "link", "light", "sleep"]
    body = opened_uplink(2, cloud.heard())
    assert (KINDS[body >> 21], body >> 3 & 7) == ("boot", vm.PWRON_RESET)


@pytest.mark.parametrize("reset_cause", [vm.HARD_RESET, vm.WDT_RESET, vm.SOFT_RESET])
def test_any_other_reset_says_its_cause(board: Board, cloud: Cloud, reset_cause: int):
    board.wake(reset_cause=reset_cause)
    assert opened_uplink(2, cloud.heard()) >> 3 & 7 == reset_cause


def test_battery_and_temperature_travel(board: Board, cloud: Cloud):
    board.surroundings = replace(board.surroundings, battery_mv=3650, temperature_c=-7)
    board.wake(reset_cause=vm.PWRON_RESET)
    body = opened_uplink(2, cloud.heard())
    assert ((body >> 12 & 63) * 50 + 1800, (body >> 6 & 63) - 20) == (3650, -7)


def test_a_wake_by_nothing_sends_nothing(board: Board):
    wake = board.wake(wake_reason=0)
    assert steps(wake) == ["wake nothing", "gesture none", "sleep until-pressed"]
    assert board.counter == 1


def test_a_jammed_key_sends_nothing_and_is_looked_at_again_later(board: Board):
    wake = board.wake([(0, True)])
    assert steps(wake) == ["wake press", "gesture none", "sleep key-stuck"]
    assert (wake.trace[-1]["for_ms"], wake.trace[-1]["wake_on"]) == (60_000, [])
    assert board.counter == 1


def test_an_unprovisioned_button_says_so_and_sends_nothing(tmp_path: Path):
    board = Board(tmp_path, vm.Surroundings(speed=3))
    wake = board.wake(board.clicks())
    assert steps(wake) == ["wake press", "gesture pickup 1", "light unprovisioned", "sleep until-pressed"]
    wake = board.wake(reset_cause=vm.PWRON_RESET)
    assert steps(wake) == ["wake reset", "service 5", "light unprovisioned", "sleep until-pressed"]
    wake = board.wake()
    assert steps(wake) == ["wake timer", "sleep until-pressed"]  # nobody is there to see a light


@pytest.mark.parametrize("missing", ["ctr", "key", "id", "gen"])
def test_a_button_that_lost_any_of_its_identity_never_starts_anew(board: Board, missing: str):
    board.flash = {name: value for name, value in board.flash.items() if name != missing}
    before = board.flash
    assert board.wake(reset_cause=vm.PWRON_RESET).value("light") == "unprovisioned"
    assert board.flash == before


def test_a_counter_at_its_end_sends_nothing_rather_than_begin_again(board: Board):
    board.provision(DEVICE_ID, KEY, 0, "127.0.0.1", free_port(), counter=2**32 - 2)
    assert board.wake(reset_cause=vm.PWRON_RESET).value("counter") == str(2**32 - 1)
    assert board.wake(reset_cause=vm.PWRON_RESET).value("light") == "unprovisioned"
    assert board.counter == 2**32 - 1


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (vm.WIFI_NO_AP, "failed wifi: no access point"),
        (vm.WIFI_WRONG_PASSWORD, "failed wifi: wrong password"),
        (vm.WIFI_CONNECTING, "failed wifi: no answer in time"),
    ],
)
def test_without_wifi_it_says_not_sent_and_sleeps(board: Board, status: int, why: str):
    board.surroundings = replace(board.surroundings, wifi_status=status)
    wake = board.wake(board.clicks())
    assert (wake.value("link"), wake.value("light"), wake.slept) == (why, "not-sent", True)


def test_a_slow_wifi_is_waited_for(board: Board, cloud: Cloud):
    board.surroundings = replace(board.surroundings, wifi_delay_ms=1_500)
    assert board.wake(reset_cause=vm.PWRON_RESET).value("link") == "radiated"


def test_failed_links_are_counted_until_one_succeeds_and_forgotten_with_the_battery(board: Board, cloud: Cloud):
    working = board.surroundings
    for wifi_status in (vm.WIFI_NO_AP, vm.WIFI_NO_AP, vm.WIFI_CONNECTED, vm.WIFI_CONNECTED):
        board.surroundings = replace(working, wifi_status=wifi_status)
        board.wake(reset_cause=vm.WDT_RESET)
    assert [opened_uplink(count, cloud.heard()) & 7 for count in (4, 5)] == [2, 0]
    board.surroundings = replace(working, wifi_status=vm.WIFI_NO_AP)
    board.wake(reset_cause=vm.WDT_RESET)
    board.surroundings = working
    board.wake(reset_cause=vm.PWRON_RESET)
    assert opened_uplink(18, cloud.heard()) & 7 == 0  # behind the block of 16 that power-off broke off


def test_a_closed_port_is_not_sent(board: Board):
    board.provision(DEVICE_ID, KEY, 0, "127.0.0.1", free_port())
    wake = board.wake(board.clicks())
    assert (wake.value("link"), wake.value("light"), wake.slept) == ("failed ECONNREFUSED", "not-sent", True)


def test_a_silent_broker_costs_the_deadline_and_no_more(board: Board):
    with socket.create_server(("127.0.0.1", 0)) as server:
        board.surroundings = replace(board.surroundings, speed=1)  # the socket's time-out is this machine's
        board.provision(DEVICE_ID, KEY, 0, "127.0.0.1", server.getsockname()[1])
        wake = board.wake(reset_cause=vm.PWRON_RESET)
    assert (wake.value("link"), wake.value("light"), wake.slept) == ("failed ETIMEDOUT", "not-sent", True)


@pytest.mark.parametrize(
    "babble",
    [b"", b"\x20\x02\x00\x05", b"\x20\x00", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x30\x02\x00\xff" + b"\x20" * 99],
    ids=["hangs up", "refuses", "empty packet", "speaks HTTP", "overlong topic"],
)
def test_a_broker_that_is_none_ends_in_sleep(board: Board, babble: bytes):
    with socket.create_server(("127.0.0.1", 0)) as server:
        board.provision(DEVICE_ID, KEY, 0, "127.0.0.1", server.getsockname()[1])

        def answer(line: vm.Line) -> None:
            if line.step == "uplink":
                with server.accept()[0] as caller:
                    caller.recv(1024)
                    caller.sendall(babble)

        wake = board.wake(reset_cause=vm.PWRON_RESET, on_line=answer)
    assert wake.value("link").startswith("failed broker: ")
    assert (wake.value("light"), wake.slept) == ("not-sent", True)


def test_a_flood_of_downlinks_before_the_puback_fills_no_memory(board: Board):
    flood = b"\x30\x1b\x00\x11air/0012AB34/down" + bytes(8)
    with socket.create_server(("127.0.0.1", 0)) as server:
        board.provision(DEVICE_ID, KEY, 0, "127.0.0.1", server.getsockname()[1])

        def answer(line: vm.Line) -> None:
            if line.step == "uplink":
                with server.accept()[0] as caller:
                    for granted in (b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x00", flood * 2_000):
                        caller.recv(1024)
                        caller.sendall(granted)

        wake = board.wake(reset_cause=vm.PWRON_RESET, on_line=answer)
    assert "MemoryError" not in wake.console
    assert (wake.value("link").partition(" ")[0], wake.value("light"), wake.slept) == ("failed", "not-sent", True)


def test_the_key_is_on_no_console_and_in_no_trace(board: Board):
    board.surroundings = replace(board.surroundings, wifi_status=vm.WIFI_NO_AP)
    wake = board.wake(reset_cause=vm.PWRON_RESET)
    for told in (wake.console, str(wake.trace), repr(wake), repr(board)):
        assert KEY.hex() not in told.lower()
        assert repr(KEY) not in told
