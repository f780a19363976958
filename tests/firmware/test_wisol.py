"""The button with a Sigfox modem in place of Wi-Fi."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from simulator.board import vm
from simulator.board.vm import Board
from tests.firmware.conftest import DEVICE_ID, KEY, sealed_answer
from tests.firmware.modem import Modem

OK = b"OK\r\n"
DEADLINE_MS = 110_000 + 12_000  # of the link, and what lights and a finger take
ANSWER = sealed_answer(2, 1).hex(" ").upper().encode()
NO_ANSWER = b"ERR_SFX_ERR_SEND_FRAME_WAIT_TIMEOUT\r\n"


@pytest.fixture
def modem() -> Iterator[Modem]:
    modem = Modem({"AT": OK})
    yield modem
    modem.close()


@pytest.fixture
def board(tmp_path, modem) -> Board:
    board = Board(tmp_path / "board", vm.Surroundings(speed=8, modem_port=modem.port))
    board.provision(DEVICE_ID, KEY, 0, "", 0, counter=1)
    board.flash = board.flash | {"link": ["blob", b"wisol".hex()]}
    return board


@pytest.mark.parametrize(
    "said",
    [
        OK + b"RX=" + ANSWER + b"\r\n",
        OK + b"\r\n+RX=" + ANSWER + b"\r\n",
        OK + b"+RX BEGIN\r\n" + ANSWER + b"\r\n+RX END\r\n",
        b"RX=" + ANSWER.replace(b" ", b"") + b"\r\n" + OK,
        b"\xff\x00noise\r\n" + OK + b"\x80\r\nRX=" + ANSWER + b"\r\n",
    ],
    ids=["RX=", "+RX=", "+RX BEGIN", "before its OK", "amid noise"],
)
def test_a_press_goes_out_by_the_modem_and_its_answer_comes_back(board: Board, modem: Modem, said: bytes):
    modem.answers["AT$SF="] = said
    wake = board.wake(board.clicks())
    assert (wake.value("link"), wake.value("light"), wake.slept) == ("radiated", "accepted", True)
    assert modem.heard == ["break AT", f"AT$SF={wake.value('uplink')},1", "AT$P=1"]


@pytest.mark.parametrize("said", [OK + NO_ANSWER, NO_ANSWER], ids=["OK first", "without OK"])
def test_a_window_that_closed_in_silence_means_sent_and_is_never_sent_again(board: Board, modem: Modem, said: bytes):
    modem.answers["AT$SF="] = said
    wake = board.wake(board.clicks())
    assert (wake.value("link"), wake.value("light")) == ("radiated", "sent-not-confirmed")
    assert board.flash["kept"] == ["blob", "0000"]
    board.let_pass(120)
    assert board.wake().value("uplink") == ""


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ({}, "failed modem: silent"),
        ({"AT": b"\xa5\x5a" * 200 + b"\r\nwhat?\r\n"}, "failed modem: silent"),
        ({"AT": OK, "AT$SF=": b""}, "failed modem: no answer"),
        ({"AT": OK, "AT$SF=": b"garbage\r\n" * 50}, "failed modem: no answer"),
        ({"AT": OK, "AT$SF=": b"ERR_PARSE\r\n"}, "failed modem: ERR_PARSE"),
    ],
    ids=["is not there", "babbles", "falls silent", "answers garbage", "refuses"],
)
def test_a_modem_that_is_none_ends_asleep_in_time_with_the_press_kept(board: Board, modem: Modem, answers, why):
    modem.answers = answers
    wake = board.wake(board.clicks())
    assert (wake.value("link"), wake.value("light"), wake.slept) == (why, "not-sent", True)
    assert wake.trace[-1]["ms"] < DEADLINE_MS
    kept = board.flash["kept"][1]
    modem.answers = {"AT": OK}
    board.let_pass(1000)
    again = board.wake()
    assert again.value("link") == "radiated"
    assert again.value("uplink") == wake.value("uplink") or wake.value("uplink") == ""
    assert again.value("uplink") in kept


def test_an_hour_has_air_time_for_three_answered_messages_and_presses_wait_for_more(board: Board, modem: Modem):
    """36 s: 11.5 s an answered message at the most, 6.2 s one that is not."""
    modem.answers["AT$SF="] = OK + NO_ANSWER
    links = [board.wake(board.clicks()).value("link") for _ in range(4)]
    assert links == ["radiated"] * 3 + ["failed budget: no more for now"]
    board.let_pass(3_800)
    assert board.wake().value("link") == "radiated"
    asked = [command for command in modem.heard if command.startswith("AT$SF=")]
    assert [command.endswith(",1") for command in asked] == [True, True, True, False]


def test_a_power_cut_at_any_word_to_the_modem_sends_the_same_bytes_again(board: Board, modem: Modem):
    modem.answers["AT$SF="] = OK + NO_ANSWER
    board.wake(wake_reason=0)  # the battery was in before
    whole = board.surroundings
    board.surroundings = replace(whole, power_cut="after uart_write")
    cut = board.wake(board.clicks())
    assert cut.exit is vm.Exit.POWER_CUT
    board.surroundings = whole
    board.wake(reset_cause=vm.PWRON_RESET)
    assert next(command for command in modem.heard if command.startswith("AT$SF=")) == f"AT$SF={cut.value('uplink')}"
