"""A pickup order, from the press of a button to the parcel in the postman's hands: one table of states and events."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from cloud.places.model import Address

MAX_PARCELS = 99  # of one request, however often the button is pressed


class State(StrEnum):
    REQUESTED = "requested"  # by the button; waits for its owner's confirmation
    CONFIRMED = "confirmed"
    ON_ROUND = "on round"
    COLLECTED = "collected"
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
    FAILED = "failed"


# All there is: what is not in the table cannot happen. A press begins, so it comes from no state.
AFTER: dict[tuple[State | None, Event], State] = {
    (None, Event.PRESSED): State.REQUESTED,
    (State.REQUESTED, Event.JOINED): State.REQUESTED,
    (State.REQUESTED, Event.CONFIRMED): State.CONFIRMED,
    (State.REQUESTED, Event.CANCELLED): State.CANCELLED,
    (State.REQUESTED, Event.EXPIRED): State.EXPIRED,
    (State.CONFIRMED, Event.CANCELLED): State.CANCELLED,
    (State.CONFIRMED, Event.PUT_ON_ROUND): State.ON_ROUND,
    (State.ON_ROUND, Event.COLLECTED): State.COLLECTED,
    (State.ON_ROUND, Event.FAILED): State.FAILED,
}

OPEN = frozenset({State.REQUESTED, State.CONFIRMED, State.ON_ROUND})

# The argument of the downlink `state`, by which the button learns what became of its request (docs/wire-format.md).
ASK_STATES: dict[State, int] = {
    State.CANCELLED: 0,
    State.EXPIRED: 0,  # nothing is open
    State.REQUESTED: 1,
    State.CONFIRMED: 2,
    State.ON_ROUND: 3,
    State.COLLECTED: 4,
    State.FAILED: 5,
}


class NotFound(LookupError):
    def __init__(self, pickup_id: int) -> None:
        super().__init__(f"there is no pickup {pickup_id}")


class WrongState(Exception):
    """An event that the table does not know in this state."""

    def __init__(self, state: State, event: Event) -> None:
        self.state, self.event = state, event
        super().__init__(f"the pickup is {state}: it cannot be {event}")


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

    at: datetime
    event: Event
    state: State  # it led to
    actor: str  # "button 0012AB34", "customer c.morvan@example.org", "staff admin"


class Press(NamedTuple):
    button_id: int
    parcels: int


class Requested(NamedTuple):
    """What became of a press: it made a pickup (`is_new`) or joined one."""

    pickup_id: int
    is_new: bool
