"""A pickup order, from the press of a button to the parcel at its addressee: one table of states and events."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, Self

from cloud.places.model import Address
from cloud.words import N_, Said

MAX_PARCELS = 99  # of one request, however often the button is pressed
MAX_STOPS = 999  # of a round
MAX_WEIGHT_G = 30_000  # of a parcel
MAX_TEXT = 80  # characters: one line of print
AHEAD = timedelta(minutes=5)  # a handset's clock may be ahead by this


class State(StrEnum):
    REQUESTED = "requested"  # by the button; waits for its owner's confirmation
    CONFIRMED = "confirmed"
    ON_ROUND = "on round"
    COLLECTED = "collected"
    SORTED = "sorted"  # a sorting centre redeemed its stamp
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    EXPIRED = "expired"  # was never confirmed
    FAILED = "failed"  # the postman could not collect it


class Event(StrEnum):
    PRESSED = "pressed"  # makes the request
    JOINED = "joined"  # a press while the request is open: more parcels
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    PUT_ON_ROUND = "put on round"
    COLLECTED = "collected"
    SORTED = "sorted"
    DELIVERED = "delivered"
    FAILED = "failed"


# All there is: what is not in the table cannot happen. A press begins, so it comes from no state. A round may change,
# and a handset that lost its network tells of a collection when the parcel has long been sorted: see ONCE.
AFTER: dict[tuple[State | None, Event], State] = {
    (None, Event.PRESSED): State.REQUESTED,
    (State.REQUESTED, Event.JOINED): State.REQUESTED,
    (State.REQUESTED, Event.CONFIRMED): State.CONFIRMED,
    (State.REQUESTED, Event.CANCELLED): State.CANCELLED,
    (State.REQUESTED, Event.EXPIRED): State.EXPIRED,
    (State.CONFIRMED, Event.CANCELLED): State.CANCELLED,
    (State.CONFIRMED, Event.PUT_ON_ROUND): State.ON_ROUND,
    (State.ON_ROUND, Event.PUT_ON_ROUND): State.ON_ROUND,
    (State.ON_ROUND, Event.COLLECTED): State.COLLECTED,
    (State.ON_ROUND, Event.FAILED): State.FAILED,
    (State.CONFIRMED, Event.SORTED): State.SORTED,
    (State.ON_ROUND, Event.SORTED): State.SORTED,
    (State.COLLECTED, Event.SORTED): State.SORTED,
    (State.SORTED, Event.COLLECTED): State.SORTED,
    (State.SORTED, Event.DELIVERED): State.DELIVERED,
    (State.DELIVERED, Event.COLLECTED): State.DELIVERED,
}

# What a pickup has once in its history, although the table would let it happen in a later state too.
ONCE = frozenset({Event.COLLECTED})

OPEN = frozenset({State.REQUESTED, State.CONFIRMED, State.ON_ROUND})

# The argument of the downlink `state`, by which the button learns what became of its request (docs/wire-format.md).
ASK_STATES: dict[State, int] = {
    State.CANCELLED: 0,
    State.EXPIRED: 0,  # nothing is open
    State.REQUESTED: 1,
    State.CONFIRMED: 2,
    State.ON_ROUND: 3,
    State.COLLECTED: 4,
    State.SORTED: 4,  # the button knows of no more: it is out of the letterbox
    State.DELIVERED: 4,
    State.FAILED: 5,
}


class NotFound(LookupError):
    def __init__(self, pickup_id: int) -> None:
        super().__init__(N_("there is no pickup %(id)s", id=pickup_id))


class WrongState(Exception):
    """An event that the table does not know in this state."""

    def __init__(self, state: State, event: Event) -> None:
        self.state, self.event = state, event
        super().__init__(N_("the pickup is %(state)s: it cannot be %(event)s", state=Said(state), event=Said(event)))


class Faulty(ValueError):
    """What is told of an event cannot be."""


class Reason(StrEnum):
    """Why a postman could not collect."""

    EMPTY_BOX = "empty box"
    TOO_BIG = "too big"
    FORBIDDEN = "forbidden goods"
    NO_ACCESS = "no access"
    LOCKED = "box locked"
    DOG = "dog"


class Handover(StrEnum):
    """The kind of place to which a parcel is delivered."""

    DOOR = "door"
    LOCKER = "locker"
    RELAY = "relay"
    OFFICE = "office"


@dataclass(frozen=True, slots=True)
class Detail:
    """What is known of an event beside its time and who did it; what an event may have of it: DETAILS."""

    round: str | None = None  # its name: "Rennes 07"
    stop: int | None = None
    stops: int | None = None  # of the whole round
    reason: Reason | None = None
    place: str | None = None  # where, in words: "9 m from the box", "35 Rennes PIC", "Lyon 1er, locker 12"
    handover: Handover | None = None
    weight_g: int | None = None
    piece: str | None = None  # the mail piece that the stamp paid for
    photo: str | None = None  # SHA-256 of the proof's photograph, hex; the photograph itself is kept elsewhere
    notice: bool | None = None  # whether one was left in the letterbox

    def as_json(self) -> dict[str, Any]:
        """Only what is known; `of` undoes it."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """Raises `Faulty` for what no `Detail` says."""
        names = {one.name for one in fields(cls)}
        if not said.keys() <= names:
            raise Faulty("not known of any event: " + ", ".join(sorted(said.keys() - names)))
        for name, value in said.items():
            kind = int if name in ("stop", "stops", "weight_g") else bool if name == "notice" else str
            if type(value) is not kind:
                raise Faulty(f"{name} is no {kind.__name__}")
        made = dict(said)
        try:
            for name, kind in (("reason", Reason), ("handover", Handover)):
                if name in made:
                    made[name] = kind(made[name])
        except ValueError as error:
            raise Faulty(str(error)) from None
        return cls(**made)


NOTHING = Detail()

# What an event may say, and what it must.
DETAILS: dict[Event, frozenset[str]] = {
    Event.PUT_ON_ROUND: frozenset({"round", "stop", "stops"}),
    Event.COLLECTED: frozenset({"round", "stop", "place", "weight_g", "photo", "notice"}),
    Event.FAILED: frozenset({"round", "stop", "reason", "place", "photo", "notice"}),
    Event.SORTED: frozenset({"place", "piece", "weight_g"}),
    Event.DELIVERED: frozenset({"handover", "place", "photo"}),
}
NEEDED: dict[Event, frozenset[str]] = {
    Event.PUT_ON_ROUND: frozenset({"round"}),
    Event.FAILED: frozenset({"reason"}),
    Event.DELIVERED: frozenset({"handover"}),
}


def check_detail(event: Event, detail: Detail) -> Detail:
    """Raises `Faulty` where `detail` is not what `event` says."""
    said = detail.as_json()
    if other := said.keys() - DETAILS.get(event, frozenset()):
        raise Faulty(f"{', '.join(sorted(other))}: {event} does not say this")
    if missing := NEEDED.get(event, frozenset()) - said.keys():
        raise Faulty(f"{', '.join(sorted(missing))}: {event} needs it")
    for name in ("round", "place", "piece"):
        text = said.get(name)
        if text is not None and not (0 < len(text.strip()) <= MAX_TEXT and text.isprintable()):
            raise Faulty(f"{name} is one line of at most {MAX_TEXT} characters")
    for name, most in (("stop", MAX_STOPS), ("stops", MAX_STOPS), ("weight_g", MAX_WEIGHT_G)):
        if name in said and not 1 <= said[name] <= most:
            raise Faulty(f"{name} is 1 to {most}")
    if detail.stop and detail.stops and detail.stop > detail.stops:
        raise Faulty(f"a round of {detail.stops} stops has no stop {detail.stop}")
    if detail.photo is not None and re.fullmatch("[0-9a-f]{64}", detail.photo) is None:
        raise Faulty("photo is a SHA-256 in 64 hex digits, lower case")
    return detail


def check_time(happened_at: datetime, requested_at: datetime, now: datetime) -> datetime:
    """When something happened, told later. Raises `Faulty` for the future, or a time before the press."""
    if happened_at > now + AHEAD:
        raise Faulty("it cannot have happened in the future")
    if happened_at < requested_at - AHEAD:
        raise Faulty("it cannot have happened before the press")
    return happened_at


@dataclass(frozen=True, slots=True)
class Pickup:
    id: int
    button_id: int
    state: State
    parcels: int
    addressee: Address | None = field(repr=False)  # none until confirmed; whose it is, is nobody's business in a log
    requested_at: datetime
    changed_at: datetime

    def on(self, event: Event) -> State:
        """The state after `event`. Raises `WrongState`."""
        try:
            return AFTER[self.state, event]
        except KeyError:
            raise WrongState(self.state, event) from None


@dataclass(frozen=True, slots=True)
class PickupEvent:
    """One line of a pickup's history."""

    at: datetime  # when it was taken in
    event: Event
    state: State  # it led to
    actor: str  # "button 0012AB34", "customer c.morvan@example.org", "staff admin"
    detail: Detail = NOTHING
    happened_at: datetime | None = None  # where it was told later, by a handset without a network
    key: str | None = None  # the handset's own name for it: told again, it is the same

    @property
    def when(self) -> datetime:
        return self.happened_at or self.at


class Press(NamedTuple):
    button_id: int
    parcels: int


class Requested(NamedTuple):
    """What became of a press: it made a pickup (`is_new`) or joined one."""

    pickup_id: int
    is_new: bool
