"""The boards on the bench: real firmware on real VMs, of which those that sleep are no processes.

A board lives in a thread of a bounded pool from its wake to its sleep; one that finds none free waits, and loses
nothing by it, because its key's movements count by its own clock (`vm.Key`). Time runs at the world's pace while a
board is awake, as its sockets do, and at the bench's while it sleeps.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from simulator.bench import flash, sayings, wire
from simulator.bench.air import Air
from simulator.bench.cloud import Cloud
from simulator.bench.hub import Hub
from simulator.bench.journal import Journal, Way
from simulator.bench.timers import Timers
from simulator.bench.words import N_, Said
from simulator.board import energy, vm
from simulator.radio.core import Fate

log = logging.getLogger(__name__)

BATTERY_MAH = 3000  # 2 × AA lithium, as simulator/board/life.py has it
LED_PIN = 2
KEY_PIN = 4
HOLD_MS = 2500  # longer than the firmware's 1.5 s, with time to see the light go out
GESTURE_MS = 12_000  # movements further apart than this belong to no common gesture
POLL_S, PATIENCE_S = 0.15, 30.0  # how often, and for how long after its last delivery, the cloud is asked for a message
FIRST_DEVICE = 0x00B0BE01
MOST_BOARDS = 99

# Where the power may go within a wake, by simulator/board/stand_ins; "" is by hand alone.
CUTS: Mapping[str, Said] = {
    "": N_("by hand alone"),
    "before nvs_commit": N_("before anything is in flash"),
    "after nvs_commit": N_("when the counter’s block is in flash"),
    "before wifi_connect": N_("before the radio joins"),
    "after wifi_connect": N_("while the radio joins"),
}


class NoSuchBoard(LookupError):
    """The bench has no board of this id."""


class NotNow(RuntimeError):
    """The board is in no state for that; the text says why."""


class Full(RuntimeError):
    """There is no room for another board."""


class State(StrEnum):
    ASLEEP = "asleep"
    QUEUED = "waits for a place"
    STARTING = "starting"
    AWAKE = "awake"
    SENDING = "sending"
    OFF = "no power"
    BROKEN = "broken"


MARKS = {  # chip: icon and tone
    State.ASLEEP: ("ok", "ok"),
    State.QUEUED: ("stale", ""),
    State.STARTING: ("stale", ""),
    State.AWAKE: ("info", "info"),
    State.SENDING: ("info", "info"),
    State.OFF: ("bolt", ""),
    State.BROKEN: ("bad", "bad"),
}
WAKES = {
    "press": N_("button"),
    "timer": N_("timer"),
    "reset": N_("power or reset"),
    "nothing": N_("nothing"),
}


@dataclass(frozen=True, slots=True)
class LastWake:
    why: str
    awake_s: float
    listened_s: float
    used_mah: float


class Button:
    """One board, and what is known of it. Changed under the lock of `Boards` alone."""

    def __init__(self, board: vm.Board, identity: wire.Identity) -> None:
        self.board = board
        self.identity = identity
        self.state = State.OFF
        self.says: Said = N_("No battery yet")
        self.tone = ""
        self.is_lit = False
        self.key: vm.Key | None = None  # of this life
        self.key_is_down = False
        self.finger: tuple[int, int] | None = None  # its newest movement: on its own clock, and on this life's
        self.gesture: Said | None = None
        self.last_wake: LastWake | None = None
        self.counter = identity.counter  # the newest that it told
        self.levels: dict[str, float | None] = {}  # dBm of its newest message, by station
        self.heartbeats = 0  # `alive` and `boot`, on the air
        self.lives = 0
        self.asleep_at = 0.0  # monotonic
        self.sleeps_for_s: float | None = None
        self.wakes_by_key = False
        self.doomed: vm.Exit | None = None  # what ends this life as soon as it has begun
        self.steps: dict[str, str] = {}  # what this life has told
        self.listens_at = 0.0
        self.listened_s = 0.0
        self.woken_at = 0.0
        self.error = ""
        self._used = board.folder / "bench.json"
        self.used_mah = json.loads(self._used.read_text()) if self._used.exists() else 0.0

    @property
    def name(self) -> str:
        return self.identity.name

    @property
    def is_awake(self) -> bool:
        return self.state in (State.QUEUED, State.STARTING, State.AWAKE, State.SENDING)

    @property
    def memory(self) -> flash.Memory | None:
        return flash.read_memory(self.board.rtc)

    def use(self, used: energy.Use) -> None:
        self.used_mah += used.charge_mah
        self._used.write_text(json.dumps(round(self.used_mah, 6)))


class Boards:
    """Entered, boards can be added and pressed; left, no VM runs any more."""

    def __init__(
        self, cloud: Cloud, air: Air, journal: Journal, hub: Hub, *, most_awake: int = 12, speed: float = 1.0
    ) -> None:
        self._cloud, self._air, self._journal, self._hub = cloud, air, journal, hub
        self._lock = threading.RLock()
        self._buttons: dict[str, Button] = {}
        self._pool = ThreadPoolExecutor(most_awake, thread_name_prefix="board")
        self._timers = Timers()
        self._speed = speed
        self._is_closing = False
        self.most_awake = most_awake
        self.on_radiated: Callable[[Button, int, bytes], object] = lambda button, counter, data: None
        self._changed = threading.Condition(self._lock)
        air.on_fate(self._on_fate)

    def __enter__(self) -> "Boards":
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._is_closing = True
            for button in self._buttons.values():
                button.lives += 1
                button.board.cut_power()
        self._timers.close()
        self._pool.shutdown(cancel_futures=True)

    # Boards as they are

    @property
    def all(self) -> list[Button]:
        with self._lock:
            return list(self._buttons.values())

    def find(self, name: str) -> Button:
        with self._lock:
            try:
                return self._buttons[name]
            except KeyError:
                raise NoSuchBoard(name) from None

    @contextmanager
    def looking_at(self, name: str) -> Iterator[Button]:
        """The button, unchanged within the block."""
        with self._lock:
            yield self.find(name)

    def wait_until(self, is_so: Callable[[], bool], within_s: float) -> bool:
        """Waits, woken by every change of a board's state, until `is_so`; whether it came to be."""
        with self._changed:
            return self._changed.wait_for(is_so, within_s)

    @property
    def speed(self) -> float:
        return self._speed

    def set_speed(self, speed: float) -> None:
        """How fast time passes for whoever sleeps, from now on; 1 to 3600."""
        if not 1 <= speed <= 3600:
            raise ValueError(f"time runs at 1 to 3600, not {speed}")
        with self._lock:
            for button in self._buttons.values():
                left_s = self._settle(button)
                if left_s is not None:
                    button.sleeps_for_s = left_s
            self._speed = speed
            for button in self._buttons.values():
                self._set_alarm(button)
        self._hub.tell("boards")

    # What is done to them

    def add(self) -> Button:
        """One more, of the fleet; its battery is put in at once."""
        with self._lock:
            taken = {button.identity.device for button in self._buttons.values()}
        free = next((one for one in range(FIRST_DEVICE, FIRST_DEVICE + MOST_BOARDS) if one not in taken), None)
        if free is None:
            raise Full(f"the bench holds {MOST_BOARDS} boards")
        button = Button(*self._cloud.add_board(free))
        with self._lock:
            self._buttons[button.name] = button
            memory = button.memory
            if memory and (button.board.folder / "clock.json").exists():  # it was asleep when the bench was left
                button.says = N_("Asleep, as it was left")
                self._fall_asleep(button, max(1.0, self._due_s(button, memory)), wakes_by_key=True)
            else:
                self._start(button, vm.PWRON_RESET)
        self._hub.tell("boards")
        return button

    def move_key(self, name: str, *, is_down: bool, at_ms: int | None = None) -> None:
        """A finger on the drawn button, as it moves; `at_ms` on a clock of its own, which tells how far apart."""
        with self._lock:
            button = self.find(name)
            self._check_power(button)
            if button.key_is_down == is_down:
                return
            button.key_is_down = is_down
            if button.state is State.ASLEEP:
                if is_down and button.wakes_by_key:
                    self._start(button, vm.DEEPSLEEP_RESET, vm.KEY_WAKE)
                    button.finger = None if at_ms is None else (at_ms, 0)
            elif button.key:
                button.key.move(is_down, self._moved_ms(button, button.key, at_ms))

    @staticmethod
    def _moved_ms(button: Button, key: vm.Key, at_ms: int | None) -> int | None:
        """In ms of this life: as far from the movement before as the finger's clock says, and never in the future."""
        now_ms = key.now_ms
        if at_ms is None or button.finger is None or not 0 <= at_ms - button.finger[0] <= GESTURE_MS:
            moved_ms = now_ms
        else:
            moved_ms = min(now_ms, button.finger[1] + at_ms - button.finger[0])
        button.finger = None if at_ms is None else (at_ms, moved_ms)
        return moved_ms

    def press(self, name: str, clicks: int = 1, hold_ms: int | None = None) -> None:
        """A finger that clicks, waits for the light and clicks on, and holds the last click for `hold_ms`."""
        if not 1 <= clicks <= 9 or not (hold_ms is None or 1 <= hold_ms <= 12_000):
            raise ValueError("1 to 9 clicks, the last held for up to 12 s")
        with self._lock:
            button = self.find(name)
            self._check_power(button)
            movements = button.board.clicks(clicks, hold_ms)
            if button.state is State.ASLEEP:
                if not button.wakes_by_key:
                    raise NotNow("its key is taken for jammed: it looks again within a minute")
                self._start(button, vm.DEEPSLEEP_RESET, vm.KEY_WAKE, movements)
            elif button.key:
                now_ms = button.key.now_ms
                for at_ms, is_down in movements:
                    button.key.move(is_down, now_ms + at_ms)

    def wake_now(self, name: str) -> None:
        """Let time pass for a sleeping board until its timer is due."""
        with self._lock:
            button = self.find(name)
            if button.state is not State.ASLEEP:
                raise NotNow(f"the board is not asleep: {button.state}")
            left_s = self._settle(button)
            if left_s:
                button.board.let_pass(left_s)
                button.use(energy.asleep(round(left_s * 1000)))
            self._start(button, vm.DEEPSLEEP_RESET, vm.TIMER_WAKE)

    def cut_power(self, name: str) -> None:
        """Pull the battery, whatever it is doing."""
        with self._lock:
            button = self.find(name)
            if button.state is State.OFF:
                return
            if button.state in (State.QUEUED, State.STARTING, State.AWAKE, State.SENDING):
                self._end_life(button, vm.Exit.POWER_CUT)
            else:
                self._settle(button)
                self._lose_power(button, N_("while it slept: RTC memory is gone, flash is kept"))

    def cut_all(self) -> None:
        for button in self.all:
            self.cut_power(button.name)

    def restore_power(self, name: str) -> None:
        with self._lock:
            button = self.find(name)
            if button.state in (State.OFF, State.BROKEN):
                self._start(button, vm.PWRON_RESET)

    def reset(self, name: str) -> None:
        """The EN pin: what is in RTC memory outlives it."""
        with self._lock:
            button = self.find(name)
            self._check_power(button)
            if button.state in (State.ASLEEP, State.BROKEN):
                self._settle(button)
                self._note_reset(button)
                self._start(button, vm.HARD_RESET)
            else:
                self._end_life(button, vm.Exit.RESET)

    def set_world(
        self, name: str, *, battery_mv: int | None = None, temperature_c: int | None = None, cut: str | None = None
    ) -> None:
        """What is around the board from its next wake on; `cut` is where its power goes in that."""
        changes: dict[str, Any] = {}
        if battery_mv is not None:
            if not 1800 <= battery_mv <= 3600:
                raise ValueError("a battery has 1800 to 3600 mV")
            changes["battery_mv"] = battery_mv
        if temperature_c is not None:
            if not -20 <= temperature_c <= 43:
                raise ValueError("a temperature is −20 to 43 °C")
            changes["temperature_c"] = temperature_c
        if cut is not None:
            if cut not in CUTS:
                raise ValueError("the power goes at one of the bench's places")
            changes["power_cut"] = cut or None
        with self._lock:
            board = self.find(name).board
            board.surroundings = replace(board.surroundings, **changes)

    # A life

    def _start(self, button: Button, cause: int, wake_reason: int = 0, movements: vm.KeyEvents = ()) -> None:
        if button.state is State.ASLEEP:
            self._settle(button)
        button.lives += 1
        button.state, button.doomed, button.error = State.QUEUED, None, ""
        button.steps, button.listens_at, button.listened_s = {}, 0.0, 0.0
        button.woken_at = time.monotonic()
        button.gesture, button.finger = None, None
        button.key = vm.Key(button.board.folder, is_down=button.key_is_down and not movements)
        for at_ms, is_down in movements:
            button.key.move(is_down, at_ms)
        button.says, button.tone = N_("Waking"), ""
        self._tell(button)
        if not self._is_closing:
            self._pool.submit(self._live, button, button.lives, cause, wake_reason)

    def _live(self, button: Button, life: int, cause: int, wake_reason: int) -> None:
        with self._lock:
            if button.lives != life or self._is_closing:
                return
            if button.doomed:
                self._conclude(button, vm.Wake((), (), button.doomed, ""))
                return
            button.state = State.STARTING
            key = button.key
            assert key
            self._tell(button)
        try:
            wake = button.board.wake(
                key,
                reset_cause=cause,
                wake_reason=wake_reason,
                on_line=lambda line: self._on_line(button, life, line),
                on_trace=lambda event: self._on_trace(button, life, event),
            )
        except Exception as error:
            log.exception("board %s", button.name)
            with self._lock:
                if button.lives == life:
                    button.state, button.error = State.BROKEN, str(error)[-2000:]
                    button.says, button.tone = N_("The firmware failed: reset it"), "bad"
                    self._light(button, is_lit=False)
                    self._tell(button)
            return
        with self._lock:
            if button.lives == life and not self._is_closing:
                self._conclude(button, wake)

    def _conclude(self, button: Button, wake: vm.Wake) -> None:
        """Do what silicon does next."""
        self._light(button, is_lit=False)
        awake_ms = wake.trace[-1].get("ms") if wake.trace else None
        if awake_ms is None:
            awake_ms = round((time.monotonic() - button.woken_at) * 1000)
        used = energy.awake([event for event in wake.trace if "ms" in event], awake_ms)
        button.use(used)
        if button.listens_at:
            button.listened_s += time.monotonic() - button.listens_at
            button.listens_at = 0.0
        why = button.steps.get("wake", "")
        button.last_wake = LastWake(why, awake_ms / 1000, button.listened_s, used.charge_mah)
        if button.key and len(button.key.movements) > 1:
            button.gesture = sayings.gesture(button.key.movements) or button.gesture
        last = wake.trace[-1] if wake.trace else {}
        match wake.exit:
            case vm.Exit.SLEEP:
                wakes_by_key = [KEY_PIN, 0] in last.get("wake_on", [])
                self._fall_asleep(button, (last.get("for_ms") or 0) / 1000, wakes_by_key=wakes_by_key)
            case vm.Exit.WATCHDOG:
                self._start(button, vm.WDT_RESET)
            case vm.Exit.RESET:
                self._note_reset(button)
                self._start(button, vm.HARD_RESET)
            case vm.Exit.POWER_CUT:
                self._lose_power(button, self._told_of_cut(button, wake))

    def _fall_asleep(self, button: Button, for_s: float, *, wakes_by_key: bool) -> None:
        button.state, button.key = State.ASLEEP, None
        button.asleep_at, button.sleeps_for_s, button.wakes_by_key = time.monotonic(), for_s or None, wakes_by_key
        self._set_alarm(button)
        self._tell(button)
        if button.key_is_down and wakes_by_key:  # one that is still down wakes it at once
            self._start(button, vm.DEEPSLEEP_RESET, vm.KEY_WAKE)

    def _set_alarm(self, button: Button) -> None:
        if button.state is State.ASLEEP and button.sleeps_for_s is not None:
            life, since = button.lives, button.asleep_at
            self._timers.after(button.sleeps_for_s / self._speed, lambda: self._wake_by_timer(button, life, since))

    def _wake_by_timer(self, button: Button, life: int, since: float) -> None:
        with self._lock:
            if button.state is State.ASLEEP and button.lives == life and button.asleep_at == since:
                self._start(button, vm.DEEPSLEEP_RESET, vm.TIMER_WAKE)

    def _settle(self, button: Button) -> float | None:
        """Let the sleep until now have been; how long the rest of it is, in the board's seconds."""
        if button.state is not State.ASLEEP:
            return None
        passed_s = time.monotonic() - button.asleep_at
        button.board.let_pass(passed_s * (self._speed - 1))
        button.use(energy.asleep(round(passed_s * self._speed * 1000)))
        button.asleep_at = time.monotonic()
        if button.sleeps_for_s is None:
            return None
        button.sleeps_for_s = max(0.0, button.sleeps_for_s - passed_s * self._speed)
        return button.sleeps_for_s

    def _due_s(self, button: Button, memory: flash.Memory) -> float:
        due = min(memory.alive_at, memory.retry_at) if memory.waiting else memory.alive_at
        return due - button.board.clock_s

    def _end_life(self, button: Button, by: vm.Exit) -> None:
        button.doomed = by
        if by is vm.Exit.POWER_CUT:
            button.board.cut_power()
        else:
            button.board.reset()

    def _lose_power(self, button: Button, how: Said) -> None:
        button.lives += 1
        button.state, button.key, button.sleeps_for_s = State.OFF, None, None
        button.board.surroundings = replace(button.board.surroundings, power_cut=None)
        button.board.empty_rtc()
        button.says, button.tone = N_("No power"), ""
        self._journal.note(button.name, Way.CUT, b"", N_("power cut"), how, icon="bolt")
        self._tell(button)

    def _note_reset(self, button: Button) -> None:
        self._journal.note(button.name, Way.RESET, b"", N_("reset"), N_("the EN pin: RTC memory is kept"), icon="undo")

    def _told_of_cut(self, button: Button, wake: vm.Wake) -> Said:
        counter = button.steps.get("counter", "")
        is_kept = any(event["kind"] == "nvs_commit" and "kept" in event.get("names", ()) for event in wake.trace)
        if button.steps.get("link") == "radiated":
            return N_("after %(counter)s was radiated: an answer is not heard", counter=counter)
        if counter and is_kept:
            return N_("between the flash and the air: %(counter)s is kept, and sent as the same bytes", counter=counter)
        if is_kept:
            return N_("the press is in flash: it is sent when the power is back")
        if counter:
            return N_("before %(counter)s was radiated: it is spent, and never used again", counter=counter)
        return N_("before anything was in flash: the light had promised nothing")

    # What it tells meanwhile

    def _on_line(self, button: Button, life: int, line: vm.Line) -> None:
        with self._lock:
            if button.lives != life:
                return
            button.steps[line.step] = line.value
            match line.step:
                case "wake":
                    button.state = State.AWAKE
                    button.says = N_("Awake: click on while the light is lit") if line.value == "press" else N_("Awake")
                case "service":
                    button.says = N_("Power is back: it waits %(s)s s for a cable, or a press", s=line.value)
                case "gesture" if button.key:
                    button.gesture = sayings.gesture(button.key.movements)
                    button.says = _gesture_words(line.value)
                case "counter":
                    button.counter = int(line.value)
                case "uplink":
                    button.state = State.SENDING
                    button.says, button.tone = N_("Sending"), ""
                    self.on_radiated(button, button.counter, bytes.fromhex(line.value))
                case "link" if line.value == "radiated":
                    button.listens_at = time.monotonic()
                    button.says = N_("Radiated; listening for the answer")
                case "link":
                    button.says, button.tone = N_("Not sent: %(why)s", why=line.value.removeprefix("failed ")), "bad"
                case "downlink":
                    self._stop_listening(button)
                    if line.value != "none":
                        self._note_answer(button, bytes.fromhex(line.value))
                case "light":
                    button.state = State.AWAKE
                    name, argument = line.value.split()[0], int(button.steps.get("answer", "").partition(" ")[2] or 0)
                    button.says, button.tone = sayings.light(name, argument), sayings.LIGHT_TONES.get(name, "bad")
                    self._hub.tell("said", button.name, button.says)
                case "sleep" if "light" not in button.steps:
                    button.says, button.tone = N_("Asleep; nothing to show"), ""
            self._tell(button)

    def _stop_listening(self, button: Button) -> None:
        if button.listens_at:
            button.listened_s += time.monotonic() - button.listens_at
            button.listens_at = 0.0

    def _note_answer(self, button: Button, data: bytes) -> None:
        said = wire.open_answer(button.identity, button.counter, data)
        result, icon, tone = (N_("heard"), "ok", "ok") if said else (N_("no answer to this"), "warn", "warn")
        words = sayings.answer(said) if said else (N_("its seal does not fit: the button listens on"),)
        self._journal.note(
            button.name,
            Way.DOWN,
            data,
            result,
            *words,
            counter=button.counter,
            title=Said(said.status) if said else None,
            icon=icon,
            tone=tone,
        )

    def _on_trace(self, button: Button, life: int, event: Mapping[str, Any]) -> None:
        with self._lock:
            if button.lives != life:
                return
            if button.doomed:
                self._end_life(button, button.doomed)
            elif event["kind"] == "pin" and event["id"] == LED_PIN:
                self._light(button, is_lit=bool(event["level"]))

    def _light(self, button: Button, *, is_lit: bool) -> None:
        if button.is_lit != is_lit:
            button.is_lit = is_lit
            self._changed.notify_all()
            self._hub.tell("lamp", button.name, str(int(is_lit)))

    def _tell(self, button: Button) -> None:
        self._changed.notify_all()
        self._hub.tell("board", button.name)

    def _check_power(self, button: Button) -> None:
        if button.state is State.OFF:
            raise NotNow("the board has no power")

    # The air, and the cloud

    def _on_fate(self, fate: Fate) -> None:
        with self._lock:
            button = self._buttons.get(fate.device)
            if button is None:
                return
            button.levels = {
                one.station: max((level for level in one.levels if level is not None), default=None)
                for one in fate.received
            }
            counter = whole_counter(int.from_bytes(fate.payload[1:3], "big"), button.counter)
        said = wire.open_uplink(button.identity, counter, fate.payload)
        button.heartbeats += bool(said and said.kind in ("alive", "boot"))
        heard, copies = sayings.heard_share(fate)
        lost = not fate.delays_s
        self._journal.note(
            button.name,
            Way.AIR,
            fate.payload,
            N_("lost") if lost else N_("%(n)s of %(all)s copies heard", n=heard, all=copies),
            *sayings.on_the_air(fate, self._air.stations, self._air.impairments.loss),
            counter=counter,
            title=sayings.kind(said) if said else None,
            icon="warn" if lost else "info",
            tone="warn" if lost else "",
        )
        self._hub.tell("board", button.name)
        if not lost:
            gives_up_at = time.monotonic() + max(fate.delays_s) + PATIENCE_S
            self._timers.after(
                min(fate.delays_s) + POLL_S, lambda: self._ask_cloud(button, counter, fate.payload, said, gives_up_at)
            )

    def _ask_cloud(
        self, button: Button, counter: int, data: bytes, said: wire.Uplink | None, gives_up_at: float
    ) -> None:
        outcome = self._cloud.outcome(button.identity.device, data)
        if outcome is None and time.monotonic() < gives_up_at:
            self._timers.after(POLL_S, lambda: self._ask_cloud(button, counter, data, said, gives_up_at))
            return
        words: list[Said] = list(sayings.readings(said)) if said else []
        if outcome is None:
            result, icon, tone = N_("not in the log"), "bad", "bad"
            words.insert(0, N_("delivered, and the cloud has not told of it for %(s)s s", s=round(PATIENCE_S)))
        elif outcome.is_kept:
            result, icon, tone = N_("kept"), "ok", "ok"
            if outcome.order is not None:
                words.insert(0, sayings.order(said.kind if said else "", outcome.order, joined=outcome.joined))
        else:
            result, icon, tone = N_("refused: %(why)s", why=outcome.result), "bad", "bad"
            words.insert(0, Said("%(reason)s", {"reason": outcome.reason}))
        self._journal.note(
            button.name,
            Way.UP,
            data,
            result,
            *words,
            counter=counter,
            title=sayings.kind(said) if said else None,
            icon=icon,
            tone=tone,
            link=outcome.link if outcome else "",
        )


def _gesture_words(value: str) -> Said:
    kind, _, parcels = value.partition(" ")
    match kind:
        case "pickup":
            return sayings.kind(wire.Uplink("pickup", int(parcels)))
        case "cancel" | "ask":
            return sayings.KINDS[kind]
    return N_("No press: too short, too long, or jammed")


def whole_counter(low: int, near: int) -> int:
    """The counter that ends in the 16 bits `low`, nearest to `near`.

    >>> whole_counter(0x0001, 0xFFFF), whole_counter(0xFFFF, 0x10001)
    (65537, 65535)
    """
    candidates = [(near & ~0xFFFF) + low + step for step in (-0x10000, 0, 0x10000)]
    return min((one for one in candidates if one >= 0), key=lambda one: abs(one - near))
