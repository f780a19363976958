"""Claiming a button: the code from the card in its box makes its owner, and an account where there is none."""

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from cloud import database, pages
from cloud.accounts import attempts, guard, passwords
from cloud.accounts import store as accounts
from cloud.accounts.model import Forbidden, PasswordRefused, Right, Role, Session, check_new_password, is_email
from cloud.accounts.pages import enter
from cloud.audit.store import record
from cloud.fleet import store
from cloud.fleet.model import Button, format_id, parse_id
from cloud.words import N_

router = APIRouter()

MAX_NAME = 80  # characters of a display name

Customer = Annotated[Session, Depends(guard.signed_in(Right.OWN))]
Visitor = Annotated[Session | None, Depends(guard.current)]


class Refused(Exception):
    """Ends the transaction with the fault of one field: a message's key."""

    def __init__(self, field: str, fault: str) -> None:
        self.faults = {field: fault}


@router.get("/claim")
def ask(request: Request, session: Visitor, code: str = "") -> Response:
    return _page(request, {"code": code})


@router.post("/claim")
def claim(
    request: Request,
    session: Visitor,
    code: Annotated[str, Form()] = "",
    display_name: Annotated[str, Form()] = "",
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    csrf: Annotated[str, Form()] = "",
) -> Response:
    """Who has signed in only gives the code; anyone else says who they are, and has an account afterwards."""
    if session:
        guard.check_form(session, csrf)
        if Right.OWN not in session.account.rights:
            raise Forbidden(N_("a button belongs to a customer"))
    typed = {"code": code, "display_name": display_name.strip(), "name": name.strip()}
    if faults := _faults(typed, password, is_known=session is not None):
        return _page(request, typed, faults)

    now = database.now()
    counted = [attempts.of_address(guard.address(request))]
    request.app.state.attempts.take(counted, now)
    hashed = None if session else passwords.digest(password)  # before the transaction, for which others wait
    try:
        with request.app.state.engine.begin() as conn:
            owner = session.account if session else accounts.find(conn, name)
            is_taken = owner is not None and not session
            if owner is None:
                assert hashed is not None
                who, called = typed["name"], typed["display_name"]
                owner = accounts.add(conn, name=who, display_name=called, role=Role.CUSTOMER, password=hashed, now=now)
            button = store.claim(conn, claim_code=code, owner_id=owner.id, now=now)
            if button is None:
                raise Refused("code", "claim.fault.unknown code")
            if is_taken:  # told only to who holds a code: the page says to nobody else who is a customer
                raise Refused("name", "claim.fault.known")
            if not session:
                record(conn, actor=owner.actor, action="account.add", subject=owner.subject, now=now, role=owner.role)
            subject = f"button {format_id(button.id)}"
            record(conn, actor=owner.actor, action="button.claim", subject=subject, now=now)
    except Refused as refused:
        return _page(request, typed, refused.faults)
    request.app.state.attempts.give_back(counted)
    return RedirectResponse("/my", 303) if session else enter(request, owner, "/my", now)


@router.get("/my/buttons/{id}/lost")
def ask_if_lost(request: Request, session: Customer, id: str) -> Response:
    button = _own(request, session, id)
    return pages.render(request, "lost.html", lang=pages.language(request), button=button)


@router.post("/my/buttons/{id}/lost", dependencies=[Depends(guard.csrf_checked)])
def report_lost(request: Request, session: Customer, id: str) -> Response:
    """Its owner says so: from now on whatever it sends is refused."""
    button, by = _own(request, session, id), f"customer {session.account.name}"
    with request.app.state.engine.begin() as conn:
        store.revoke(conn, button.id, why="lost", by=by, now=database.now())
        actor, subject = session.account.actor, f"button {format_id(button.id)}"
        record(conn, actor=actor, action="button.revoke", subject=subject, now=database.now(), why="lost")
    return RedirectResponse("/my", 303)


def _own(request: Request, session: Session, id: str) -> Button:
    """Not found for another's button too: whether it exists is not told."""
    with suppress(ValueError), database.reading(request.app.state.engine) as conn:
        button = store.find(conn, parse_id(id))
        if button is not None and button.owner_id == session.account.id:
            return button
    raise HTTPException(404, N_("You have no such button."))


def _faults(typed: dict[str, str], password: str, *, is_known: bool) -> dict[str, str]:
    faults = {} if typed["code"].strip() else {"code": "claim.fault.no code"}
    if is_known:
        return faults
    if not 1 <= len(typed["display_name"]) <= MAX_NAME or not typed["display_name"].isprintable():
        faults["display_name"] = "claim.fault.display name"
    if not is_email(typed["name"]):
        faults["name"] = "claim.fault.e-mail"
    try:
        check_new_password(password, typed["name"])
    except PasswordRefused as refused:
        faults["password"] = f"claim.fault.password {refused.reason}"
    return faults


def _page(request: Request, typed: dict[str, str], faults: dict[str, str] | None = None) -> Response:
    blank = dict.fromkeys(("code", "display_name", "name", "password"), "")
    status = 422 if faults else 200
    lang = pages.language(request)
    return pages.render(
        request, "claim.html", lang=lang, status=status, typed=blank | typed, faults=blank | (faults or {})
    )
