"""What can become of a frame that was heard: every one ends with a named result."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

MOST_COPIES = 32  # stations shown of one message
_STATION = re.compile(r"[0-9A-Za-z_.-]{1,32}")


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
