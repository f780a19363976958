"""A button on the desk: the unmodified firmware on a real MicroPython in a 64 KB heap, over stand-ins for its hardware.

As on a board, main.py is source and its modules are bytecode, compiled here whenever a source is newer.

Sleep and a power cut kill the VM where it stands, as silicon stops: no `finally`, no flush. What outlives it is in the
board's folder: nvs.json (flash) and rtc.json (RTC memory, which a power cut empties), and the clock since power-on.
"""

import json
import os
import select
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

FIRMWARE = Path(__file__).parents[2] / "firmware"
STAND_INS = Path(__file__).parent / "stand_ins"
COMPILED = FIRMWARE.parent / "build" / "vm"  # both as bytecode, which is how a board has its modules
HEAP = "64K"  # what MicroPython starts with on an ESP32
TIME_OUT_S = 180  # the firmware's own bounds add up to less: 20 s of clicks, 10 s of Wi-Fi or 110 s of modem, flashes
WATCH_S = 0.1  # how often the watchdog is looked at
FOLLOW_S = 0.02  # how often the trace is, where somebody watches the light: its flickers take 40 ms

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
    WATCHDOG = "watchdog"
    RESET = "reset"
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
    wifi_delay_ms: int = 50  # to join an access point on a known channel
    wifi_scan_ms: int = 0  # to look at all channels
    dhcp_ms: int = 0  # to be given an address
    wifi_status: int = WIFI_CONNECTED  # or an error, or WIFI_CONNECTING for one that never answers
    access_point: str = "02d0314e0001"  # its BSSID
    channel: int = 6
    dhcp_answers: bool = True
    radio_hangs: bool = False  # inside the driver, where no Python runs
    modem_port: int = 0  # where the modem on the UART is heard, on this machine
    nvs_writes_through: bool = False  # values are in flash before their commit
    power_cut: str | int | None = None  # "before nvs_commit", likewise after, nvs_set, rtc_write, wifi_connect,
    # uart_write; or the n-th of these boundaries, from 1
    heap: str = HEAP
    speed: int = 1  # of the board's clock; sockets keep to this machine's


class Key:
    """A board's key while it lives, moved from any thread at any time; times are ms since that life's reset."""

    def __init__(self, folder: Path, *, is_down: bool) -> None:
        self._path = folder / "key"
        self._started_at = time.monotonic()
        self.movements: list[tuple[int, bool]] = []
        self._path.write_bytes(b"")
        self.move(is_down, 0)

    def move(self, is_down: bool, ms: int | None = None) -> None:
        """Now, or at `ms`, which may still be to come."""
        at_ms = round((time.monotonic() - self._started_at) * 1000) if ms is None else ms
        self.movements.append((at_ms, is_down))
        with self._path.open("ab") as file:
            file.write(struct.pack(">IB", at_ms, is_down))

    @property
    def now_ms(self) -> int:
        return round((time.monotonic() - self._started_at) * 1000)


class Board:
    """One button, kept in `folder`."""

    def __init__(
        self, folder: Path, surroundings: Surroundings | None = None, *, time_out_s: float = TIME_OUT_S
    ) -> None:
        self.folder = folder
        self.surroundings = surroundings or Surroundings()
        self._time_out_s = time_out_s
        self._vm: subprocess.Popen[bytes] | None = None
        self._killed_by: Exit | None = None
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
        link: str = "mqtt",
    ) -> None:
        """Write a new button's flash; `counter` is the last one used. The same button anew keeps what it has kept."""
        _check_identity(device_id, key, generation, counter)
        texts = {"ssid": ssid, "psk": password, "host": broker_host, "link": link}
        blobs = {"key": key, **{name: text.encode() for name, text in texts.items()}}
        numbers = {"id": device_id, "gen": generation, "ctr": counter, "port": broker_port}
        flash = {name: ["blob", value.hex()] for name, value in blobs.items()}
        flash |= {name: ["i32", _signed(value)] for name, value in numbers.items()}
        before = self.flash if self.is_provisioned else {}
        if all(before.get(name) == flash[name] for name in ("id", "gen", "key")):
            flash = before | flash
        else:
            self.empty_rtc()
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
    def rtc(self) -> bytes:
        """Its RTC memory; empty when the power has taken it."""
        try:
            return bytes.fromhex(json.loads((self.folder / "rtc.json").read_text()))
        except FileNotFoundError:
            return b""

    @property
    def device_id(self) -> int:
        return self.flash["id"][1] & 0xFFFFFFFF

    @property
    def counter(self) -> int:
        """The last message counter used; without RTC memory, the end of the block that it was in."""
        reserved = self.flash["ctr"][1] & 0xFFFFFFFF
        if rtc := self.rtc:
            # As firmware/lib/domino/memory.py lays it out.
            _, ceiling, count = struct.unpack_from(">BII", rtc.ljust(9, b"\0"))
            return count if ceiling == reserved else reserved
        return reserved

    def press(self, clicks: int = 1, hold_ms: int | None = None) -> Generator[Line, None, Wake]:
        """Wake the board by its key and give each line as it comes. The last click is held for `hold_ms`."""
        return self._live(self.clicks(clicks, hold_ms), DEEPSLEEP_RESET)

    def wake(
        self,
        events: KeyEvents | Key = (),
        *,
        reset_cause: int = DEEPSLEEP_RESET,
        wake_reason: int | None = None,
        on_line: Callable[[Line], object] = lambda line: None,
        on_trace: Callable[[dict[str, Any]], object] | None = None,
    ) -> Wake:
        """Wake it by these movements of the key, by its timer when there are none, or by a reset of another cause.

        With a `Key` somebody moves it meanwhile. `on_trace` is given each event of the trace as it happens.
        """
        with closing(self._live(events, reset_cause, wake_reason, on_trace)) as life:
            while True:
                try:
                    line = next(life)
                except StopIteration as end:
                    return end.value
                on_line(line)

    def clicks(self, clicks: int = 1, hold_ms: int | None = None) -> KeyEvents:
        """A finger that clicks, waits for the light, and clicks on."""
        return finger(clicks, hold_ms, light_ms=self.surroundings.boot_ms)

    def let_pass(self, seconds: float) -> None:
        """Let the sleeping board's clock run on."""
        self._clock_start -= seconds

    def cut_power(self) -> None:
        """Pull the battery out of the running board; from any thread."""
        self._kill(Exit.POWER_CUT)

    def reset(self) -> None:
        """Pull the running board's EN pin; from any thread. RTC memory outlives it."""
        self._kill(Exit.RESET)

    def _kill(self, by: Exit) -> None:
        if vm := self._vm:
            self._killed_by = by
            vm.kill()

    @property
    def clock_s(self) -> int:
        """What the board's clock says, in seconds since the battery came."""
        return int(time.time() - self._clock_start)

    @property
    def _clock_start(self) -> float:
        """The Unix time at which the board's clock began, with the battery."""
        file = self.folder / "clock.json"
        if not file.exists():
            self._clock_start = time.time()
        return json.loads(file.read_text())

    @_clock_start.setter
    def _clock_start(self, start: float) -> None:
        new = self.folder / "clock.json.new"  # beside it, then over it: whoever looks at the clock finds one
        new.write_text(json.dumps(start))
        new.replace(self.folder / "clock.json")

    def prepare(self, reset_cause: int, wake_reason: int = 0, events: KeyEvents | Key = ()) -> None:
        """Lay out in its folder what a VM that starts now finds: why it starts, and the world around it."""
        if reset_cause == PWRON_RESET:
            self.empty_rtc()
        (self.folder / "watchdog.json").unlink(missing_ok=True)
        conditions = asdict(self.surroundings) | {
            "reset_cause": reset_cause,
            "wake_reason": wake_reason,
            "key": "live" if isinstance(events, Key) else [[ms, int(is_down)] for ms, is_down in events],
            "clock_s": self.clock_s,
        }
        (self.folder / "surroundings.json").write_text(json.dumps(conditions))

    def _live(
        self,
        events: KeyEvents | Key,
        reset_cause: int,
        wake_reason: int | None = None,
        on_trace: Callable[[dict[str, Any]], object] | None = None,
    ) -> Generator[Line, None, Wake]:
        if self._vm:
            raise BoardError("The board is awake already")
        trace_file = self.folder / "trace.jsonl"
        trace_file.write_text("")
        if wake_reason is None:
            wake_reason = 0 if reset_cause != DEEPSLEEP_RESET else KEY_WAKE if events else TIMER_WAKE
        self.prepare(reset_cause, wake_reason, events)
        self._killed_by = None
        self._vm = subprocess.Popen(
            command(FIRMWARE / "main.py", heap=self.surroundings.heap),
            env=_environment() | {"DOMINO_BOARD": str(self.folder.absolute())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C in our terminal is not somebody on the board's cable
        )
        console, lines = "", []
        try:
            for text in self._lines(self._vm, on_trace):
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
        if trace and "ms" in trace[-1]:  # what its clock ran faster than ours
            self.let_pass(trace[-1]["ms"] / 1000 * (1 - 1 / self.surroundings.speed))
        last = trace[-1]["kind"] if trace else ""
        ended = Exit(last) if last in (Exit.SLEEP, Exit.WATCHDOG) else self._killed_by or Exit.POWER_CUT
        if ended is Exit.POWER_CUT:
            self.empty_rtc()
        return Wake(tuple(lines), trace, ended, console)

    def _lines(
        self, vm: subprocess.Popen[bytes], on_trace: Callable[[dict[str, Any]], object] | None
    ) -> Generator[str]:
        """The VM's console, line by line as they come, until it ends; BoardError when it does not."""
        assert vm.stdout
        ends_at, waiting = time.monotonic() + self._time_out_s, b""
        with vm.stdout as console, (self.folder / "trace.jsonl").open("rb") as trace:
            while time.monotonic() < ends_at:
                has_said = select.select([console], [], [], min(FOLLOW_S if on_trace else WATCH_S, self._time_out_s))[0]
                if on_trace:
                    _tell_new(trace, on_trace)
                if not has_said:
                    self._watch(vm)
                    continue
                chunk = os.read(console.fileno(), 4096)
                if not chunk:
                    return
                *whole, waiting = (waiting + chunk).split(b"\n")
                yield from (line.decode(errors="replace").rstrip() for line in whole)
        raise BoardError(f"The firmware neither slept nor ended within {self._time_out_s} s")

    def _watch(self, vm: subprocess.Popen[bytes]) -> None:
        """Bite, if the watchdog was armed and not fed."""
        armed = self.folder / "watchdog.json"
        if armed.exists() and time.time() > int(armed.read_text()) / 1000:
            vm.kill()
            with (self.folder / "trace.jsonl").open("a") as trace:
                trace.write(json.dumps({"kind": Exit.WATCHDOG}) + "\n")

    def empty_rtc(self) -> None:
        """As the battery's going does; the clock goes with it."""
        (self.folder / "rtc.json").unlink(missing_ok=True)
        (self.folder / "clock.json").unlink(missing_ok=True)


def _tell_new(trace: IO[bytes], on_trace: Callable[[dict[str, Any]], object]) -> None:
    """What was added; a line that is being written waits for its end."""
    start = trace.tell()
    for text in trace:
        if not text.endswith(b"\n"):
            break
        start += len(text)
        on_trace(json.loads(text))
    trace.seek(start)


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


def run_on_vm(script: Path, given: str, *, heap: str = HEAP) -> str:
    """What a MicroPython script prints when the firmware's modules are on its path and it reads `given`."""
    done = subprocess.run(
        command(script, heap=heap), env=_environment(), input=given, capture_output=True, text=True, timeout=TIME_OUT_S
    )
    if done.returncode:
        raise BoardError(f"{script.name} failed on the VM: {(done.stdout + done.stderr).strip()}")
    return done.stdout


def _ask_codec(questions: Sequence[Mapping[str, Any]]) -> list[Any]:
    for asked in questions:
        _check_identity(asked["device_id"], asked["key"], asked["generation"], asked["counter"])
    given = "".join(json.dumps(asked, default=bytes.hex) + "\n" for asked in questions)
    return [json.loads(line) for line in run_on_vm(STAND_INS / "_codec.py", given).splitlines()]


def command(script: Path, *, heap: str = HEAP, then_prompt: bool = False) -> list[str]:
    """How to start the VM on `script`, after which it ends or, with `then_prompt`, reads commands from its input."""
    interpreter = _tool("micropython")
    # With util-linux at hand the VM never outlives us (the very thread that starts it), kill -9 included.
    leash = ["setpriv", "--pdeathsig=KILL", "--"] if shutil.which("setpriv") else []
    return [*leash, str(interpreter), *["-i"] * then_prompt, "-X", f"heapsize={heap}", str(script)]


def _environment() -> dict[str, str]:
    path = f"{_compiled(STAND_INS)}:{_compiled(FIRMWARE / 'lib')}:.frozen"
    return {"MICROPYPATH": path, "PATH": os.environ.get("PATH", os.defpath)}


def _compiled(sources: Path) -> Path:
    """The folder with the bytecode of all modules in `sources`."""
    folder = COMPILED / sources.name
    for source in sources.rglob("*.py"):
        bytecode = folder / source.relative_to(sources).with_suffix(".mpy")
        if bytecode.exists() and bytecode.stat().st_mtime_ns == source.stat().st_mtime_ns:
            continue
        bytecode.parent.mkdir(parents=True, exist_ok=True)
        new = bytecode.with_suffix(f".{os.getpid()}")  # beside it, then over it: others may be compiling too
        command = [
            str(_tool("mpy-cross")),
            "-O3" if sources == STAND_INS else "-O0",
            "-s",
            str(source.relative_to(sources)),
            "-o",
            str(new),
            str(source),
        ]
        done = subprocess.run(command, env={}, capture_output=True, text=True)
        if done.returncode:
            raise BoardError(f"{source.name} does not compile: {done.stderr.strip()}")
        os.utime(new, ns=(source.stat().st_mtime_ns, source.stat().st_mtime_ns))
        new.replace(bytecode)
    return folder


def _tool(name: str) -> Path:
    tool = Path(sys.executable).with_name(name)
    if not tool.exists():
        raise BoardError(f"No {name} at {tool}: `make setup` installs it there")
    return tool


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
