"""What a Sigfox callback says of a message, read as it really comes: numbers as strings, ids in any case, gaps.

Only the device and its data are needed; a side field that cannot be read is left out and never costs a press.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cloud.fleet.model import format_id, parse_id
from cloud.frames.model import Copy, Result
from cloud.ingest.uplink import Rejected

SIZE_LIMIT = 65_536  # bytes; a callback has a few hundred
MOST_COPIES = 32  # stations kept of one message
LINK_QUALITIES = ("limit", "average", "good", "excellent")
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
_STATION = re.compile(r"[0-9A-Za-z_.-]{1,32}")


@dataclass(frozen=True, slots=True)
class Reception:
    """A message as the network heard it: unverified."""

    device: int
    data: bytes
    heard_at: datetime | None
    seq_number: int | None
    listens: bool
    lqi: str | None
    copies: tuple[Copy, ...]


def read_callback(payload: bytes, device: str) -> Reception:
    """The reception in a callback's JSON, which came on the topic of `device`; raises `Rejected` (malformed)."""
    topic_device = _device(device)
    if len(payload) > SIZE_LIMIT:
        raise Rejected(Result.MALFORMED, f"{len(payload)} bytes; a callback has at most {SIZE_LIMIT}")
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError):
        raise Rejected(Result.MALFORMED, "not JSON") from None
    if not isinstance(said, dict):
        raise Rejected(Result.MALFORMED, f"JSON, but {type(said).__name__} instead of an object")
    if "device" in said and _device(said["device"]) != topic_device:
        raise Rejected(Result.MALFORMED, f"topic of {format_id(topic_device)}, device {_quote(said['device'])}")
    return Reception(
        device=topic_device,
        data=_data(said.get("data")),
        heard_at=_time(said.get("time")),
        seq_number=_whole(said.get("seqNumber"), 0, 0xFFFF),
        listens=said.get("ack") in (True, "true", 1, "1"),
        lqi=next((q for q in LINK_QUALITIES if q == str(said.get("lqi")).lower()), None),
        copies=_copies(said),
    )


def _device(said: Any) -> int:
    try:
        return parse_id(str(said))
    except ValueError:
        raise Rejected(Result.MALFORMED, f"device {_quote(said)} is not an id of up to 8 hex digits") from None


def _data(said: Any) -> bytes:
    if not isinstance(said, str):
        raise Rejected(Result.MALFORMED, "no data" if said is None else f"data {_quote(said)} is not a string")
    try:
        return bytes.fromhex(said)
    except ValueError:
        raise Rejected(Result.MALFORMED, f"data {_quote(said)} is not hex") from None


def _time(said: Any) -> datetime | None:
    seconds = _number(said)
    if seconds is None or not EARLIEST.timestamp() <= seconds <= LATEST.timestamp():
        return None
    return datetime.fromtimestamp(seconds, UTC)


def _copies(said: dict[str, Any]) -> tuple[Copy, ...]:
    """What each station heard, best first; of a callback that does not list them, the one it names."""
    listed = said.get("duplicates")
    if not isinstance(listed, list) or not listed:
        listed = [{"bsId": said.get("station"), "rssi": said.get("rssi"), "nbRep": 1}]
    copies = [
        Copy(station, rssi, _whole(one.get("nbRep"), 1, 3) or 1)
        for one in listed[:MOST_COPIES]
        if isinstance(one, dict)
        and isinstance(station := one.get("bsId"), str)
        and _STATION.fullmatch(station)
        and (rssi := _number(one.get("rssi"))) is not None
        and -200 <= rssi <= 50  # dBm: what a receiver can mean
    ]
    return tuple(sorted(copies, key=lambda copy: -copy.rssi))


def _number(said: Any) -> float | None:
    try:
        return float(said) if isinstance(said, int | float | str) and not isinstance(said, bool) else None
    except (ValueError, OverflowError):
        return None


def _whole(said: Any, least: int, most: int) -> int | None:
    number = _number(said)
    return int(number) if number is not None and least <= number <= most else None


def _quote(said: Any) -> str:
    return ascii(said)[:60]
