"""The customer's own pages: what was asked for, where it is going, and taking it back."""

from collections import defaultdict
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Path, Request
from fastapi.responses import RedirectResponse, Response

from cloud import database, pages
from cloud.accounts.guard import csrf_checked, signed_in
from cloud.accounts.model import Right, Session
from cloud.audit.store import record
from cloud.fleet import store as fleet
from cloud.pickups import store
from cloud.pickups.model import Event, NotFound, Pickup, State, WrongState
from cloud.places.model import LINE_LENGTH, LINES, Address, AddressError

router = APIRouter()

Customer = Annotated[Session, Depends(signed_in(Right.OWN))]
PickupId = Annotated[int, Path(ge=1, lt=2**63)]


class Step(StrEnum):
    CHANGE = "change"
    CHECK = "check"
    CONFIRM = "confirm"


def _typed(
    line1: Annotated[str, Form()] = "",
    line2: Annotated[str, Form()] = "",
    line3: Annotated[str, Form()] = "",
    line4: Annotated[str, Form()] = "",
    line5: Annotated[str, Form()] = "",
    line6: Annotated[str, Form()] = "",
) -> tuple[str, ...]:
    return line1, line2, line3, line4, line5, line6


Typed = Annotated[tuple[str, ...], Depends(_typed)]


@router.get("/my")
def list_own(request: Request, session: Customer) -> Response:
    with database.reading(request.app.state.engine) as conn:
        pickups = store.of_owner(conn, session.account.id)
        buttons = {button.id: button for button in fleet.owned_by(conn, session.account.id)}
    return _render(request, "my.html", pickups=pickups, buttons=buttons)


@router.get("/my/pickups/{pickup_id}")
def show(request: Request, session: Customer, pickup_id: PickupId) -> Response:
    pickup = _own(request, session, pickup_id)
    if pickup.state is State.REQUESTED:
        return _ask_address(request, pickup, ("",) * LINES)
    return _show_state(request, pickup)


@router.post("/my/pickups/{pickup_id}", dependencies=[Depends(csrf_checked)])
def proceed(
    request: Request, session: Customer, pickup_id: PickupId, typed: Typed, step: Annotated[Step, Form()]
) -> Response:
    """From the six lines as typed, to those lines as they will be written, to the confirmed pickup."""
    pickup = _own(request, session, pickup_id)
    try:
        pickup.on(Event.CONFIRMED)
        if step is Step.CHANGE:
            return _ask_address(request, pickup, typed)
        address = Address.of(typed)
        if step is Step.CHECK:
            return _render(request, "review.html", pickup, lines=address.lines)
        with request.app.state.engine.begin() as conn:
            now, actor = database.now(), session.account.actor
            store.confirm(conn, pickup_id, address, _actor(session), now)
            record(conn, actor=actor, action="pickup.confirm", subject=f"order {pickup_id}", now=now)
    except AddressError as error:
        return _ask_address(request, pickup, typed, error)
    except WrongState:
        return _show_late(request, session, pickup_id)
    return _done(request, pickup_id)


@router.get("/my/pickups/{pickup_id}/cancel")
def ask_to_cancel(request: Request, session: Customer, pickup_id: PickupId) -> Response:
    pickup = _own(request, session, pickup_id)
    return _render(request, "cancel.html", pickup) if _can_cancel(pickup) else _show_state(request, pickup)


@router.post("/my/pickups/{pickup_id}/cancel", dependencies=[Depends(csrf_checked)])
def cancel(request: Request, session: Customer, pickup_id: PickupId) -> Response:
    _own(request, session, pickup_id)
    try:
        with request.app.state.engine.begin() as conn:
            now, actor = database.now(), session.account.actor
            store.cancel(conn, pickup_id, _actor(session), now)
            record(conn, actor=actor, action="pickup.cancel", subject=f"order {pickup_id}", now=now)
    except WrongState:
        return _show_late(request, session, pickup_id)
    return _done(request, pickup_id)


def _own(request: Request, session: Session, pickup_id: int) -> Pickup:
    """Raises NotFound for another's pickup too: whether it exists is not told."""
    with database.reading(request.app.state.engine) as conn:
        pickup = store.find(conn, pickup_id)
        button = pickup and fleet.find(conn, pickup.button_id)
    if pickup is None or button is None or button.owner_id != session.account.id:
        raise NotFound(pickup_id)
    return pickup


def _done(request: Request, pickup_id: int) -> Response:
    request.app.state.bell.ring()
    return RedirectResponse(f"/my/pickups/{pickup_id}", 303)


def _actor(session: Session) -> str:
    return f"customer {session.account.name}"


def _can_cancel(pickup: Pickup) -> bool:
    try:
        pickup.on(Event.CANCELLED)
    except WrongState:
        return False
    return True


def _ask_address(
    request: Request, pickup: Pickup, typed: tuple[str, ...], error: AddressError | None = None
) -> Response:
    faults: defaultdict[int, list[str]] = defaultdict(list)
    for line, reason in error.errors if error else ():
        faults[line].append(reason)
    return _render(request, "confirm.html", pickup, status=422 if error else 200, typed=typed, faults=faults)


def _show_state(request: Request, pickup: Pickup, status: int = 200) -> Response:
    return _render(request, "pickup.html", pickup, status=status, can_cancel=_can_cancel(pickup))


def _show_late(request: Request, session: Session, pickup_id: int) -> Response:
    """Someone else moved the pickup meanwhile: what was asked for did not happen."""
    return _show_state(request, _own(request, session, pickup_id), status=409)


def _render(request: Request, template: str, pickup: Pickup | None = None, **context: Any) -> Response:
    here = f"/my/pickups/{pickup.id}" if pickup else None
    context |= {"pickup": pickup, "line_length": LINE_LENGTH}
    return pages.render(request, template, lang=pages.language(request), here=here, **context)
