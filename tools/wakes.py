"""What each kind of wake takes from the battery: the firmware itself, pressed on the board on the desk, link by link.

The board's own times are measured, its clock at the speed of this machine's. A modem's are Sigfox's: no time passes
for it here, and what it tells of its states is let into the trace where the firmware told it to send.
"""

import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from cloud.ingest.downlink import Status, seal_downlink
from cloud.ingest.uplink import Kind, Uplink
from simulator.board import energy, vm
from simulator.board.energy import Use
from simulator.board.life import Moment
from simulator.modem import LISTENS_FOR_S, Chip, Counter, Modem, State, serve_tcp
from simulator.sigfox import downlink, uplink
from tools import children

SETUP_SPEED = 5  # of the wakes that lead up to the one that is measured
KEY = bytes(16)  # of boards that press for nobody
BOOT_MS = 400  # the slow end of what silicon takes to reach main.py, because importing is quick on a desktop
JOIN_MS = 600  # driver, authentication, association, WPA2's handshake, on a known channel: our estimate
SCAN_MS = 13 * 120  # ESP-IDF looks at each of 13 channels for 120 ms by default
DHCP_MS = 1_000  # discover, offer, request, acknowledge, and lwIP's look whether the address is free: our estimate
SETTLED = vm.Surroundings(
    speed=SETUP_SPEED, boot_ms=BOOT_MS, wifi_delay_ms=JOIN_MS, wifi_scan_ms=SCAN_MS, dhcp_ms=DHCP_MS
)
HEARD_AFTER_S = LISTENS_FOR_S / 2  # into the window: a station may answer at any time in it
HOUR_S = 3600
HOLD_MS = 1_900  # a finger that has seen the light go out at 1.5 s


class Link(StrEnum):
    WIFI = "Wi-Fi"
    SIGFOX = "Sigfox"


@dataclass(frozen=True, slots=True)
class Case:
    """How a moment comes about: presses before, then hours of sleep, then this."""

    moment: Moment
    before: int = 1
    hours: float = 14  # longer than an address is used again
    clicks: int = 1  # 0: woken by its timer
    hold_ms: int | None = None
    answer: Status | None = Status.ACCEPTED
    has_link: bool = True
    has_failed: bool = False  # a press just before
    cause: int = vm.DEEPSLEEP_RESET


CASES = (
    Case(Moment.ANSWERED),
    Case(Moment.SOON_AGAIN, hours=2),
    Case(Moment.THREE, clicks=3),
    Case(Moment.UNANSWERED, answer=None),
    Case(Moment.UNASKED, before=4, hours=13, answer=None),
    Case(Moment.CANCEL, hold_ms=HOLD_MS, answer=Status.CANCELLED),
    Case(Moment.ASK, clicks=2, hold_ms=HOLD_MS, answer=Status.STATE),
    Case(Moment.LISTENING, hours=27, clicks=0, answer=None),
    Case(Moment.HEARTBEAT, hours=24.5, clicks=0, answer=None),
    Case(Moment.FAILED, answer=None, has_link=False),
    Case(Moment.RETRY, hours=0.1, clicks=0, answer=None, has_failed=True, has_link=False),
    Case(Moment.BOOT, clicks=0, cause=vm.PWRON_RESET, answer=None),
)


def measure() -> dict[Link, dict[Moment, Use]]:
    """Every moment with every link, side by side; half a minute."""
    jobs = [(link, case) for link in Link for case in CASES]
    with TemporaryDirectory() as temporary, ExitStack() as parts:
        folder = Path(temporary)
        broker = parts.enter_context(children.broker(folder, 0, folder / "nats.log"))
        network = parts.enter_context(answering(broker.port))
        # A board to each case, because a board that sleeps costs nothing: most of these seconds are waiting.
        with ThreadPoolExecutor(max_workers=8) as pool:
            running = [
                pool.submit(_measure, device, case, folder, link, network)
                for device, (link, case) in enumerate(jobs, start=1)
            ]
            measured = [one.result() for one in running]
    return {
        link: {case.moment: use for (its_link, case), use in zip(jobs, measured, strict=True) if its_link is link}
        for link in Link
    }


class Network:
    """Wi-Fi's broker and the cloud behind it: `answers`, by device, is what the next uplink is answered with."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answers: dict[str, bytes] = {}


@contextmanager
def answering(port: int) -> Iterator[Network]:
    network, subscribed = Network(port), threading.Event()

    def on_message(client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        device = message.topic.split("/")[1]
        if answer := network.answers.pop(device, None):
            client.publish(f"air/{device}/down", answer, 1)

    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_message = on_message
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        client.subscribe("air/+/up", 1)
        if not subscribed.wait(children.START_S):
            raise children.NotStarted("the broker takes no subscription")
        yield network
    finally:
        client.disconnect()
        client.loop_stop()


class Sky:
    """A modem's air and its clock: hours pass on it in no time."""

    def __init__(self, device: int) -> None:
        self.now_s = 0.0
        self.answer: bytes | None = None
        self.told: list[tuple[float, State]] = []
        self._device = device
        self._due: bytes | None = None

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def on_state(self, state: State) -> None:
        self.told.append((self.now_s, state))

    def radiate(self, replicas: bytes) -> None:
        seq = uplink.decode(replicas[: len(replicas) // 3], KEY).uplink.seq
        self._due = self.answer and downlink.encode(self.answer, device_id=self._device, seq=seq, key=KEY)

    def hear(self, patience_s: float) -> bytes | None:
        self.sleep(min(HEARD_AFTER_S, patience_s) if self._due else patience_s)
        heard, self._due = self._due, None
        return heard


def _measure(device: int, case: Case, folder: Path, link: Link, network: Network) -> Use:
    sky = Sky(device)
    with ExitStack() as parts:
        port = parts.enter_context(_modem(device, folder, sky)) if link is Link.SIGFOX else 0
        settled = replace(SETTLED, modem_port=port)
        # With no access point the driver looks at all channels, and again for each of its two tries.
        alone = replace(settled, wifi_status=vm.WIFI_NO_AP, wifi_delay_ms=2 * SCAN_MS, modem_port=1)
        board = vm.Board(folder / f"{device}", settled)
        board.provision(device, KEY, 0, "127.0.0.1", network.port, link="wisol" if port else "mqtt")

        def live(events: vm.KeyEvents, answer: Status | None, cause: int = vm.DEEPSLEEP_RESET) -> vm.Wake:
            if answer:
                sealed = seal_downlink(answer, 0, answers=_uplink(device, board.counter + 1), key=KEY)
                sky.answer = network.answers[f"{device:08X}"] = sealed
            else:
                sky.answer = None
            sky.told.clear()
            wake = board.wake(events, reset_cause=cause)
            has_link = board.surroundings.wifi_status == vm.WIFI_CONNECTED
            is_answered = wake.value("answer") not in ("", "none")
            if not wake.slept or (wake.value("link") == "radiated", is_answered) != (has_link, bool(answer)):
                raise vm.BoardError(f"{link}, {case.moment}: the machine is too busy to measure on:\n{wake.console}")
            return wake

        for number in range(case.before):
            if number:
                board.let_pass(2 * HOUR_S)  # of air time there is more every hour
            live(board.clicks(), Status.ACCEPTED)
        if case.has_failed:
            board.surroundings = alone
            live(board.clicks(), None)
        board.let_pass(case.hours * HOUR_S)
        board.surroundings = replace(settled if case.has_link else alone, speed=1)
        wake = live(board.clicks(case.clicks, case.hold_ms) if case.clicks else (), case.answer, case.cause)
    trace = stretched(wake.trace, sky.told) if link is Link.SIGFOX else list(wake.trace)
    return energy.awake(trace, trace[-1]["ms"], State.SLEEP if link is Link.SIGFOX else None)


def stretched(trace: Iterable[Mapping[str, Any]], told: Iterable[tuple[float, State]]) -> list[dict[str, Any]]:
    """The trace of a board whose modem took no time, with the time that the modem tells it would have taken."""
    states = list(told)
    began_s = states[0][0] if states else 0.0
    took_ms, events = 0, []

    def note(ms: int, state: State) -> None:
        events.append({"ms": ms, "kind": "modem", "state": state})

    for event in trace:
        ms = event["ms"] + took_ms
        events.append({**event, "ms": ms})
        match bytes.fromhex(event.get("sent", "")):
            case b"\0":
                note(ms, State.IDLE)
            case b"AT$P=1\r":
                note(ms, State.SLEEP)
            case said if said.startswith(b"AT$SF="):
                for at_s, state in states:
                    if state is not State.SLEEP:
                        took_ms = round((at_s - began_s) * 1000)
                        note(event["ms"] + took_ms, state)
    return events


@contextmanager
def _modem(device: int, folder: Path, sky: Sky) -> Iterator[int]:
    """The port of a modem for which no time passes."""
    modem = Modem(
        Chip(device, KEY),
        Counter(folder / f"{device}.counter"),
        sky,
        on_state=sky.on_state,
        sleep=sky.sleep,
        now=lambda: sky.now_s,
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve_tcp, args=(modem, listener))
        serving.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            serving.join()


def _uplink(device: int, counter: int) -> Uplink:
    """All of an uplink that the seal of its answer needs."""
    return Uplink(device, 0, counter, Kind.PICKUP, 1, 0, 0, 0, 0)
