"""The orders: their list, and one from the press to the stamp."""

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

import cloud.fleet.store
import cloud.frames.store
import cloud.pickups.store
import cloud.stamps.store
from cloud import database, pages
from cloud.accounts import guard
from cloud.accounts.model import Right
from cloud.audit.store import record
from cloud.console import bits, desk, store, thread
from cloud.console.desk import ROWS, Before, Id, Operate, See
from cloud.frames.model import Result
from cloud.pickups.model import State

router = APIRouter()


@router.get("/pickups")
def list_orders(request: Request, session: See, state: State | None = None, before: Before = None) -> Response:
    with database.reading(request.app.state.engine) as conn:
        orders = store.orders(conn, request.app.state.vault, limit=ROWS, state=state, before=before)
    return desk.render(request, "console/orders.html", orders=orders, state=state, states=list(State), rows=ROWS)


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
        owner = desk.owner(conn, button)
    accepted = [frame for frame in frames if frame.result is Result.ACCEPTED]
    press = accepted[0] if accepted else None
    return desk.render(
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
def cancel_order(request: Request, session: Operate, id: Id) -> Response:
    with request.app.state.engine.begin() as conn:
        actor, now = f"staff {session.account.name}", database.now()
        cloud.pickups.store.cancel(conn, id, actor=actor, now=now)
        record(conn, actor=actor, action="pickup.cancel", subject=f"order {id}", now=now)
    request.app.state.bell.ring()
    return RedirectResponse(f"/pickups/{id}", 303)
