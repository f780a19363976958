"""The self-test: does this board do what a button needs? Each check says what it saw, and what to do about it."""

import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import typer

from cloud.fleet.model import format_id
from tools.flash.cable import Cable, Refused

NAMES = ("seal", "battery", "light", "key", "radio")
BLINKS = 3
BATTERY_MV = 2000, 4300  # two AA cells that are nearly empty; a lithium cell on its charger
RADIO_S = 20  # more than the firmware's own deadline for Wi-Fi and broker, and for three tries of a modem

# The second vector of tests/vectors/wire-format.json, under its key: the button's own is not touched for a test.
SEAL_BUTTON = (0x0012AB34, 0, "c2548232035d54ebce408e40d4502faa")
SEAL_COUNT, SEAL_MESSAGE = 2, ("pickup", 1, 3000, 20, 4, 0)
SEALED = "0000027e5d76ad50a56eb797"


@dataclass(frozen=True, slots=True)
class Check:
    """`passed` is None for one that was left out."""

    name: str
    passed: bool | None
    said: str


def run(
    cable: Cable,
    *,
    id: int,
    link: str,
    settings: Mapping[str, Any],
    skip: Collection[str],
    has_finger: bool,
    finger_s: int,
    tell: Callable[[str], object],
) -> list[Check]:
    """All of NAMES, in their order. `settings` are those that the board is to have."""

    def seal() -> tuple[bool, str]:
        sealed = cable.call("test_seal", SEAL_BUTTON, SEAL_COUNT, SEAL_MESSAGE)
        return sealed == SEALED, "as the vector" if sealed == SEALED else f"gave {sealed}, not {SEALED}"

    def battery() -> tuple[bool, str]:
        mv = cable.call("test_battery")
        low, high = BATTERY_MV
        if low <= mv <= high:
            return True, f"{mv} mV"
        return False, f"{mv} mV, expected {low} to {high}: is a battery in, and its divider wired to GPIO 34?"

    def light() -> tuple[bool, str]:
        cable.call("test_light", BLINKS)
        if not has_finger or not sys.stdin.isatty():
            return True, f"{BLINKS} flashes; nobody was asked"
        seen = typer.confirm(f"Did the light flash {BLINKS} times?", err=True)
        return seen, "seen" if seen else "not seen: look at the LED on GPIO 2, and which way round it is"

    def key() -> tuple[bool, str]:
        tell(f"Press the button once, within {finger_s} s.")
        what = cable.call("test_key", finger_s * 1000, within_s=finger_s)
        return what == "pressed", {
            "pressed": "pressed and let go",
            "held": "stays down: is GPIO 4 shorted to ground?",
            "nothing": "no press was seen: look at the wires from the key to GPIO 4 and ground (or --no-finger)",
        }[what]

    def radio() -> tuple[bool, str]:
        works, said = cable.call("test_radio", id, link, settings, within_s=RADIO_S)
        if link == "wisol":
            return _is_modem_of(id, said) if works else (False, f"{said}: look at the modem's wires, GPIO 17 and 16")
        return works, said if works else f"{said}: {_why_no_broker(said)}"

    checks = {"seal": seal, "battery": battery, "light": light, "key": key, "radio": radio}
    left_out = {*skip, *(() if has_finger else ("key",))}
    return [Check(name, None, "left out") if name in left_out else _try(name, checks[name]) for name in NAMES]


def _try(name: str, check: Callable[[], tuple[bool, str]]) -> Check:
    try:
        return Check(name, *check())
    except Refused as refused:
        return Check(name, False, f"the board says: {refused.what}")


def _is_modem_of(id: int, told: str) -> tuple[bool, str]:
    if told == format_id(id):
        return True, f"the modem answers: {told}"
    return False, (
        f"the modem is {told or 'without an id'}, the button {format_id(id)}: Sigfox names a button by its modem, "
        f"so make this board that button: --new --button {told}"
    )


def _why_no_broker(said: str) -> str:
    if said.startswith("wifi:"):
        return "look at the network's name and password (--wifi); an ESP32 knows 2.4 GHz only"
    if said.startswith("tls:"):
        return "does the broker's certificate come from --ca, and was it valid on 1 January 2000?"
    if said.startswith("no "):
        return "give --wifi and --broker"
    return "on the Wi-Fi, but the broker does not answer: is --broker reached from that network, its port open?"
