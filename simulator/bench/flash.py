"""What a sleeping board keeps, as its flash and RTC memory have it; the firmware's own layouts, and never the key."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulator.bench.words import N_, N_n, Said

# firmware/lib/domino/memory.py and outbox.py.
MEMORY = ">BIIBBBBBIIIBBB"
MEMORY_MARK = 0xD1
LETTERS_HEAD, LETTER_SIZE = 2, 23
DAY_S = 86_400 * 21 // 20  # the budget's window, 5 % longer than a day
UPLINKS_A_DAY, DOWNLINKS_A_DAY = 140, 4
NO_PERIOD_H = 24


@dataclass(frozen=True, slots=True)
class Memory:
    """RTC memory; times are seconds of the board's own clock."""

    ceiling: int
    count: int
    link_failures: int
    waiting: int
    retry_at: int
    alive_at: int
    sent: tuple[int, ...]
    asked: tuple[int, ...]

    def used(self, now: int) -> tuple[int, int]:
        """Uplinks and downlinks of the day that ends now."""
        uplinks, downlinks = (sum(now - at < DAY_S for at in times) for times in (self.sent, self.asked))
        return uplinks, downlinks


@dataclass(frozen=True, slots=True)
class Entry:
    """One value for the eye."""

    name: str
    value: str
    meaning: Said


def read_memory(kept: bytes) -> Memory | None:
    """None where the power has taken it, or nothing was ever kept."""
    size = struct.calcsize(MEMORY)
    if len(kept) < size + 4 or kept[0] != MEMORY_MARK:
        return None
    fields = struct.unpack_from(MEMORY, kept)
    _, ceiling, count, failures, waiting, _, _, _, retry_at, alive_at, _, sent, asked, _ = fields
    times = struct.unpack_from(f"<{sent + asked}I", kept, size)  # arrays of the chip's own order
    return Memory(ceiling, count, failures, waiting, retry_at, alive_at, times[:sent], times[sent:])


def entries(flash: Mapping[str, list[Any]], memory: Memory | None) -> list[Entry]:
    """NVS as a table. The key is told by its size alone."""
    ceiling, generation = flash["ctr"][1] & 0xFFFFFFFF, flash["gen"][1]
    if memory and memory.ceiling == ceiling:
        counter = N_("the end of the block in use; the last one used is %(count)s", count=memory.count)
    else:
        counter = N_("the next message begins a new block behind it")
    letters = max(0, len(bytes.fromhex(flash["kept"][1])) - LETTERS_HEAD) // LETTER_SIZE if "kept" in flash else 0
    waiting = N_n("%(n)s message waits for its turn", "%(n)s messages wait for their turn", letters)
    hours = flash["hours"][1] if "hours" in flash else NO_PERIOD_H
    period = N_("hours from one heartbeat to the next") if "hours" in flash else N_("hours between heartbeats, unset")
    return [
        Entry("domino/ctr", str(ceiling), counter),
        Entry("domino/key", f"{len(flash['key'][1]) // 2} B", N_("generation %(n)s, never shown", n=generation)),
        Entry("domino/kept", str(letters), waiting if letters else N_("nothing waits to be sent")),
        Entry("domino/hours", str(hours), period),
        Entry(
            "domino/fall",
            str(flash["fall"][1] if "fall" in flash else 0),
            N_("1 while the radio first runs on this battery"),
        ),
    ]
