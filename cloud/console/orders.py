"""The orders: their list, and one from the press to the stamp."""

from datetime import timedelta
from enum import StrEnum
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

import cloud.fleet.store
import cloud.frames.store
import cloud.pickups.store
import cloud.stamps.store
from cloud import database, pages
from cloud.accounts import guard
from cloud.accounts.model import Right
from cloud.console import bits, desk, store, thread
from cloud.console.desk import ROWS, Before, Day, Id, Operate, See
from cloud.console.figures import start_of
from cloud.frames.model import Result
from cloud.pickups import past
from cloud.pickups.model import State

DAY = timedelta(days=1)

router = APIRouter()


class Step(StrEnum):
    """What the list can be asked for of orders' ways: see `past.STEPS`, of which the press is what makes them."""

    CONFIRMED = "confirmed"
    COLLECTED = "collected"
    SORTED = "sorted"
    DELIVERED = "delivered"


@router.get("/pickups")
def list_orders(
    request: Request,
    session: See,
    state: State | None = None,
    day: Day = None,
    reached: Step | None = None,
    reached_on: Day = None,
    before: Before = None,
) -> Response:
    """Orders by what they are now (`state`), the day of their press (`day`), how far they have come (`reached`), and
    on which day they came so far (`reached_on`, of which days count in Paris)."""
    which = []
    if day is not None:
        which.append(past.pressed_in(start_of(day), start_of(day + DAY)))
    if reached is not None:
        span = () if reached_on is None else (start_of(reached_on), start_of(reached_on + DAY))
        which.append(past.reached(reached, *span))
    with database.reading(request.app.state.engine) as conn:
        orders = store.orders(conn, request.app.state.vault, limit=ROWS, state=state, before=before, which=which)

    def address(**more: object) -> str:
        """Of this list, with another state or a page further on."""
        said = {"day": day, "reached": reached, "reached_on": reached_on, **more}
        query = urlencode({name: value for name, value in said.items() if value is not None})
        return f"/pickups?{query}" if query else "/pickups"

    return desk.render(
        request,
        "console/orders.html",
        orders=orders,
        state=state,
        states=list(State),
        day=day,
        reached=reached,
        reached_on=reached_on,
        address=address,
        rows=ROWS,
    )


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
        cloud.pickups.store.cancel(conn, id, actor=f"staff {session.account.name}", now=database.now())
    request.app.state.bell.ring()
    return RedirectResponse(f"/pickups/{id}", 303)
