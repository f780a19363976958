"""The button with a Sigfox modem in place of Wi-Fi: the virtual one, with its faults."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from simulator.board import vm
from simulator.board.vm import Board, Wake
from simulator.modem import RX_FORMS, Fault, Modem
from tests.firmware.conftest import DEVICE_ID, KEY, sealed_answer
from tests.firmware.modem import Ether, modem_on

DEADLINE_MS = 110_000 + 12_000  # of the link, and what lights and a finger take


@pytest.fixture
def ether() -> Ether:
    return Ether()


@pytest.fixture
def modem_and_board(tmp_path: Path, ether: Ether) -> Iterator[tuple[Modem, Board]]:
    with modem_on(ether, tmp_path) as (modem, port):
        board = Board(tmp_path / "board", vm.Surroundings(speed=8, modem_port=port))
        board.provision(DEVICE_ID, KEY, 0, "", 0, counter=1, link="wisol")
        yield modem, board


@pytest.fixture
def modem(modem_and_board: tuple[Modem, Board]) -> Modem:
    return modem_and_board[0]


@pytest.fixture
def board(modem_and_board: tuple[Modem, Board]) -> Board:
    return modem_and_board[1]


def told(wake: Wake) -> bytes:
    """What the firmware said to the modem."""
    return b"".join(bytes.fromhex(event["sent"]) for event in wake.trace if event["kind"] == "uart")


@pytest.mark.parametrize(
    ("rx_form", "fault"),
    [*((form, Fault.NONE) for form in RX_FORMS), ("plain", Fault.NOISY), ("plus", Fault.WITHOUT_OK)],
)
def test_a_press_goes_out_by_the_modem_and_its_answer_comes_back(board, modem, ether, rx_form, fault):
    modem.rx_form, modem.fault = rx_form, fault
    ether.answer = lambda _: sealed_answer(2, 1)
    wake = board.wake(board.clicks())
    assert (wake.value("link"), wake.value("light"), wake.slept) == ("radiated", "accepted", True)
    assert told(wake) == f"\0AT\rAT$SF={wake.value('uplink')},1\rAT$P=1\r".encode()
    assert [payload.hex() for payload in ether.payloads] == [wake.value("uplink")]


@pytest.mark.parametrize("fault", [Fault.NONE, Fault.WITHOUT_OK])
def test_a_window_that_closed_in_silence_means_sent_and_is_never_sent_again(board, modem, fault):
    modem.fault = fault
    wake = board.wake(board.clicks())
    assert (wake.value("link"), wake.value("light")) == ("radiated", "sent-not-confirmed")
    assert board.flash["kept"] == ["blob", "0000"]
    board.let_pass(120)
    assert board.wake().value("uplink") == ""


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault.SILENT, "failed modem: silent"),
        (Fault.GARBAGE, "failed modem: silent"),
        (Fault.SENDS_SILENTLY, "failed modem: no answer"),
        (Fault.SENDS_GARBLED, "failed modem: no answer"),
        (Fault.REFUSES, "failed modem: ERROR"),
    ],
)
def test_a_modem_that_is_none_ends_asleep_in_time_with_the_press_kept(board, modem, ether, fault, why):
    modem.fault = fault
    wake = board.wake(board.clicks())
    assert (wake.value("link"), wake.value("light"), wake.slept) == (why, "not-sent", True)
    assert wake.trace[-1]["ms"] < DEADLINE_MS
    kept = board.flash["kept"][1]
    modem.fault = Fault.NONE
    board.let_pass(1000)
    again = board.wake()
    assert again.value("link") == "radiated"
    assert again.value("uplink") == wake.value("uplink") or wake.value("uplink") == ""
    assert again.value("uplink") in kept
    assert {payload.hex() for payload in ether.payloads} == {again.value("uplink")}


def test_a_wire_that_leads_nowhere_is_a_silent_modem(board):
    board.surroundings = replace(board.surroundings, modem_port=1)
    wake = board.wake(board.clicks())
    assert (wake.value("link"), wake.value("light"), wake.slept) == ("failed modem: silent", "not-sent", True)
    assert wake.value("uplink") in board.flash["kept"][1]


def test_a_modem_that_dies_in_the_middle_of_the_answer_has_sent_and_confirmed_nothing(board, modem, ether):
    modem.fault = Fault.CUT_OFF
    ether.answer = lambda _: sealed_answer(2, 1)
    wake = board.wake(board.clicks())
    assert (wake.value("link"), wake.value("light"), wake.slept) == ("radiated", "sent-not-confirmed", True)
    assert wake.trace[-1]["ms"] < DEADLINE_MS
    assert board.flash["kept"] == ["blob", "0000"]


def test_an_hour_has_air_time_for_three_answered_messages_and_presses_wait_for_more(board, modem, ether):
    """36 s: 11.5 s an answered message at the most, 6.2 s one that is not."""
    links = [board.wake(board.clicks()).value("link") for _ in range(4)]
    assert links == ["radiated"] * 3 + ["failed budget: no more for now"]
    board.let_pass(3_800)
    assert board.wake().value("link") == "radiated"
    assert ether.asked == [True, True, True, False]


def test_a_power_cut_at_any_word_to_the_modem_sends_the_same_bytes_again(board, modem, ether):
    board.wake(wake_reason=0)  # the battery was in before
    whole = board.surroundings
    board.surroundings = replace(whole, power_cut="after uart_write")
    cut = board.wake(board.clicks())
    assert cut.exit is vm.Exit.POWER_CUT
    board.surroundings = whole
    board.wake(reset_cause=vm.PWRON_RESET)
    assert ether.payloads[0].hex() == cut.value("uplink")
