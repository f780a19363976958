"""Appeals: the form that anybody can reach, its outcome by its reference, and the staff's list.

The form answers the same, in the same time, whatever code it is given: nobody looks the code up before staff do.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from fastapi.responses import RedirectResponse, Response

import cloud.stamps.store
from cloud import database, pages
from cloud.accounts import attempts, guard
from cloud.accounts.model import Right, Session
from cloud.appeals import store
from cloud.appeals.model import (
    MAX_CONTACT,
    MAX_NAME,
    MAX_PIECE,
    MAX_REASON,
    MAX_TEXT,
    Claim,
    Fault,
    Faulty,
    NotFound,
    State,
    check_reason,
    claim,
)
from cloud.audit.store import record
from cloud.words import N_, Said, words_of

PER_ADDRESS = 5  # appeals in accounts.attempts.WINDOW
IN_ALL = 300
ROWS = 50
MAX_ID = 2**63 - 1

router = APIRouter()

Judge = Annotated[Session, Depends(guard.signed_in(Right.JUDGE))]
Id = Annotated[int, Path(ge=0, le=MAX_ID)]
FIELDS = ("name", "contact", "piece", "code", "text")


@router.get("/appeal")
def ask(request: Request) -> Response:
    return _form(request, {})


@router.post("/appeal")
def file(
    request: Request,
    name: Annotated[str, Form()] = "",
    contact: Annotated[str, Form()] = "",
    piece: Annotated[str, Form()] = "",
    code: Annotated[str, Form()] = "",
    text: Annotated[str, Form()] = "",
) -> Response:
    typed = {"name": name, "contact": contact, "piece": piece, "code": code, "text": text}
    try:
        said = claim(**typed)
    except Faulty as faulty:
        return _form(request, typed, faulty.faults)
    return RedirectResponse(f"/appeal/{file_one(request, said)}", 303)


def file_one(request: Request, said: Claim) -> str:
    """The reference of a new appeal. Raises `TooManyAttempts`; appeals that were filed are not given back."""
    now = database.now()
    address = f"appeal from {attempts.of_address(guard.address(request))[0]}"
    request.app.state.attempts.take([(address, PER_ADDRESS), ("appeals", IN_ALL)], now)
    with request.app.state.engine.begin() as conn:
        reference = store.file(conn, request.app.state.vault, said, now)
        subject = f"appeal {store.id_of(conn, reference)}"
        record(conn, actor="visitor", action="appeal.file", subject=subject, now=now)
        return reference


@router.get("/appeal/outcome")
def find_outcome(request: Request, reference: Annotated[str, Query(max_length=100)] = "") -> Response:
    with database.reading(request.app.state.engine) as conn:
        appeal = store.by_reference(conn, request.app.state.vault, reference)
    if appeal is None:
        return _form(request, {}, unknown=reference)
    return RedirectResponse(f"/appeal/{appeal.reference}", 303)


@router.get("/appeal/{reference}")
def show_outcome(request: Request, reference: str) -> Response:
    with database.reading(request.app.state.engine) as conn:
        appeal = store.by_reference(conn, request.app.state.vault, reference)
    if appeal is None:
        raise NotFound(N_("there is no appeal of this number"))
    return pages.render(request, "appeal_outcome.html", lang=pages.language(request), appeal=appeal)


def _form(
    request: Request, typed: dict[str, str], faults: dict[str, Fault] | None = None, unknown: str | None = None
) -> Response:
    status = 422 if faults else 404 if unknown is not None else 200
    return pages.render(
        request,
        "appeal.html",
        lang=pages.language(request),
        status=status,
        here="/appeal",
        typed=dict.fromkeys(FIELDS, "") | typed,
        faults=dict.fromkeys(FIELDS) | (faults or {}),
        unknown=unknown,
        most={"name": MAX_NAME, "contact": MAX_CONTACT, "piece": MAX_PIECE, "text": MAX_TEXT},
    )


# For staff


@router.get("/appeals")
def list_appeals(
    request: Request,
    session: Judge,
    state: State | None = None,
    before: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
) -> Response:
    with database.reading(request.app.state.engine) as conn:
        appeals = store.newest(conn, request.app.state.vault, limit=ROWS, state=state, before=before)
    return pages.render_for_staff(
        request,
        "console/appeals.html",
        appeals=appeals,
        state=state,
        states=list(State),
        rows=ROWS,
    )


@router.get("/appeals/{id}")
def show_appeal(request: Request, session: Judge, id: Id) -> Response:
    return _page(request, id)


@router.post("/appeals/{id}/decide", dependencies=[Depends(guard.csrf_checked)])
def decide(
    request: Request,
    session: Judge,
    id: Id,
    outcome: Annotated[State, Form()],
    reason: Annotated[str, Form()] = "",
) -> Response:
    try:
        told = check_reason(reason)
    except ValueError as error:
        return _page(request, id, reason, words_of(error))
    with request.app.state.engine.begin() as conn:
        by, now = f"staff {session.account.name}", database.now()
        store.decide(conn, request.app.state.vault, id, outcome, by=by, reason=told, at=now)
        record(conn, actor=by, action="appeal.decide", subject=f"appeal {id}", now=now, outcome=outcome)
    return RedirectResponse(f"/appeals/{id}", 303)


def _page(request: Request, id: int, reason: str = "", fault: Said | str = "") -> Response:
    vault = request.app.state.vault
    with database.reading(request.app.state.engine) as conn:
        appeal = store.find(conn, vault, id)
        stamp = None if appeal.code is None else cloud.stamps.store.find(conn, vault, appeal.code)
    return pages.render_for_staff(
        request,
        "console/appeal.html",
        status=422 if fault else 200,
        here=f"/appeals/{id}",
        appeal=appeal,
        stamp=stamp,
        reason=reason,
        fault=fault,
        most=MAX_REASON,
    )
