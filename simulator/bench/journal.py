"""Everything that was radiated, heard, answered or cut off, newest first: the bench's table of bytes."""

import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice

from simulator.bench.hub import Hub
from simulator.bench.words import Said

KEPT = 2000  # rows


class Way(StrEnum):
    """Where a row's bytes were going."""

    AIR = "air"  # radiated: what the stations got of it
    UP = "up"  # taken in by the cloud, or refused
    DOWN = "down"  # heard by the button
    CUT = "cut"  # the power
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Row:
    id: int
    at: datetime
    device: str
    way: Way
    counter: int | None
    data: bytes  # empty: no bytes
    icon: str
    tone: str
    result: Said
    title: Said | None  # what the bytes say, in bold
    words: tuple[Said, ...]
    link: str = ""  # a page of the console on it


class Journal:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._lock = threading.Lock()
        self._rows: deque[Row] = deque(maxlen=KEPT)
        self._last = 0

    def note(
        self,
        device: str,
        way: Way,
        data: bytes,
        result: Said,
        *words: Said,
        counter: int | None = None,
        title: Said | None = None,
        icon: str = "info",
        tone: str = "",
        link: str = "",
    ) -> Row:
        with self._lock:
            self._last += 1
            row = Row(self._last, datetime.now(UTC), device, way, counter, data, icon, tone, result, title, words, link)
            self._rows.appendleft(row)
        self._hub.tell("rows", device, str(row.id))
        return row

    def newest(self, limit: int, device: str | None = None) -> list[Row]:
        with self._lock:
            return list(islice((row for row in self._rows if device in (None, row.device)), limit))
