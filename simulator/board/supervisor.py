"""A board on the desk: the VM on a serial line that mpremote takes for an ESP32's, and all that happens to a board.

The VM ends for every sleep, reset and power cut (docs/decisions/0010); what it was is told by the last line of its
trace, and the supervisor starts it again when the key, the timer, the power or Ctrl-D says so. The board's folder:

    tty              the serial line, for `mpremote connect`
    control          where `domino board …` commands arrive
    flash.img        LittleFS: what mpremote copied there
    nvs.json         flash of the firmware's own; rtc.json: RTC memory
    key              "1" while the key is down
    switches.json    the faults that are switched on; surroundings.json, trace.jsonl: as the stand-ins see and tell it
"""

import contextlib
import heapq
import itertools
import json
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from simulator.board import control, energy, vm
from simulator.board.serial_line import SerialLine

FLASH_BYTES = 2 * 1024 * 1024  # as stand_ins/_boot.py formats it
HEAP = "128K"  # the 64 KB of an ESP32, which grow on demand there, in this VM's words of twice the size
KEY_PIN = 4
CYCLE_S = 0.3  # from the battery out to the battery in
LIGHT_S = 2.0  # how long a finger waits for a firmware that never tells that it is awake
STOP_S = 2.0
POLL_S = 0.25

INTERRUPT = b"\x03"
READY = b"\x06"  # the VM's first byte
TO_RAW = b"\x01"
PROMPTS = (b">>> ", b"raw REPL; CTRL-B to exit\r\n>", b"\x04>")
RAW_BANNER = b"raw REPL; CTRL-B to exit"
REMOTE_FILE = b"\x18"  # what `mpremote mount` is asked by

# The ROM's own words for why it starts.
ROM_SAYS = {
    vm.PWRON_RESET: "rst:0x1 (POWERON_RESET)",
    vm.HARD_RESET: "rst:0xc (SW_CPU_RESET)",
    vm.WDT_RESET: "rst:0x7 (TG0WDT_SYS_RESET)",
    vm.DEEPSLEEP_RESET: "rst:0x5 (DEEPSLEEP_RESET)",
}
OUTSIDE = ("key", "modem")  # events that are not the firmware's doing
RESETS = {"reset": vm.HARD_RESET, "watchdog": vm.WDT_RESET}  # by the last line of the trace


class State(StrEnum):
    RUNNING = "running"
    ASLEEP = "asleep"
    OFF = "off"


class Machine:
    """One VM from its start to its end, and the socket that stands for its UART."""

    def __init__(self, folder: Path, *, with_main: bool, speed: int) -> None:
        self._speed = speed
        self.console, theirs = socket.socketpair()  # no terminal: its modes would drop what is typed ahead
        self.console.setblocking(False)
        self.started_at = time.monotonic()
        self.tail = b""
        self.takes_input = False
        self.is_raw = False
        self.is_cooked = True
        self._typed = b""
        self._recent: list[tuple[int, bytes]] = []
        with theirs:
            self._process = subprocess.Popen(
                vm.command(vm.STAND_INS / "_boot.py", heap=HEAP, then_prompt=True),
                env={
                    "MICROPYPATH": f"{vm.STAND_INS}:.frozen",
                    "DOMINO_BOARD": str(folder),
                    "DOMINO_BOARD_MAIN": str(int(with_main)),
                    "TZ": "UTC0",  # an ESP32 knows no other
                    "PATH": os.environ.get("PATH", os.defpath),
                },
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=theirs.fileno(),
            )

    @property
    def ms(self) -> int:
        """Since its reset, by its own clock."""
        return round((time.monotonic() - self.started_at) * 1000 * self._speed)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def is_at_prompt(self) -> bool:
        return self.tail.endswith(PROMPTS)

    def read(self) -> bytes | None:
        """What it said; None when it has ended."""
        try:
            said = self.console.recv(4096)
        except BlockingIOError:
            return b""
        except OSError:
            return None
        if not said:
            return None
        if not self.takes_input:
            self.takes_input = True
            said = said.removeprefix(READY)
            self._type(self._typed)
        self.tail = (self.tail + said)[-4096:]
        raw_at, friendly_at = self.tail.rfind(RAW_BANNER), self.tail.rfind(b"\n" + PROMPTS[0])
        if raw_at != friendly_at:
            self.is_raw = raw_at > friendly_at
        if self.is_raw or REMOTE_FILE in said:
            self.is_cooked = False
        elif said.endswith(PROMPTS[0]):
            self.is_cooked = True
        return said

    def type(self, typed: bytes) -> None:
        """From the serial line. Before it can be interrupted, it is kept, as in a UART's buffer."""
        if self.takes_input:
            self._recent = [*self._recent[-15:], (self.ms, typed)]
            self._type(typed)
        else:
            self._typed += typed

    def typed_since(self, ms: int) -> bytes:
        """What came too late for this VM: it takes a moment to die, in which silicon would already boot."""
        return b"".join(typed for at_ms, typed in self._recent if at_ms >= ms)

    def _type(self, typed: bytes) -> None:
        if INTERRUPT in typed and self._catches_interrupts():
            self._process.send_signal(signal.SIGINT)
            typed = typed[typed.rindex(INTERRUPT) + 1 :]
        with contextlib.suppress(OSError):  # a full buffer loses characters, as a UART's does; or it has just ended
            self.console.send(typed)

    def _catches_interrupts(self) -> bool:
        """Whether Python code is running. At the prompt Ctrl-C is a byte like others, and SIGINT would end the VM."""
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return False
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
        return bool(caught >> (signal.SIGINT - 1) & 1)

    def kill(self) -> None:
        self._process.kill()

    def reap(self) -> None:
        self._process.kill()
        self._process.wait()
        self.console.close()


@dataclass(frozen=True, slots=True)
class ModemLine:
    """To a virtual modem: where its UART is heard, and a descriptor on which it tells its states, one a line."""

    port: int
    states: int


class Supervisor:
    """The board in `folder`. `run` serves it until `stop`, which may be called from a signal handler."""

    def __init__(
        self, folder: Path, on_line: Callable[[str], object] = lambda line: None, modem: ModemLine | None = None
    ) -> None:
        self._board = vm.Board(folder)
        self.folder = folder.absolute()
        self._on_line = on_line
        self._recall_surroundings()
        self._modem = modem
        self._modem_is = self._modem_was = "idle" if modem else None  # now, and at the last reset
        if modem:
            self._board.surroundings = replace(self._board.surroundings, modem_port=modem.port)
        self.state = State.OFF
        self._machine: Machine | None = None
        self._wake_on: list[list[int]] = []
        self._asleep_since = 0.0
        self._speed = 1  # of its clock, since its last start
        self._key_is_down = False
        self._after_light: list[tuple[int, bool]] = []
        self._lives = 0
        self._use, self._last_use = energy.Use(), energy.Use()
        self._console_line = b""
        self._followers: list[socket.socket] = []
        self._timers: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._is_stopped = False
        self._cut = ""

    @property
    def port(self) -> Path:
        return self.folder / "tty"

    def stop(self) -> None:
        self._is_stopped = True

    def run(self, ready: Callable[[], object] = lambda: None) -> None:
        """Put the battery in and serve the board; `ready` is called once mpremote can connect."""
        self._lay_out()
        self._line = SerialLine(self.port)
        self._selector = selectors.DefaultSelector()
        listening = control.listen(self.folder)
        try:
            self._selector.register(self._line, selectors.EVENT_READ, self._on_typed)
            self._selector.register(listening, selectors.EVENT_READ, lambda: self._on_caller(listening))
            if self._modem:
                self._selector.register(self._modem.states, selectors.EVENT_READ, self._on_modem)
            self._start(vm.PWRON_RESET)
            ready()
            while not self._is_stopped:
                self._turn()
                self._watch()
        finally:
            if self._machine:
                self._machine.reap()
            for follower in self._followers:
                follower.close()
            listening.close()
            (self.folder / control.NAME).unlink(missing_ok=True)
            self._selector.close()
            self._line.close()

    def _lay_out(self) -> None:
        with (self.folder / "flash.img").open("ab") as flash:
            flash.truncate(FLASH_BYTES)
        (self.folder / "key").write_bytes(b"0")
        (self.folder / "trace.jsonl").write_bytes(b"")

    def _recall_surroundings(self) -> None:
        """Those of the last time, so that a fault that was switched on stays on."""
        try:
            last = json.loads((self.folder / "switches.json").read_text())
        except (OSError, ValueError):
            return
        known = {field.name: last[field.name] for field in fields(vm.Surroundings) if field.name in last}
        self._board.surroundings = vm.Surroundings(**known)

    def _turn(self) -> None:
        """Wait for whatever comes first, and see to it."""
        wait_s = POLL_S if not self._timers else max(0.0, min(POLL_S, self._timers[0][0] - time.monotonic()))
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._line.is_waiting else 0)
        self._selector.modify(self._line, wanted, self._on_typed)
        for key, _ in self._selector.select(wait_s):
            key.data()
        while self._timers and self._timers[0][0] <= time.monotonic():
            heapq.heappop(self._timers)[2]()

    def _watch(self) -> None:
        """Bite, if the firmware armed its watchdog and did not feed it: watchdog.json has the time in ms."""
        armed = self.folder / "watchdog.json"
        if (
            self._machine
            and self._machine.is_running
            and armed.exists()
            and time.time() * 1000 > int(armed.read_text())
        ):
            self._add_to_trace(self._machine.ms, "watchdog")
            self._machine.kill()
            self._end()

    def _after(self, delay_s: float, do: Callable[[], object]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._order), do))

    # The life of a VM

    def _start(self, cause: int, wake_reason: int = 0, *, with_main: bool = True) -> Machine:
        self._count_sleep()
        self._modem_was = self._modem_is
        self._lives += 1
        # A soft reset runs no ROM and loads nothing from flash.
        surroundings = self._board.surroundings
        is_soft = cause == vm.SOFT_RESET
        self._board.surroundings = replace(surroundings, boot_ms=0) if is_soft else surroundings
        self._board.prepare(cause, wake_reason)
        (self.folder / "watchdog.json").unlink(missing_ok=True)
        self._board.surroundings = surroundings
        if not is_soft:
            self._line.write(ROM_SAYS[cause].encode() + b"\r\n")
        self._trace_start = (self.folder / "trace.jsonl").stat().st_size
        self._speed = surroundings.speed
        machine = self._machine = Machine(self.folder, with_main=with_main, speed=self._speed)
        self.state = State.RUNNING
        self._selector.register(machine.console, selectors.EVENT_READ, lambda: self._on_console(machine))
        return machine

    def _on_console(self, machine: Machine) -> None:
        if machine is not self._machine:
            return  # it was ended by what came just before
        if self._line.is_full:
            self._line.flush()
            time.sleep(0.001)  # the reader's turn
            return
        said = machine.read()
        if said is None:
            self._end()
            return
        self._line.write(said, cooked=machine.is_cooked)
        self._console_line += said
        *whole, self._console_line = self._console_line.split(b"\n")
        self._console_line = self._console_line[-4096:]
        for text in (line.decode(errors="replace").rstrip() for line in whole):
            self._tell(text)
        if machine.is_at_prompt:
            self._dismiss_followers()

    def _tell(self, text: str) -> None:
        if line := vm.parse_line(text):
            self._on_line(str(line))
            self._say({"line": str(line)})
            if line.step == "wake":
                self._see_light()

    def _end(self) -> None:
        """The VM is gone: do what silicon does next."""
        machine = self._machine
        assert machine
        self._machine = None
        self._selector.unregister(machine.console)
        is_raw, awake_ms = machine.is_raw, machine.ms
        machine.reap()
        self._outrun(awake_ms)
        self._console_line = b""
        trace = self._trace_of_life()
        last = next((event for event in reversed(trace) if event["kind"] not in OUTSIDE), {"kind": "", "ms": 0})
        cut, self._cut = self._cut, ""
        why = cut or last["kind"]
        self._last_use = energy.awake(trace, last["ms"] if why == "sleep" else awake_ms, self._modem_was)
        self._use += self._last_use
        self._add_to_trace(awake_ms, "used", charge_mah=round(self._last_use.charge_mah, 6))
        if why == "sleep":
            self._fall_asleep(last)
        elif why == "power_cut":
            self._lose_power()
        elif why in RESETS:
            self._start(RESETS[why]).type(machine.typed_since(last["ms"]))
        else:  # Ctrl-D at the prompt, or SystemExit
            self._line.write(b"MPY: soft reboot\r\n")
            anew = self._start(vm.SOFT_RESET, with_main=not is_raw)
            if is_raw:
                anew.type(TO_RAW)

    def _outrun(self, ms: int) -> None:
        """Its clock has run that far, and ours only a part of it."""
        self._board.let_pass(ms / 1000 * (1 - 1 / self._speed))

    def _fall_asleep(self, sleep: dict[str, Any]) -> None:
        self.state, self._asleep_since = State.ASLEEP, time.monotonic()
        self._wake_on = sleep["wake_on"]
        life = self._lives
        if sleep["for_ms"]:
            self._after(sleep["for_ms"] / 1000 / self._speed, lambda: self._wake_by_timer(life))
        self._dismiss_followers()
        self._wake_by_key()  # one that is still down wakes it at once

    def _wake_by_timer(self, life: int) -> None:
        if self.state is State.ASLEEP and self._lives == life:
            self._start(vm.DEEPSLEEP_RESET, vm.TIMER_WAKE)

    def _wake_by_key(self) -> None:
        if self.state is State.ASLEEP and [KEY_PIN, int(not self._key_is_down)] in self._wake_on:
            self._start(vm.DEEPSLEEP_RESET, vm.KEY_WAKE)

    def _lose_power(self) -> None:
        self._count_sleep()
        self.state = State.OFF
        self._board.empty_rtc()
        self._dismiss_followers()

    def _count_sleep(self) -> None:
        """What it has used asleep until now."""
        if self.state is State.ASLEEP:
            self._use += energy.asleep(self._asleep_ms(), self._modem_is)
            self._outrun(self._asleep_ms())
            self._asleep_since = time.monotonic()

    def _asleep_ms(self) -> int:
        return round((time.monotonic() - self._asleep_since) * 1000 * self._speed)

    # What is done to it from outside

    def _on_typed(self) -> None:
        typed = self._line.read()
        if typed and self._machine:
            self._machine.type(typed)
        self._line.flush()

    def _on_modem(self) -> None:
        assert self._modem
        told = os.read(self._modem.states, 4096)
        if not told:
            self._selector.unregister(self._modem.states)  # it has ended
        for state in told.decode().split():  # a line is written whole
            self._count_sleep()
            self._modem_is = state
            if self._machine:
                self._add_to_trace(self._machine.ms, "modem", state=state)

    def _move_key(self, is_down: bool) -> None:
        self._key_is_down = is_down
        with (self.folder / "key").open("r+b") as key:  # never empty: the VM is reading it
            key.write(b"1" if is_down else b"0")
        if self._machine:
            self._add_to_trace(self._machine.ms, "key", is_down=int(is_down))
        self._wake_by_key()

    def _press(self, clicks: int, hold_ms: int | None) -> None:
        """The first click at once, the others once the board is seen to be awake."""
        events = vm.finger(clicks, hold_ms, light_ms=0)
        first, self._after_light = events[:2], list(events[2:])
        for at_ms, is_down in first:
            self._after(at_ms / 1000 / self._speed, lambda is_down=is_down: self._move_key(is_down))
        if self.state is State.RUNNING:
            self._see_light()
        elif self._after_light:
            self._after(LIGHT_S, self._see_light)

    def _see_light(self) -> None:
        clicks, self._after_light = self._after_light, []
        for at_ms, is_down in clicks:
            self._after(at_ms / 1000 / self._speed, lambda is_down=is_down: self._move_key(is_down))

    def _cut_power(self) -> None:
        if self._machine:
            self._cut = "power_cut"
            self._add_to_trace(self._machine.ms, "power_cut", at="outside")
            self._machine.kill()
            self._end()
        elif self.state is State.ASLEEP:
            self._lose_power()

    def _restore_power(self) -> None:
        if self.state is State.OFF:
            self._start(vm.PWRON_RESET)

    def _reset(self) -> None:
        """The EN pin."""
        if self._machine:
            self._cut = "reset"
            self._machine.kill()
            self._end()
        elif self.state is State.ASLEEP:
            self._start(vm.HARD_RESET)

    # Commands

    def _on_caller(self, listening: socket.socket) -> None:
        caller, _ = listening.accept()
        caller.setblocking(False)
        asked = bytearray()

        def on_request() -> None:
            with contextlib.suppress(OSError):
                asked.extend(caller.recv(4096))
                if not asked.endswith(b"\n") and asked:
                    return
            self._selector.unregister(caller)
            self._answer(caller, bytes(asked))

        self._selector.register(caller, selectors.EVENT_READ, on_request)

    def _answer(self, caller: socket.socket, asked: bytes) -> None:
        follows = False
        try:
            request = json.loads(asked)
            will_wake = request["do"] == "press" and self.state is State.ASLEEP and [KEY_PIN, 0] in self._wake_on
            answer = self._do(request)
            is_busy = bool(self._machine and not self._machine.is_at_prompt)
            follows = will_wake or (request.get("follow", False) and (is_busy or request.get("to") == "cycle"))
        except (ValueError, TypeError, KeyError) as error:
            answer = {"error": f"not understood: {error}"}
        if follows and "error" not in answer:
            self._followers.append(caller)
            return
        _send(caller, answer)
        caller.close()

    def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        match request:
            case {"do": "press", "clicks": int(clicks), "hold_ms": int() | None as hold_ms}:
                if self.state is State.OFF:
                    return {"error": "the board has no power"}
                self._press(clicks, hold_ms)
            case {"do": "power", "to": "off"}:
                self._cut_power()
            case {"do": "power", "to": "on"}:
                self._restore_power()
            case {"do": "power", "to": "cycle"}:
                self._cut_power()
                self._after(CYCLE_S, self._restore_power)
            case {"do": "reset"}:
                if self.state is State.OFF:
                    return {"error": "the board has no power"}
                self._reset()
            case {"do": "set", "surroundings": dict(changes)}:
                self._board.surroundings = replace(self._board.surroundings, **changes)
                (self.folder / "switches.json").write_text(json.dumps(asdict(self._board.surroundings)))
            case {"do": "state"}:
                pass
            case _:
                return {"error": "no such request"}
        return self._status()

    def _status(self) -> dict[str, Any]:
        use, sleeping = self._use, self.state is State.ASLEEP
        if self._machine:
            use += energy.awake(self._trace_of_life(), self._machine.ms, self._modem_was)
        elif sleeping:
            use += energy.asleep(self._asleep_ms(), self._modem_is)
        return {
            "state": self.state,
            "port": str(self.port),
            "is_at_prompt": bool(self._machine and self._machine.is_at_prompt),
            "key_is_down": self._key_is_down,
            "wake_on": self._wake_on if sleeping else [],
            "starts": self._lives,
            "charge_mah": round(use.charge_mah, 6),
            "last_wake_mah": round(self._last_use.charge_mah, 6),
            "last_wake_ms": self._last_use.ms,
            "last_wake_parts_mah": {part: round(mah, 6) for part, mah in self._last_use.parts.items() if mah > 1e-6},
        }

    def _say(self, answer: dict[str, Any]) -> None:
        self._followers = [follower for follower in self._followers if _send(follower, answer)]

    def _dismiss_followers(self) -> None:
        self._say(self._status())
        for follower in self._followers:
            follower.close()
        self._followers = []

    # The trace

    def _add_to_trace(self, ms: int, kind: str, **what: object) -> None:
        with (self.folder / "trace.jsonl").open("a") as trace:
            trace.write(json.dumps({**what, "ms": ms, "kind": kind}) + "\n")

    def _trace_of_life(self) -> list[dict[str, Any]]:
        with (self.folder / "trace.jsonl").open("rb") as trace:
            trace.seek(self._trace_start)
            return parse_trace(trace.read().decode().splitlines())


def parse_trace(lines: Sequence[str]) -> list[dict[str, Any]]:
    """Its events; a last line that is being written is left out."""
    events = []
    for line in lines:
        with contextlib.suppress(ValueError):
            events.append(json.loads(line))
    return events


def _send(caller: socket.socket, answer: dict[str, Any]) -> bool:
    """Whether it is still there. One that does not read what it asked for is gone, too."""
    try:
        caller.send(json.dumps(answer).encode() + b"\n")
    except OSError:
        caller.close()
        return False
    return True
