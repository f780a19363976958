"""From bytes that were heard to an order with a stamp: read this first.

`receive` is the whole story of a batch: read, open, claim, order, answer, store, in the one transaction of its caller.
When that is committed the messages may be acknowledged and the answers sent, never before. Every message ends with a
named result that is stored; what is wrong with one disturbs no other.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from itertools import groupby

import sqlalchemy as sa

import cloud.fleet.store as fleet
import cloud.frames.store as frames
import cloud.pickups.store as pickups
from cloud.fleet.model import Button, State, parse_id
from cloud.frames.model import Result
from cloud.ingest.downlink import Status, seal_downlink
from cloud.ingest.keys import Keys
from cloud.ingest.sigfox import Reception, read_callback
from cloud.ingest.uplink import WINDOW_BEHIND, Kind, Rejected, Uplink, open_uplink, read_header
from cloud.pickups.model import ASK_STATES
from cloud.stamps.lease import Lease

# The same bytes again are a copy within this time, later a replay: Sigfox repeats a callback after 1, 2 and 4 minutes.
COPY_TIME = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Message:
    """What an inlet hands over: the payload as it came, and the device that its topic names, if it has one."""

    carrier: str
    device: str | None
    payload: bytes
    renamed: Mapping[str, str] = field(default_factory=dict)  # a field map of the callbacks: see ingest.sigfox


@dataclass(frozen=True, slots=True)
class Limits:
    """What one button may send and be sent in a UTC day; 0 uplinks means no limit."""

    uplinks_per_day: int = 140
    downlinks_per_day: int = 4


# As `open_uplink`, which it is but where history is decoded anew.
Decoder = Callable[..., Uplink]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a message ended. `downlink` is to be sent to `reception.device` once the batch is committed."""

    result: Result
    reason: str
    reception: Reception | None = None
    uplink: Uplink | None = None
    pickup_id: int | None = None
    downlink: bytes | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """What a fresh uplink did: the order it concerns and what there is to say to the button, if anything."""

    pickup_id: int | None = None
    answer: tuple[Status, int] | None = None
    note: str = ""


def receive(
    conn: sa.Connection,
    batch: Sequence[Message],
    *,
    keys: Keys,
    limits: Limits,
    lease: Lease,
    now: datetime,
    decode: Decoder = open_uplink,
    answered: Mapping[frames.Key, bytes] | None = None,
) -> list[Outcome]:
    """Take in a batch; gives one outcome a message, in order. Raises only for a bug or a broken database.

    Stamps are taken from `lease`; an order that comes when it is empty is stamped later, and nobody waits for it here.
    In a replay of the log `answered` are the answers that were given then: no others may ever be sealed in their place.
    """
    heard = [_read(message) for message in batch]
    buttons = {b.id: b for b in fleet.find_many(conn, {h.device for h in heard if isinstance(h, Reception)})}
    opened = [_open(h, buttons, keys, decode) for h in heard]

    budgets = fleet.budgets(conn, buttons, now.date())
    earlier = frames.claimed(conn, {_key(o) for o in opened if isinstance(o, Uplink)})
    opened = _hold_to_limits(opened, earlier, buttons, budgets, limits)
    fresh = _claim(conn, heard, opened, earlier, now)  # from here on a message counts once, whatever comes again

    effects = _order(conn, fresh, buttons, lease, now)
    if answered is None:
        answers = _answer(fresh, effects, budgets, limits, keys)
    else:
        answers = {key: answered[key] for key in fresh if key in answered}
    frames.conclude(conn, {key: (effects[key].pickup_id, answers.get(key)) for key in fresh})
    fleet.note(conn, _remember(fresh, answers), now)

    taken = frames.claimed(conn, {_key(o) for o in opened if isinstance(o, Uplink)})
    outcomes = [_end(place, heard[place], opened[place], fresh, taken, effects, now) for place in range(len(batch))]
    rows = [_row(*one, now) for one in zip(batch, outcomes, strict=True)]
    rows[0] |= asdict(limits)  # where a batch begins, and under which limits: a replay takes the same in at once
    frames.append(conn, rows)
    return outcomes


def _read(message: Message) -> Reception | Rejected:
    try:
        return read_callback(message.payload, message.device, message.renamed)
    except Rejected as rejected:
        return rejected


def _open(
    heard: Reception | Rejected, buttons: dict[int, Button], keys: Keys, decode: Decoder
) -> Uplink | Rejected:
    if isinstance(heard, Rejected):
        return heard
    try:
        header = read_header(heard.data)
        button = buttons.get(heard.device)
        if button is None:
            return Rejected(Result.UNKNOWN_BUTTON, "not in the fleet")
        if button.state is State.REVOKED:
            return Rejected(Result.REVOKED, "the button was revoked")
        if header.key_generation != button.key_generation:
            said = f"key generation {header.key_generation}, the fleet has {button.key_generation}"
            return Rejected(Result.WRONG_GENERATION, said)
        key = keys.device_key(button.id, button.key_generation)
        return decode(heard.data, device=button.id, key=key, last_counter=button.last_counter)
    except Rejected as rejected:
        return rejected


def _hold_to_limits(
    opened: Sequence[Uplink | Rejected],
    earlier: Container[frames.Key],
    buttons: dict[int, Button],
    budgets: dict[int, fleet.Budget],
    limits: Limits,
) -> list[Uplink | Rejected]:
    """Refuse what is new but too old for the window or too much for the day."""
    used = {device: budget.uplinks for device, budget in budgets.items()}
    counted: set[frames.Key] = set()

    def hold(uplink: Uplink | Rejected) -> Uplink | Rejected:
        if isinstance(uplink, Rejected) or (key := _key(uplink)) in earlier or key in counted:
            return uplink
        behind = buttons[uplink.device].last_counter - uplink.counter
        if behind >= WINDOW_BEHIND:
            return Rejected(Result.STALE, f"counter {uplink.counter}, {behind} behind the newest")
        if limits.uplinks_per_day and used[uplink.device] >= limits.uplinks_per_day:
            return Rejected(Result.OVER_BUDGET, f"{limits.uplinks_per_day} uplinks were taken today (UTC) already")
        used[uplink.device] += 1
        counted.add(key)
        return uplink

    return [hold(uplink) for uplink in opened]


@dataclass(frozen=True, slots=True)
class Fresh:
    """An uplink whose counter this batch was the first to claim; `place` is that of its message in the batch."""

    uplink: Uplink
    reception: Reception
    place: int


def _claim(
    conn: sa.Connection,
    heard: Sequence[Reception | Rejected],
    opened: Sequence[Uplink | Rejected],
    earlier: Container[frames.Key],
    now: datetime,
) -> dict[frames.Key, Fresh]:
    """Claim each new counter in the press log, in counter order, so that a press comes before its cancel."""
    new: dict[frames.Key, Fresh] = {}
    for place, (reception, uplink) in enumerate(zip(heard, opened, strict=True)):
        if isinstance(uplink, Uplink) and isinstance(reception, Reception) and (key := _key(uplink)) not in earlier:
            new.setdefault(key, Fresh(uplink, reception, place))
    rows = [
        {
            "button_id": fresh.uplink.device,
            "key_generation": fresh.uplink.key_generation,
            "counter": fresh.uplink.counter,
            "received_at": now,
            "heard_at": fresh.reception.heard_at,
            "seq_number": fresh.reception.seq_number,
            "kind": fresh.uplink.kind.word,
            "parcels": fresh.uplink.parcels,
            "battery_mv": fresh.uplink.battery_mv,
            "temperature_c": fresh.uplink.temperature_c,
            "reset_cause": fresh.uplink.reset_cause,
            "link_failures": fresh.uplink.link_failures,
        }
        for fresh in new.values()
    ]
    claimed = frames.claim(conn, rows)
    return {key: new[key] for key in sorted(claimed)}


def _order(
    conn: sa.Connection, fresh: dict[frames.Key, Fresh], buttons: dict[int, Button], lease: Lease, now: datetime
) -> dict[frames.Key, Effect]:
    """Do what each uplink asks for: presses make or join orders, a cancel takes one back, an ask is looked up."""
    effects: dict[frames.Key, Effect] = {}
    for kind, run in groupby(fresh.items(), key=lambda item: item[1].uplink.kind):
        if kind is Kind.PICKUP:
            effects |= _press(conn, dict(run), buttons, lease, now)
            continue
        for key, one in run:
            effects[key] = _cancel_or_ask(conn, one.uplink, now)
    return effects


def _press(
    conn: sa.Connection, fresh: dict[frames.Key, Fresh], buttons: dict[int, Button], lease: Lease, now: datetime
) -> dict[frames.Key, Effect]:
    effects: dict[frames.Key, Effect] = {}
    for key, one in fresh.items():
        overtaken = one.uplink.counter < buttons[one.uplink.device].last_counter
        if overtaken and (counter := frames.cancelled_by(conn, key)):
            effects[key] = Effect(None, (Status.CANCELLED, 0), f"taken back by counter {counter}, which overtook it")
    presses = [(key, one.uplink) for key, one in fresh.items() if key not in effects]
    asked = [pickups.Press(uplink.device, uplink.parcels) for _, uplink in presses]
    requests = pickups.request(conn, asked, lease, now)
    for (key, uplink), request in zip(presses, requests, strict=True):
        claimed = buttons[uplink.device].owner_id is not None
        answer = (Status.ACCEPTED if claimed else Status.UNCLAIMED, 0)
        effects[key] = Effect(request.pickup_id, answer, "" if claimed else "no customer has claimed this button yet")
    return effects


def _cancel_or_ask(conn: sa.Connection, uplink: Uplink, now: datetime) -> Effect:
    if uplink.kind is Kind.CANCEL:
        cancelled = pickups.cancel_newest(conn, uplink.device, now)
        note = "" if cancelled else "nothing was open to take back"
        return Effect(cancelled.id if cancelled else None, (Status.CANCELLED, 0), note)
    if uplink.kind is Kind.ASK:
        latest = pickups.latest_of_button(conn, uplink.device)
        argument = ASK_STATES.get(latest.state, 0) if latest else 0
        return Effect(latest.id if latest else None, (Status.STATE, argument))
    return Effect()


def _answer(
    fresh: dict[frames.Key, Fresh],
    effects: dict[frames.Key, Effect],
    budgets: dict[int, fleet.Budget],
    limits: Limits,
    keys: Keys,
) -> dict[frames.Key, bytes]:
    """The sealed answers to those that listen and have something to be told, as far as the day's budget goes."""
    left = {device: limits.downlinks_per_day - budget.downlinks for device, budget in budgets.items()}
    answers: dict[frames.Key, bytes] = {}
    for key, one in fresh.items():
        answer = effects[key].answer
        if answer is None or not one.reception.listens or left[one.uplink.device] <= 0:
            continue
        left[one.uplink.device] -= 1
        device_key = keys.device_key(one.uplink.device, one.uplink.key_generation)
        answers[key] = seal_downlink(*answer, answers=one.uplink, key=device_key)
    return answers


def _remember(fresh: dict[frames.Key, Fresh], answers: Container[frames.Key]) -> list[fleet.Heard]:
    """What each button's row is to know, from the newest of its uplinks here (`fresh` is in counter order)."""
    heard = []
    for device, run in groupby(fresh.items(), key=lambda item: item[1].uplink.device):
        uplinks = list(run)
        newest = uplinks[-1][1].uplink
        answered = sum(key in answers for key, _ in uplinks)
        heard.append(
            fleet.Heard(
                device,
                newest.key_generation,
                newest.counter,
                newest.battery_mv,
                newest.temperature_c,
                len(uplinks),
                answered,
            )
        )
    return heard


def _end(
    place: int,
    heard: Reception | Rejected,
    opened: Uplink | Rejected,
    fresh: dict[frames.Key, Fresh],
    taken: dict[frames.Key, frames.Claimed],
    effects: dict[frames.Key, Effect],
    now: datetime,
) -> Outcome:
    """The message's named result."""
    reception = heard if isinstance(heard, Reception) else None
    if isinstance(opened, Rejected) or reception is None:
        assert isinstance(opened, Rejected)
        return Outcome(opened.result, opened.reason, reception)
    key = _key(opened)
    first = taken[key]
    if key in fresh and fresh[key].place == place:
        note, downlink = effects[key].note, first.downlink
        if effects[key].answer and reception.listens and downlink is None:
            note = "; ".join(filter(None, [note, "not answered: the day’s downlinks are used up"]))
        return Outcome(Result.ACCEPTED, note, reception, opened, first.pickup_id, downlink)
    age = now - first.received_at
    same = reception.seq_number is not None and (reception.heard_at, reception.seq_number) == (
        first.heard_at,
        first.seq_number,
    )
    if same or age <= COPY_TIME:
        said = f"the same message again, {age.total_seconds():.1f} s later"
        # It is sent again for a button that still listens: always the same bytes under this counter.
        downlink = first.downlink if reception.listens else None
        return Outcome(Result.DUPLICATE, said, reception, opened, first.pickup_id, downlink)
    said = f"counter {opened.counter} was taken {int(age.total_seconds() // 60)} min ago"
    return Outcome(Result.REPLAYED, said, reception, opened, first.pickup_id)


def _row(message: Message, outcome: Outcome, now: datetime) -> dict[str, object]:
    """The message's line in the log."""
    reception, uplink = outcome.reception, outcome.uplink
    is_accepted = outcome.result is Result.ACCEPTED
    return {
        "received_at": now,
        "carrier": message.carrier,
        "raw": message.payload if is_accepted else message.payload[: frames.RAW_LIMIT],
        "raw_size": len(message.payload),
        "topic": message.device,
        "renamed": dict(message.renamed) or None,
        "uplinks_per_day": None,
        "downlinks_per_day": None,
        "result": outcome.result,
        "reason": outcome.reason,
        "device": reception.device if reception else _claimed_device(message),
        "data": reception.data[: frames.RAW_LIMIT] if reception else None,
        "heard_at": reception.heard_at if reception else None,
        "seq_number": reception.seq_number if reception else None,
        "listens": reception.listens if reception else False,
        "lqi": reception.lqi if reception else None,
        "copies": [asdict(copy) for copy in reception.copies] if reception else None,
        "key_generation": uplink.key_generation if uplink else None,
        "counter": uplink.counter if uplink else None,
        "kind": uplink.kind.word if uplink else None,
        "pickup_id": outcome.pickup_id,
        "downlink": outcome.downlink,
    }


def _claimed_device(message: Message) -> int | None:
    """The device that the topic names, of a message that could not be read: its button's page shows it too."""
    try:
        return None if message.device is None else parse_id(message.device)
    except ValueError:
        return None


def _key(uplink: Uplink) -> frames.Key:
    return uplink.device, uplink.key_generation, uplink.counter
