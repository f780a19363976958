"""A virtual Wisol SFM10R1 or SFM11R2: AT commands on a pty or a TCP port, real Sigfox frames on ``air/``.

    python -m simulator.modem --device 0012AB34 --keys keys.json --counter modem.counter --tcp 0

One message is radiated as one MQTT message, its three replicas one after the other, on ``air/{device}/frame/up``; the
answering frame is heard on ``air/{device}/frame/down``. `OK` means radiated, no more. The environment's
DOMINO_BROKER_URL stands in for ``--broker``, so that a password in it is in no process list.

A byte of zeros is how a UART reads a break, and wakes the modem from `AT$P=1`; SIGUSR1 is the wake pin, which alone
wakes it from `AT$P=2`.
"""

import argparse
import os
import queue
import re
import signal
import socket
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, Protocol, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from simulator.keys import read_keys
from simulator.radio.service import BrokerAddress
from simulator.sigfox import downlink, uplink
from simulator.sigfox.frame import SEQUENCE_NUMBERS, Refused

BETWEEN_REPLICAS_S = 0.5
LISTENS_AFTER_S, LISTENS_FOR_S = 20.0, 25.0  # RC1, from the end of the last replica
CONFIRMS_AFTER_S = 1.4  # at the earliest
CONFIRMS_FOR_S = 3 * 1.76 + 2 * BETWEEN_REPLICAS_S  # 8 bytes, three times: as the firmware's own budget counts it
BROKER_PATIENCE_S = 10.0  # never scaled: the broker's time is real
MAX_LINE_BYTES = 64  # the longest command has 32
TEST_KEY = bytes.fromhex("00112233445566778899AABBCCDDEEFF")  # Sigfox's public one, chosen by ATS410=1
BREAK, END_OF_LINE, LINE_FEED = b"\0", b"\r", b"\n"
OK, ERROR, NO_ANSWER = "OK", "ERROR", "ERR_SFX_ERR_SEND_FRAME_WAIT_TIMEOUT"

SEND_BYTES = re.compile(r"AT\$SF=((?:[0-9A-Fa-f]{2}){1,12})(?:,([01]))?")
SEND_BIT = re.compile(r"AT\$SB=([01])(?:,([01]))?")
SEND = re.compile(f"{SEND_BYTES.pattern}|{SEND_BIT.pattern}")
# How firmware versions tell of a downlink.
RX_FORMS = {
    "plain": ("RX={}",),
    "plus": ("+RX={}",),
    "begin-end": ("+RX BEGIN", "+RX={}", "+RX END"),
    "bare": ("+RX BEGIN", "{}", "+RX END"),
}
NOISE = b"\xff\x00\xa5noise\r\n\x80\r\n"


class NoBroker(Exception):
    """The broker did not take a message in time. It may yet."""


class Air(Protocol):
    def radiate(self, replicas: bytes) -> None:
        """Raises NoBroker."""
        ...

    def hear(self, patience_s: float) -> bytes | None:
        """The next frame that came down since `radiate`, or None."""
        ...


class HungUp(Exception):
    """The modem lost its power in the middle of a word."""


class Sleep(Enum):
    AWAKE = 0
    LIGHT = 1
    DEEP = 2


class State(StrEnum):
    """What takes its current."""

    SLEEP = "sleep"
    IDLE = "idle"
    TX = "tx"
    RX = "rx"


class Fault(StrEnum):
    """What may be wrong with a modem, or with the wire to it."""

    NONE = "none"
    SILENT = "silent"  # hears nothing, says nothing
    GARBAGE = "garbage"  # noise in place of every answer
    NOISY = "noisy"  # noise before every answer
    REFUSES = "refuses"  # is told to send and does not
    SENDS_SILENTLY = "sends-silently"  # sends, and says nothing of it
    SENDS_GARBLED = "sends-garbled"  # sends, and says noise
    WITHOUT_OK = "without-ok"  # of a message that asks for an answer tells only what came of it
    CUT_OFF = "cut-off"  # loses its power in the middle of the last line about a message


@dataclass(frozen=True, slots=True)
class Chip:
    """What is burnt into a modem, and what its sensors say."""

    device_id: int
    key: bytes = field(repr=False)
    pac: str = "0000000000000000"
    temperature_dc: int = 215  # tenths of a degree Celsius
    battery_mv: int = 3300


class Counter:
    """The 12-bit message counter, on disk before the number it gives is used."""

    def __init__(self, path: Path) -> None:
        """Raises ValueError for a file that holds something else."""
        self._path = path
        text = path.read_text().strip() if path.exists() else "0"
        if not re.fullmatch("[0-9]{1,4}", text) or int(text) >= SEQUENCE_NUMBERS:
            raise ValueError(f"{path} does not hold a counter from 0 to {SEQUENCE_NUMBERS - 1}")
        self._next = int(text)

    def take(self) -> int:
        taken, self._next = self._next, (self._next + 1) % SEQUENCE_NUMBERS
        written = self._path.with_name(self._path.name + ".new")
        with written.open("w") as file:
            file.write(f"{self._next}\n")
            file.flush()
            os.fsync(file.fileno())
        written.replace(self._path)
        return taken


class Modem:
    """It answers one command after another; what takes real time takes `scale` times as long."""

    def __init__(
        self,
        chip: Chip,
        counter: Counter,
        air: Air,
        *,
        scale: float = 1.0,
        rx_form: str = "plain",
        fault: Fault = Fault.NONE,
        on_state: Callable[[State], object] = lambda state: None,
        sleep: Callable[[float], object] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`sleep` and `now`, in s, are its clock; `on_state` is told whenever what it takes changes."""
        self._chip = chip
        self._counter = counter
        self._air = air
        self._scale = scale
        self.rx_form = rx_form
        self.fault = fault
        self._on_state = on_state
        self._pass, self._now = sleep, now
        self._has_test_key = False
        self._sleep = Sleep.AWAKE
        self._line = bytearray()

    def wake(self) -> None:
        """The wake pin."""
        self._sleep = Sleep.AWAKE
        self._on_state(State.IDLE)

    def take(self, byte: bytes) -> Iterator[bytes]:
        """The answers to one byte from the UART, each as soon as it is due. Raises HungUp."""
        if self._sleep is not Sleep.AWAKE:
            if byte == BREAK and self._sleep is Sleep.LIGHT:
                self.wake()
        elif byte == END_OF_LINE:
            line, self._line = bytes(self._line), bytearray()
            if line:
                command = line.decode("latin-1")
                answers = iter([ERROR]) if len(line) > MAX_LINE_BYTES else self._obey(command)
                yield from self._speak(answers, is_sending=bool(SEND.fullmatch(command)))
        elif byte not in (BREAK, LINE_FEED) and len(self._line) <= MAX_LINE_BYTES:
            self._line += byte

    def _speak(self, answers: Iterator[str], *, is_sending: bool) -> Iterator[bytes]:
        """The answers as they go over the wire, spoilt by the fault."""
        match self.fault:
            case Fault.SILENT:
                return
            case Fault.REFUSES if is_sending:
                answers = iter([ERROR])
            case Fault.GARBAGE:
                answers = iter([])
                yield NOISE
            case Fault.SENDS_GARBLED if is_sending:
                yield from (NOISE for _ in answers)
        for answer in answers:
            said = answer.encode() + b"\r\n"
            match self.fault:
                case Fault.NOISY:
                    yield NOISE + said
                case Fault.SENDS_SILENTLY if is_sending:
                    pass
                case Fault.WITHOUT_OK if is_sending and answer == OK:
                    pass
                case Fault.CUT_OFF if is_sending and answer != OK:
                    yield said[: len(said) // 2]
                    raise HungUp
                case _:
                    yield said

    def _obey(self, command: str) -> Iterator[str]:
        match command:
            case "AT":
                yield OK
            case "AT$I=10":
                yield f"{self._chip.device_id:08X}"
            case "AT$I=11":
                yield self._chip.pac
            case "AT$T?":
                yield str(self._chip.temperature_dc)
            case "AT$V?":
                yield str(self._chip.battery_mv)
            case "ATS410?":
                yield str(int(self._has_test_key))
            case "ATS410=0" | "ATS410=1":
                self._has_test_key = command[-1] == "1"
                yield OK
            case "AT$P=1" | "AT$P=2":
                self._sleep = Sleep(int(command[-1]))  # before its OK, which nobody may be there to hear
                self._on_state(State.SLEEP)
                yield OK
            case _ if sent := SEND_BYTES.fullmatch(command):
                yield from self._send(bytes.fromhex(sent[1]), asks_downlink=sent[2] == "1")
            case _ if sent := SEND_BIT.fullmatch(command):
                yield from self._send(sent[1] == "1", asks_downlink=sent[2] == "1")
            case _:
                yield ERROR

    def _send(self, payload: bytes | bool, *, asks_downlink: bool) -> Iterator[str]:
        key = TEST_KEY if self._has_test_key else self._chip.key
        sent = uplink.Uplink(self._chip.device_id, self._counter.take(), payload, asks_downlink)
        replicas = uplink.encode(sent, key)
        for number, replica in enumerate(replicas):
            if number:
                self._spend(State.IDLE, BETWEEN_REPLICAS_S)
            self._spend(State.TX, uplink.airtime_s(replica))
        self._on_state(State.IDLE)
        try:
            self._air.radiate(b"".join(replicas))
        except NoBroker:
            yield ERROR
            return
        yield OK
        if not asks_downlink:
            return
        answer = self._listen(sent, key)
        self._on_state(State.IDLE)
        if answer is None:
            yield NO_ANSWER
            return
        self._spend(State.IDLE, CONFIRMS_AFTER_S)
        self._spend(State.TX, CONFIRMS_FOR_S)
        self._on_state(State.IDLE)
        self._counter.take()  # the confirmation's, of which only the time and the gap in the numbers are modelled
        for line in RX_FORMS[self.rx_form]:
            yield line.format(answer.hex(" ").upper())

    def _listen(self, sent: uplink.Uplink, key: bytes) -> bytes | None:
        """The answer to `sent`; what else is on the air is noise."""
        self._spend(State.IDLE, LISTENS_AFTER_S)
        self._on_state(State.RX)
        ends_at = self._now() + LISTENS_FOR_S * self._scale
        while frame := self._air.hear(max(0.0, ends_at - self._now())):
            try:
                return downlink.decode(frame, device_id=sent.device_id, seq=sent.seq, key=key).payload
            except Refused:
                continue
        return None

    def _spend(self, state: State, seconds: float) -> None:
        self._on_state(state)
        self._pass(seconds * self._scale)


class MqttAir:
    """The air as the radio model has it; entered, it hears."""

    def __init__(self, broker: BrokerAddress, device_id: int) -> None:
        self._topic = f"air/{device_id:08X}/frame"
        self._heard: queue.Queue[bytes] = queue.Queue()
        self._subscribed = threading.Event()
        client = self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, f"domino-modem-{device_id:08X}", protocol=mqtt.MQTTv311
        )
        client.reconnect_delay_set(min_delay=1, max_delay=5)
        if broker.user:
            client.username_pw_set(broker.user, broker.password)
        client.on_connect = self._on_connect
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = self._on_message
        self._broker = broker

    def __enter__(self) -> Self:
        try:
            self._client.connect(self._broker.host, self._broker.port)
        except OSError as error:
            raise NoBroker(f"no broker at {self._broker.host}:{self._broker.port}: {error}") from None
        self._client.loop_start()
        if not self._subscribed.wait(BROKER_PATIENCE_S):
            raise NoBroker(f"the broker at {self._broker.host}:{self._broker.port} takes no subscription")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def radiate(self, replicas: bytes) -> None:
        while not self._heard.empty():
            self._heard.get_nowait()  # for an earlier message
        sent = self._client.publish(f"{self._topic}/up", replicas, qos=1)
        if sent.rc != mqtt.MQTT_ERR_SUCCESS:
            raise NoBroker(mqtt.error_string(sent.rc))
        sent.wait_for_publish(BROKER_PATIENCE_S)
        if not sent.is_published():
            raise NoBroker("not acknowledged")

    def hear(self, patience_s: float) -> bytes | None:
        try:
            return self._heard.get(timeout=patience_s)
        except queue.Empty:
            return None

    def _on_connect(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe(f"{self._topic}/down", 1)

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._heard.put(bytes(message.payload))


def converse(modem: Modem, read: Callable[[], bytes], write: Callable[[bytes], object]) -> None:
    """Until either side hangs up."""
    with suppress(HungUp):
        while data := read():
            for byte in data:
                for said in modem.take(bytes([byte])):
                    write(said)


def serve_tcp(modem: Modem, listener: socket.socket) -> None:
    """One conversation at a time, until the listener is shut down."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, suppress(OSError):  # hung up in the middle of a word
            converse(modem, lambda: connection.recv(4096), connection.sendall)  # noqa: B023  ends in here


def serve_pty(modem: Modem, link: Path, on_ready: Callable[[object], None]) -> None:
    """`link` leads to a pseudo-terminal, for as long as this runs."""
    with terminal(link) as ours:
        on_ready(link)
        converse(modem, lambda: os.read(ours, 4096), lambda data: os.write(ours, data))


@contextmanager
def terminal(link: Path) -> Iterator[int]:
    ours, theirs = os.openpty()  # theirs stays open here, or reading would fail whenever nobody has it open
    try:
        tty.setraw(theirs)
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(theirs))
        yield ours
    finally:
        link.unlink(missing_ok=True)
        os.close(ours)
        os.close(theirs)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m simulator.modem", description="A virtual Wisol modem.")
    broker_url = os.environ.get("DOMINO_BROKER_URL")
    parser.add_argument("--broker", default=broker_url, required=not broker_url, metavar="URL")
    parser.add_argument("--device", required=True, metavar="ID", help="8 hex digits")
    parser.add_argument("--keys", type=Path, required=True, metavar="FILE", help="JSON of device id to network key")
    parser.add_argument("--counter", type=Path, required=True, metavar="FILE", help="keeps the message counter")
    line = parser.add_mutually_exclusive_group(required=True)
    line.add_argument("--tcp", type=int, metavar="PORT", help="on 127.0.0.1; 0: a free one")
    line.add_argument("--pty", type=Path, metavar="LINK", help="a link to make, to a pseudo-terminal")
    parser.add_argument("--scale", type=float, default=1.0, metavar="X", help="0.01: a hundred times as fast")
    parser.add_argument("--rx-form", choices=RX_FORMS, default="plain", help="how a downlink is told")
    parser.add_argument("--fault", type=Fault, choices=list(Fault), default=Fault.NONE, help="what is wrong with it")
    parser.add_argument("--states-fd", type=int, metavar="FD", help="a descriptor to tell its states to, one a line")
    parser.add_argument("--temperature-dc", type=int, default=215, metavar="N", help="tenths of a degree")
    parser.add_argument("--battery-mv", type=int, default=3300, metavar="N")
    options = parser.parse_args()
    try:
        broker = BrokerAddress.parse(options.broker)
        key = read_keys(options.keys).get(options.device.upper())
        if key is None:
            raise ValueError(f"{options.keys} has no key of the device {options.device!r}")
        if not 0 <= options.scale <= 1000:
            raise ValueError(f"--scale is 0 to 1000, not {options.scale}")
        counter = Counter(options.counter)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    chip = Chip(int(options.device, 16), key, temperature_dc=options.temperature_dc, battery_mv=options.battery_mv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        with MqttAir(broker, chip.device_id) as air:
            modem = Modem(
                chip,
                counter,
                air,
                scale=options.scale,
                rx_form=options.rx_form,
                fault=options.fault,
                on_state=lambda state: tell_state(options.states_fd, state),
            )
            signal.signal(signal.SIGUSR1, lambda *_: modem.wake())
            if options.pty:
                serve_pty(modem, options.pty, on_ready)
            else:
                with socket.create_server(("127.0.0.1", options.tcp)) as listener:
                    on_ready(listener.getsockname()[1])
                    serve_tcp(modem, listener)
    except (NoBroker, OSError) as error:
        sys.exit(f"modem: {error}")
    except KeyboardInterrupt:
        sys.exit()


def tell_state(descriptor: int | None, state: State) -> None:
    if descriptor is not None:
        os.write(descriptor, f"{state}\n".encode())


def on_ready(where: object) -> None:
    sys.stdout.write(f"ready {where}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
