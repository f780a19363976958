"""What a board takes from its battery: a current for each state that its trace tells of.

The currents are those of data sheets, for the chips alone: a DevKit's regulator, USB bridge and lights take more. They
are for comparing one wake with another; battery life is to be measured on the board that will hang in the letterbox.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# ESP32 Series Datasheet, "Current Consumption": deep sleep with RTC timer and RTC memory, 10 µA.
DEEP_SLEEP_MA = 0.010
# Likewise: modem sleep at 160 MHz, both cores, 27 to 44 mA; MicroPython runs at 160 MHz.
AWAKE_MA = 44
# Likewise: receiving 95 to 100 mA, sending 802.11b at full power 240 mA. Joining, publishing and listening send for
# some 5 % of the time (our estimate): 0.95 × 100 + 0.05 × 240. The CPU is in it.
WIFI_MA = 107
# Data sheet of the LPWAN Sigfox node 868 (SFM10R1), V1.1: sending 65 mA, receiving 15 mA, on top of the waiting CPU.
MODEM_TX_MA = AWAKE_MA + 65
MODEM_RX_MA = AWAKE_MA + 15

MS_PER_HOUR = 3_600_000
MODEM_MA = {"tx": MODEM_TX_MA, "rx": MODEM_RX_MA}


@dataclass(frozen=True, slots=True)
class Use:
    """What the battery has given, and for how long."""

    charge_mah: float = 0.0
    ms: int = 0

    def __add__(self, other: "Use") -> "Use":
        return Use(self.charge_mah + other.charge_mah, self.ms + other.ms)


def asleep(ms: int) -> Use:
    return Use(DEEP_SLEEP_MA * ms / MS_PER_HOUR, ms)


def awake(trace: Sequence[Mapping[str, Any]], ms: int) -> Use:
    """One life from reset to sleep, `ms` long, by its trace.

    Events `wifi_active` (is_active) and `modem` (state: tx, rx, or anything else for idle) change the current.

    >>> round(awake([{"ms": 1000, "kind": "wifi_active", "is_active": True}], ms=3000).charge_mah, 4)
    0.0717
    """
    current, since_ms, charge = float(AWAKE_MA), 0, 0.0
    for event in trace:
        at_ms = min(max(event["ms"], since_ms), ms)
        charge += current * (at_ms - since_ms)
        since_ms = at_ms
        if event["kind"] == "wifi_active":
            current = WIFI_MA if event["is_active"] else AWAKE_MA
        elif event["kind"] == "modem":
            current = MODEM_MA.get(event["state"], AWAKE_MA)
    return Use((charge + current * (ms - since_ms)) / MS_PER_HOUR, ms)
