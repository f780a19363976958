"""What is each member of staff's own: their password, and the browsers that they are signed in with."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response

from cloud import database
from cloud.accounts import guard, store
from cloud.accounts.model import MAX_PASSWORD, MIN_PASSWORD, Session
from cloud.accounts.pages import Typed, change_password, enter
from cloud.audit.store import record
from cloud.console import desk
from cloud.words import N_, Said

REFUSED = {
    "short": N_("The new password is too short: it needs %(n)s characters.", n=MIN_PASSWORD),
    "long": N_("The new password is too long."),
    "name": N_("The new password is the name that you sign in with."),
    "same": N_("The new password is the one you have."),
    "twice": N_("The two new passwords differ."),
    "old": N_("That is not your password."),
}

router = APIRouter()
Own = Annotated[Session, Depends(guard.staff)]
Checked = Depends(guard.csrf_checked)


@router.get("/me")
def show_own(request: Request, session: Own, changed: Annotated[bool, Query()] = False) -> Response:
    return _page(request, session, changed=changed)


@router.post("/me/password", dependencies=[Checked])
def change_own_password(request: Request, session: Own, said: Typed) -> Response:
    """Ends every other session of theirs; this one goes on under a new cookie."""
    now = database.now()
    if (fault := change_password(request, session.account, said, now)) is not None:
        where, reason = fault
        return _page(request, session, {where: REFUSED[reason]})
    return enter(request, session.account, "/me?changed=true", now)


@router.post("/me/sessions/end", dependencies=[Checked])
def end_others(request: Request, session: Own) -> Response:
    account = session.account
    with request.app.state.engine.begin() as conn:
        ended = store.end_sessions(conn, account.id, but=guard.session_token(request))
        if ended:
            about = {"now": database.now(), "count": ended}
            record(conn, actor=account.actor, action="session.end", subject=account.subject, **about)
    return RedirectResponse("/me", 303)


@router.post("/me/sessions/{name}/end", dependencies=[Checked])
def end_one(request: Request, session: Own, name: str) -> Response:
    account = session.account
    with request.app.state.engine.begin() as conn:
        store.end_session(conn, account.id, name)
        record(conn, actor=account.actor, action="session.end", subject=account.subject, now=database.now())
    return RedirectResponse("/me", 303)


def _page(
    request: Request, session: Session, faults: dict[str, Said] | None = None, *, changed: bool = False
) -> Response:
    now = database.now()
    with database.reading(request.app.state.engine) as conn:
        found = store.sessions_of(conn, session.account, now, guard.session_token(request))
    return desk.render(
        request,
        "console/me.html",
        status=422 if faults else 200,
        here="/me",
        now=now,
        account=session.account,
        sessions=found,
        faults=faults or {},
        changed=changed,
        least=MIN_PASSWORD,
        most=MAX_PASSWORD,
    )
