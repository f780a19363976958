"""From bytes that were heard to an order with a stamp: read this first.

`receive` is the whole story of a batch: read, open, claim, order, answer, store, in the one transaction of its caller.
When that is committed the messages may be acknowledged and the answers sent, never before. Every message ends with a
named result that is stored; what is wrong with one disturbs no other.
"""

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import orjson
import sqlalchemy as sa

import cloud.downlinks.store as downlinks
import cloud.fleet.store as fleet
import cloud.frames.store as frames
import cloud.pickups.store as pickups
from cloud.database import milliseconds, plan_by_index
from cloud.downlinks.model import Alive
from cloud.fleet.model import State, parse_id
from cloud.frames.model import Result
from cloud.ingest.downlink import Status, seal_downlink
from cloud.ingest.keys import Keys
from cloud.ingest.sigfox import USUAL, Reception, read_callback
from cloud.ingest.uplink import WINDOW_BEHIND, Kind, Rejected, Uplink, open_uplink, read_header
from cloud.pickups.model import ASK_STATES
from cloud.stamps.lease import Lease

# The same bytes again are a copy within this time, later a replay: Sigfox repeats a callback after 1, 2 and 4 minutes.
COPY_TIME = timedelta(minutes=10)
KEPT_FOR_PRESSES = 1  # of the day's downlinks, by configurations
TOPIC_LIMIT = 64  # characters kept of what a topic names, where it comes to nothing


class Message(NamedTuple):
    """What an inlet hands over: the payload as it came, and the device that its topic names, if it has one."""

    carrier: str
    device: str | None
    payload: bytes
    renamed: Mapping[str, str] = USUAL  # a field map of the callbacks: see ingest.sigfox


@dataclass(frozen=True, slots=True)
class Limits:
    """What one button may send and be sent in a UTC day; 0 uplinks means no limit."""

    uplinks_per_day: int = 140
    downlinks_per_day: int = 4


# As `open_uplink`, which it is but where history is decoded anew.
Decoder = Callable[..., Uplink]


class Outcome(NamedTuple):
    """How a message ended. `downlink` is to be sent to `reception.device` once the batch is committed."""

    result: Result
    reason: str
    reception: Reception | None = None
    uplink: Uplink | None = None
    pickup_id: int | None = None
    downlink: bytes | None = None


class Effect(NamedTuple):
    """What a fresh uplink did: the order it concerns and what there is to say to the button, if anything."""

    pickup_id: int | None = None
    answer: tuple[Status, int] | None = None
    note: str = ""


NOTHING = Effect()  # of what only says that the button lives


class Fresh(NamedTuple):
    """An uplink whose counter this batch was the first to claim; `place` is that of its message in the batch."""

    uplink: Uplink
    reception: Reception
    place: int


Buttons = Mapping[int, fleet.Standing]


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
    plan_by_index(conn)
    heard = [_read(message) for message in batch]
    buttons = fleet.standings(conn, {h.device for h in heard if isinstance(h, Reception)}, now.date())
    opened = [_open(h, buttons, keys, decode) for h in heard]

    earlier = frames.claimed(conn, _perhaps_claimed(opened, buttons))
    opened = _hold_to_limits(opened, earlier, buttons, limits)
    fresh = _claim(conn, heard, opened, earlier, now)  # from here on a message counts once, whatever comes again

    effects = _order(conn, fresh, buttons, lease, now)
    if answered is None:
        effects |= _configure(conn, fresh, effects, buttons, limits, now)
        answers = _answer(fresh, effects, buttons, limits, keys)
    else:
        answers = {key: answered[key] for key in fresh if key in answered}
        effects |= {key: NOTHING for key in answers if key not in effects}
    frames.conclude(conn, {key: (effect.pickup_id, answers.get(key)) for key, effect in effects.items()})
    fleet.note(conn, _remember(fresh, answers), now)

    taken = _taken(conn, fresh, effects, answers, opened, earlier, now)
    outcomes = [_end(place, heard[place], opened[place], fresh, taken, effects, now) for place in range(len(batch))]
    frames.append(conn, [_row(place, *one, limits, now) for place, one in enumerate(zip(batch, outcomes, strict=True))])
    return outcomes


def _read(message: Message) -> Reception | Rejected:
    try:
        return read_callback(message.payload, message.device, message.renamed)
    except Rejected as rejected:
        return rejected


def _open(heard: Reception | Rejected, buttons: Buttons, keys: Keys, decode: Decoder) -> Uplink | Rejected:
    if isinstance(heard, Rejected):
        return heard
    try:
        generation = read_header(heard.data).key_generation
        button = buttons.get(heard.device)
        if button is None:
            return Rejected(Result.UNKNOWN_BUTTON, "not in the fleet")
        if button.state == State.REVOKED:
            return Rejected(Result.REVOKED, "the button was revoked")
        if generation != button.key_generation:
            said = f"key generation {generation}, the fleet has {button.key_generation}"
            return Rejected(Result.WRONG_GENERATION, said)
        return decode(heard.data, device=button.id, key=keys.key_of(button), last_counter=button.last_counter)
    except Rejected as rejected:
        return rejected


def _perhaps_claimed(opened: Sequence[Uplink | Rejected], buttons: Buttons) -> set[frames.Key]:
    """Copies, replays and what was overtaken: a counter above the highest accepted was never accepted."""
    return {one.key for one in opened if isinstance(one, Uplink) and one.counter <= buttons[one.device].last_counter}


def _hold_to_limits(
    opened: Sequence[Uplink | Rejected], earlier: Container[frames.Key], buttons: Buttons, limits: Limits
) -> list[Uplink | Rejected]:
    """Refuse what is new but too old for the window or too much for the day."""
    used: dict[int, int] = {}
    counted: set[frames.Key] = set()

    def hold(uplink: Uplink | Rejected) -> Uplink | Rejected:
        if isinstance(uplink, Rejected) or (key := uplink.key) in earlier or key in counted:
            return uplink
        button = buttons[uplink.device]
        behind = button.last_counter - uplink.counter
        if behind >= WINDOW_BEHIND:
            return Rejected(Result.STALE, f"counter {uplink.counter}, {behind} behind the newest")
        uplinks = used.get(button.id, button.uplinks)
        if limits.uplinks_per_day and uplinks >= limits.uplinks_per_day:
            return Rejected(Result.OVER_BUDGET, f"{limits.uplinks_per_day} uplinks were taken today (UTC) already")
        used[button.id] = uplinks + 1
        counted.add(key)
        return uplink

    return [hold(uplink) for uplink in opened]


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
        if isinstance(uplink, Uplink) and isinstance(reception, Reception) and (key := uplink.key) not in earlier:
            new.setdefault(key, Fresh(uplink, reception, place))
    in_order = sorted(new.items())
    at = milliseconds(now)
    rows = [
        (*key, uplink.kind.word, *uplink[4:], milliseconds(reception.heard_at), reception.seq_number, at)
        for key, (uplink, reception, _) in in_order
    ]
    claimed = frames.claim(conn, rows)
    return {key: one for key, one in in_order if key in claimed}


def _order(
    conn: sa.Connection, fresh: Mapping[frames.Key, Fresh], buttons: Buttons, lease: Lease, now: datetime
) -> dict[frames.Key, Effect]:
    """Do what uplinks ask for: presses make or join orders, a cancel takes one back, an ask is looked up.

    In turns: first of every button the first, then of those with another the second; nearly always there is one turn.
    """
    turns: list[list[Uplink]] = []
    turn_of: dict[int, int] = {}
    for uplink, _, _ in fresh.values():
        if uplink.kind in (Kind.PICKUP, Kind.CANCEL, Kind.ASK):
            turn = turn_of[uplink.device] = turn_of.get(uplink.device, -1) + 1
            if turn == len(turns):
                turns.append([])
            turns[turn].append(uplink)
    effects: dict[frames.Key, Effect] = {}
    for turn in turns:
        effects |= _press(conn, [uplink for uplink in turn if uplink.kind is Kind.PICKUP], buttons, lease, now)
        for uplink in turn:
            if uplink.kind is not Kind.PICKUP:
                effects[uplink.key] = _cancel_or_ask(conn, uplink, now)
    return effects


def _press(
    conn: sa.Connection, presses: Sequence[Uplink], buttons: Buttons, lease: Lease, now: datetime
) -> dict[frames.Key, Effect]:
    effects: dict[frames.Key, Effect] = {}
    for uplink in presses:
        overtaken = uplink.counter < buttons[uplink.device].last_counter
        if overtaken and (counter := frames.cancelled_by(conn, uplink.key)):
            said = f"taken back by counter {counter}, which overtook it"
            effects[uplink.key] = Effect(None, (Status.CANCELLED, 0), said)
    standing = [uplink for uplink in presses if uplink.key not in effects]
    requests = pickups.request(conn, [pickups.Press(one.device, one.parcels) for one in standing], lease, now)
    for uplink, request in zip(standing, requests, strict=True):
        claimed = buttons[uplink.device].owner_id is not None
        answer = (Status.ACCEPTED if claimed else Status.UNCLAIMED, 0)
        note = "" if claimed else "no customer has claimed this button yet"
        effects[uplink.key] = Effect(request.pickup_id, answer, note)
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
    raise AssertionError(f"{uplink.kind.word} asks for nothing")


def _configure(
    conn: sa.Connection,
    fresh: Mapping[frames.Key, Fresh],
    effects: Mapping[frames.Key, Effect],
    buttons: Buttons,
    limits: Limits,
    now: datetime,
) -> dict[frames.Key, Effect]:
    """What an `alive` proves of its button's configuration, and its answer where one waits: see downlinks.model."""
    alives = [
        Alive(*key, reception.heard_at or now, reception.listens)
        for key, (uplink, reception, _) in fresh.items()
        if uplink.kind is Kind.ALIVE
    ]
    due = downlinks.due(conn, alives, now)
    if not due:
        return {}
    answered = Counter(key[0] for key, one in effects.items() if one.answer and fresh[key].reception.listens)
    told = []
    for alive, one in due:
        left = limits.downlinks_per_day - buttons[alive.button_id].downlinks - answered[alive.button_id]
        if left > KEPT_FOR_PRESSES:
            told.append((alive, one))
    downlinks.sent(conn, told, now)
    return {
        (alive.button_id, alive.key_generation, alive.counter): Effect(
            None, (Status.CONFIGURE, one.hours), f"told to say alive every {one.hours} h"
        )
        for alive, one in told
    }


def _answer(
    fresh: Mapping[frames.Key, Fresh],
    effects: Mapping[frames.Key, Effect],
    buttons: Buttons,
    limits: Limits,
    keys: Keys,
) -> dict[frames.Key, bytes]:
    """The sealed answers to those that listen and have something to be told, as far as the day's budget goes."""
    sent: dict[int, int] = {}
    answers: dict[frames.Key, bytes] = {}
    for key, effect in sorted(effects.items()):
        uplink, reception, _ = fresh[key]
        device = uplink.device
        downlinks_today = sent.get(device, buttons[device].downlinks)
        if effect.answer is None or not reception.listens or downlinks_today >= limits.downlinks_per_day:
            continue
        sent[device] = downlinks_today + 1
        answers[key] = seal_downlink(*effect.answer, answers=uplink, key=keys.key_of(buttons[device]))
    return answers


def _remember(fresh: Mapping[frames.Key, Fresh], answers: Container[frames.Key]) -> list[fleet.Heard]:
    """What each button's row is to know, from the newest of its uplinks here (`fresh` is in counter order)."""
    heard: dict[int, fleet.Heard] = {}
    for key, (uplink, _, _) in fresh.items():
        device, generation, counter = key
        before = heard.get(device)
        heard[device] = fleet.Heard(
            device,
            generation,
            counter,
            uplink.battery_mv,
            uplink.temperature_c,
            (before.uplinks if before else 0) + 1,
            (before.downlinks if before else 0) + (key in answers),
        )
    return list(heard.values())


def _taken(
    conn: sa.Connection,
    fresh: Mapping[frames.Key, Fresh],
    effects: Mapping[frames.Key, Effect],
    answers: Mapping[frames.Key, bytes],
    opened: Sequence[Uplink | Rejected],
    earlier: Mapping[frames.Key, frames.Claimed],
    now: datetime,
) -> dict[frames.Key, frames.Claimed]:
    """What the press log knows by now of every uplink here."""
    taken = dict(earlier)
    for key, (_, reception, _) in fresh.items():
        pickup_id = effects.get(key, NOTHING).pickup_id
        taken[key] = frames.Claimed(now, reception.heard_at, reception.seq_number, pickup_id, answers.get(key))
    others = {one.key for one in opened if isinstance(one, Uplink)} - taken.keys()  # another worker's, just now
    return taken | frames.claimed(conn, others)


def _end(
    place: int,
    heard: Reception | Rejected,
    opened: Uplink | Rejected,
    fresh: Mapping[frames.Key, Fresh],
    taken: Mapping[frames.Key, frames.Claimed],
    effects: Mapping[frames.Key, Effect],
    now: datetime,
) -> Outcome:
    """The message's named result."""
    reception = heard if isinstance(heard, Reception) else None
    if isinstance(opened, Rejected) or reception is None:
        assert isinstance(opened, Rejected)
        return Outcome(opened.result, opened.reason, reception)
    key = opened.key
    first = taken[key]
    if key in fresh and fresh[key].place == place:
        _, answer, note = effects.get(key, NOTHING)
        downlink = first.downlink
        if answer and reception.listens and downlink is None:
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


def _row(place: int, message: Message, outcome: Outcome, limits: Limits, now: datetime) -> tuple[object, ...]:
    """The message's line in the log, in the order of its columns."""
    carrier, topic, payload, renamed = message
    result, reason, reception, uplink, pickup_id, downlink = outcome
    size = len(payload)
    if result is not Result.ACCEPTED:  # what is accepted was sealed by a button, and is kept whole
        payload = payload[: frames.RAW_LIMIT]
        topic = topic and topic[:TOPIC_LIMIT].replace("\0", "")
    kept = (
        milliseconds(now),
        carrier,
        payload,
        size,
        topic,
        orjson.dumps(renamed).decode() if renamed else None,
        # Where a batch begins, and under which limits: a replay takes the same in at once.
        *((None, None) if place else (limits.uplinks_per_day, limits.downlinks_per_day)),
        result.value,
        reason,
    )
    if reception is None:
        return *kept, _claimed_device(message), None, None, None, False, None, None, None, None, None, None, None
    said = (
        reception.device,
        reception.data[: frames.RAW_LIMIT],
        milliseconds(reception.heard_at),
        reception.seq_number,
        reception.listens,
        reception.lqi,
        _stations(reception),
    )
    opened = (None, None, None) if uplink is None else (uplink.key_generation, uplink.counter, uplink.kind.word)
    return *kept, *said, *opened, pickup_id, downlink


def _stations(reception: Reception) -> str | None:
    """As JSON, as they came; what is too long for that is read first, and so cut."""
    if not reception.stations:
        return None
    said = orjson.dumps(reception.stations)
    return (said if len(said) <= frames.RAW_LIMIT else orjson.dumps(reception.copies)).decode()


def _claimed_device(message: Message) -> int | None:
    """The device that the topic names, of a message that could not be read: its button's page shows it too."""
    try:
        return None if message.device is None else parse_id(message.device)
    except ValueError:
        return None
