"""Who may do what, for admins: the accounts of staff and the tokens of the API, made, changed and ended."""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from cloud import database
from cloud.accounts import guard, passwords, store
from cloud.accounts.model import (
    MAX_NAME,
    ONCE_LASTS,
    RIGHTS,
    SCOPES,
    STAFF,
    TOKEN_LASTS,
    Account,
    Exists,
    Faulty,
    Forbidden,
    Right,
    Role,
    check_name,
    check_sign_in_name,
    granted,
    parse_networks,
)
from cloud.audit.store import record
from cloud.console import desk
from cloud.console.desk import Administer, Id
from cloud.words import N_, Said, words_of

LASTS = (1, 7, 30, TOKEN_LASTS.days, 365)  # days that the page offers; 0 is for ever

# What each right lets somebody do, by its own word.
MAY: Mapping[str, Said] = {
    "see": N_("see buttons, frames, orders"),
    "operate": N_("confirm and cancel orders, revoke buttons, void stamps"),
    "administer": N_("add buttons, accounts and tokens, read the audit trail"),
    "read stamps": N_("learn what a code is worth"),
    "redeem": N_("redeem stamps"),
    "judge": N_("read and decide appeals"),
    "collect": N_("walk a round and collect parcels"),
}

router = APIRouter()
Checked = Depends(guard.csrf_checked)
Text = Annotated[str, Form(max_length=1000)]


@router.get("/access")
def show_access(request: Request, session: Administer) -> Response:
    now = database.now()
    with database.reading(request.app.state.engine) as conn:
        staff, tokens = store.staff(conn), store.tokens(conn, now)
    return desk.render(
        request,
        "console/access.html",
        now=now,
        staff=staff,
        tokens=tokens,
        may=MAY,
        soon=now + timedelta(days=14),
        most=store.MOST,
    )


# Accounts


@router.get("/access/accounts/new")
def ask_account(request: Request, session: Administer) -> Response:
    return _ask_account(request, {})


@router.post("/access/accounts", dependencies=[Checked])
def add_account(
    request: Request, session: Administer, name: Text = "", display_name: Text = "", role: Text = ""
) -> Response:
    """Its password is for once: shown on this answer alone, and changed at the first sign-in."""
    typed = {"name": name, "display_name": display_name, "role": role}
    try:
        folded, called, as_role = check_sign_in_name(name), check_name(display_name or name, N_("a name")), _role(role)
        password, until = _new_password(), database.now() + ONCE_LASTS
        hashed = passwords.digest(password)
        with request.app.state.engine.begin() as conn:
            now = database.now()
            account = store.add(
                conn,
                name=folded,
                display_name=called,
                role=as_role,
                password=hashed,
                now=now,
                password_until=until,
            )
            actor = session.account.actor
            record(conn, actor=actor, action="account.add", subject=account.subject, now=now, role=as_role)
    except (Exists, Faulty) as error:
        return _ask_account(request, typed, words_of(error))
    return _show_password(request, account, password, until)


@router.get("/access/accounts/{id}")
def show_account(request: Request, session: Administer, id: Id) -> Response:
    now = database.now()
    with database.reading(request.app.state.engine) as conn:
        account = store.one_of_staff(conn, id)
        made = [one for one in store.tokens(conn, now) if one.made_by == account.actor and one.is_in_force(now)]
    return desk.render(
        request,
        "console/account.html",
        now=now,
        account=account,
        made=made,
        roles=STAFF,
        may={role: [MAY[right] for right in sorted(RIGHTS[role]) if right in MAY] for role in STAFF},
        is_own=account.id == session.account.id,
    )


@router.post("/access/accounts/{id}/role", dependencies=[Checked])
def change_role(request: Request, session: Administer, id: Id, role: Text = "") -> Response:
    _check_another(session.account, id)
    new = _role(role)
    with request.app.state.engine.begin() as conn:
        before = store.set_role(conn, id, new)
        if before.role is not new:
            actor, now = session.account.actor, database.now()
            record(conn, actor=actor, action="account.role", subject=before.subject, now=now, was=before.role, role=new)
    return RedirectResponse(f"/access/accounts/{id}", 303)


@router.post("/access/accounts/{id}/disable", dependencies=[Checked])
def disable_account(request: Request, session: Administer, id: Id, tokens: Annotated[bool, Form()] = False) -> Response:
    """`tokens`: those that it made are revoked with it."""
    _check_another(session.account, id)
    with request.app.state.engine.begin() as conn:
        now, actor = database.now(), session.account.actor
        account = store.one_of_staff(conn, id)
        is_new = store.disable(conn, id, now)
        made = [one.token for one in store.tokens(conn, now) if one.made_by == account.actor and one.is_in_force(now)]
        revoked = [token for token in made if tokens and store.revoke_token(conn, token.id, now)]
        if is_new:
            record(conn, actor=actor, action="account.disable", subject=account.subject, now=now)
        for token in revoked:
            record(conn, actor=actor, action="token.revoke", subject=f"token {token.name}", now=now, number=token.id)
    return RedirectResponse(f"/access/accounts/{id}", 303)


@router.post("/access/accounts/{id}/enable", dependencies=[Checked])
def enable_account(request: Request, session: Administer, id: Id) -> Response:
    with request.app.state.engine.begin() as conn:
        account = store.one_of_staff(conn, id)
        if store.enable(conn, id):
            actor, now = session.account.actor, database.now()
            record(conn, actor=actor, action="account.enable", subject=account.subject, now=now)
    return RedirectResponse(f"/access/accounts/{id}", 303)


@router.post("/access/accounts/{id}/password", dependencies=[Checked])
def reset_password(request: Request, session: Administer, id: Id) -> Response:
    """A password for once in place of the one before, for somebody who forgot it; ends the account's sessions."""
    _check_another(session.account, id)
    password = _new_password()
    hashed, now = passwords.digest(password), database.now()
    with request.app.state.engine.begin() as conn:
        account = store.one_of_staff(conn, id)
        store.change_password(conn, account, hashed, until=now + ONCE_LASTS)
        record(conn, actor=session.account.actor, action="account.reset", subject=account.subject, now=now)
    return _show_password(request, account, password, now + ONCE_LASTS)


def _check_another(own: Account, id: int) -> None:
    if own.id == id:
        raise Forbidden(N_("nobody takes their own account away: ask another admin; your password is changed at /me"))


def _role(text: str) -> Role:
    if text not in STAFF:
        raise Faulty(N_("choose a role of staff"))
    return Role(text)


def _new_password() -> str:
    return secrets.token_urlsafe(12)  # 96 bits


def _ask_account(request: Request, typed: Mapping[str, str], fault: Said | str = "") -> Response:
    return desk.render(
        request,
        "console/account_new.html",
        status=422 if fault else 200,
        here="/access/accounts/new",
        typed={"name": "", "display_name": "", "role": Role.VIEWER} | dict(typed),
        fault=fault,
        roles=STAFF,
        may={role: [MAY[right] for right in sorted(RIGHTS[role]) if right in MAY] for role in STAFF},
        most=MAX_NAME,
        days=ONCE_LASTS.days,
    )


def _show_password(request: Request, account: Account, password: str, until: datetime) -> Response:
    context = {"account": account, "secret": password, "until": until, "token": None}
    return desk.render(request, "console/once.html", here="/access", **context)


# Tokens


@router.get("/access/tokens/new")
def ask_token(request: Request, session: Administer, role: Annotated[Role, Query()] = Role.VIEWER) -> Response:
    return _ask_token(request, {"scopes": sorted(RIGHTS[role])})


@router.post("/access/tokens", dependencies=[Checked])
def create_token(
    request: Request,
    session: Administer,
    name: Text = "",
    scopes: Annotated[list[str] | None, Form()] = None,
    days: Annotated[int, Form(ge=0, le=3650)] = TOKEN_LASTS.days,
    networks: Text = "",
) -> Response:
    """The token is shown on this answer alone."""
    typed = {"name": name, "scopes": scopes or [], "days": days, "networks": networks}
    try:
        called = check_name(name, N_("a token’s name"))
        wanted = frozenset(right for right in Right if right in (scopes or ()))
        role, rights = granted(session.account.rights, None, wanted)
        allowed, now = parse_networks(networks), database.now()
        until = now + timedelta(days=days) if days else None
        with request.app.state.engine.begin() as conn:
            store.check_unused(conn, called)
            token = store.create_token(
                conn,
                name=called,
                role=role,
                now=now,
                expires_at=until,
                scopes=rights,
                networks=allowed,
                made_by=session.account.actor,
            )
            about = {"rights": sorted(rights), "from": [str(one) for one in allowed]}
            about["expires"] = until and f"{until:%Y-%m-%d %H:%M} UTC"
            subject = f"token {called}"
            record(
                conn, actor=session.account.actor, action="token.create", subject=subject, now=now, role=role, **about
            )
    except (Exists, Faulty) as error:
        return _ask_token(request, typed, words_of(error))
    context = {"token": called, "secret": token, "until": until, "account": None}
    return desk.render(request, "console/once.html", here="/access", **context)


@router.post("/access/tokens/{id}/revoke", dependencies=[Checked])
def revoke_token(request: Request, session: Administer, id: Id) -> Response:
    with request.app.state.engine.begin() as conn:
        now = database.now()
        revoked = store.revoke_token(conn, id, now)
        if revoked is not None:
            actor, subject = session.account.actor, f"token {revoked.token.name}"
            record(conn, actor=actor, action="token.revoke", subject=subject, now=now, number=id)
    return RedirectResponse("/access#tokens", 303)


def _ask_token(request: Request, typed: Mapping[str, object], fault: Said | str = "") -> Response:
    session = request.state.session
    return desk.render(
        request,
        "console/token_new.html",
        status=422 if fault else 200,
        here="/access/tokens/new",
        typed={"name": "", "scopes": [], "days": TOKEN_LASTS.days, "networks": ""} | dict(typed),
        fault=fault,
        rights=[(right, MAY.get(right, Said(right))) for right in Right if right in SCOPES & session.account.rights],
        lasts=LASTS,
        most=MAX_NAME,
    )
