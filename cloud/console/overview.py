"""The overview: its strip of figures, its chart, its funnel, its map, and what is live of frames and orders."""

from datetime import date, datetime
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

import cloud.alerts.store
import cloud.frames.store
from cloud import database, pages
from cloud.accounts import guard
from cloud.accounts.model import Right, Session
from cloud.console import chart, departments, desk, figures, replay, stream
from cloud.console.departments import By
from cloud.console.desk import Day, See
from cloud.console.france import france
from cloud.frames.tally import Counts

FRAMES = 50  # rows of the live table when it is loaded

Picked = Annotated[By, Query(alias="map")]

router = APIRouter()


def present(request: Request) -> datetime:
    """The moment that a page of this module shows: nothing on it is younger."""
    return replay.moment(request).now


@router.get("/")
def overview(
    request: Request,
    session: Annotated[Session | None, Depends(guard.current)],
    by: Picked = By.PRESSES,
    day: Day = None,
) -> Response:
    if session is not None and Right.OWN in session.account.rights:
        return RedirectResponse("/my", 303)
    guard.signed_in(Right.SEE)(session)
    moment = replay.moment(request)
    now = moment.now
    with database.reading(request.app.state.engine) as conn:
        after = stream.newest(conn, moment)
        frames = cloud.frames.store.newest(conn, limit=FRAMES, before=after + 1)
        orders = stream.newest_orders(conn, request.app.state.vault, moment, after)
        counts = Counts(conn, now)
        context = {
            **_figures(request, conn, counts),
            **_funnel(conn, now, by, day),
            **_map(conn, counts, by, day),
            **cloud.alerts.store.open_for_overview(conn, now),
        }
    live = {"frames": frames, "orders": orders, "rows": stream.ORDERS, "after": after, "oob": False}
    return desk.render(request, "console/overview.html", now=now, **live, **context)


@router.get("/figures")
def show_figures(request: Request, session: See) -> Response:
    """The overview's strip and chart, which the page asks for anew when frames have come."""
    now = present(request)
    with database.reading(request.app.state.engine) as conn:
        context = _figures(request, conn, Counts(conn, now))
    return HTMLResponse(desk.fragment(request, "console/figures.html", now=now, oob=True, **context))


@router.get("/funnel")
def show_funnel(request: Request, session: See, by: Picked = By.PRESSES, day: Day = None) -> Response:
    """The overview's funnel alone."""
    now = present(request)
    with database.reading(request.app.state.engine) as conn:
        context = _funnel(conn, now, by, day)
    return HTMLResponse(desk.fragment(request, "console/funnel.html", now=now, **context))


@router.get("/map")
def show_map(request: Request, session: See, by: Picked = By.PRESSES, day: Day = None) -> Response:
    """The overview's map alone."""
    now = present(request)
    with database.reading(request.app.state.engine) as conn:
        context = _map(conn, Counts(conn, now), by, day)
    return HTMLResponse(desk.fragment(request, "console/map.html", now=now, **context))


@router.get("/traffic")
def list_traffic(request: Request, session: See) -> Response:
    """The overview's chart as a table."""
    now = present(request)
    with database.reading(request.app.state.engine) as conn:
        counts = Counts(conn, now)
        context = {**_figures(request, conn, counts), "lags": figures.lags(counts), "REFUSALS": chart.REFUSALS}
    return desk.render(request, "console/traffic_table.html", now=now, **context)


@router.get("/departments")
def list_departments(request: Request, session: See, by: Picked = By.PRESSES) -> Response:
    """The overview's map as a list."""
    now = present(request)
    with database.reading(request.app.state.engine) as conn:
        survey = departments.survey(conn, Counts(conn, now), france())
    rows = sorted(survey.rows, key=lambda row: -(row.value(by) or 0))  # else by number, as they are
    context = {"survey": survey, "rows": rows, "by": by, "picks": list(By), "has_map": bool(france().departments)}
    return desk.render(request, "console/departments.html", now=now, **context)


def _figures(request: Request, conn: sa.Connection, counts: Counts) -> dict[str, Any]:
    strip = figures.strip(conn, counts)
    minutes = figures.minutes(counts)
    return {
        "strip": strip,
        "budget": None if strip.stamps_live.value is None else request.app.state.desk.budget(strip.stamps_live.value),
        "traffic": chart.traffic(minutes, strip.last_minute, counts.now, pages.PARIS),
        "today": figures.today(counts.now),
    }


def _funnel(conn: sa.Connection, now: datetime, by: By, day: date | None) -> dict[str, Any]:
    return {"funnel": figures.funnel(conn, now, day), "by": by, "day": day}


def _map(conn: sa.Connection, counts: Counts, by: By, day: date | None) -> dict[str, Any]:
    survey = departments.survey(conn, counts, france())
    scale = departments.scale(survey.rows, by)
    steps = {
        row.number: scale.step(value) for row in survey.rows if (value := row.value(by)) is not None and row.number
    }
    drawn = {one.number for one in france().departments}
    return {
        "map": france(),
        "survey": survey,
        "by_number": {row.number: row for row in survey.rows},
        "steps": steps,
        "legend": scale.legend,
        "aside": [row for row in survey.rows if row.number not in drawn and row.value(by)],
        "by": by,
        "picks": list(By),
        "day": day,
    }
