"""The doors: what a route demands of whoever asks, as FastAPI dependencies.

A page takes ``session: Annotated[Session, Depends(signed_in(Right.SEE))]``, and a form's target also
``Depends(csrf_checked)``; the API takes ``Annotated[Token, Depends(bearer(Right.SEE))]``.
"""

import hmac
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Form, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from cloud import database
from cloud.accounts import store
from cloud.accounts.model import Forbidden, PasswordDue, Right, Role, Session, SignInNeeded, Token, TokenNeeded
from cloud.words import N_, Said

COOKIE = "domino_session"
# Over TLS: a browser takes such a cookie from this very host alone, never from a neighbour or over plain HTTP.
SECURE_COOKIE = f"__Host-{COOKIE}"

_bearer = HTTPBearer(auto_error=False, description="A token made by `domino token create`")


def address(request: Request) -> str:
    """Where a request comes from: the server resolves proxies, so that nobody else can claim an address."""
    return request.client.host if request.client else ""


def cookie(request: Request) -> str:
    """What the session's cookie is called where this request came from."""
    return SECURE_COOKIE if request.url.scheme == "https" else COOKIE


def session_token(request: Request) -> str:
    """What the browser shows as its session; empty where it shows none."""
    return request.cookies.get(cookie(request), "")


def current(request: Request) -> Session | None:
    """Whoever has signed in; the templates find it as `session`."""
    token, now = session_token(request), database.now()
    if not token:
        return None
    with database.reading(request.app.state.engine) as conn:
        session = store.find_session(conn, token, now)
    if session is not None and _is_by_hand(request):
        request.app.state.notes.seen(store.hash_of(token), now)
    request.state.session = session
    return session


def _is_by_hand(request: Request) -> bool:
    """Whether somebody opened a page or sent a form: what an open page asks for by itself keeps no session awake."""
    if request.method == "POST":
        return True
    is_stream = request.headers.get("accept") == "text/event-stream"
    return not is_stream and request.headers.get("sec-fetch-mode", "navigate") == "navigate"


def signed_in(right: Right) -> Callable[..., Session]:
    def check(session: Annotated[Session | None, Depends(current)]) -> Session:
        if session is None:
            raise SignInNeeded
        if session.account.password_until is not None:
            raise PasswordDue
        if right not in session.account.rights:
            may = {"role": Said(session.account.role), "right": Said(right)}
            raise Forbidden(N_("a %(role)s may not do this; it takes the right to %(right)s", **may))
        return session

    return check


def staff(session: Annotated[Session | None, Depends(current)]) -> Session:
    """Anyone of staff, whatever their rights: for what is their own."""
    if session is None:
        raise SignInNeeded
    if session.account.role is Role.CUSTOMER:
        raise Forbidden(N_("this is for staff"))
    return session


def csrf_checked(session: Annotated[Session | None, Depends(current)], csrf: Annotated[str, Form()] = "") -> None:
    """The form carries its session's own token, so no other site can have written it."""
    if session is None:
        raise SignInNeeded
    check_form(session, csrf)


def check_form(session: Session, csrf: str) -> None:
    if not hmac.compare_digest(csrf.encode(), session.csrf.encode()):
        raise Forbidden(N_("the form is not of this session; open the page anew"))


def bearer(right: Right) -> Callable[..., Token]:
    def check(request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Token:
        if credentials is None:
            raise TokenNeeded("the API wants a header 'Authorization: Bearer domino_…'")
        with database.reading(request.app.state.engine) as conn:
            token = store.find_token(conn, credentials.credentials, database.now())
        if token is None:
            raise TokenNeeded("this token is unknown, revoked or expired")
        now, host = database.now(), address(request)
        if not token.may_come_from(host):
            subject = f"token {token.name}"
            request.app.state.notes.refused("token.refused", tried=subject, subject=subject, address=host, now=now)
            raise Forbidden("this token may not be used from here")
        if right not in token.rights:
            raise Forbidden(f"this token, of role {token.role}, may not do this; it takes the right to {right}")
        request.app.state.notes.used(token.id, now)
        return token

    return check
