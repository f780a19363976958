"""Signing in and out."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from cloud import database, pages
from cloud.accounts import attempts, guard, passwords, store
from cloud.accounts.model import SESSION_LASTS, Account, Right, TooBusy

router = APIRouter()


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
    request.app.state.attempts.take(counted, now)
    try:
        with database.reading(request.app.state.engine) as conn:
            account = store.check_password(conn, name, password)
    except TooBusy:
        request.app.state.attempts.give_back(counted)  # nothing was tried
        raise
    if account is None:
        return _page(request, target, name=name, wrong=True, status=403)
    request.app.state.attempts.give_back(counted)
    if passwords.is_outdated(account.password_hash):
        anew = passwords.digest(password)
        with request.app.state.engine.begin() as conn:
            store.set_password(conn, account, anew)
    return enter(request, account, pages.local_path(target), now)


@router.post("/sign-out", dependencies=[Depends(guard.csrf_checked)])
def sign_out(request: Request) -> Response:
    with request.app.state.engine.begin() as conn:
        store.close_session(conn, request.cookies[guard.COOKIE])
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(guard.COOKIE)
    return answer


def enter(request: Request, account: Account, target: str | None, now: datetime) -> Response:
    """Open a new session in this browser, in place of any other, and go to `target` or the account's own start."""
    with request.app.state.engine.begin() as conn:
        store.close_session(conn, request.cookies.get(guard.COOKIE, ""))
        token, _csrf = store.open_session(conn, account.id, now)
    answer = RedirectResponse(target or ("/my" if Right.OWN in account.rights else "/"), 303)
    answer.set_cookie(
        guard.COOKIE,
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
