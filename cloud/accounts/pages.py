"""Signing in and out, and changing one's password: customers on a page of their own here, staff on `/me`."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from cloud import database, pages
from cloud.accounts import attempts, guard, passwords, store
from cloud.accounts.model import (
    MAX_PASSWORD,
    MIN_PASSWORD,
    SESSION_LASTS,
    Account,
    PasswordRefused,
    Right,
    Session,
    TooBusy,
    TooManyAttempts,
    check_new_password,
)
from cloud.audit.store import record

MAX_BROWSER = 200  # characters of what a browser calls itself

# What customers are told of a new password that is not taken, by `change_password`'s reasons.
REFUSED = {
    "short": "claim.fault.password short",
    "long": "claim.fault.password long",
    "name": "claim.fault.password name",
    "same": "password.fault.same",
    "twice": "password.fault.twice",
    "old": "password.fault.old",
}

router = APIRouter()

Customer = Annotated[Session, Depends(guard.signed_in(Right.OWN))]
Secret = Annotated[str, Form(max_length=2 * MAX_PASSWORD)]


@dataclass(frozen=True, slots=True)
class Passwords:
    """As a form has them: the present one, and the new one twice."""

    old: str = field(repr=False)
    new: str = field(repr=False)
    again: str = field(repr=False)


def typed(old: Secret = "", new: Secret = "", again: Secret = "") -> Passwords:
    """A dependency: the form of a password's change."""
    return Passwords(old, new, again)


Typed = Annotated[Passwords, Depends(typed)]


@router.get("/sign-in")
def ask(request: Request, target: Annotated[str, Query(alias="next")] = "") -> Response:
    return _page(request, target)


@router.post("/sign-in")
def sign_in(
    request: Request,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    target: Annotated[str, Form(alias="next")] = "",
) -> Response:
    now = database.now()
    counted = [attempts.of_name(name), attempts.of_address(guard.address(request))]
    try:
        request.app.state.attempts.take(counted, now)
    except TooManyAttempts:
        _note_refused(request, name, now)
        raise
    try:
        with database.reading(request.app.state.engine) as conn:
            account = store.check_password(conn, name, password)
    except TooBusy:
        request.app.state.attempts.give_back(counted)  # nothing was tried
        raise
    if account is None or (account.password_until is not None and account.password_until <= now):
        _note_refused(request, name, now)
        return _page(request, target, name=name, wrong=True, status=403)
    request.app.state.attempts.give_back(counted)
    if passwords.is_outdated(account.password_hash):
        anew = passwords.digest(password)
        with request.app.state.engine.begin() as conn:
            store.set_password(conn, account, anew)
    return enter(request, account, pages.local_path(target), now)


def _note_refused(request: Request, name: str, now: datetime) -> None:
    """Whose name it was; one that nobody has is not written down, because people type passwords there."""
    with database.reading(request.app.state.engine) as conn:
        account = store.find(conn, name)
    subject = account.subject if account else "unknown name"
    host, tried = guard.address(request), attempts.of_name(name)[0]
    request.app.state.notes.refused("session.refused", tried=tried, subject=subject, address=host, now=now)


@router.post("/sign-out", dependencies=[Depends(guard.csrf_checked)])
def sign_out(request: Request, session: Annotated[Session, Depends(guard.current)]) -> Response:
    with request.app.state.engine.begin() as conn:
        store.close_session(conn, guard.session_token(request))
        account = session.account
        record(conn, actor=account.actor, action="session.close", subject=account.subject, now=database.now())
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(guard.cookie(request), secure=request.url.scheme == "https", httponly=True, samesite="lax")
    return answer


@router.get("/my/password")
def ask_password(request: Request, session: Customer, changed: Annotated[bool, Query()] = False) -> Response:
    return _password_page(request, session, changed=changed)


@router.post("/my/password", dependencies=[Depends(guard.csrf_checked)])
def change_own_password(request: Request, session: Customer, said: Typed) -> Response:
    now = database.now()
    if (fault := change_password(request, session.account, said, now)) is not None:
        where, reason = fault
        return _password_page(request, session, {where: REFUSED[reason]})
    return enter(request, session.account, "/my/password?changed=true", now)


def _password_page(
    request: Request, session: Session, faults: dict[str, str] | None = None, *, changed: bool = False
) -> Response:
    return pages.render(
        request,
        "password.html",
        lang=pages.language(request),
        status=422 if faults else 200,
        here="/my/password",
        account=session.account,
        faults=dict.fromkeys(("old", "new", "again"), "") | (faults or {}),
        changed=changed,
        least=MIN_PASSWORD,
        most=MAX_PASSWORD,
    )


def change_password(request: Request, account: Account, said: Passwords, now: datetime) -> tuple[str, str] | None:
    """Where it is taken, every session of theirs has ended, this one too: `enter` opens another.

    Else the field that is wrong, and why: short, long, name (as `PasswordRefused` has it), same, twice or old. Raises
    `TooManyAttempts`, counted together with those at the sign-in.
    """
    try:
        check_new_password(said.new, account.name)
    except PasswordRefused as refused:
        return "new", refused.reason
    if said.new == said.old:
        return "new", "same"
    if said.new != said.again:
        return "again", "twice"
    counted = [attempts.of_name(account.name), attempts.of_address(guard.address(request))]
    request.app.state.attempts.take(counted, now)  # who found an open browser does not get to guess
    try:
        with database.reading(request.app.state.engine) as conn:
            fits = store.check_password(conn, account.name, said.old) is not None
        hashed = passwords.digest(said.new) if fits else None
    except TooBusy:
        request.app.state.attempts.give_back(counted)  # nothing was tried
        raise
    if hashed is None:
        return "old", "old"
    request.app.state.attempts.give_back(counted)
    with request.app.state.engine.begin() as conn:
        store.change_password(conn, account, hashed)
        record(conn, actor=account.actor, action="account.password", subject=account.subject, now=now)
    return None


def enter(request: Request, account: Account, target: str | None, now: datetime) -> Response:
    """Open a new session in this browser, in place of any other, and go to `target` or the account's own start."""
    host = guard.address(request)
    browser = "".join(filter(str.isprintable, request.headers.get("user-agent", "")))[:MAX_BROWSER]
    with request.app.state.engine.begin() as conn:
        store.close_session(conn, guard.session_token(request))
        token, _csrf = store.open_session(conn, account.id, now, network=host, browser=browser)
        network = attempts.of_address(host)[0].removeprefix("address ").removesuffix("/32")
        record(conn, actor=account.actor, action="session.open", subject=account.subject, now=now, network=network)
    answer = RedirectResponse(target or ("/my" if Right.OWN in account.rights else "/"), 303)
    answer.set_cookie(
        guard.cookie(request),
        token,
        max_age=int(SESSION_LASTS[account.role].total_seconds()),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return answer


def _page(request: Request, target: str, *, name: str = "", wrong: bool = False, status: int = 200) -> Response:
    lang = pages.language(request)
    return pages.render(request, "sign_in.html", lang=lang, status=status, next=target, name=name, wrong=wrong)
