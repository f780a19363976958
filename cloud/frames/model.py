"""What can become of a frame that was heard: every one ends with a named result."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


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
