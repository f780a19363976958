"""The forms on a button's page: queue a heartbeat period, and take one back."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Path, Request
from fastapi.responses import RedirectResponse, Response

from cloud import database
from cloud.accounts import guard
from cloud.accounts.model import Right, Session
from cloud.audit.store import record
from cloud.downlinks import store
from cloud.fleet.model import format_id, parse_id
from cloud.words import N_

MAX_ID = 2**63 - 1

router = APIRouter(prefix="/buttons/{id}/downlinks", dependencies=[Depends(guard.csrf_checked)])

Operate = Annotated[Session, Depends(guard.signed_in(Right.OPERATE))]


@router.post("")
def configure(
    request: Request,
    session: Operate,
    id: str,
    hours: Annotated[int, Form()],
    reason: Annotated[str, Form()] = "",
) -> Response:
    device, by = _device(id), f"staff {session.account.name}"
    with request.app.state.engine.begin() as conn:
        now, subject = database.now(), f"button {format_id(device)}"
        made = store.configure(conn, device, hours, reason=reason, by=by, now=now)
        about = {"hours": made.hours, "reason": made.reason, "downlink": made.id}
        record(conn, actor=by, action="button.configure", subject=subject, now=now, **about)
    return RedirectResponse(f"/buttons/{format_id(device)}", 303)


@router.post("/{downlink}/cancel")
def cancel(request: Request, session: Operate, id: str, downlink: Annotated[int, Path(ge=0, le=MAX_ID)]) -> Response:
    device = _device(id)
    with request.app.state.engine.begin() as conn:
        actor, subject, now = f"staff {session.account.name}", f"button {format_id(device)}", database.now()
        store.cancel(conn, device, downlink, now)
        record(conn, actor=actor, action="button.cancel-downlink", subject=subject, now=now, downlink=downlink)
    return RedirectResponse(f"/buttons/{format_id(device)}", 303)


def _device(text: str) -> int:
    try:
        return parse_id(text)
    except ValueError:
        raise HTTPException(404, N_("The fleet has no button %(button)s.", button=text[:40])) from None
