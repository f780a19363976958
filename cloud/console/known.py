"""What was known of an order and of a button at a moment in the past: whatever is of a later time is left out.

An order has a history, so all of it can be told. A button's row says what is true now; what it said then is gathered
from the press log, the audit trail and the queue of downlinks. Where it hangs, its label, its board and the master key
of its key stand as they are now, and its page says so beside them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from cloud.appeals.model import Appeal
from cloud.appeals.model import State as AppealState
from cloud.audit.model import Entry
from cloud.console.thread import Life
from cloud.downlinks.model import Configuration
from cloud.downlinks.model import State as DownlinkState
from cloud.fleet.model import Button, State
from cloud.frames.history import Said
from cloud.frames.model import Frame, Result
from cloud.pickups.model import MAX_PARCELS, Event, Pickup, PickupEvent
from cloud.pickups.model import State as PickupState
from cloud.stamps.model import Stamp
from cloud.stamps.model import State as StampState

DEEDS = 200  # of a button's in the audit trail that are looked through
QUEUED = 50  # of a button's configurations

# What an event of the order made of its stamp.
_STAMPS = {
    Event.PRESSED: StampState.RESERVED,
    Event.CONFIRMED: StampState.LIVE,
    Event.SORTED: StampState.REDEEMED,
    Event.CANCELLED: StampState.VOID,
    Event.FAILED: StampState.VOID,
    Event.EXPIRED: StampState.VOID,
}


def life(of: Life, now: datetime) -> Life | None:
    """None: the order was not there yet."""
    events = [one for one in of.events if one.at <= now]
    if of.pickup.requested_at > now or (of.events and not events):
        return None
    frames = [one for one in of.frames if one.received_at <= now]
    return replace(
        of,
        pickup=_pickup(of.pickup, of.events, events, frames),
        events=events,
        frames=frames,
        stamp=of.stamp and _stamp(of.stamp, events, now),
        readings=[one for one in of.readings if one.at <= now],
        appeals=[_appeal(one, now) for one in of.appeals if one.filed_at <= now],
    )


def next_of(of: Life, now: datetime) -> datetime | None:
    """When the next becomes known of an order; None: nothing has since."""
    times = [one.at for one in of.events] + [one.received_at for one in of.frames] + [one.at for one in of.readings]
    for one in of.appeals:
        times += [one.filed_at, *([one.decided_at] if one.decided_at else [])]
    times += [of.pickup.requested_at, *([of.stamp.minted_at, of.stamp.changed_at] if of.stamp else [])]
    return min((at for at in times if at > now), default=None)


def _pickup(
    pickup: Pickup, every: Sequence[PickupEvent], events: Sequence[PickupEvent], frames: Sequence[Frame]
) -> Pickup:
    """`every` event of it there is, and those that had happened."""
    parcels = pickup.parcels
    if any(one.event is Event.JOINED for one in every[len(events) :]):
        presses = [one for one in frames if one.result is Result.ACCEPTED and one.kind == "pickup"]
        parcels = min(sum(one.parcels or 0 for one in presses) or parcels, MAX_PARCELS, parcels)
    return replace(
        pickup,
        state=events[-1].state if events else PickupState.REQUESTED,
        parcels=parcels,
        addressee=pickup.addressee if any(one.event is Event.CONFIRMED for one in events) else None,
        changed_at=events[-1].at if events else pickup.requested_at,
    )


def _stamp(stamp: Stamp, events: Sequence[PickupEvent], now: datetime) -> Stamp | None:
    if stamp.minted_at > now:
        return None
    if stamp.changed_at <= now:
        return stamp
    moves = [(one.at, _STAMPS[one.event]) for one in events if one.event in _STAMPS]
    at, state = moves[-1] if moves else (stamp.minted_at, StampState.RESERVED)
    return replace(stamp, state=state, changed_at=at, piece=None, place=None, actor=None, released_at=None)


def _appeal(appeal: Appeal, now: datetime) -> Appeal:
    if appeal.decided_at is None or appeal.decided_at <= now:
        return appeal
    return replace(appeal, state=AppealState.OPEN, decided_at=None, decided_by=None, reason=None)


# A button


def button(
    of: Button,
    *,
    last_seen_at: datetime | None,
    said: Sequence[Said],
    deeds: Sequence[Entry],
    queue: Iterable[Configuration],
    now: datetime,
) -> Button:
    """`said`: its words up to then; `deeds` about it, newest first; `queue` as it is now."""
    generation = _generation(of, said, deeds, now)
    counters = [one for one in said if one.key_generation == generation]
    newest = said[-1] if said else None
    is_claimed = of.claimed_at is None or of.claimed_at <= now
    is_planned = of.rekey_planned_at is not None and of.rekey_planned_at <= now
    given = [one.at for one in deeds if one.action == "button.key"]
    has_board = not given or min(given) <= now
    is_flashed = of.firmware_at is not None and of.firmware_at <= now
    return replace(
        of,
        **_standing(of, deeds, now),
        key_generation=generation,
        owner_id=of.owner_id if is_claimed else None,
        claimed_at=of.claimed_at if is_claimed else None,
        last_seen_at=last_seen_at,
        last_counter=max((one.counter for one in counters), default=0),
        battery_mv=newest.battery_mv if newest else None,
        temperature_c=newest.temperature_c if newest else None,
        heartbeat_hours=_hours(of, queue, now),
        key_board=of.key_board if has_board else None,
        key_ticket=of.key_ticket if has_board else None,
        firmware=of.firmware if is_flashed else None,
        firmware_at=of.firmware_at if is_flashed else None,
        rekey_planned_at=of.rekey_planned_at if is_planned else None,
        rekey_planned_by=of.rekey_planned_by if is_planned else None,
    )


def _generation(of: Button, said: Sequence[Said], deeds: Sequence[Entry], now: datetime) -> int:
    """The highest that a word had or that the audit trail tells of; where neither does, what it is now."""
    told = [one.detail.get("key_generation") for one in deeds if one.at <= now]
    known = [one.key_generation for one in said] + [one for one in told if isinstance(one, int)]
    return max(known, default=of.key_generation)


def _standing(of: Button, deeds: Sequence[Entry], now: datetime) -> dict[str, object]:
    """Whether it was revoked, by whom and why, from what was done to it before, else from what was done after."""
    if of.revoked_at is not None and of.revoked_at <= now:
        return {}  # and it is still
    active = {"state": State.ACTIVE, "revoked_at": None, "revoked_by": None, "revoked_why": None}
    turns = [one for one in deeds if one.action in ("button.revoke", "button.found")]
    if (before := next((one for one in turns if one.at <= now), None)) is not None:
        if before.action == "button.found":
            return active
        why = str(before.detail.get("why", ""))
        return {"state": State.REVOKED, "revoked_at": before.at, "revoked_by": before.actor, "revoked_why": why}
    if turns or (of.revoked_at is not None and of.revoked_at > now):
        return active  # the first that was done to it came later
    return {}


def _hours(of: Button, queue: Iterable[Configuration], now: datetime) -> int | None:
    proven = sorted((one.proven_at, one.hours) for one in queue if one.proven_at is not None)
    before = [hours for at, hours in proven if at <= now]
    if before:
        return before[-1]
    return None if proven else of.heartbeat_hours  # what it was flashed with is no longer known


def configurations(queue: Sequence[Configuration], now: datetime) -> list[Configuration]:
    """The queue as it was, as far as its rows tell: of several sendings each knows the last alone."""
    return [_configuration(one, now) for one in queue if one.queued_at <= now]


def _configuration(one: Configuration, now: datetime) -> Configuration:
    if one.proven_at is not None and one.proven_at > now:
        one = replace(one, proven_at=None, state=DownlinkState.SENT)
    if one.sent_at is not None and one.sent_at > now:
        unsent = {"sendings": 0, "sent_at": None, "key_generation": None, "counter": None, "heard_at": None}
        return replace(one, state=DownlinkState.QUEUED, changed_at=one.queued_at, **unsent)
    if one.changed_at > now:
        state = DownlinkState.QUEUED if one.sent_at is None else DownlinkState.SENT
        return replace(one, state=state, changed_at=one.sent_at or one.queued_at)
    return one
