"""The raw log outside its database: what happened, line by line, in the order in which it is to happen again.

    {"frame": 7, "after": 6, "at": 1796029200000, "carrier": "mqtt", "topic": "0012AB34", "raw": "{…}", "limits": …}
    {"move": 12, "at": …, "pickup": 5, "event": "confirmed", "actor": "customer claire", "addressee": ["…", …]}
    {"move": 15, "at": …, "pickup": 5, "event": "collected", …, "detail": {"place": "…"}, "happened": …, "key": "…"}
    {"stamp": "…32 hex digits, sealed…", "pickup": 5, "state": "live", …}

A frame line holds the message as it came and how it ended. Presses decide orders together with what people did to
them, and a stamp may be on a parcel already: so moves by people are in the log, and each order's stamp, its code sealed
under the master key as in the database. Times are milliseconds since 1970, bytes of messages Latin-1, others hex.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

FORMAT = 1

T = TypeVar("T")


class Damaged(ValueError):
    """What should be a line of the log is none; the text says where."""


class Diverged(ValueError):
    """Log and database have gone on apart: a frame of one number is not the same in both, or one misses the end."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a log was read: its last frame and move, and the time up to which changes of stamps are in it."""

    frame: int = 0
    frame_at: int = 0  # ms; when that frame was received
    move: int = 0  # every move up to this was read; later ones of the last minute may come twice
    stamps: int = 0  # ms


@dataclass(frozen=True, slots=True)
class RawFrame:
    """A message as it came, and how it ended. Of a batch's first, `limits` are uplinks and downlinks a day."""

    id: int
    after: int  # the id of the line before it, 0 where there was none
    received_at: datetime
    carrier: str
    topic: str | None
    raw: bytes
    raw_size: int
    renamed: dict[str, str] | None
    limits: tuple[int, int] | None
    result: str
    device: int | None
    key_generation: int | None
    counter: int | None
    kind: str | None
    pickup_id: int | None
    downlink: bytes | None

    @property
    def is_cut(self) -> bool:
        """Whether too little of it is kept to take it in again; of accepted messages all is."""
        return len(self.raw) < self.raw_size


@dataclass(frozen=True, slots=True)
class Move:
    """What somebody did to an order, after the presses of that millisecond. The addressee is there if it confirms.

    `happened_at` and `key` are there where a handset told of it, which may have been later; `detail` is as JSON has it.
    """

    id: int
    at: datetime
    pickup_id: int
    event: str
    actor: str
    addressee: tuple[str, ...] | None = field(repr=False)
    detail: dict[str, Any] | None = None
    happened_at: datetime | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class StampMove:
    """An order's stamp and the state that it came to; the code is sealed."""

    sealed: bytes
    pickup_id: int
    state: str
    minted_at: datetime
    changed_at: datetime
    piece: str | None
    place: str | None
    actor: str | None


Entry = RawFrame | Move | StampMove


def to_line(entry: Entry) -> str:
    """One line of JSON, without its end; `from_line` undoes it."""
    match entry:
        case RawFrame():
            said: dict[str, Any] = {
                "frame": entry.id,
                "after": entry.after,
                "at": _ms(entry.received_at),
                "carrier": entry.carrier,
                "topic": entry.topic,
                "raw": entry.raw.decode("latin-1"),
                "size": entry.raw_size if entry.is_cut else None,
                "renamed": entry.renamed,
                "limits": entry.limits,
                "result": entry.result,
                "device": entry.device,
                "generation": entry.key_generation,
                "counter": entry.counter,
                "kind": entry.kind,
                "pickup": entry.pickup_id,
                "answer": entry.downlink.hex() if entry.downlink is not None else None,
            }
        case Move():
            said = {
                "move": entry.id,
                "at": _ms(entry.at),
                "pickup": entry.pickup_id,
                "event": entry.event,
                "actor": entry.actor,
                "addressee": entry.addressee,
                "detail": entry.detail,
                "happened": None if entry.happened_at is None else _ms(entry.happened_at),
                "key": entry.key,
            }
        case StampMove():
            said = {
                "stamp": entry.sealed.hex(),
                "pickup": entry.pickup_id,
                "state": entry.state,
                "minted": _ms(entry.minted_at),
                "changed": _ms(entry.changed_at),
                "piece": entry.piece,
                "place": entry.place,
                "actor": entry.actor,
            }
    return json.dumps({name: value for name, value in said.items() if value is not None}, separators=(",", ":"))


def from_line(line: str) -> Entry:
    """Raises `Damaged`."""
    try:
        said = json.loads(line)
        if "frame" in said:
            raw = _of(str, said["raw"]).encode("latin-1")
            limits = said.get("limits")
            answer = said.get("answer")
            renamed = said.get("renamed")
            return RawFrame(
                id=_of(int, said["frame"]),
                after=_of(int, said["after"]),
                received_at=_time(said["at"]),
                carrier=_of(str, said["carrier"]),
                topic=_maybe(str, said.get("topic")),
                raw=raw,
                raw_size=_of(int, said.get("size", len(raw))),
                renamed=None if renamed is None else {_of(str, name): _of(str, its) for name, its in renamed.items()},
                limits=None if limits is None else (_of(int, limits[0]), _of(int, limits[1])),
                result=_of(str, said["result"]),
                device=_maybe(int, said.get("device")),
                key_generation=_maybe(int, said.get("generation")),
                counter=_maybe(int, said.get("counter")),
                kind=_maybe(str, said.get("kind")),
                pickup_id=_maybe(int, said.get("pickup")),
                downlink=None if answer is None else bytes.fromhex(answer),
            )
        if "move" in said:
            lines = said.get("addressee")
            happened = said.get("happened")
            return Move(
                id=_of(int, said["move"]),
                at=_time(said["at"]),
                pickup_id=_of(int, said["pickup"]),
                event=_of(str, said["event"]),
                actor=_of(str, said["actor"]),
                addressee=None if lines is None else tuple(_of(str, one) for one in lines),
                detail=_maybe(dict, said.get("detail")),
                happened_at=None if happened is None else _time(happened),
                key=_maybe(str, said.get("key")),
            )
        return StampMove(
            sealed=bytes.fromhex(said["stamp"]),
            pickup_id=_of(int, said["pickup"]),
            state=_of(str, said["state"]),
            minted_at=_time(said["minted"]),
            changed_at=_time(said["changed"]),
            piece=_maybe(str, said.get("piece")),
            place=_maybe(str, said.get("place")),
            actor=_maybe(str, said.get("actor")),
        )
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise Damaged(f"no line of the log ({type(error).__name__})") from None  # the line may hold an address


def _of(kind: type[T], value: Any) -> T:
    if type(value) is not kind:
        raise TypeError(f"no {kind.__name__}")
    return value


def _maybe(kind: type[T], value: Any) -> T | None:
    return None if value is None else _of(kind, value)


def in_batches(entries: Iterable[Entry]) -> Iterator[list[RawFrame] | Move | StampMove]:
    """Frames as the batches in which they were taken in, everything else as it comes.

    A log from before batches were told in it is parted by the time of receipt.
    """
    batch: list[RawFrame] = []
    for entry in entries:
        if batch and (not isinstance(entry, RawFrame) or begins(entry, batch[-1])):
            yield batch
            batch = []
        if isinstance(entry, RawFrame):
            batch.append(entry)
        else:
            yield entry
    if batch:
        yield batch


def begins(frame: RawFrame, before: RawFrame) -> bool:
    """Whether `frame` is the first of its batch."""
    return frame.limits is not None or frame.received_at != before.received_at


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _time(ms: Any) -> datetime:
    return _EPOCH + timedelta(milliseconds=_of(int, ms))
