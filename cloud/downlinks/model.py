"""What a button is to be told besides its answers: a configuration, from the queue to its proof.

A downlink is sealed under the counter of the uplink that it answers, so there is nothing to seal until a button
listens. A press, a cancel and a question have an answer of their own, for which somebody waits; a configuration goes
out with an `alive` that listens. That it was sent proves nothing. A button that has taken one says `alive` once more, a
minute later and hours before its time (docs/decisions/0062): that does.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from cloud.words import N_

MIN_HOURS, MAX_HOURS = 1, 168  # from one `alive` to the next, docs/wire-format.md
MAX_REASON = 200  # characters
LASTS = timedelta(days=30)  # in the queue: four times the longest period
MOST_SENDINGS = 5  # of one configuration without a proof: each costs the button a listening window
# The button sleeps for a minute, and Sigfox's own window and delivery take less than another two; the shortest period
# is an hour, so no other `alive` can come so early.
PROOF_WITHIN = timedelta(minutes=10)
LISTENS_FOR = timedelta(minutes=2)  # after the network heard it; later the answer would meet a sleeping button


class State(StrEnum):
    QUEUED = "queued"  # for the next `alive` that listens
    SENT = "sent"  # handed to the network, which is not the same as heard; again with the next `alive`
    PROVEN = "proven"
    SUPERSEDED = "superseded"  # by a newer one
    CANCELLED = "cancelled"
    EXPIRED = "expired"  # the button did not listen in time, or MOST_SENDINGS were not proven


OPEN = frozenset({State.QUEUED, State.SENT})

TRANSITIONS: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.SENT, State.SUPERSEDED, State.CANCELLED, State.EXPIRED}),
    State.SENT: frozenset({State.SENT, State.PROVEN, State.SUPERSEDED, State.CANCELLED, State.EXPIRED}),
    State.PROVEN: frozenset(),
    State.SUPERSEDED: frozenset(),
    State.CANCELLED: frozenset(),
    State.EXPIRED: frozenset(),
}


class NotFound(LookupError):
    """There is no such downlink, or no such button."""


class WrongState(ValueError):
    """Its state does not allow this."""


class Faulty(ValueError):
    """The period or the reason cannot be; the text says why."""


@dataclass(frozen=True, slots=True)
class Alive:
    """An accepted `alive`, as far as the queue minds it. `heard_at` is the network's time, or when it came in."""

    button_id: int
    key_generation: int
    counter: int
    heard_at: datetime
    listens: bool


@dataclass(frozen=True, slots=True)
class Configuration:
    """A heartbeat period for one button. `counter` and what stands beside it are of the uplink that it answered last.

    `proven_at` is set whatever the state: also one that was cancelled or superseded after it was sent can be proven.
    """

    id: int
    button_id: int
    hours: int
    reason: str
    actor: str
    state: State
    queued_at: datetime
    until: datetime
    changed_at: datetime
    sendings: int = 0
    sent_at: datetime | None = None
    key_generation: int | None = None
    counter: int | None = None
    heard_at: datetime | None = None
    proven_at: datetime | None = None

    def at(self, now: datetime) -> State:
        """Its state, which time alone may have changed to expired."""
        return State.EXPIRED if self.state in OPEN and self._is_over(now) else self.state

    def _is_over(self, now: datetime) -> bool:
        gave_up = self.sendings >= MOST_SENDINGS and self.sent_at is not None and now > self.sent_at + PROOF_WITHIN
        return gave_up or now >= self.until

    def is_proven_by(self, alive: Alive) -> bool:
        """Whether this `alive` came too early for any other reason than this configuration."""
        if self.heard_at is None or self.counter is None or alive.key_generation != self.key_generation:
            return False
        return alive.counter > self.counter and timedelta(0) <= alive.heard_at - self.heard_at <= PROOF_WITHIN

    def may_answer(self, alive: Alive, now: datetime) -> bool:
        """Whether it is worth sealing now: the button still listens, and it is this one's turn."""
        is_due = self.at(now) in OPEN and self.sendings < MOST_SENDINGS
        return is_due and alive.listens and now - alive.heard_at <= LISTENS_FOR


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer that an uplink got in its own right. `kind` is the uplink's."""

    kind: str
    key_generation: int
    counter: int
    at: datetime
    pickup_id: int | None


def check_hours(hours: int) -> int:
    if not MIN_HOURS <= hours <= MAX_HOURS:
        limits = {"least": MIN_HOURS, "most": MAX_HOURS, "hours": hours}
        raise Faulty(N_("a heartbeat comes every %(least)s to %(most)s hours, not every %(hours)s", **limits))
    return hours


def check_reason(text: str) -> str:
    reason = " ".join(text.split())
    if not 1 <= len(reason) <= MAX_REASON or not reason.isprintable():
        raise Faulty(N_("a reason has 1 to %(most)s characters", most=MAX_REASON))
    return reason
