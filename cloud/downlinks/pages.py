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
    device, by, now = _device(id), f"staff {session.account.name}", database.now()
    with request.app.state.engine.begin() as conn:
        configured = store.configure(conn, device, hours, reason=reason, by=by, now=now)
        record(conn, actor=by, action="button.configure", subject=_subject(device), now=now, hours=configured.hours)
    return RedirectResponse(f"/buttons/{format_id(device)}", 303)


@router.post("/{downlink}/cancel")
def cancel(request: Request, session: Operate, id: str, downlink: Annotated[int, Path(ge=0, le=MAX_ID)]) -> Response:
    device, by, now = _device(id), f"staff {session.account.name}", database.now()
    with request.app.state.engine.begin() as conn:
        store.cancel(conn, device, downlink, now)
        record(conn, actor=by, action="button.cancel-downlink", subject=_subject(device), now=now, downlink=downlink)
    return RedirectResponse(f"/buttons/{format_id(device)}", 303)


def _subject(device: int) -> str:
    return f"button {format_id(device)}"


def _device(text: str) -> int:
    try:
        return parse_id(text)
    except ValueError:
        raise HTTPException(404, f"The fleet has no button {text[:40]}.") from None
