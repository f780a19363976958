"""What a Sigfox callback says of a message, read as it really comes.

Whoever has a contract writes the body's template himself: names and types are free, in JSON, as a form or as a query
string; ids come in any case and without their zeros, numbers and truth as strings, fields are missing. Names that are
usual are known; others are told by a field map. Only the device and its data are needed; a side field that cannot be
read is left out and never costs a press.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import orjson

from cloud.fleet.model import format_id, parse_id
from cloud.frames.model import Copy, Result, read_copies
from cloud.ingest.uplink import Rejected

SIZE_LIMIT = 65_536  # bytes; a callback has a few hundred
MOST_FIELDS = 200  # of a form; a callback has a dozen
LINK_QUALITIES = ("limit", "average", "good", "excellent")  # and, where they come as numbers, 0 to 3
_EARLIEST_S = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
_LATEST_S = datetime(2200, 1, 1, tzinfo=UTC).timestamp()
FIRST_MILLISECONDS = 100_000_000_000  # seconds would be in the year 5138; the REST API's version 2 counts milliseconds
# What we call a field, and by which names it usually comes, the first that is there.
FIELDS: dict[str, tuple[str, ...]] = {
    "device": ("device", "deviceId", "id"),
    "data": ("data", "payload"),
    "time": ("time", "timestamp"),
    "seqNumber": ("seqNumber", "seq", "sequenceNumber"),
    "station": ("station", "bsId"),
    "rssi": ("rssi",),
    "lqi": ("lqi", "linkQuality"),
    "ack": ("ack",),
    "duplicates": ("duplicates",),
}
USUAL: Mapping[str, str] = {}  # a field map that renames nothing
_NUMBERS = (int, float, str)  # types in which numbers come
_TRUE = (True, "true", "True", 1, "1")
# RC1: what the network itself reads from the best station's RSSI and how many heard it; the SNR says nothing here.
_STRONG_DBM, _WEAK_DBM, _WELL_HEARD = -122, -135, 3


class Reception(NamedTuple):
    """A message as the network heard it: unverified."""

    device: int
    named: str  # the device as the network wrote it: the name that an answer to it bears
    data: bytes
    heard_at: datetime | None
    seq_number: int | None
    listens: bool
    lqi: str | None
    stations: list[Any]  # what it says of who heard it, as it came; `copies` reads it

    @property
    def copies(self) -> tuple[Copy, ...]:
        return read_copies(self.stations)


def read_callback(payload: bytes, device: str | None = None, renamed: Mapping[str, str] = USUAL) -> Reception:
    """The reception in a callback; raises `Rejected` (malformed).

    `device` is what its topic names, and then it need not be in the callback, nor may it be another there. `renamed`
    is a field map: what we call a field (a key of FIELDS), and what these callbacks call it.
    """
    topic = None if device is None else _id(device)
    if len(payload) > SIZE_LIMIT:
        raise Rejected(Result.MALFORMED, f"{len(payload)} bytes; a callback has at most {SIZE_LIMIT}")
    said = _fields(payload)
    if renamed or not said.keys() >= FIELDS.keys():  # else there is nothing to look for, as over MQTT
        said = {name: _first(said, (renamed[name],) if name in renamed else known) for name, known in FIELDS.items()}
    named = said["device"]
    stations = _stations(said["duplicates"], said["station"], said["rssi"])
    return Reception(
        topic if topic is not None and named == device else _device(named, topic),
        str(device if named is None else named),
        _data(said["data"]),
        _time(said["time"]),
        _whole(said["seqNumber"], 0, 0xFFFF),
        said["ack"] in _TRUE,
        _quality(said["lqi"]) or link_quality(read_copies(stations)),
        stations,
    )


def _first(said: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((said[name] for name in names if name in said), None)


def link_quality(copies: tuple[Copy, ...]) -> str | None:
    """By the network's own rule for RC1, of copies that are sorted best first; None where nobody says who heard it."""
    if not copies:
        return None
    best, is_well_heard = copies[0].rssi, len(copies) >= _WELL_HEARD
    if best < _WEAK_DBM:
        return "limit"
    if best <= _STRONG_DBM:
        return "good" if is_well_heard else "average"
    return "excellent" if is_well_heard else "good"


def _fields(payload: bytes) -> dict[str, Any]:
    """A JSON object's fields, or those of a form or query string."""
    text = payload.strip()
    if b"=" in text and text[:1] not in (b"{", b"["):
        try:
            return dict(parse_qsl(text.decode("ascii"), max_num_fields=MOST_FIELDS))
        except ValueError:
            raise Rejected(Result.MALFORMED, "neither JSON nor a form") from None
    try:
        said = orjson.loads(payload)
    except ValueError:
        said = _lenient(payload)
    if not isinstance(said, dict):
        raise Rejected(Result.MALFORMED, f"JSON, but {type(said).__name__} instead of an object")
    return said


def _lenient(payload: bytes) -> Any:
    """With NaN and Infinity, which templates of callbacks do write: they are side fields and cost no press."""
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        raise Rejected(Result.MALFORMED, "not JSON") from None


def _device(said: Any, topic: int | None) -> int:
    if said is None:
        if topic is None:
            raise Rejected(Result.MALFORMED, "no device")
        return topic
    device = _id(said)
    if topic is not None and topic != device:
        raise Rejected(Result.MALFORMED, f"topic of {format_id(topic)}, device {_quote(said)}")
    return device


def _id(said: Any) -> int:
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
    if seconds is not None and seconds >= FIRST_MILLISECONDS:
        seconds /= 1000
    if seconds is None or not _EARLIEST_S <= seconds <= _LATEST_S:
        return None
    return datetime.fromtimestamp(seconds, UTC)


def _quality(said: Any) -> str | None:
    if (word := str(said).lower()) in LINK_QUALITIES:
        return word
    number = _whole(said, 0, len(LINK_QUALITIES) - 1)
    return None if number is None else LINK_QUALITIES[number]


def _stations(listed: Any, station: Any, rssi: Any) -> list[Any]:
    """Who heard it, as it came: a list, or of a callback that has none, the one station that it names."""
    if isinstance(listed, str):  # a form has it as text
        try:
            listed = orjson.loads(listed)
        except ValueError:
            listed = None
    if isinstance(listed, list) and listed:
        return listed
    return [] if station is None else [{"bsId": station, "rssi": rssi, "nbRep": 1}]


def _number(said: Any) -> float | None:
    try:
        return float(said) if isinstance(said, _NUMBERS) and not isinstance(said, bool) else None
    except (ValueError, OverflowError):
        return None


def _whole(said: Any, least: int, most: int) -> int | None:
    number = said if type(said) is int else _number(said)
    return int(number) if number is not None and least <= number <= most else None


def _quote(said: Any) -> str:
    return ascii(said)[:60]
