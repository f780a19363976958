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
from cloud.accounts.model import Forbidden, Right, Session, SignInNeeded, Token, TokenNeeded

COOKIE = "domino_session"

_bearer = HTTPBearer(auto_error=False, description="A token made by `domino token create`")


def address(request: Request) -> str:
    """Where a request comes from: the server resolves proxies, so that nobody else can claim an address."""
    return request.client.host if request.client else ""


def current(request: Request) -> Session | None:
    """Whoever has signed in; the templates find it as `session`."""
    token = request.cookies.get(COOKIE)
    if not token:
        return None
    with database.reading(request.app.state.engine) as conn:
        request.state.session = store.find_session(conn, token, database.now())
    return request.state.session


def signed_in(right: Right) -> Callable[..., Session]:
    def check(session: Annotated[Session | None, Depends(current)]) -> Session:
        if session is None:
            raise SignInNeeded
        if right not in session.account.rights:
            raise Forbidden(f"a {session.account.role} may not do this; it takes the right to {right}")
        return session

    return check


def csrf_checked(session: Annotated[Session | None, Depends(current)], csrf: Annotated[str, Form()] = "") -> None:
    """The form carries its session's own token, so no other site can have written it."""
    if session is None:
        raise SignInNeeded
    check_form(session, csrf)


def check_form(session: Session, csrf: str) -> None:
    if not hmac.compare_digest(csrf.encode(), session.csrf.encode()):
        raise Forbidden("the form is not of this session; open the page anew")


def bearer(right: Right) -> Callable[..., Token]:
    def check(request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Token:
        if credentials is None:
            raise TokenNeeded("the API wants a header 'Authorization: Bearer domino_…'")
        with database.reading(request.app.state.engine) as conn:
            token = store.find_token(conn, credentials.credentials, database.now())
        if token is None:
            raise TokenNeeded("this token is unknown, revoked or expired")
        if right not in token.rights:
            raise Forbidden(f"a token of role {token.role} may not do this; it takes the right to {right}")
        return token

    return check
