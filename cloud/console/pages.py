"""The operators' pages: the live overview, one order from press to stamp, the buttons, the search for any of them."""

from datetime import datetime, timedelta
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Form, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

import cloud.downlinks.store
import cloud.fleet.store
import cloud.frames.store
import cloud.pickups.store
import cloud.stamps.store
from cloud import database, pages
from cloud.accounts import guard
from cloud.accounts.model import Right, Session
from cloud.console import bits, chart, store, stream, thread
from cloud.downlinks.model import MAX_HOURS, MAX_REASON, MIN_HOURS
from cloud.fleet.model import ID_DIGITS, LAST_GENERATION, MAX_WHY, Button, check_why, format_id, parse_id
from cloud.frames.model import TRACE_BYTES, Frame, Result
from cloud.ingest.uplink import SIZE
from cloud.pickups.model import State
from cloud.stamps.model import parse

FRAMES = 50  # rows of the live table when it is loaded
ROWS = 50  # rows a page of every other list
DOWNLINKS = 12  # rows on a button's page
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

router = APIRouter()
router.include_router(stream.router)

See = Annotated[Session, Depends(guard.signed_in(Right.SEE))]
Id = Annotated[int, Path(ge=0, le=store.MAX_ID)]
Before = Annotated[int | None, Query(ge=1, le=store.MAX_ID)]


@router.get("/")
def overview(request: Request, session: Annotated[Session | None, Depends(guard.current)]) -> Response:
    if session is not None and Right.OWN in session.account.rights:
        return RedirectResponse("/my", 303)
    guard.signed_in(Right.SEE)(session)
    now = database.now()
    with database.reading(request.app.state.engine) as conn:
        frames = cloud.frames.store.newest(conn, limit=FRAMES)
        orders = store.orders(conn, request.app.state.vault, limit=stream.ORDERS)
        figures = _figures(conn, now)
    after = frames[0].id if frames else 0
    context = {"frames": frames, "orders": orders, "rows": stream.ORDERS, "after": after, "oob": False}
    return pages.render(request, "console/overview.html", now=now, **context, **figures)


@router.get("/figures")
def figures(request: Request, session: See) -> Response:
    """The overview's strip, chart and counts, which the page asks for anew when frames have come."""
    now = database.now()
    with database.reading(request.app.state.engine) as conn:
        context = _figures(conn, now)
    return HTMLResponse(pages.fragment("console/figures.html", now=now, oob=True, **context))


def _figures(conn: sa.Connection, now: datetime) -> dict[str, Any]:
    hour = store.results_since(conn, now - HOUR)
    last_minute = sum(store.results_since(conn, now - chart.MINUTE).values())
    refused = {result: count for result, count in hour.items() if result in chart.TEXTURES}
    midnight = now.astimezone(pages.PARIS).replace(hour=0, minute=0, second=0, microsecond=0)
    minutes = cloud.frames.store.per_minute(conn, now - chart.LONGEST - chart.MINUTE, now)
    buttons, heard = store.count_buttons(conn, now - DAY)
    return {
        "last_minute": last_minute,
        "heard": sum(hour.values()),
        "accepted": hour.get(Result.ACCEPTED, 0),
        "refused": sum(refused.values()),
        "refused_most": max(refused, key=lambda result: refused[result], default=None),
        "refusals": [
            (name, texture, sum(hour.get(result, 0) for result in results)) for name, texture, results in chart.REFUSALS
        ],
        "traffic": chart.traffic(minutes, last_minute, now, pages.PARIS),
        "orders_by_state": cloud.pickups.store.count_by_state(conn),
        "oldest_request": store.oldest_request(conn),
        "confirmed_today": store.confirmed_since(conn, midnight),
        "stamps": cloud.stamps.store.count_by_state(conn),
        "buttons": buttons,
        "buttons_heard": heard,
    }


@router.get("/traffic")
def list_traffic(request: Request, session: See) -> Response:
    """The overview's chart as a table."""
    now = database.now()
    with database.reading(request.app.state.engine) as conn:
        context = _figures(conn, now)
    return pages.render(request, "console/traffic_table.html", now=now, **context)


@router.get("/pickups")
def list_orders(request: Request, session: See, state: State | None = None, before: Before = None) -> Response:
    with database.reading(request.app.state.engine) as conn:
        orders = store.orders(conn, request.app.state.vault, limit=ROWS, state=state, before=before)
    return pages.render(request, "console/orders.html", orders=orders, state=state, states=list(State), rows=ROWS)


@router.get("/pickups/{id}")
def show_order(request: Request, session: See, id: Id) -> Response:
    with database.reading(request.app.state.engine) as conn:
        pickup = cloud.pickups.store.find(conn, id)
        if pickup is None:
            raise HTTPException(404, f"There is no order {id}.")
        events = cloud.pickups.store.events(conn, id)
        frames = cloud.frames.store.of_pickup(conn, id)
        stamp = cloud.stamps.store.of_pickup(conn, request.app.state.vault, id)
        button = cloud.fleet.store.find(conn, pickup.button_id)
        owner = _owner(conn, button)
    accepted = [frame for frame in frames if frame.result is Result.ACCEPTED]
    press = accepted[0] if accepted else None
    return pages.render(
        request,
        "console/order_page.html",
        pickup=pickup,
        stamp=stamp,
        button=button,
        owner=owner,
        press=press,
        drawing=press and bits.drawing(press),
        thread=thread.thread(pickup, events, frames, pages.PARIS),
        lanes=thread.LANES,
        may_cancel=Right.OPERATE in session.account.rights and pickup.state in (State.REQUESTED, State.CONFIRMED),
    )


@router.post("/pickups/{id}/cancel", dependencies=[Depends(guard.csrf_checked)])
def cancel_order(
    request: Request, session: Annotated[Session, Depends(guard.signed_in(Right.OPERATE))], id: Id
) -> Response:
    with request.app.state.engine.begin() as conn:
        cloud.pickups.store.cancel(conn, id, actor=f"staff {session.account.name}", now=database.now())
    request.app.state.bell.ring()
    return RedirectResponse(f"/pickups/{id}", 303)


@router.get("/buttons")
def list_buttons(request: Request, session: See, page: Annotated[int, Query(ge=1, le=1_000_000)] = 1) -> Response:
    with database.reading(request.app.state.engine) as conn:
        buttons = cloud.fleet.store.newest(conn, ROWS, (page - 1) * ROWS)
        owners = store.owner_names(conn, {button.owner_id for button in buttons})
        total, heard = store.count_buttons(conn, database.now() - DAY)
    return pages.render(
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
    device, now = _device(id), database.now()
    with database.reading(request.app.state.engine) as conn:
        button = None if device is None else cloud.fleet.store.find(conn, device)
        if button is None:
            raise HTTPException(404, f"The fleet has no button {id}.")
        frames = cloud.frames.store.newest(conn, limit=ROWS, before=before, device=button.id)
        orders = store.orders(conn, request.app.state.vault, limit=10, button_id=button.id)
        owner = _owner(conn, button)
        configurations = cloud.downlinks.store.of_button(conn, button.id, DOWNLINKS)
        answers = cloud.downlinks.store.answers(conn, button.id, DOWNLINKS)
        hours = cloud.downlinks.store.heartbeat_hours(conn, button.id)
        _, downlinks_used = cloud.fleet.store.used_today(conn, button.id, now)
        loss = cloud.frames.store.link_loss(conn, button.id)
    downlinks = [(one.queued_at, one.at(now), one) for one in configurations] + [(one.at, None, one) for one in answers]
    return pages.render(
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
    session: Annotated[Session, Depends(guard.signed_in(Right.OPERATE))],
    id: str,
    why: Annotated[str, Form()] = "",
) -> Response:
    device, by = _device(id), f"staff {session.account.name}"
    try:
        why = check_why(why)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
    with request.app.state.engine.begin() as conn:
        is_there = device is not None and cloud.fleet.store.revoke(conn, device, why=why, by=by, now=database.now())
    if not is_there:
        raise HTTPException(404, f"The fleet has no button {id}.")
    return RedirectResponse(f"/buttons/{id}", 303)


@router.post("/buttons/{id}/found", dependencies=[Depends(guard.csrf_checked)])
def restore_button(
    request: Request, session: Annotated[Session, Depends(guard.signed_in(Right.ADMINISTER))], id: str
) -> Response:
    """It comes back under its next key, which a board has to be given."""
    device = _device(id)
    if device is None:
        raise HTTPException(404, f"The fleet has no button {id}.")
    with request.app.state.engine.begin() as conn:
        cloud.fleet.store.restore(conn, device, key_master=request.app.state.key_master)
    return RedirectResponse(f"/buttons/{format_id(device)}", 303)


@router.get("/frames/{id}")
def show_frame(request: Request, session: See, id: Id) -> Response:
    with database.reading(request.app.state.engine) as conn:
        frame = cloud.frames.store.find(conn, id)
    if frame is None:
        raise HTTPException(404, f"The log has no frame {id}.")
    return pages.render(request, "console/frame_page.html", frame=frame, drawing=bits.drawing(frame))


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
    return pages.render(request, "console/nothing_found.html", status=404, sought=sought)


def _target(conn: sa.Connection, sought: str) -> str | None:
    """The page of what `sought` names. One text may read as several things; what is there wins, in this order."""
    text = "".join(sought.split())
    device = _device(text)
    is_button = device is not None and cloud.fleet.store.find(conn, device) is not None
    if is_button and len(text) == ID_DIGITS:
        return f"/buttons/{text.upper()}"
    if text.isdecimal() and len(text) <= 18 and cloud.pickups.store.find(conn, int(text)):
        return f"/pickups/{int(text)}"
    if (frame := _frame_of(conn, text)) is not None:
        return f"/pickups/{frame.pickup_id}" if frame.pickup_id is not None else f"/frames/{frame.id}"
    return f"/buttons/{format_id(device)}" if device is not None and is_button else None


def _device(text: str) -> int | None:
    try:
        return parse_id(text)
    except ValueError:
        return None


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


def _owner(conn: sa.Connection, button: Button | None) -> str | None:
    return store.owner_names(conn, [button.owner_id]).get(button.owner_id) if button and button.owner_id else None
