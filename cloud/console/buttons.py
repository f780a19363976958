"""The buttons: their list, one with all that is known of it, and what can be done to it."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response

import cloud.downlinks.store
import cloud.fleet.store
import cloud.frames.store
from cloud import database
from cloud.accounts import guard
from cloud.accounts.model import Right
from cloud.audit.store import record
from cloud.console import desk, store
from cloud.console.desk import ROWS, Administer, Before, Operate, See
from cloud.downlinks.model import MAX_HOURS, MAX_REASON, MIN_HOURS
from cloud.fleet.model import LAST_GENERATION, MAX_WHY, check_why, format_id

DOWNLINKS = 12  # rows on a button's page
DAY = timedelta(days=1)

router = APIRouter()


@router.get("/buttons")
def list_buttons(request: Request, session: See, page: Annotated[int, Query(ge=1, le=1_000_000)] = 1) -> Response:
    with database.reading(request.app.state.engine) as conn:
        buttons = cloud.fleet.store.newest(conn, ROWS, (page - 1) * ROWS)
        owners = store.owner_names(conn, {button.owner_id for button in buttons})
        total, heard = store.count_buttons(conn, database.now() - DAY)
    return desk.render(
        request,
        "console/buttons.html",
        buttons=buttons,
        owners=owners,
        total=total,
        heard=heard,
        page=page,
        more=page * ROWS < total,
    )


@router.get("/buttons/{id}")
def show_button(request: Request, session: See, id: str, before: Before = None) -> Response:
    device, now = desk.device(id), database.now()
    with database.reading(request.app.state.engine) as conn:
        button = None if device is None else cloud.fleet.store.find(conn, device)
        if button is None:
            raise HTTPException(404, f"The fleet has no button {id}.")
        frames = cloud.frames.store.newest(conn, limit=ROWS, before=before, device=button.id)
        orders = store.orders(conn, request.app.state.vault, limit=10, button_id=button.id)
        owner = desk.owner(conn, button)
        configurations = cloud.downlinks.store.of_button(conn, button.id, DOWNLINKS)
        answers = cloud.downlinks.store.answers(conn, button.id, DOWNLINKS)
        hours = cloud.downlinks.store.heartbeat_hours(conn, button.id)
        _, downlinks_used = cloud.fleet.store.used_today(conn, button.id, now)
        loss = cloud.frames.store.link_loss(conn, button.id)
    downlinks = [(one.queued_at, one.at(now), one) for one in configurations] + [(one.at, None, one) for one in answers]
    return desk.render(
        request,
        "console/button.html",
        now=now,
        button=button,
        owner=owner,
        frames=frames,
        orders=orders,
        rows=ROWS,
        downlinks=sorted(downlinks, key=lambda one: one[0], reverse=True)[:DOWNLINKS],
        hours=hours,
        downlinks_today=downlinks_used,
        downlinks_per_day=request.app.state.downlinks_per_day,
        loss=loss,
        may_operate=Right.OPERATE in session.account.rights,
        may_administer=Right.ADMINISTER in session.account.rights,
        last_generation=LAST_GENERATION,
        limits=(MIN_HOURS, MAX_HOURS, MAX_REASON, MAX_WHY),
    )


@router.post("/buttons/{id}/revoke", dependencies=[Depends(guard.csrf_checked)])
def revoke_button(
    request: Request,
    session: Operate,
    id: str,
    why: Annotated[str, Form()] = "",
) -> Response:
    device, by = desk.device(id), f"staff {session.account.name}"
    try:
        why = check_why(why)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
    with request.app.state.engine.begin() as conn:
        is_there = device is not None and cloud.fleet.store.revoke(conn, device, why=why, by=by, now=database.now())
        if is_there:
            subject = f"button {format_id(device or 0)}"
            record(conn, actor=by, action="button.revoke", subject=subject, now=database.now(), why=why)
    if not is_there:
        raise HTTPException(404, f"The fleet has no button {id}.")
    return RedirectResponse(f"/buttons/{id}", 303)


@router.post("/buttons/{id}/found", dependencies=[Depends(guard.csrf_checked)])
def restore_button(request: Request, session: Administer, id: str) -> Response:
    """It comes back under its next key, which a board has to be given."""
    device = desk.device(id)
    if device is None:
        raise HTTPException(404, f"The fleet has no button {id}.")
    actor, subject = f"staff {session.account.name}", f"button {format_id(device)}"
    with request.app.state.engine.begin() as conn:
        found = cloud.fleet.store.restore(conn, device, key_master=request.app.state.key_master)
        now = database.now()
        record(conn, actor=actor, action="button.found", subject=subject, now=now, key_generation=found.key_generation)
    return RedirectResponse(f"/buttons/{format_id(device)}", 303)
