"""One order as a thread, from the press to the door: its steps, why each was, and the line drawn through their lanes.

A step's title says what happened; `why` says in parts why, how much and by whom. A part that is plain text stands as
the log has it, in English.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise

from cloud.appeals.model import Appeal
from cloud.appeals.model import State as AppealState
from cloud.frames.model import Frame, Result
from cloud.pages import NBSP
from cloud.pickups.model import OPEN, Detail, Event, Handover, Pickup, PickupEvent, Reason, State
from cloud.stamps import s10
from cloud.stamps.ledger import Form, Read
from cloud.stamps.model import Kind, Stamp
from cloud.words import N_, Said

LANES = ("radio", "seal", "order", "stamp", "round", "sorting")
LANE, STEP, HEAD = 41, 37, 42.5  # pixels: between lanes, between steps, to the first node
WIDTH = LANE * len(LANES)
REPLICAS = 3  # of each message, on three frequencies
UNDER_WAY = OPEN | {State.COLLECTED, State.SORTED}
OWN = (4, 6)  # ranks of the order's own moves
TOLD_LATER = timedelta(minutes=1)  # from then on it is said that a handset told later

Why = tuple[Said | str, ...]

ORDER_WORDS: dict[Event, tuple[Said, Said]] = {
    Event.JOINED: (N_("Joined the open request"), N_("one order, one stamp")),
    Event.CANCELLED: (N_("Taken back"), N_("nothing will be collected")),
    Event.EXPIRED: (N_("Expired"), N_("it was never confirmed")),
}
STAMP_WORDS: dict[Event, tuple[Said, Why]] = {
    Event.CONFIRMED: (N_("Stamp live"), (N_("It can be written on the parcel, and be redeemed once"),)),
    Event.CANCELLED: (N_("Stamp void"), (N_("Its code is not given out again for a long time"),)),
    Event.FAILED: (N_("Stamp void"), (N_("Its code is not given out again for a long time"),)),
}
REASONS = {
    Reason.EMPTY_BOX: N_("the box was empty"),
    Reason.TOO_BIG: N_("too big"),
    Reason.FORBIDDEN: N_("forbidden goods"),
    Reason.NO_ACCESS: N_("no access"),
    Reason.LOCKED: N_("the box was locked"),
    Reason.DOG: N_("a dog"),
}
HANDOVERS = {
    Handover.DOOR: N_("Delivered to the door"),
    Handover.LOCKER: N_("Delivered into a locker"),
    Handover.RELAY: N_("Delivered to a relay"),
    Handover.OFFICE: N_("Delivered to a post office"),
}
FORMS = {
    Form.TEXT: N_("Code typed"),
    Form.PROBABILITIES: N_("Read by a machine"),
    Form.STRINGS: N_("Read by a machine"),
    Form.PICTURE: N_("Read from a picture"),
    Form.EXACT: N_("Code given"),
}
KINDS = {
    Kind.ACCEPTED: N_("accepted"),
    Kind.AMBIGUOUS: N_("ambiguous, for a person to see"),
    Kind.ALREADY_USED: N_("refused, already used"),
    Kind.UNKNOWN_CLEAR: N_("refused, one character beside"),
    Kind.ILLEGIBLE: N_("illegible, for a person to see"),
}
APPEALS = {
    AppealState.UPHELD: N_("Appeal upheld"),
    AppealState.REJECTED: N_("Appeal rejected"),
}
ACTORS = {
    "customer": N_("by customer %(name)s"),
    "staff": N_("by staff %(name)s"),
    "token": N_("by token %(name)s"),
}


@dataclass(frozen=True, slots=True)
class Life:
    """All that is known of one order."""

    pickup: Pickup
    events: Sequence[PickupEvent]
    frames: Sequence[Frame] = ()
    before: Mapping[int, int] = field(default_factory=dict)  # of accepted frames: the counter accepted before it
    stamp: Stamp | None = None
    readings: Sequence[Read] = ()
    appeals: Sequence[Appeal] = ()


@dataclass(frozen=True, slots=True)
class Step:
    at: datetime | None  # local; None: expected
    lane: str
    title: Said
    why: Why
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


# When, its rank among equal times, lane, title, why.
_Done = tuple[datetime, int, str, Said, Why]


def thread(life: Life, zone: tzinfo) -> Thread:
    done = [*_of_frames(life), *_of_events(life, zone), *_of_readings(life), *_of_appeals(life)]
    done.sort(key=lambda one: one[:2])
    steps: list[Step] = []
    day = None
    for moment, _, lane, title, why in done:
        at = moment.astimezone(zone)
        steps.append(Step(at, lane, title, why, new_day=at.date() != day))
        day = at.date()
    last_done = len(steps) - 1
    # Where the order is: its own last move, whatever was read of its code, or said about it, since.
    here = max((i for i, (_, rank, lane, *_) in enumerate(done) if rank in OWN and lane != "radio"), default=last_done)
    if ahead := _expected(life):
        steps.append(Step(None, *ahead))

    places = [(20 + LANE * LANES.index(step.lane), HEAD + STEP * i) for i, step in enumerate(steps)]
    styles = [
        "expected" if step.at is None else "now" if i == here and life.pickup.state in UNDER_WAY else "done"
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


def proof(life: Life) -> PickupEvent | None:
    """The event by which the postman became responsible."""
    return next((event for event in life.events if event.event is Event.COLLECTED), None)


def weight_g(life: Life) -> int | None:
    """The last that it was weighed to."""
    weighed = [event.detail.weight_g for event in life.events if event.detail.weight_g is not None]
    return weighed[-1] if weighed else None


def _expected(life: Life) -> tuple[str, Said, Why] | None:
    match life.pickup.state:
        case State.REQUESTED:
            return "order", N_("Confirmation expected"), (N_("The customer names the addressee"),)
        case State.CONFIRMED:
            return "round", N_("Collection expected"), (N_("On the postman’s morning round"),)
        case State.ON_ROUND:
            return "round", N_("Collection expected"), (N_("The postman has it on the list"),)
        case State.COLLECTED:
            return "sorting", N_("Sorting expected"), (N_("The code is read there, and the stamp redeemed"),)
        case State.SORTED:
            return "sorting", N_("Delivery expected"), (N_("To the door, or to a locker, a relay or a post office"),)
        case _:
            return None


# The radio and the seal


def _of_frames(life: Life) -> Iterator[_Done]:
    copies = Counter((one.key_generation, one.counter) for one in life.frames if one.result is Result.DUPLICATE)
    accepted = {(one.key_generation, one.counter) for one in life.frames if one.result is Result.ACCEPTED}
    for frame in life.frames:
        kept, key = frame.received_at, (frame.key_generation, frame.counter)
        if frame.result is not Result.ACCEPTED:
            if frame.result is not Result.DUPLICATE or key not in accepted:
                yield kept, 2, "seal", N_("Heard again: %(result)s", result=Said(frame.result)), frame.why
            continue
        heard_at = _heard_at(frame)
        counted = N_("Counter %(counter)s, in flash before anything is radiated", counter=frame.counter)
        yield heard_at, 0, "radio", _pressed(frame), (counted,)
        yield heard_at, 1, "radio", *_heard(frame)
        yield kept, 2, "seal", N_("Opened: seal is right"), _opened(frame, life.before.get(frame.id), copies[key])
        if frame.kind == "pickup":
            yield kept, 3, "seal", N_("Kept in one transaction, then acknowledged"), _kept(frame)
        if frame.downlink:
            sealed = N_("Sealed under its counter; sent, which is not the same as heard")
            yield kept, 6, "radio", ANSWERED.get(frame.kind or "", N_("Answered")), (sealed,)
        elif frame.listens:
            yield kept, 6, "radio", N_("Not answered"), (N_("It listened, and the day’s answers were used up"),)


ANSWERED = {
    "pickup": N_("Answered the press"),
    "cancel": N_("Answered: taken back"),
    "ask": N_("Answered with the order’s state"),
}


def _heard_at(frame: Frame) -> datetime:
    """When the network says it heard it; it says whole seconds, which would set quick presses out of order."""
    if frame.heard_at is None or frame.received_at - frame.heard_at < timedelta(seconds=1):
        return frame.received_at
    return frame.heard_at


def _pressed(frame: Frame) -> Said:
    match frame.kind, frame.parcels:
        case "pickup", 1:
            return N_("Pressed once")
        case "pickup", times:
            return N_("Pressed %(times)s times", times=times)
        case "cancel", _:
            return N_("Held down: cancel")
        case "ask", _:
            return N_("Asked what became of it")
    return N_("A message of the button")


def _heard(frame: Frame) -> tuple[Said, Why]:
    if not frame.copies:
        return N_("Radiated and heard"), (N_("No station is named: it came by %(carrier)s", carrier=frame.carrier),)
    best = max(frame.copies, key=lambda copy: copy.rssi)
    count, of = sum(copy.replicas for copy in frame.copies), REPLICAS * len(frame.copies)
    title = N_("Radiated, heard by one station")
    if len(frame.copies) > 1:
        title = N_("Radiated, heard by %(stations)s stations", stations=len(frame.copies))
    copies = N_("%(count)s of %(of)s copies", count=count, of=of)
    return title, (copies, N_("best %(level)s dBm at %(station)s", level=_signed(best.rssi), station=best.station))


def _opened(frame: Frame, before: int | None, copies: int) -> Why:
    counter = frame.counter or 0
    said: list[Said | str] = [N_("Key generation %(generation)s", generation=frame.key_generation)]
    if before is None:
        said.append(N_("the first known under it"))
    elif before == counter - 1:
        said.append(N_("%(counter)s follows %(before)s", counter=counter, before=before))
    else:
        missed = counter - before - 1
        gap = {"counter": counter, "before": before, "missed": missed}
        said.append(N_("%(counter)s after %(before)s, %(missed)s between", **gap))
    if copies == 1:
        said.append(N_("one further copy folded in"))
    elif copies:
        said.append(N_("%(copies)s further copies folded in", copies=copies))
    return (*said, *frame.why)


def _kept(frame: Frame) -> Why:
    came = N_("By %(carrier)s", carrier=frame.carrier)
    if frame.heard_at is None:
        return (came,)
    took = max(frame.received_at - frame.heard_at, timedelta())
    if took < timedelta(seconds=2):  # the network says whole seconds
        return came, N_("within two seconds of being heard")
    return came, N_("%(seconds)s s after it was heard", seconds=round(took.total_seconds()))


# The order, its stamp, its round and its end


def _of_events(life: Life, zone: tzinfo) -> Iterator[_Done]:
    for event in life.events:
        at, by = event.when, _by(event)
        match event.event:
            case Event.PRESSED:
                opened = N_("Request %(number)s opened", number=_grouped(life.pickup.id))
                yield at, 4, "order", opened, (N_("nothing is ordered yet"), by)
                yield at, 5, "stamp", *_reserved(life)
            case Event.CONFIRMED:
                yield at, 4, "order", N_("Confirmed"), (*_addressee(life.pickup), by)
            case Event.PUT_ON_ROUND:
                yield at, 4, "round", _round(event.detail), (*_later(event, zone), by)
            case Event.COLLECTED:
                yield at, 4, "round", N_("Collected: responsibility passes"), (*_proof(event, zone), by)
            case Event.FAILED:
                reason = REASONS[event.detail.reason] if event.detail.reason else N_("no reason was given")
                yield at, 4, "round", N_("Not collected: %(reason)s", reason=reason), (*_proof(event, zone), by)
            case Event.SORTED:
                yield at, 6, "sorting", *_redeemed(event)
            case Event.DELIVERED:
                title = HANDOVERS[event.detail.handover] if event.detail.handover else N_("Delivered")
                yield at, 6, "sorting", title, (*_proof(event, zone), by)
            case other:
                title, why = ORDER_WORDS[other]
                yield at, 4, "order", title, (why, by)
        if words := STAMP_WORDS.get(event.event):
            yield at, 5, "stamp", *words


def _by(event: PickupEvent) -> Said:
    kind, _, name = event.actor.partition(" ")
    if kind == "button":
        return N_("by its button")
    return Said(ACTORS[kind].text, {"name": name}) if kind in ACTORS else N_("by %(name)s", name=event.actor)


def _reserved(life: Life) -> tuple[Said, Why]:
    if life.stamp is None and life.pickup.state in OPEN:
        return N_("Stamp awaited"), (N_("The pool was empty: it gets the next that is minted"),)
    return N_("Stamp reserved"), (N_("From the pool; three or more characters from every other code"),)


def _addressee(pickup: Pickup) -> Why:
    if pickup.addressee is None:
        return ()
    lines = pickup.addressee.lines
    return (N_("to %(name)s, %(town)s", name=lines[0], town=lines[5]),)


def _round(detail: Detail) -> Said:
    if detail.stop is None:
        return N_("Put on round %(round)s", round=detail.round)
    if detail.stops is None:
        return N_("Put on round %(round)s, stop %(stop)s", round=detail.round, stop=detail.stop)
    return N_(
        "Put on round %(round)s, stop %(stop)s of %(stops)s", round=detail.round, stop=detail.stop, stops=detail.stops
    )


def _proof(event: PickupEvent, zone: tzinfo) -> Why:
    detail, said = event.detail, []
    if detail.photo:
        said.append(N_("photo taken"))
    if detail.place:
        said.append(N_("place: %(place)s", place=detail.place))
    if detail.weight_g:
        said.append(N_("%(weight)s g", weight=_grouped(detail.weight_g)))
    if detail.notice is not None:
        said.append(N_("notice left") if detail.notice else N_("no notice left"))
    return (*said, *_later(event, zone))


def _later(event: PickupEvent, zone: tzinfo) -> Why:
    if event.happened_at is None or event.at - event.happened_at < TOLD_LATER:
        return ()
    told = event.at.astimezone(zone)
    return (N_("offline, told at %(time)s", time=f"{told:%H:%M}"),)


def _redeemed(event: PickupEvent) -> tuple[Said, Why]:
    detail, said = event.detail, []
    if detail.place:
        said.append(N_("at %(place)s", place=detail.place))
    if detail.piece:
        said.append(N_("for %(piece)s", piece=grouped_piece(detail.piece)))
    said.append(_by(event))
    if detail.weight_g is None:
        return N_("Redeemed once"), tuple(said)
    return N_("Redeemed once, %(weight)s g", weight=_grouped(detail.weight_g)), tuple(said)


def grouped_piece(piece: str) -> str:
    """As an S10 number is read out, where it is one."""
    try:
        return s10.parse(piece).grouped.replace(" ", NBSP)
    except ValueError:
        return piece


# What was read of the code, and who disagreed


def is_search(read: Read) -> bool:
    """Whether somebody looked the order up by its code: no parcel was before them."""
    return read.form is Form.EXACT and read.place in (f"search by {read.actor}", f"look-up by {read.actor}")


def is_redemption(read: Read, events: Sequence[PickupEvent]) -> bool:
    """Whether it is written down of the very redemption that sorted the order."""
    return read.form is Form.EXACT and any(
        one.event is Event.SORTED and one.at == read.at and one.actor == read.actor for one in events
    )


def _of_readings(life: Life) -> Iterator[_Done]:
    for read in life.readings:
        if is_search(read) or is_redemption(read, life.events):
            continue
        title = N_("%(form)s: %(result)s", form=FORMS[read.form], result=KINDS[read.kind])
        tried = N_("One string tried") if read.listed == 1 else N_("%(strings)s strings tried", strings=read.listed)
        yield read.at, 5, "stamp", title, (tried, N_("at %(place)s", place=read.place))


def _of_appeals(life: Life) -> Iterator[_Done]:
    for appeal in life.appeals:
        yield appeal.filed_at, 7, "stamp", N_("Appeal filed"), (N_("Somebody says that the stamp was good"),)
        if appeal.decided_at is not None and appeal.state in APPEALS:
            by = N_("by %(name)s", name=appeal.decided_by or "")
            yield appeal.decided_at, 7, "stamp", APPEALS[appeal.state], (by,)


def _grouped(value: int) -> str:
    return f"{value:,}".replace(",", NBSP)


def _signed(value: float) -> str:
    return f"{value:.0f}".replace("-", "−")


def _way(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x0, y0), (x1, y1) = start, end
    return f"M{x0} {y0}V{y1}" if x0 == x1 else f"M{x0} {y0}C{x0} {y0 + 26} {x1} {y1 - 26} {x1} {y1}"
