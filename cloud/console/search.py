"""The search in the bar: from anything that names a button, an order, a stamp or a frame to its page."""

from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

import cloud.fleet.store
import cloud.frames.store
import cloud.pickups.store
from cloud import database
from cloud.accounts.model import Right, Session
from cloud.console import desk, store
from cloud.console.desk import See
from cloud.fleet.model import ID_DIGITS, format_id
from cloud.frames.model import TRACE_BYTES, Frame
from cloud.ingest.uplink import SIZE
from cloud.stamps.model import parse

router = APIRouter()


@router.get("/find")
def find(request: Request, session: See, q: Annotated[str, Query(max_length=100)] = "") -> Response:
    """Straight to the button, order, stamp or frame that `q` names; a page that says so where there is none."""
    sought = q.strip()
    with database.reading(request.app.state.engine) as conn:
        target = sought and _target(conn, sought)
    if not target and Right.READ_STAMPS in session.account.rights:
        target = _order_of_stamp(request, session, sought)
    if target:
        return RedirectResponse(target, 303)
    return desk.render(request, "console/nothing_found.html", status=404, sought=sought)


def _target(conn: sa.Connection, sought: str) -> str | None:
    """The page of what `sought` names. One text may read as several things; what is there wins, in this order."""
    text = "".join(sought.split())
    device = desk.device(text)
    is_button = device is not None and cloud.fleet.store.find(conn, device) is not None
    if is_button and len(text) == ID_DIGITS:
        return f"/buttons/{text.upper()}"
    if text.isdecimal() and len(text) <= 18 and cloud.pickups.store.find(conn, int(text)):
        return f"/pickups/{int(text)}"
    if (frame := _frame_of(conn, text)) is not None:
        return f"/pickups/{frame.pickup_id}" if frame.pickup_id is not None else f"/frames/{frame.id}"
    return f"/buttons/{format_id(device)}" if device is not None and is_button else None


def _order_of_stamp(request: Request, session: Session, sought: str) -> str | None:
    """For those alone who may know what a code is worth; what is no stamp counts as a guess."""
    try:
        code = parse(sought)
    except ValueError:
        return None
    by = f"staff {session.account.name}"
    stamp = request.app.state.desk.look_up(code, by=by, place=f"search by {by}", now=database.now())
    return None if stamp is None or stamp.pickup_id is None else f"/pickups/{stamp.pickup_id}"


def _frame_of(conn: sa.Connection, text: str) -> Frame | None:
    """By its 12 bytes, or by its trace id."""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        return None
    if len(data) == TRACE_BYTES:
        return next(iter(cloud.frames.store.of_trace(conn, text)), None)
    id = store.frame_of_data(conn, data) if len(data) == SIZE else None
    return None if id is None else cloud.frames.store.find(conn, id)
