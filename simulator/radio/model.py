"""What a Sigfox network hears of a button: stations, path loss, three replicas, copies, and how late they arrive.

The mean level follows log-distance path loss from the free-space loss at one metre, and decides which stations are in
reach; each replica then fades by itself, because each is radiated on a frequency of its own. A button always stands in
reach of a station, as a button is only ever mounted where there is coverage: without impairments no message is lost.
Every function that draws takes its source of randomness, so the same seed gives the same air.
"""

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

BAND_HZ = (868_034_000, 868_226_000)  # RC1 uplink: 192 kHz around 868.130 MHz
EIRP_DBM = 16  # 25 mW e.r.p. (ETSI EN 300 220-2, 868.0 to 868.6 MHz) and 2.15 dB from dipole to isotropic
LETTERBOX_DB = 10  # estimate: a whip antenna inside sheet metal
SENSITIVITY_DBM = -142  # of an RC1 station at 100 bit/s
# Towns have 2.7 to 3.5 (Rappaport, Wireless Communications); 3.0 is within 5 dB of suburban Okumura-Hata, 1 to 10 km.
PATH_LOSS_EXPONENT = 3.0
FADING_DB = 3.0  # estimate: standard deviation of one replica's level around the mean
TOWN_KM = 8.0  # side of the square the stations stand in
REPLICAS = 3
SEQUENCE_NUMBERS = 4096  # 12 bits
MESSAGES_A_DAY = 140  # of the largest contract
GAP_A_DAY = 300
HELD_BACK_S = 20.0  # longer than a button needs for its next message: a press, then a cancel
MAX_UPLINK_BYTES = 12
DEVICE = re.compile("[0-9A-F]{8}")
DOWNLINK = re.compile("[0-9A-Fa-f]{16}")


class Random(Protocol):
    """The part of `random.Random` that is drawn from here."""

    def random(self) -> float: ...
    def uniform(self, a: float, b: float) -> float: ...
    def gauss(self, mu: float, sigma: float) -> float: ...
    def choice(self, seq: Sequence[Any]) -> Any: ...
    def sample(self, population: Sequence[int], k: int) -> list[int]: ...


class Refused(ValueError):
    """A message that no Sigfox network would take; the text says why."""


class Quality(StrEnum):
    """Link quality as a Sigfox callback names it in `lqi`."""

    LIMIT = "Limit"
    AVERAGE = "Average"
    GOOD = "Good"
    EXCELLENT = "Excellent"


@dataclass(frozen=True, slots=True)
class Position:
    """Kilometres east and north of the town's south-western corner."""

    x_km: float
    y_km: float

    def distance_km(self, other: "Position") -> float:
        return math.hypot(self.x_km - other.x_km, self.y_km - other.y_km)


@dataclass(frozen=True, slots=True)
class Station:
    id: str  # four hex digits
    position: Position


@dataclass(frozen=True, slots=True)
class Copy:
    """What one station heard of one message."""

    station: str
    rssi: float  # dBm, of its best replica
    replicas: int  # 1 to 3


@dataclass(frozen=True, slots=True)
class Reception:
    """What a station in reach got of each replica of one message: dBm, or None where it missed it."""

    station: str
    levels: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Heard:
    copies: tuple[Copy, ...]  # best first, at least one
    lqi: Quality


@dataclass(frozen=True, slots=True)
class Impairments:
    """What goes wrong between the button and the cloud; nothing, unless asked for."""

    loss: float = 0.0  # probability that one station misses one replica
    duplicates: float = 0.0  # probability that the core delivers a message twice
    max_delay_s: float = 0.0  # each delivery is late by up to this, so that messages overtake each other
    out_of_order: float = 0.0  # probability that a delivery is held back for HELD_BACK_S, and others overtake it

    def __post_init__(self) -> None:
        for name in ("loss", "duplicates", "out_of_order"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability from 0 to 1, not {getattr(self, name)}")
        if not 0 <= self.max_delay_s < math.inf:
            raise ValueError(f"max_delay_s is a number of seconds from 0, not {self.max_delay_s}")


def place_stations(count: int, rng: Random) -> tuple[Station, ...]:
    if not 1 <= count <= 1000:
        raise ValueError(f"a network has 1 to 1000 stations, not {count}")
    numbers = rng.sample(range(0x1000, 0x10000), count)
    return tuple(Station(f"{n:04X}", Position(rng.uniform(0, TOWN_KM), rng.uniform(0, TOWN_KM))) for n in numbers)


def without(stations: Sequence[Station], down: Collection[str]) -> tuple[Station, ...]:
    """The stations that are up."""
    if unknown := set(down) - {station.id for station in stations}:
        known = " ".join(station.id for station in stations)
        raise ValueError(f"no station {' '.join(sorted(unknown))}; there are {known}")
    return tuple(station for station in stations if station.id not in down)


def place_button(stations: Sequence[Station], rng: Random) -> Position:
    """Somewhere in reach of one of `stations`, more densely near it, as houses are."""
    home = rng.choice(stations).position
    distance_km = REACH_KM * rng.uniform(0.02, 0.98)
    angle = rng.uniform(0, math.tau)
    return Position(home.x_km + distance_km * math.cos(angle), home.y_km + distance_km * math.sin(angle))


def mean_rssi(distance_km: float, frequency_hz: float) -> float:
    """dBm at a station; Friis for the first metre, PATH_LOSS_EXPONENT from there."""
    first_metre_db = 20 * math.log10(4 * math.pi * frequency_hz / 299_792_458)
    further_db = 10 * PATH_LOSS_EXPONENT * math.log10(max(distance_km * 1000, 1))
    return EIRP_DBM - LETTERBOX_DB - first_metre_db - further_db


REACH_KM = 10 ** ((mean_rssi(0.001, BAND_HZ[1]) - SENSITIVITY_DBM) / (10 * PATH_LOSS_EXPONENT)) / 1000


def in_reach(button: Position, stations: Sequence[Station]) -> tuple[Station, ...]:
    return tuple(station for station in stations if button.distance_km(station.position) <= REACH_KM)


def receptions(
    button: Position, stations: Sequence[Station], loss: float, rng: Random, replicas: int = REPLICAS
) -> tuple[Reception, ...]:
    """One message in its replicas at each station in reach, whatever that got of it."""
    frequencies_hz = [rng.uniform(*BAND_HZ) for _ in range(replicas)]
    received = []
    for station in in_reach(button, stations):
        distance_km = button.distance_km(station.position)
        # Reach is decided on the mean: a fade moves the figure, and never below what a station can hear.
        levels = [
            max(mean_rssi(distance_km, hz) + rng.gauss(0, FADING_DB), SENSITIVITY_DBM) if rng.random() >= loss else None
            for hz in frequencies_hz
        ]
        received.append(Reception(station.id, tuple(levels)))
    return tuple(received)


def put_together(received: Sequence[Reception]) -> Heard | None:
    """The copy of each station that heard any replica; None when all of them were lost."""
    copies = []
    for one in received:
        if levels := [level for level in one.levels if level is not None]:
            copies.append(Copy(one.station, round(max(levels), 1), len(levels)))
    if not copies:
        return None
    copies.sort(key=lambda copy: -copy.rssi)
    return Heard(tuple(copies), link_quality(copies[0].rssi, len(copies)))


def radiate(
    button: Position, stations: Sequence[Station], loss: float, rng: Random, replicas: int = REPLICAS
) -> Heard | None:
    """One message in its replicas: the copy of each station that heard any; None when all of it was lost."""
    return put_together(receptions(button, stations, loss, rng, replicas))


def all_lost(loss: float, stations: int, replicas: int = REPLICAS) -> float:
    """The probability that none of `stations` in reach hears any replica of a message.

    >>> round(1 / all_lost(0.35, stations=2))
    544
    """
    return loss ** (stations * replicas)


def link_quality(rssi: float, stations: int) -> Quality:
    """The class of a link in RC1, from its best level in dBm and the number of stations (Sigfox's table)."""
    if rssi < -135:
        return Quality.LIMIT
    if rssi > -122:
        return Quality.EXCELLENT if stations >= 3 else Quality.GOOD
    return Quality.GOOD if stations >= 3 else Quality.AVERAGE


def delays_s(impairments: Impairments, rng: Random) -> list[float]:
    """How late each delivery of one message is: one, or two where the core delivers it twice."""
    deliveries = 2 if rng.random() < impairments.duplicates else 1
    delays = [rng.uniform(0, impairments.max_delay_s) for _ in range(deliveries)]
    if impairments.out_of_order:  # drawn only where asked for, so that a seed means what it always has
        delays = [late + HELD_BACK_S * (rng.random() < impairments.out_of_order) for late in delays]
    return delays


def check_device(device: str) -> None:
    if not DEVICE.fullmatch(device):
        raise Refused(f"a device id is 8 upper-case hex digits, not {device[:40]!r}")


def check_sequence(last: int, heard: int, elapsed_s: float) -> None:
    """Refuses a number that Sigfox would: the last one again, or one too far above it for the time that went by.

    The limit is the larger of 300 a day and the contract's messages of the days and two more; the day begun counts.
    As numbers wrap, an old one, or one of a counter that was reset, is one far above.
    """
    gap = (heard - last) % SEQUENCE_NUMBERS
    days = max(1, math.ceil(elapsed_s / 86_400))
    furthest = max(GAP_A_DAY * days, MESSAGES_A_DAY * (days + 2))
    if gap == 0:
        raise Refused(f"sequence number {heard} again")
    if gap > furthest:
        raise Refused(f"sequence number {heard} out of sequence: {gap} above {last}, and {furthest} is the most")


def check_uplink(device: str, payload: bytes) -> None:
    check_device(device)
    if not 1 <= len(payload) <= MAX_UPLINK_BYTES:
        raise Refused(f"an uplink is 1 to {MAX_UPLINK_BYTES} bytes, not {len(payload)}")


def parse_downlink(device: str, request: Any) -> bytes:
    """The 8 bytes for `device` in the JSON `request` of the cloud."""
    check_device(device)
    if not isinstance(request, dict) or request.get("device") != device:
        raise Refused(f"a downlink is an object that names its device, {device}")
    data = request.get("downlinkData")
    if not isinstance(data, str) or not DOWNLINK.fullmatch(data):
        raise Refused("downlinkData is 16 hex digits")
    return bytes.fromhex(data)


def callback(
    device: str, payload: bytes, sequence_number: int, time_s: int, heard: Heard, *, listens: bool = True
) -> dict[str, Any]:
    """The JSON of a Sigfox callback for one message; `time_s` in Unix seconds."""
    best = heard.copies[0]
    return {
        "device": device,
        "time": time_s,
        "data": payload.hex(),
        "seqNumber": sequence_number,
        "station": best.station,
        "rssi": best.rssi,
        "lqi": heard.lqi,
        "ack": listens,
        "duplicates": [{"bsId": copy.station, "rssi": copy.rssi, "nbRep": copy.replicas} for copy in heard.copies],
    }
