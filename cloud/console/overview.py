"""The live overview: its strip of figures, its chart, its lists."""

from datetime import datetime, timedelta
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

import cloud.frames.store
import cloud.pickups.store
import cloud.stamps.store
from cloud import database, pages
from cloud.accounts import guard
from cloud.accounts.model import Right, Session
from cloud.console import chart, desk, store, stream
from cloud.console.desk import See
from cloud.frames.model import Result

FRAMES = 50  # rows of the live table when it is loaded
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

router = APIRouter()


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
    return desk.render(request, "console/overview.html", now=now, **context, **figures)


@router.get("/figures")
def figures(request: Request, session: See) -> Response:
    """The overview's strip, chart and counts, which the page asks for anew when frames have come."""
    now = database.now()
    with database.reading(request.app.state.engine) as conn:
        context = _figures(conn, now)
    return HTMLResponse(desk.fragment(request, "console/figures.html", now=now, oob=True, **context))


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
    return desk.render(request, "console/traffic_table.html", now=now, **context)
