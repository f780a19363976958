"""What a board takes from its battery: a current for each state that its trace tells of.

The currents are those of data sheets, at 3.3 V and 25 °C, for the chips alone. A DevKit takes more, day and night:
`on_devkit` adds that. They are for comparing and for planning; what hangs in a letterbox is to be measured.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

# ESP32 Series Datasheet, "Current Consumption": deep sleep with RTC timer and RTC memory, 10 µA. The key's wake-up by
# EXT0 is in it; the battery's divider, 2 × 1 MΩ across 3 V, is not.
DEEP_SLEEP_MA = 0.010 + 0.0015
# Likewise: modem sleep (the processor runs, the radio is off) at 160 MHz, 27 to 44 mA; MicroPython runs at 160 MHz and
# waits without sleeping.
AWAKE_MA = 44
# Likewise: active. Receiving 95 to 100 mA, sending 802.11b at 19.5 dBm 240 mA; the processor is in both. Joining,
# publishing and listening send for some 5 % of the time, which is our estimate.
WIFI_RX_MA, WIFI_TX_MA, WIFI_TX_SHARE = 100, 240, 0.05
WIFI_MA = (1 - WIFI_TX_SHARE) * WIFI_RX_MA + WIFI_TX_SHARE * WIFI_TX_MA
# A red light of 2.0 V behind 470 Ω at 3.3 V.
LIGHT_MA = 2.8
LIGHT_PIN = 2
# SFM10R1, from the data sheet of the LPWAN Sigfox node 868 V1.1: sending at 14 dBm 65 mA, receiving 15 mA, sleeping
# 2 µA. Awake and idle: AX-SFEU data sheet (the chip inside), standby, 0.5 mA. All on top of the processor.
MODEM_MA = {"sleep": 0.002, "idle": 0.5, "tx": 65, "rx": 15}
# AMS1117 data sheet: quiescent current 5 mA. CP2102 data sheet: suspended 80 µA. The power light: 2.0 V behind 1 kΩ.
# Of boards that look alike some take 4 mA, some 11.
DEVKIT_MA = 5 + 0.08 + 1.3

MS_PER_HOUR = 3_600_000


class Part(StrEnum):
    """Where it goes."""

    PROCESSOR = "processor"
    LIGHT = "light"
    WIFI = "Wi-Fi"
    MODEM_TX = "modem sends"
    MODEM_RX = "modem listens"
    MODEM_IDLE = "modem waits"
    ASLEEP = "asleep"
    DEVKIT = "DevKit"


MODEM_PARTS = {"sleep": Part.ASLEEP, "idle": Part.MODEM_IDLE, "tx": Part.MODEM_TX, "rx": Part.MODEM_RX}


@dataclass(frozen=True, slots=True)
class Use:
    """What the battery has given, in mAh by where it went, and for how long."""

    parts: Mapping[Part, float] = field(default_factory=dict)
    ms: int = 0

    @property
    def charge_mah(self) -> float:
        return sum(self.parts.values())

    def __add__(self, other: "Use") -> "Use":
        parts = {part: self.parts.get(part, 0) + other.parts.get(part, 0) for part in {**self.parts, **other.parts}}
        return Use(parts, self.ms + other.ms)

    def times(self, often: float) -> "Use":
        return Use({part: mah * often for part, mah in self.parts.items()}, round(self.ms * often))


def asleep(ms: int, modem: str | None = None) -> Use:
    """`modem`: the state that it is in, None where there is none."""
    return _used(Counter({Part.ASLEEP: DEEP_SLEEP_MA * ms}) + _modem(modem, ms), ms)


def awake(trace: Sequence[Mapping[str, Any]], ms: int, modem: str | None = None) -> Use:
    """One life from reset to sleep, `ms` long, by its trace; `modem` as it was at the reset.

    Events `wifi_active` (is_active), `pin` (id, level) and `modem` (state) change the current.

    >>> round(awake([{"ms": 1000, "kind": "wifi_active", "is_active": True}], ms=3000).charge_mah, 4)
    0.0717
    """
    drawn: Counter[Part] = Counter()
    chip, is_lit, since_ms = (Part.PROCESSOR, AWAKE_MA), 0, 0
    for event in (*trace, {"kind": "end", "ms": ms}):
        passed_ms = min(max(event["ms"], since_ms), ms) - since_ms
        since_ms += passed_ms
        drawn += Counter({chip[0]: chip[1] * passed_ms, Part.LIGHT: is_lit * LIGHT_MA * passed_ms})
        drawn += _modem(modem, passed_ms)
        match event:
            case {"kind": "wifi_active", "is_active": is_active}:
                chip = (Part.WIFI, WIFI_MA) if is_active else (Part.PROCESSOR, AWAKE_MA)
            case {"kind": "pin", "id": id, "level": level} if id == LIGHT_PIN:
                is_lit = level
            case {"kind": "modem", "state": state}:
                modem = state
    return _used(drawn, ms)


def on_devkit(use: Use) -> Use:
    """What the same takes with a DevKit's regulator, USB bridge and power light."""
    return use + _used(Counter({Part.DEVKIT: DEVKIT_MA * use.ms}), 0)


def _modem(state: str | None, ms: int) -> "Counter[Part]":
    return Counter({MODEM_PARTS[state]: MODEM_MA[state] * ms} if state else {})


def _used(drawn: "Counter[Part]", ms: int) -> Use:
    """Of mA · ms."""
    return Use({part: amount / MS_PER_HOUR for part, amount in drawn.items() if amount}, ms)
