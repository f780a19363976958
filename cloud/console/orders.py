"""The orders: their list, and one as a thread from the press to the door."""

from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import urlencode

import sqlalchemy as sa
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

import cloud.appeals.store
import cloud.audit.store
import cloud.fleet.store
import cloud.frames.store
import cloud.pickups.store
import cloud.stamps.store
from cloud import database, pages
from cloud.accounts import guard
from cloud.accounts.model import Right
from cloud.console import bits, desk, known, store, thread
from cloud.console.desk import ROWS, Before, Day, Id, Now, Operate, See
from cloud.console.figures import start_of
from cloud.console.filters import View
from cloud.frames.model import Filter, Result
from cloud.pickups import past
from cloud.pickups.model import State
from cloud.stamps import item, ledger
from cloud.stamps.model import Stamp
from cloud.stamps.vault import Vault
from cloud.words import N_

FRAMES = 100  # of one order; who asks on and on has more

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
    moment: Now,
    state: State | None = None,
    day: Day = None,
    reached: Step | None = None,
    reached_on: Day = None,
    before: Before = None,
) -> Response:
    """Orders by what they are (`state`), the day of their press (`day`), how far they have come (`reached`), and
    on which day they came so far (`reached_on`, of which days count in Paris)."""
    which = []
    if day is not None:
        which.append(past.pressed_in(start_of(day), start_of(day + DAY)))
    if reached is not None:
        span = (None, None) if reached_on is None else (start_of(reached_on), start_of(reached_on + DAY))
        which.append(past.reached(reached, *span, moment.now if moment.is_replay else None))
    vault, asked = request.app.state.vault, {"limit": ROWS, "state": state, "before": before, "which": which}
    with database.reading(request.app.state.engine) as conn:
        if moment.is_replay:
            found = store.orders_then(conn, vault, moment.now, **asked)
        else:
            orders = store.orders(conn, vault, **asked)
            found = store.Past(orders, orders[-1].id if len(orders) == ROWS else None)

    def address(**more: object) -> str:
        """Of this list, with another state or a page further on."""
        said = {"day": day, "reached": reached, "reached_on": reached_on, **more}
        query = urlencode({name: value for name, value in said.items() if value is not None})
        return f"/pickups?{query}" if query else "/pickups"

    return desk.render(
        request,
        "console/orders.html",
        now=moment.now,
        found=found,
        state=state,
        states=list(State),
        day=day,
        reached=reached,
        reached_on=reached_on,
        address=address,
    )


@router.get("/pickups/{id}")
def show_order(request: Request, session: See, moment: Now, id: Id) -> Response:
    vault, until = request.app.state.vault, moment.now if moment.is_replay else None
    with database.reading(request.app.state.engine) as conn:
        newest = cloud.frames.store.last_id(conn)
        pickup = cloud.pickups.store.find(conn, id)
        if pickup is None:
            raise HTTPException(404, N_("There is no order %(id)s.", id=id))
        stamp = cloud.stamps.store.of_pickup(conn, vault, id)
        number = _number(id)
        pieces = {name for name in (number, stamp and stamp.piece) if name}
        named = {"code": stamp and stamp.code, "pieces": pieces | {thread.grouped_piece(one) for one in pieces}}
        life = thread.Life(
            pickup,
            cloud.pickups.store.events(conn, id),
            cloud.frames.store.of_pickup(conn, id, FRAMES),
            cloud.frames.store.counters_before(conn, id, FRAMES, until=until),
            stamp,
            [] if stamp is None else _readings(conn, vault, stamp, until),
            cloud.appeals.store.about(conn, vault, **named, since=pickup.requested_at),
        )
        button = cloud.fleet.store.find(conn, pickup.button_id)
        owner = desk.owner(conn, button)
    next_at = None
    if moment.is_replay:
        next_at, then = known.next_of(life, moment.now), known.life(life, moment.now)
        if then is None:
            said = N_("Order %(number)s was not yet there at %(time)s.", number=id, time=pages.time_of_day(moment.now))
            return pages.not_yet(request, said, next_at)
        life, pickup, stamp = then, then.pickup, then.stamp
        if button is not None and button.claimed_at is not None and button.claimed_at > moment.now:
            owner = None
    accepted = [frame for frame in life.frames if frame.result is Result.ACCEPTED]
    press = accepted[0] if accepted else None
    return desk.render(
        request,
        "console/order_page.html",
        now=moment.now,
        next_at=next_at,
        newest=newest,
        view=View(Filter(device=pickup.button_id)),
        pickup=pickup,
        stamp=stamp,
        number=number and thread.grouped_piece(number),
        piece=thread.grouped_piece(stamp.piece) if stamp and stamp.piece and stamp.piece != number else None,
        button=button,
        owner=owner,
        press=press,
        others=[frame for frame in life.frames if frame is not press],
        frames_at_most=FRAMES,
        drawing=press and bits.drawing(press),
        thread=thread.thread(life, pages.PARIS),
        lanes=thread.LANES,
        lane_px=thread.LANE,
        width=thread.WIDTH,
        proof=thread.proof(life),
        weight_g=thread.weight_g(life),
        readings=[one for one in life.readings if not thread.is_search(one)],
        forms=thread.FORMS,
        kinds=thread.KINDS,
        appeals=life.appeals,
        may_judge=Right.JUDGE in session.account.rights,
        may_cancel=not moment.is_replay
        and Right.OPERATE in session.account.rights
        and pickup.state in (State.REQUESTED, State.CONFIRMED),
    )


def _readings(conn: sa.Connection, vault: Vault, stamp: Stamp, until: datetime | None) -> list[ledger.Read]:
    """The newest; with `until` the newest of then, and those that came after."""
    newest = ledger.of_stamp(conn, vault, stamp)
    if until is None:
        return newest
    return [*ledger.of_stamp(conn, vault, stamp, until=until), *(one for one in newest if one.at > until)]


def _number(id: int) -> str | None:
    """The parcel number on the order's label; there is none beyond the services that S10 has."""
    try:
        return str(item.parcel_number(id))
    except ValueError:
        return None


@router.post("/pickups/{id}/cancel", dependencies=[Depends(guard.csrf_checked)])
def cancel_order(request: Request, session: Operate, id: Id) -> Response:
    actor, now = f"staff {session.account.name}", database.now()
    with request.app.state.engine.begin() as conn:
        cloud.pickups.store.cancel(conn, id, actor=actor, now=now)
        cloud.audit.store.record(conn, actor=actor, action="pickup.cancel", subject=f"order {id}", now=now)
    request.app.state.bell.ring()
    return RedirectResponse(f"/pickups/{id}", 303)
