"""The virtual modem: its commands one by one, then over a real line, the radio model and a broker."""

import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from sys import executable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.modem import (
    ERROR,
    MAX_LINE_BYTES,
    NO_ANSWER,
    NOISE,
    OK,
    TEST_KEY,
    Chip,
    Counter,
    Fault,
    Modem,
    NoBroker,
    State,
    converse,
)
from simulator.sigfox import downlink
from simulator.sigfox.uplink import Auth, Received, decode
from tests.mqtt import PATIENCE_S, Subscriber, publish
from tools import children
from tools.children import Broker

DEVICE, DEVICE_ID, KEY = "0012AB34", 0x12AB34, bytes(range(16))
DATA = bytes.fromhex("0123456789abcdef")


class Ether:
    """An air that keeps what is radiated, and answers each message with `answers`."""

    def __init__(self, *answers: Callable[[Received], bytes]) -> None:
        self.messages: list[list[Received]] = []
        self._answers = answers
        self._due: list[bytes] = []

    def radiate(self, replicas: bytes) -> None:
        size = len(replicas) // 3
        message = [decode(replicas[start : start + size], KEY) for start in range(0, len(replicas), size)]
        self.messages.append(message)
        self._due = [answer(message[0]) for answer in self._answers]

    def hear(self, patience_s: float) -> bytes | None:
        return self._due.pop(0) if self._due else None


class NoAir(Ether):
    def radiate(self, replicas: bytes) -> None:
        raise NoBroker


def answering(received: Received) -> bytes:
    return downlink.encode(DATA, device_id=DEVICE_ID, seq=received.uplink.seq, key=KEY)


def damaged(received: Received) -> bytes:
    return bytes(byte ^ 0x11 for byte in answering(received)[:4]) + answering(received)[4:]


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    return Counter(tmp_path / "counter")


def make_modem(counter: Counter, air: Ether, rx_form: str = "plain") -> Modem:
    chip = Chip(DEVICE_ID, KEY, pac="1122334455667788", temperature_dc=-35, battery_mv=2950)
    return Modem(chip, counter, air, scale=0, rx_form=rx_form)


def say(modem: Modem, text: str | bytes) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    return b"".join(said for byte in data for said in modem.take(bytes([byte]))).decode().split("\r\n")[:-1]


@pytest.mark.parametrize(
    ("command", "answers"),
    [
        ("AT", [OK]),
        ("AT$I=10", [DEVICE]),
        ("AT$I=11", ["1122334455667788"]),
        ("AT$T?", ["-35"]),
        ("AT$V?", ["2950"]),
        ("ATS410?", ["0"]),
        ("ATS410=1\rATS410?\rATS410=0\rATS410?", [OK, "1", OK, "0"]),
        ("", []),
        ("\nAT", [OK]),
        ("at", [ERROR]),
        ("AT ", [ERROR]),
        ("AT$I=12", [ERROR]),
        ("AT$SF=", [ERROR]),
        ("AT$SF=0", [ERROR]),
        ("AT$SF=0g", [ERROR]),
        ("AT$SF=" + "00" * 13, [ERROR]),
        ("AT$SF=00,2", [ERROR]),
        ("AT$SB=2", [ERROR]),
        ("AT$P=3", [ERROR]),
        ("A" * 10_000 + "\rAT", [ERROR, OK]),
        ("\xff\xfe\rAT", [ERROR, OK]),
    ],
)
def test_each_command_has_its_answer(counter: Counter, command: str, answers: list[str]) -> None:
    ether = Ether()
    assert say(make_modem(counter, ether), command + "\r") == answers
    assert ether.messages == []


@given(st.lists(st.binary(max_size=2 * MAX_LINE_BYTES).filter(lambda line: not re.search(rb"AT", line))))
def test_garbage_is_answered_with_an_error_a_line_and_radiates_nothing(lines: list[bytes]) -> None:
    counter, ether = Counter(Path(os.devnull) / "never written"), Ether()
    modem = make_modem(counter, ether)
    for line in lines:
        words = [word for word in line.replace(b"\0", b"").replace(b"\n", b"").split(b"\r") if word]
        assert say(modem, line + b"\r") == [ERROR] * len(words)
    assert ether.messages == []
    assert say(modem, "AT\r") == [OK]


def test_what_is_sent_is_radiated_in_three_replicas_before_the_ok(counter: Counter) -> None:
    ether = Ether()
    modem = make_modem(counter, ether)
    assert say(modem, "AT$SF=0102aBcD\rAT$SB=1\rAT$SF=00,0\r") == [OK] * 3
    for number, message in enumerate(ether.messages):
        assert [received.replica for received in message] == [1, 2, 3]
        assert {(r.uplink, r.auth_is) for r in message} == {(message[0].uplink, Auth.RIGHT)}
        assert (message[0].uplink.seq, message[0].uplink.asks_downlink) == (number, False)
    assert [message[0].uplink.payload for message in ether.messages] == [b"\x01\x02\xab\xcd", True, b"\0"]


def test_with_the_test_key_no_network_takes_it_for_the_device(counter: Counter) -> None:
    ether = Ether()
    say(make_modem(counter, ether), "ATS410=1\rAT$SF=00\r")
    assert ether.messages[0][0].auth_is is Auth.WRONG
    assert len(TEST_KEY) == 16


@pytest.mark.parametrize(
    ("rx_form", "lines"),
    [
        ("plain", ["RX=01 23 45 67 89 AB CD EF"]),
        ("plus", ["+RX=01 23 45 67 89 AB CD EF"]),
        ("begin-end", ["+RX BEGIN", "+RX=01 23 45 67 89 AB CD EF", "+RX END"]),
    ],
)
def test_a_downlink_is_told_as_the_firmware_version_does(counter: Counter, rx_form: str, lines: list[str]) -> None:
    modem = make_modem(counter, Ether(lambda _: b"noise", damaged, answering), rx_form)
    assert say(modem, "AT$SF=00,1\r") == [OK, *lines]


def test_a_confirmed_downlink_leaves_a_gap_in_the_numbers(counter: Counter) -> None:
    ether = Ether(answering)
    say(make_modem(counter, ether), "AT$SF=00,1\rAT$SB=0,1\rAT$SF=00\r")
    assert [message[0].uplink.seq for message in ether.messages] == [0, 2, 4]


def test_no_downlink_is_said_after_the_ok_of_the_uplink(counter: Counter) -> None:
    ether = Ether()
    assert say(make_modem(counter, ether), "AT$SF=00,1\r") == [OK, NO_ANSWER]
    assert ether.messages[0][0].uplink.asks_downlink
    stranger = Ether(lambda _: downlink.encode(DATA, device_id=DEVICE_ID, seq=99, key=KEY))
    assert say(make_modem(counter, stranger), "AT$SF=00,1\r") == [OK, NO_ANSWER]


def test_without_a_broker_nothing_is_radiated_and_the_number_is_gone(tmp_path: Path, counter: Counter) -> None:
    assert say(make_modem(counter, NoAir()), "AT$SF=00,1\r") == [ERROR]
    assert Counter(tmp_path / "counter").take() == 1


def test_asleep_only_a_break_wakes_it_and_in_deep_sleep_only_the_pin(counter: Counter) -> None:
    modem = make_modem(counter, Ether())
    assert say(modem, "AT$P=1\rAT\rAT$P=2\r") == [OK]
    assert say(modem, b"\0AT\r") == [OK]
    assert say(modem, b"AT$P=2\r\0AT\r") == [OK]
    modem.wake()
    assert say(modem, "AT\r") == [OK]


def test_it_tells_what_it_does_for_as_long_as_sigfox_takes(counter: Counter) -> None:
    clock, told = [0.0], []
    modem = Modem(
        Chip(DEVICE_ID, KEY),
        counter,
        Ether(answering),
        on_state=lambda state: told.append((round(clock[0], 2), state)),
        sleep=lambda seconds: clock.append(clock.pop() + seconds),
        now=lambda: clock[0],
    )
    assert say(modem, "AT$P=1\r\0AT$SF=000102030405060708090a0b,1\rAT$P=1\r")[-1] == OK
    sending = [(0, State.TX), (2.08, State.IDLE), (2.58, State.TX), (4.66, State.IDLE), (5.16, State.TX)]
    listening = [(7.24, State.IDLE), (7.24, State.IDLE), (27.24, State.RX), (27.24, State.IDLE)]
    confirming = [(27.24, State.IDLE), (28.64, State.TX), (34.92, State.IDLE), (34.92, State.SLEEP)]
    assert told == [(0, State.SLEEP), (0, State.IDLE), *sending, *listening, *confirming]


@pytest.mark.parametrize(
    ("fault", "answers"),
    [
        (Fault.SILENT, b""),
        (Fault.GARBAGE, 2 * NOISE),
        (Fault.NOISY, NOISE + b"OK\r\n" + NOISE + b"OK\r\n" + NOISE + b"RX=01 23 45 67 89 AB CD EF\r\n"),
        (Fault.REFUSES, b"OK\r\nERROR\r\n"),
        (Fault.SENDS_SILENTLY, b"OK\r\n"),
        (Fault.SENDS_GARBLED, b"OK\r\n" + 2 * NOISE),
        (Fault.WITHOUT_OK, b"OK\r\nRX=01 23 45 67 89 AB CD EF\r\n"),
    ],
)
def test_each_fault_spoils_what_it_says_and_only_a_sender_radiates(counter: Counter, fault, answers: bytes) -> None:
    ether = Ether(answering)
    modem = make_modem(counter, ether)
    modem.fault = fault
    said = b"".join(said for byte in b"AT\rAT$SF=00,1\r" for said in modem.take(bytes([byte])))
    assert (said, len(ether.messages)) == (answers, fault not in (Fault.SILENT, Fault.GARBAGE, Fault.REFUSES))


def test_one_that_is_cut_off_hangs_up_in_the_middle_of_its_answer(counter: Counter) -> None:
    modem, said, heard = make_modem(counter, Ether(answering)), bytearray(), [b"AT\rAT$SF=00,1\r", b"AT\r", b""]
    modem.fault = Fault.CUT_OFF
    converse(modem, lambda: heard.pop(0), said.extend)
    assert (said, heard) == (b"OK\r\nOK\r\nRX=01 23 45 67", [b"AT\r", b""])


def test_the_counter_has_12_bits_and_outlives_the_modem(tmp_path: Path) -> None:
    path = tmp_path / "counter"
    path.write_text("4094\n")
    assert [Counter(path).take() for _ in range(3)] == [4094, 4095, 0]
    for wrong in ("", "x", "4096", "-1", "٣"):
        path.write_text(wrong)
        with pytest.raises(ValueError, match="does not hold a counter from 0 to 4095"):
            Counter(path)


def test_a_chip_does_not_show_its_key() -> None:
    assert KEY.hex() not in repr(Chip(DEVICE_ID, KEY))
    assert repr(KEY) not in repr(Chip(DEVICE_ID, KEY))


@contextmanager
def running(broker: Broker, folder: Path, *options: str) -> Iterator[tuple[str, Popen[bytes]]]:
    """A modem and the radio model as processes; where the modem is ready."""
    keys, log = folder / "keys.json", folder / "modem.log"
    keys.write_text(json.dumps({DEVICE: KEY.hex()}))
    command = [executable, "-m", "simulator.modem", "--device", DEVICE, "--keys", str(keys)]
    command += ["--counter", str(folder / "counter"), *options]
    environment = {"DOMINO_BROKER_URL": broker.url}
    with (
        children.radio(broker.url, log_file=folder / "radio.log", keys=keys),
        children.started("the modem", command, log, lambda said: "ready" in said, environment=environment) as process,
    ):
        yield log.read_text().split()[-1], process


def test_over_tcp_a_message_reaches_the_cloud_and_its_answer_the_line(broker: Broker, tmp_path: Path) -> None:
    with (
        running(broker, tmp_path, "--tcp", "0", "--scale", "0.1") as (port, process),
        Subscriber(broker.port, "sigfox/+/up") as cloud,
        socket.create_connection(("127.0.0.1", int(port)), timeout=PATIENCE_S) as line,
        line.makefile("rw", newline="\r\n") as words,
    ):

        def ask(command: str) -> str:
            words.write(command)
            words.flush()
            return words.readline()

        assert ask("AT$P=2\r") == "OK\r\n"
        process.send_signal(signal.SIGUSR1)  # the wake pin
        assert ask("AT$SF=000102030405060708090a0b,1\r") == "OK\r\n"
        [(topic, body)] = cloud.take()
        callback = json.loads(body)
        assert (topic, callback["data"]) == (f"sigfox/{DEVICE}/up", "000102030405060708090a0b")
        assert (callback["seqNumber"], callback["ack"]) == (0, True)
        answer = {"device": DEVICE, "downlinkData": DATA.hex()}
        publish(broker.port, [(f"sigfox/{DEVICE}/down", json.dumps(answer).encode())])
        assert words.readline() == "RX=01 23 45 67 89 AB CD EF\r\n"
        assert ask("AT$SB=1\r") == "OK\r\n"
        [(_, body)] = cloud.take()
        assert (json.loads(body)["data"], json.loads(body)["seqNumber"], json.loads(body)["ack"]) == ("01", 2, False)


def test_over_a_pty_no_answer_is_an_error_and_the_link_goes_with_the_modem(broker: Broker, tmp_path: Path) -> None:
    link = tmp_path / "tty"
    with running(broker, tmp_path, "--pty", str(link), "--scale", "0.001") as (where, _), link.open("r+b", 0) as line:
        assert where == str(link)
        line.write(b"AT$SF=00,1\r")
        said = b""
        while said.count(b"\n") < 2:
            said += line.read(100)
        assert said.decode().split() == [OK, NO_ANSWER]
    assert not link.is_symlink()


def test_a_modem_without_a_key_or_a_counter_says_so(broker: Broker, tmp_path: Path) -> None:
    (tmp_path / "counter").write_text("many")
    with pytest.raises(children.NotStarted, match="does not hold a counter"), running(broker, tmp_path, "--tcp", "0"):
        pass
