"""The JSON API: buttons, frames, orders and stamps for scripts, under a bearer token.

Ids of buttons are eight hex digits, times ISO 8601 in UTC, stamp codes eight characters without spaces. A list gives
at most `limit` items; the next page is asked for with the last item's id.
"""

from datetime import datetime
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

import cloud.alerts.api
import cloud.appeals.api
import cloud.audit.store
import cloud.downlinks.api
import cloud.fleet.store
import cloud.frames.store
import cloud.pickups.store
import cloud.stamps.api
import cloud.stamps.store
from cloud import database, pages
from cloud.accounts.guard import bearer
from cloud.accounts.model import Right, Token
from cloud.audit.store import record
from cloud.console import verdicts
from cloud.console.store import MAX_ID
from cloud.fleet import filters, listing
from cloud.fleet.claims import new_claim_code
from cloud.fleet.model import State as ButtonState
from cloud.fleet.model import check_label, check_place, check_why, format_id, parse_id
from cloud.fleet.rhythm import Cause, Verdict
from cloud.frames.model import Result
from cloud.pickups.model import MAX_STOPS, MAX_TEXT, MAX_WEIGHT_G, Detail, Event, Handover, Reason
from cloud.pickups.model import State as PickupState
from cloud.places.model import LINES, Address
from cloud.stamps.model import State as StampState
from cloud.stamps.vault import Vault

MAX_LIMIT = 200
# What the audit trail calls what a postman did.
VERBS = {Event.PUT_ON_ROUND: "round", Event.COLLECTED: "collect", Event.FAILED: "fail", Event.DELIVERED: "deliver"}


class Answer(BaseModel):
    """Made from a value of the domain, attribute by attribute."""

    model_config = ConfigDict(from_attributes=True, validate_by_name=True, validate_by_alias=True)


class Fault(BaseModel):
    code: str = Field(examples=["not_found"])
    message: str = Field(examples=["no button 0012AB34 in the fleet"])


class Problem(BaseModel):
    """Every answer of status 400 or above."""

    error: Fault


router = APIRouter(
    responses={
        401: {"model": Problem, "description": "No token, or one that is unknown, revoked or expired"},
        403: {"model": Problem, "description": "The token's role lacks the right"},
        422: {"model": Problem, "description": "The request cannot be understood; the message says where"},
    }
)

NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "There is no such thing"}}
CONFLICT: dict[int | str, dict[str, Any]] = {409: {"model": Problem, "description": "Its state does not allow this"}}

Id = Annotated[int, Path(ge=0, le=MAX_ID)]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many items at most")]
Before = Annotated[int | None, Query(ge=1, le=MAX_ID, description="Only items with an id below this one; newest first")]
# What the models below make of the domain's values.
ButtonId = Annotated[str, BeforeValidator(lambda id: format_id(id) if isinstance(id, int) else id)]
Hex = Annotated[str, BeforeValidator(lambda data: data.hex() if isinstance(data, bytes) else data)]
Lines = Annotated[list[str], BeforeValidator(lambda address: getattr(address, "lines", address))]

DeviceId = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{1,8}$")]
See = Annotated[Token, Depends(bearer(Right.SEE))]
Operate = Annotated[Token, Depends(bearer(Right.OPERATE))]
Collect = Annotated[Token, Depends(bearer(Right.COLLECT))]
Administer = Annotated[Token, Depends(bearer(Right.ADMINISTER))]


class ButtonAnswer(Answer):
    id: ButtonId = Field(examples=["0012AB34"])
    state: ButtonState
    place: str | None = Field(examples=["35 Rennes"])
    department: str | None = Field(examples=["35"])
    label: str = Field(examples=["pilot Rennes"], description="The group that operators put it in; empty: none")
    claimed: Annotated[bool, BeforeValidator(lambda owner_id: owner_id is not None)] = Field(
        validation_alias="owner_id", description="Whether a customer has taken it"
    )
    key_generation: int
    created_at: datetime
    claimed_at: datetime | None
    last_seen_at: datetime | None
    last_counter: int = Field(description="The highest counter accepted, 0 when never heard")
    battery_mv: int | None
    temperature_c: int | None
    revoked_at: datetime | None
    revoked_by: str | None
    revoked_why: str | None
    heartbeat_hours: int | None = Field(description="As flashed or proven; null: 24, as from the factory")
    firmware: str | None = Field(description="That flashing noted; null: none was", examples=["0.1.0+3f9a2b1c"])
    rekey_planned_at: datetime | None = Field(description="A new key is to be given to it")


class LinkAnswer(Answer):
    expected: int = Field(description="Messages sent since then, by the network's sequence numbers")
    missed: int = Field(description="Of these, heard by no station")
    since: datetime | None


class Revocation(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"why": "lost in the move"}})

    why: Annotated[str, AfterValidator(check_why)]


class Buttons(BaseModel):
    buttons: list[ButtonAnswer]
    next: str | None = Field(None, description="Where the next page begins: its `after`; none on the last one")


class Which(BaseModel):
    """Which buttons, in which order: the words of the list's own address."""

    id: str = Field("", max_length=8, description="Its first hex digits", examples=["00D1"])
    place: str = Field("", max_length=60, description="Anywhere in it, whatever case and accents")
    label: str = Field("", max_length=40, description="The very group; - for none")
    department: str = Field("", max_length=3, examples=["35"])
    state: str = Field("", max_length=10, description="active or revoked")
    claimed: str = Field("", max_length=3, description="yes or no")
    battery: str = Field("", max_length=4, description="Below so many mV")
    silent: str = Field("", max_length=16, description="Not heard since: 7d, 12h, 2026-11-01 or with T08:30, in Paris")
    since: str = Field("", max_length=16, description="Heard since")
    key: str = Field("", max_length=1, description="Generation of its key")
    sort: str = Field(
        "", max_length=10, description="heard, id, place, label or, below 2700 mV, battery; -heard: downwards"
    )
    after: str = Field("", max_length=100, description="`next` of the page before, under the same words")


class JudgedButton(BaseModel):
    button: ButtonAnswer
    verdict: Verdict
    cause: Cause | None = Field(description="What a silence looks like; nobody has been there to see")
    missed: int = Field(description="Words in a row, at least")
    overdue_at: datetime | None = Field(description="When the first of them was due")
    silent_at: datetime | None = Field(description="From when on chance does not explain it")
    reasons: list[str] = Field(description="In English, one sentence each")


class SilentButtons(BaseModel):
    buttons: list[JudgedButton]
    next: str | None = Field(description="For `after`; null at the end. A page may be short, or empty, before it")


class NewButton(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"id": "0012AB34", "place": "35 Rennes"}})

    id: DeviceId = Field(description="1 to 8 hex digits, as on the board's label")
    place: Annotated[str, AfterValidator(check_place)] | None = None
    label: Annotated[str, AfterValidator(check_label)] = ""


class AddedButton(BaseModel):
    button: ButtonAnswer
    claim_code: str = Field(description="For the card in the box; shown this once", examples=["7K4F-2M9X-11AB"])


class CopyAnswer(Answer):
    station: str
    rssi: float = Field(description="dBm, of its best replica")
    replicas: int


class FrameAnswer(Answer):
    id: int
    received_at: datetime
    heard_at: datetime | None
    carrier: str
    result: Result
    reason: str = Field(description="Why, in words; empty when accepted")
    device: ButtonId | None = Field(description="As the sender claims it", examples=["0012AB34"])
    data: Hex | None = Field(description="The bytes as radiated, in hex", examples=["0000027e5d76ad50a56eb797"])
    trace: str | None = Field(
        description="The message's name in the logs, the same for every copy of it",
        examples=["0012ab34000000bfcf353dd9f5dc9c93"],
    )
    seq_number: int | None
    lqi: str | None
    copies: list[CopyAnswer] = Field(description="What each station heard, best first")
    key_generation: int | None
    counter: int | None = Field(description="This and the fields below only where the seal was right")
    kind: str | None = Field(examples=["pickup"])
    parcels: int | None
    battery_mv: int | None
    temperature_c: int | None
    reset_cause: int | None
    link_failures: int | None
    pickup_id: int | None
    stamp: str | None = Field(
        None, description="Of the order that it made or joined; for tokens with the right to read stamps"
    )
    downlink: Hex | None = Field(description="The answer's bytes, in hex")


class Frames(BaseModel):
    frames: list[FrameAnswer]


class PickupAnswer(Answer):
    id: int
    button: ButtonId = Field(validation_alias="button_id", examples=["0012AB34"])
    state: PickupState
    parcels: int
    addressee: Lines | None = Field(description="The six lines of the envelope; none until confirmed")
    requested_at: datetime
    changed_at: datetime


class Pickups(BaseModel):
    pickups: list[PickupAnswer]


class DetailAnswer(Answer):
    round: str | None = Field(examples=["Rennes 07"])
    stop: int | None
    stops: int | None = Field(description="Of the whole round")
    reason: Reason | None
    place: str | None = Field(examples=["35 Rennes PIC"])
    handover: Handover | None
    weight_g: int | None
    piece: str | None = Field(examples=["CD604127935FR"])
    photo: str | None = Field(description="SHA-256 of the proof's photograph, in hex")
    notice: bool | None = Field(description="Whether one was left in the letterbox")


class EventAnswer(Answer):
    at: datetime = Field(description="When it was taken in")
    event: Event
    state: PickupState = Field(description="The state it led to")
    actor: str = Field(examples=["button 0012AB34"])
    happened_at: datetime | None = Field(description="When it happened, where a handset told of it later")
    event_id: str | None = Field(validation_alias="key", description="The handset's own name for it")
    detail: DetailAnswer


class StampAnswer(Answer):
    code: str | None = Field(
        examples=["7K4F2M9X"], description="For tokens with the right to read stamps: a live one is as good as money"
    )
    state: StampState
    pickup_id: int | None
    minted_at: datetime
    changed_at: datetime


class PickupInFull(PickupAnswer):
    events: list[EventAnswer]
    stamp: StampAnswer | None


class Confirmation(BaseModel):
    """The addressee as on the envelope: AFNOR NF Z10-011, six lines of at most 38 characters."""

    model_config = ConfigDict(extra="forbid")

    addressee: Annotated[list[str], Field(min_length=LINES, max_length=LINES)] = Field(
        examples=[["MME HELENE VASSEUR", "", "", "12 RUE DE LA REPUBLIQUE", "", "69001 LYON"]]
    )


_Print = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TEXT)]
StopNumber = Annotated[int, Field(ge=1, le=MAX_STOPS)]
Photo = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class Told(BaseModel):
    """What a handset tells of an event, once or as often as it likes: under one `event_id` it happened once."""

    model_config = ConfigDict(extra="forbid")

    event_id: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_.:-]{1,64}$")] = Field(
        description="The handset's own name for the event, e.g. a UUID",
        examples=["0f9b2c1e-6d7a-4a53-9a07-2f1f3c1f8b11"],
    )
    happened_at: AwareDatetime | None = Field(
        None, description="When it happened, where that is not now: a handset without a network tells later"
    )

    @property
    def detail(self) -> Detail:
        return Detail.of(self.model_dump(mode="json", exclude={"event_id", "happened_at"}, exclude_none=True))


class PutOnRound(Told):
    round: _Print = Field(examples=["Rennes 07"])
    stop: StopNumber | None = Field(None, examples=[23])
    stops: StopNumber | None = Field(None, description="Of the whole round", examples=[61])


class AtTheBox(Told):
    """At which stop, and what proves it; of the photograph its digest alone is kept here."""

    round: _Print | None = None
    stop: StopNumber | None = None
    place: _Print | None = Field(None, description="Where, in words", examples=["9 m from the box"])
    photo: Photo | None = Field(None, description="SHA-256 of the photograph, 64 hex digits, lower case")
    notice: bool | None = Field(None, description="Whether one was left in the letterbox")


class Collection(AtTheBox):
    weight_g: Annotated[int, Field(ge=1, le=MAX_WEIGHT_G)] | None = None


class Failure(AtTheBox):
    reason: Reason


class Delivery(Told):
    handover: Handover
    place: _Print | None = Field(None, description="Which one", examples=["Lyon 1er, locker 12"])
    photo: Photo | None = None


@router.get("/buttons", tags=["buttons"])
def list_buttons(
    request: Request,
    token: See,
    which: Annotated[Which, Query()],
    limit: Limit = 50,
    offset: Annotated[int, Query(ge=0, le=MAX_ID, deprecated=True, description="Instead of `after`; slow")] = 0,
) -> Buttons:
    """The fleet, last heard first, or those and in that order as asked."""
    asked, now = filters.read(which.model_dump()), database.now()
    if asked.faults:
        raise HTTPException(422, "; ".join(f"{name}: {why}" for name, why in asked.faults.items()))
    try:
        after = listing.position(which.after, asked.order) if which.after else None
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
    with _reading(request) as conn:
        if offset:
            passed = listing.query(asked.filter, asked.order, now, after).limit(limit).offset(offset)
            found = [cloud.fleet.store.from_row(row) for row in conn.execute(passed)]
            return Buttons(buttons=[ButtonAnswer.model_validate(one) for one in found], next=None)
        few = listing.are_few(asked.filter, listing.count(conn, asked.filter, now))
        page = listing.page(conn, asked.filter, asked.order, limit=limit, now=now, after=after, few=few)
    found = [ButtonAnswer.model_validate(one) for one in page.buttons]
    return Buttons(buttons=found, next=None if page.end is None else str(page.end))


@router.get("/buttons/silent", tags=["buttons"])
def list_silent(
    request: Request,
    token: See,
    verdict: Annotated[
        Verdict, Query(description="silent, late, never heard, or unused: heard, and never pressed")
    ] = Verdict.SILENT,
    department: Annotated[str | None, Query(pattern="^([0-9]{2,3}|2[ABab])$", examples=["35"])] = None,
    after: Annotated[str | None, Query(max_length=32, description="`next` of the page before")] = None,
    limit: Limit = 50,
) -> SilentButtons:
    """Buttons that are not well, overdue for longest first, each with the reasoning."""
    now = database.now()
    with _reading(request) as conn:
        try:
            page = verdicts.listed(
                conn, now, verdict=verdict, department=department and department.upper(), after=after, limit=limit
            )
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
    return SilentButtons(buttons=[_judged(row) for row in page.rows], next=page.after)


def _judged(row: verdicts.Judged) -> JudgedButton:
    return JudgedButton(
        button=ButtonAnswer.model_validate(row.button),
        verdict=row.judgement.verdict,
        cause=row.judgement.cause,
        missed=row.judgement.missed,
        overdue_at=row.judgement.due_at,
        silent_at=row.judgement.silent_at,
        reasons=[pages.say(said) for said in row.judgement.reasons],
    )


@router.get("/buttons/{id}", tags=["buttons"], responses=NOT_FOUND)
def show_button(request: Request, token: See, id: str) -> ButtonAnswer:
    """One button of the fleet."""
    with _reading(request) as conn:
        button = cloud.fleet.store.find(conn, _device(id))
    if button is None:
        raise HTTPException(404, f"no button {id} in the fleet")
    return ButtonAnswer.model_validate(button)


@router.post("/buttons", tags=["buttons"], status_code=201, responses=CONFLICT)
def add_button(request: Request, token: Administer, new: NewButton) -> AddedButton:
    """Take a button into the fleet. Its claim code is in this answer and nowhere else."""
    claim_code = new_claim_code()
    with _writing(request) as conn:
        button = cloud.fleet.store.add(
            conn,
            id=_device(new.id),
            place=new.place,
            label=new.label,
            claim_code=claim_code,
            now=database.now(),
            key_master=request.app.state.key_master,
        )
        subject = f"button {format_id(button.id)}"
        record(conn, actor=f"token {token.name}", action="button.add", subject=subject, now=database.now())
    return AddedButton(button=ButtonAnswer.model_validate(button), claim_code=claim_code)


@router.get("/buttons/{id}/link", tags=["buttons"], responses=NOT_FOUND)
def show_link(request: Request, token: See, id: str) -> LinkAnswer:
    """What the button's radio link lost of late, from the gaps in the network's sequence numbers."""
    with _reading(request) as conn:
        if cloud.fleet.store.find(conn, _device(id)) is None:
            raise HTTPException(404, f"no button {id} in the fleet")
        return LinkAnswer.model_validate(cloud.frames.store.link_loss(conn, _device(id)))


@router.post("/buttons/{id}/revoke", tags=["buttons"], responses=NOT_FOUND)
def revoke_button(request: Request, token: Operate, id: str, revocation: Revocation) -> ButtonAnswer:
    """A lost or stolen button: from now on refuse whatever it sends."""
    with _writing(request) as conn:
        device, by, now = _device(id), f"token {token.name}", database.now()
        if not cloud.fleet.store.revoke(conn, device, why=revocation.why, by=by, now=now):
            raise HTTPException(404, f"no button {id} in the fleet")
        subject = f"button {format_id(device)}"
        record(conn, actor=by, action="button.revoke", subject=subject, now=now, why=revocation.why)
        return ButtonAnswer.model_validate(cloud.fleet.store.find(conn, _device(id)))


@router.post("/buttons/{id}/found", tags=["buttons"], responses=NOT_FOUND | CONFLICT)
def restore_button(request: Request, token: Administer, id: str) -> ButtonAnswer:
    """A revoked button was found: it comes back under its next key, which `domino flash` has to give it."""
    with _writing(request) as conn:
        if cloud.fleet.store.find(conn, _device(id)) is None:
            raise HTTPException(404, f"no button {id} in the fleet")
        restored = cloud.fleet.store.restore(conn, _device(id), key_master=request.app.state.key_master)
        by, subject, now = f"token {token.name}", f"button {format_id(restored.id)}", database.now()
        record(conn, actor=by, action="button.found", subject=subject, now=now, key_generation=restored.key_generation)
    return ButtonAnswer.model_validate(restored)


@router.get("/frames", tags=["frames"])
def list_frames(
    request: Request,
    token: See,
    after: Annotated[
        int | None,
        Query(ge=0, le=MAX_ID, description="Only frames with an id above this one, oldest first; to poll: the last id"),
    ] = None,
    before: Before = None,
    device: Annotated[DeviceId | None, Query(description="Only frames that claim this button")] = None,
    result: Result | None = None,
    trace: Annotated[
        str | None, Query(pattern="^[0-9A-Fa-f]{32}$", description="Only the copies of this message, oldest first")
    ] = None,
    limit: Limit = 50,
) -> Frames:
    """All that was heard, accepted or not: newest first, or with `after` or `trace` oldest first."""
    if trace is not None and (after, before, device, result) != (None,) * 4:
        raise HTTPException(422, "'trace' goes with 'limit' alone")
    if after is not None and (before is not None or result is not None):
        raise HTTPException(422, "'after' goes with 'device' and 'limit' alone")
    of = None if device is None else _device(device)
    with _reading(request) as conn:
        if trace is not None:
            frames = cloud.frames.store.of_trace(conn, trace, limit)
        elif after is not None:
            frames = cloud.frames.store.after(conn, after, limit, of)
        else:
            frames = cloud.frames.store.newest(conn, limit=limit, before=before, device=of, result=result)
        pickup_ids = {one.pickup_id for one in frames if one.pickup_id is not None}
        may_read = Right.READ_STAMPS in token.rights
        codes = cloud.stamps.store.codes_of(conn, request.app.state.vault, pickup_ids) if may_read else {}
    answers = [FrameAnswer.model_validate(one) for one in frames]
    return Frames(frames=[one.model_copy(update={"stamp": codes.get(one.pickup_id or 0)}) for one in answers])


@router.get("/pickups", tags=["pickups"])
def list_pickups(
    request: Request, token: See, state: PickupState | None = None, before: Before = None, limit: Limit = 50
) -> Pickups:
    """Orders, newest first."""
    with _reading(request) as conn:
        found = cloud.pickups.store.newest(conn, limit=limit, state=state, before=before)
    return Pickups(pickups=[PickupAnswer.model_validate(one) for one in found])


@router.get("/pickups/{id}", tags=["pickups"], responses=NOT_FOUND)
def show_pickup(request: Request, token: See, id: Id) -> PickupInFull:
    """One order with its history and its stamp."""
    with _reading(request) as conn:
        return _in_full(conn, request.app.state.vault, id, token)


@router.post("/pickups/{id}/confirm", tags=["pickups"], responses=NOT_FOUND | CONFLICT)
def confirm_pickup(request: Request, token: Operate, id: Id, confirmation: Confirmation) -> PickupInFull:
    """Name the addressee of a request, as its customer asked: it becomes an order and its stamp goes live."""
    address = Address.of(confirmation.addressee)
    with _writing(request) as conn:
        by, now = f"token {token.name}", database.now()
        cloud.pickups.store.confirm(conn, id, address, actor=by, now=now)
        record(conn, actor=by, action="pickup.confirm", subject=f"order {id}", now=now)
        answer = _in_full(conn, request.app.state.vault, id, token)
    request.app.state.bell.ring()
    return answer


@router.post("/pickups/{id}/cancel", tags=["pickups"], responses=NOT_FOUND | CONFLICT)
def cancel_pickup(request: Request, token: Operate, id: Id) -> PickupInFull:
    """Take an order back; its stamp becomes void."""
    with _writing(request) as conn:
        by, now = f"token {token.name}", database.now()
        cloud.pickups.store.cancel(conn, id, actor=by, now=now)
        record(conn, actor=by, action="pickup.cancel", subject=f"order {id}", now=now)
        answer = _in_full(conn, request.app.state.vault, id, token)
    request.app.state.bell.ring()
    return answer


@router.post("/pickups/{id}/round", tags=["pickups"], responses=NOT_FOUND | CONFLICT)
def put_on_round(request: Request, token: Collect, id: Id, told: PutOnRound) -> PickupInFull:
    """A confirmed order is on a postman's list for the day; again, where its round or stop changes."""
    return _tell(request, token, id, Event.PUT_ON_ROUND, told)


@router.post("/pickups/{id}/collect", tags=["pickups"], responses=NOT_FOUND | CONFLICT)
def collect_pickup(request: Request, token: Collect, id: Id, told: Collection) -> PickupInFull:
    """The postman has it: responsibility passes. Also told when a sorting centre was quicker."""
    return _tell(request, token, id, Event.COLLECTED, told)


@router.post("/pickups/{id}/fail", tags=["pickups"], responses=NOT_FOUND | CONFLICT)
def fail_pickup(request: Request, token: Collect, id: Id, told: Failure) -> PickupInFull:
    """The postman was there and could not take it; the stamp becomes void."""
    return _tell(request, token, id, Event.FAILED, told)


@router.post("/pickups/{id}/deliver", tags=["pickups"], responses=NOT_FOUND | CONFLICT)
def deliver_pickup(request: Request, token: Collect, id: Id, told: Delivery) -> PickupInFull:
    """A sorted parcel is handed over: at a door, or into a locker, a relay or an office."""
    return _tell(request, token, id, Event.DELIVERED, told)


def _tell(request: Request, token: Token, id: int, event: Event, told: Told) -> PickupInFull:
    actor, now = f"token {token.name}", database.now()
    with _writing(request) as conn:
        named = {"key": told.event_id, "happened_at": told.happened_at}
        if cloud.pickups.store.tell(conn, id, event, told.detail, **named, actor=actor, now=now):
            said = told.detail.as_json()
            said.pop("place", None)
            cloud.audit.store.record(
                conn, actor=actor, action=f"pickup.{VERBS[event]}", subject=f"order {id}", now=now, **said
            )
        answer = _in_full(conn, request.app.state.vault, id, token)
    request.app.state.bell.ring()
    return answer


router.include_router(cloud.stamps.api.router)
router.include_router(cloud.appeals.api.router)
router.include_router(cloud.alerts.api.router, responses=NOT_FOUND | CONFLICT)
router.include_router(cloud.downlinks.api.router, responses=NOT_FOUND | CONFLICT)


def _reading(request: Request):
    return database.reading(request.app.state.engine)


def _writing(request: Request):
    return request.app.state.engine.begin()


def _device(text: str) -> int:
    try:
        return parse_id(text)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None


def _in_full(conn: sa.Connection, vault: Vault, id: int, token: Token) -> PickupInFull:
    pickup = cloud.pickups.store.find(conn, id)
    if pickup is None:
        raise HTTPException(404, f"no order {id}")
    stamp = cloud.stamps.store.of_pickup(conn, vault, id)
    told = None if stamp is None else StampAnswer.model_validate(stamp)
    if told is not None and Right.READ_STAMPS not in token.rights:
        told.code = None
    return PickupInFull(
        **PickupAnswer.model_validate(pickup).model_dump(),
        events=[EventAnswer.model_validate(event) for event in cloud.pickups.store.events(conn, id)],
        stamp=told,
    )
