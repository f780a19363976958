"""One order as a thread from the press to the stamp: its steps, and the line drawn through their lanes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise

from cloud.fleet.model import format_id
from cloud.frames.model import Frame, Result
from cloud.pickups.model import OPEN, Event, Pickup, PickupEvent, State

LANES = ("radio", "seal", "order", "stamp")
LANE, STEP, HEAD = 41, 37, 42.5  # pixels: between lanes, between steps, to the first node

# What an event of an order says: the order's lane, and the stamp's where it moves in the same transaction.
ORDER_WORDS = {
    Event.PRESSED: ("Request opened", "Nothing is ordered yet"),
    Event.JOINED: ("Joined the open request", "One order, one stamp"),
    Event.CONFIRMED: ("Confirmed", "The addressee is named"),
    Event.CANCELLED: ("Taken back", "Nothing will be collected"),
    Event.EXPIRED: ("Expired", "It was never confirmed"),
    Event.PUT_ON_ROUND: ("On today’s round", "The postman has it on the list"),
    Event.COLLECTED: ("Collected", "Responsibility has passed"),
    Event.FAILED: ("Could not be collected", ""),
}
STAMP_WORDS = {
    Event.PRESSED: ("Stamp reserved", "From the pool; three or more characters from every other code"),
    Event.CONFIRMED: ("Stamp live", "It can be written on the parcel, and be redeemed once"),
    Event.CANCELLED: ("Stamp void", "Its code is not given out again"),
}
EXPECTED = {
    State.REQUESTED: ("order", "Confirmation expected", "The customer names the addressee"),
    State.CONFIRMED: ("order", "Collection expected", "On the postman’s morning round"),
    State.ON_ROUND: ("order", "Collection expected", "On today’s round"),
}


@dataclass(frozen=True, slots=True)
class Step:
    at: datetime | None  # local; None: expected
    lane: str
    title: str
    detail: str
    new_day: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    x: float
    y: float
    style: str  # done, now, expected


@dataclass(frozen=True, slots=True)
class Thread:
    steps: tuple[Step, ...]
    nodes: tuple[Node, ...]
    way: str  # the path through what is done
    way_ahead: str
    height: float


def thread(pickup: Pickup, events: Sequence[PickupEvent], frames: Sequence[Frame], zone: tzinfo) -> Thread:
    done = sorted([*_of_frames(frames), *_of_events(events)], key=lambda one: (one[0], one[1]))
    steps, day = [], None
    for moment, _, lane, title, detail in done:
        at = moment.astimezone(zone)
        steps.append(Step(at, lane, title, detail, new_day=at.date() != day))
        day = at.date()
    last_done = len(steps) - 1
    if ahead := EXPECTED.get(pickup.state):
        steps.append(Step(None, *ahead))

    places = [(20 + LANE * LANES.index(step.lane), HEAD + STEP * i) for i, step in enumerate(steps)]
    styles = [
        "expected" if step.at is None else "now" if i == last_done and pickup.state in OPEN else "done"
        for i, step in enumerate(steps)
    ]
    ways = [_way(one, other) for one, other in pairwise(places)]
    return Thread(
        steps=tuple(steps),
        nodes=tuple(Node(x, y, style) for (x, y), style in zip(places, styles, strict=True)),
        way="".join(ways[:last_done] if last_done > 0 else []),
        way_ahead="".join(ways[max(last_done, 0) :]),
        height=HEAD + STEP * len(steps) - STEP / 2,
    )


def _of_frames(frames: Sequence[Frame]) -> Iterator[tuple[datetime, int, str, str, str]]:
    """(time, rank among equal times, lane, title, detail) of each step."""
    for frame in frames:
        kept = frame.received_at
        if frame.result is not Result.ACCEPTED:
            yield kept, 1, "seal", f"Heard again: {frame.result}", frame.reason
            continue
        yield _heard_at(frame), 0, "radio", _pressed(frame), _heard(frame)
        yield kept, 1, "seal", "Opened: seal is right", _opened(frame)
        if frame.downlink:
            yield kept, 4, "radio", "Answered", "Sealed under its counter; sent, which is not the same as heard"


def _of_events(events: Sequence[PickupEvent]) -> Iterator[tuple[datetime, int, str, str, str]]:
    for event in events:
        title, detail = ORDER_WORDS[event.event]
        yield event.at, 2, "order", title, ". ".join(filter(None, (f"By {event.actor}", detail)))
        if words := STAMP_WORDS.get(event.event):
            yield event.at, 3, "stamp", *words


def _heard_at(frame: Frame) -> datetime:
    """When the network says it heard it; it says whole seconds, which would set quick presses out of order."""
    if frame.heard_at is None or frame.received_at - frame.heard_at < timedelta(seconds=1):
        return frame.received_at
    return frame.heard_at


def _pressed(frame: Frame) -> str:
    device = format_id(frame.device or 0)
    match frame.kind, frame.parcels:
        case "pickup", 1:
            return f"Pressed once at {device}"
        case "pickup", times:
            return f"Pressed {times} times at {device}"
        case "cancel", _:
            return f"Held down at {device}: cancel"
        case "ask", _:
            return f"Asked at {device} what became of it"
    return f"{frame.kind} from {device}"


def _heard(frame: Frame) -> str:
    said = f"Counter {frame.counter}"
    if not frame.copies:
        return said + f", by {frame.carrier}"
    best = max(frame.copies, key=lambda copy: copy.rssi)
    stations = "1 station" if len(frame.copies) == 1 else f"{len(frame.copies)} stations"
    return f"{said}, heard by {stations}, best {_signed(best.rssi)} dBm at {best.station}"


def _opened(frame: Frame) -> str:
    said = f"Key generation {frame.key_generation}; battery {frame.battery_mv} mV"
    return said if frame.temperature_c is None else f"{said}, {_signed(frame.temperature_c)} °C"


def _signed(value: float) -> str:
    return f"{value:.0f}".replace("-", "−")


def _way(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x0, y0), (x1, y1) = start, end
    return f"M{x0} {y0}V{y1}" if x0 == x1 else f"M{x0} {y0}C{x0} {y0 + 26} {x1} {y1 - 26} {x1} {y1}"
