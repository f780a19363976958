"""What can become of a frame that was heard: every one ends with a named result, and has a name to be found by."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import blake2s
from typing import Any

from cloud.fleet.model import department
from cloud.frames.reasons import read
from cloud.words import Said

MOST_COPIES = 32  # stations shown of one message
_STATION = re.compile(r"[0-9A-Za-z_.-]{1,32}")
TRACE_BYTES = 16  # as W3C Trace Context has them
HEAD_BYTES = 3  # of the data, which a trace id shows: key generation and the counter's low bits


class Result(StrEnum):
    """The end of every message; all but ACCEPTED and DUPLICATE are refusals."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"  # the same message again: another carrier, a redelivery; changes nothing
    REPLAYED = "replayed"  # bytes that were accepted before, radiated anew
    STALE = "stale"  # right seal, but further behind the newest counter than the window allows
    MALFORMED = "malformed"
    UNKNOWN_BUTTON = "unknown button"
    WRONG_GENERATION = "wrong key generation"
    BAD_SEAL = "bad seal"
    REVOKED = "revoked"
    OVER_BUDGET = "over budget"

    @property
    def is_refusal(self) -> bool:
        return self not in (Result.ACCEPTED, Result.DUPLICATE)


@dataclass(frozen=True, slots=True)
class Copy:
    """What one station heard of a message."""

    station: str
    rssi: float  # dBm, of its best replica
    replicas: int  # 1 to 3


def read_copies(stations: Sequence[Any]) -> tuple[Copy, ...]:
    """What each station heard, best first, of a callback's own list; what makes no sense in it is left out.

    >>> read_copies([{"bsId": "1F08", "rssi": "-121.5"}, {"bsId": "1F11", "rssi": -97, "nbRep": 3}, "?"])
    (Copy(station='1F11', rssi=-97.0, replicas=3), Copy(station='1F08', rssi=-121.5, replicas=1))
    """
    copies = []
    for one in stations[:MOST_COPIES]:
        if not isinstance(one, dict):
            continue
        station, rssi = one.get("bsId", one.get("station")), one.get("rssi")  # the second as it was kept up to 0.1
        if isinstance(station, str) and _STATION.fullmatch(station) and (dbm := _dbm(rssi)) is not None:
            copies.append(Copy(station, dbm, _replicas(one.get("nbRep", one.get("replicas")))))
    return tuple(sorted(copies, key=lambda copy: -copy.rssi))


def _dbm(said: Any) -> float | None:
    """A level that a receiver can mean."""
    try:
        level = float(said) if isinstance(said, int | float | str) and not isinstance(said, bool) else None
    except (ValueError, OverflowError):
        return None
    return level if level is not None and -200 <= level <= 50 else None


def _replicas(said: Any) -> int:
    return int(said) if str(said) in ("1", "2", "3") else 1


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of the log, as pages and the API show it.

    `device` is claimed by the sender; `counter` and what follows are there only where the seal proved them.
    """

    id: int
    received_at: datetime
    carrier: str
    result: Result
    reason: str
    device: int | None
    data: bytes | None
    heard_at: datetime | None
    seq_number: int | None
    listens: bool
    lqi: str | None
    copies: tuple[Copy, ...]
    key_generation: int | None
    counter: int | None
    kind: str | None
    parcels: int | None
    battery_mv: int | None
    temperature_c: int | None
    reset_cause: int | None
    link_failures: int | None
    pickup_id: int | None
    downlink: bytes | None
    place: str | None

    @property
    def department(self) -> str | None:
        return department(self.place)

    @property
    def why(self) -> tuple[Said | str, ...]:
        """The reason, to be said in any language."""
        return read(self.reason)

    @property
    def trace(self) -> str | None:
        """See `trace_id`; None where no device, or nothing of a message, could be read."""
        if self.device is None or self.data is None or len(self.data) < HEAD_BYTES:
            return None
        return trace_id(self.device, self.data)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which frames are wanted: those that agree with everything that is set."""

    device: int | None = None
    result: Result | None = None
    kind: str | None = None
    department: str | None = None  # of the place where the fleet says that the device hangs

    def __bool__(self) -> bool:
        return self != _ALL

    def takes(self, frame: Frame) -> bool:
        return (
            self.device in (None, frame.device)
            and self.result in (None, frame.result)
            and self.kind in (None, frame.kind)
            and (self.department is None or self.department == frame.department)
        )


_ALL = Filter()

# How many frames one that is shown may stand for.
STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
GOLDEN = 2_654_435_761  # 2^32 divided by the golden ratio: its multiples are spread as evenly as can be


def drawn(id: int, step: int) -> bool:
    """Whether the frame is shown when one of `step` is: evenly among the ids, and the same ones for everybody.

    By Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4), so that no rhythm in the traffic is favoured;
    what is drawn by a larger step is drawn by a smaller one too.

    >>> [id for id in range(100) if drawn(id, 20)]
    [0, 13, 34, 47, 68, 89]
    """
    return (id & 0x7FFF_FFFF) * GOLDEN % 2**32 < 2**32 // step


def trace_id(device: int, data: bytes) -> str:
    """The name that one radiated message has in every log and on every page, whoever heard it and how often.

    16 bytes in hex, as a trace id of W3C Trace Context: the device, the head of its data, then BLAKE2s (RFC 7693) over
    device and data. So whoever has the message has the name, nothing is stored for it, and it leads back to the frame.
    What was radiated cannot be told from it: a log is no recording to be played again.

    >>> trace_id(0x0012AB34, bytes(12))
    '0012ab34000000bfcf353dd9f5dc9c93'
    """
    sealed = device.to_bytes(4, "big") + data
    head = sealed[: 4 + HEAD_BYTES]
    return (head + blake2s(sealed, digest_size=TRACE_BYTES - len(head)).digest()).hex()


def trace_parts(trace: str) -> tuple[int, bytes]:
    """The device and the head of the data that `trace` shows; raises ValueError for what is no trace id."""
    whole = bytes.fromhex(trace)
    if len(whole) != TRACE_BYTES:
        raise ValueError(f"a trace id has {2 * TRACE_BYTES} hex digits")
    return int.from_bytes(whole[:4], "big"), whole[4 : 4 + HEAD_BYTES]
