"""Whole lives of the firmware in virtual time, and what must hold of each of them, whatever happens to it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from simulator.board import vm
from tests.firmware.conftest import DEVICE_ID
from tests.sealing import KINDS, opened

KEY = bytes(range(16))  # as on_vm/lives.py has it
ANSWERS = ("accepted", "unclaimed", "cancelled", "refused", "state")
LINK_MS = {"mqtt": 10_000, "wisol": 3 * 1_100 + 3 * 15_000 + 60_000}
GESTURE_MS, SERVICE_MS, LIGHTS_MS = 20_000, 5_000, 12_000
SERVICE_CAP_MS = 600_000  # when a hold has opened the window again
HOUR_S, DAY_S = 3_600, 86_400
CLICK = ((0, 1), (100, 0))
HOLD = ((0, 1), (1_700, 0))
CLICK_AND_HOLD = (*CLICK, (300, 1), (2_000, 0))
SERVICE_CLICK = ((1_000, 1), (1_100, 0))


@dataclass(frozen=True, slots=True)
class Wake:
    """As on_vm/lives.py reads it."""

    why: str = "press"
    key: Sequence[tuple[int, int]] = CLICK
    air: str = "answers"
    answer: tuple[int, int] = (1, 90)
    noise: Sequence[str] = ()
    cut: int = 0
    pass_s: int = 60
    clock_s: int = 0
    rtc: str | None = None
    flash: dict[str, Any] = field(default_factory=dict)


# All that waits is sent, by the longest back-off and within Sigfox's air time, before its day is over.
RECOVERY = tuple(Wake("timer", (), pass_s=4 * HOUR_S + 300) for _ in range(5))


@dataclass(frozen=True, slots=True)
class Told:
    """What one wake told: events of [ms, what, …]."""

    events: list[list[Any]]

    def all(self, what: str) -> list[list[Any]]:
        return [event[2:] for event in self.events if event[1] == what]

    def said(self, step: str) -> list[str]:
        lines = [line.partition(" ") for (line,) in self.all("say")]
        return [value for name, _, value in lines if name == step]

    @property
    def heard(self) -> list[str]:
        return [message for message, _ in self.all("heard")]

    @property
    def ended(self) -> str:
        return self.events[-1][2]

    @property
    def ms(self) -> int:
        return self.events[-1][0]

    @property
    def parcels_pressed(self) -> int:
        return sum(int(gesture.split()[1]) for gesture in self.said("gesture") if gesture.startswith("pickup"))

    @property
    def is_confirmed(self) -> bool:
        """The gesture was blinked back, which is before any named light."""
        has_gestured = False
        for _, what, *said in self.events:
            has_gestured |= what == "say" and said[0].startswith("gesture pickup")
            if has_gestured and what == "say" and said[0].startswith("light"):
                return False
            if has_gestured and what == "led" and said[0]:
                return True
        return False


def live(plans: list[tuple[str, bool, Sequence[Wake]]]) -> list[list[Told]]:
    """Each plan: the link, whether flash is written before its commit, the wakes."""
    lines = [
        json.dumps({"link": link, "writes_through": through, "wakes": [asdict(wake) for wake in wakes]})
        for link, through, wakes in plans
    ]
    script = Path(__file__).parent / "on_vm/lives.py"
    told = vm.run_on_vm(script, "".join(line + "\n" for line in lines), heap="16M").splitlines()
    assert len(told) == len(plans), [line for line in told if not line.startswith("[[")]
    return [[Told(events) for events in json.loads(line)] for line in told]


def parcels(messages: set[str]) -> int:
    """What a cloud would count of them."""
    total = 0
    for message in map(bytes.fromhex, messages):
        body = opened(message, device=DEVICE_ID, key=KEY, counter=int.from_bytes(message[1:3], "big"))
        total += body >> 18 & 7 if KINDS[body >> 21] == "pickup" else 0
    return total


def check(link: str, life: list[Told]) -> None:
    """No counter for two messages, no confirmed press lost or counted twice, no light that lies, asleep in time."""
    by_counter: dict[str, str] = {}
    pressed = confirmed = 0
    for told in life:
        for message in told.heard:
            assert by_counter.setdefault(message[2:6], message) == message, "one counter, two messages"
        pressed += told.parcels_pressed
        confirmed += told.parcels_pressed * told.is_confirmed
        check_lights(told)
        assert told.ended in ("asleep", "cut", "bitten")
        most_ms = GESTURE_MS + SERVICE_MS + LINK_MS[link] + LIGHTS_MS
        most_ms += SERVICE_CAP_MS * ("120" in told.said("service"))
        assert told.ms <= most_ms, told.events
        assert all(for_ms >= 60_000 for (for_ms,) in told.all("sleep"))
    assert confirmed <= parcels(set(by_counter.values())) <= pressed, [told.events for told in life]


def check_lights(told: Told) -> None:
    answered = told.all("answered")
    for light in told.said("light"):
        if light in ANSWERS:
            count, status, argument = answered[-1]
            assert (status, int(told.heard[-1][2:6], 16)) == (light, count & 0xFFFF)
            flashes = argument if status == "state" else 0
            assert flashes <= 5
        elif light == "sent-not-confirmed":
            assert told.heard
        else:
            assert light in ("not-sent", "not-kept")
