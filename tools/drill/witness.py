"""The witness: a list outside the system of what was pressed and which press was acknowledged, on disk at once.

A press is acknowledged by the broker's PUBACK or by the callback's 200 or 204. Each is one line of a file that is
synced before anything else is done, and what is judged in the end is read back from that file.
"""

import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tools.drill.presses import Key, Message


@dataclass(frozen=True, slots=True)
class Notes:
    """What the witness wrote down: the parcels of each press, and when each was first acknowledged (Unix seconds)."""

    pressed: dict[Key, int]
    acknowledged: dict[Key, float]
    by_carrier: dict[str, int]


class Witness:
    """Writes from any thread. One line a press, then one for each acknowledgement of it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb", buffering=0)
        self._lock = threading.Lock()
        self._seen: set[Key] = set()
        self.path = path

    @property
    def acknowledged(self) -> int:
        """Different presses that were acknowledged so far."""
        return len(self._seen)

    def note_pressed(self, messages: Iterable[Message]) -> None:
        """Once, before anything is sent."""
        presses = {m.key: m.parcels for m in messages if m.key is not None}
        self._write("".join(f"pressed {_words(key)} {parcels}\n" for key, parcels in presses.items()))

    def note_acknowledged(self, carrier: str, keys: Iterable[Key]) -> None:
        """What has just been acknowledged over `carrier`, `mqtt` or `http`."""
        now = time.time()
        lines = "".join(f"{carrier} {_words(key)} {now:.3f}\n" for key in keys)
        if lines:
            self._write(lines)
            self._seen.update(keys)

    def close(self) -> None:
        self._file.close()

    def _write(self, lines: str) -> None:
        with self._lock:
            left = memoryview(lines.encode())
            while left:
                left = left[self._file.write(left) or 0 :]
            os.fsync(self._file.fileno())


def read_notes(path: Path) -> Notes:
    pressed: dict[Key, int] = {}
    acknowledged: dict[Key, float] = {}
    by_carrier: dict[str, int] = {}
    for line in path.read_text("ascii").splitlines():
        word, device, generation, counter, value = line.split(" ")
        key = (int(device, 16), int(generation), int(counter))
        if word == "pressed":
            pressed[key] = int(value)
        elif key not in acknowledged:
            acknowledged[key] = float(value)
            by_carrier[word] = by_carrier.get(word, 0) + 1
    return Notes(pressed, acknowledged, by_carrier)


def _words(key: Key) -> str:
    device, generation, counter = key
    return f"{device:08X} {generation} {counter}"
