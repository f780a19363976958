"""The overview: its strip of figures, its chart, its funnel, its map, and what is live of frames and orders."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

import cloud.alerts.past
import cloud.alerts.store
import cloud.frames.store
from cloud import database, pages, replay
from cloud.accounts import guard
from cloud.accounts.model import Right, Session
from cloud.console import chart, departments, desk, figures, stream
from cloud.console.departments import By
from cloud.console.desk import Day, Now, See
from cloud.console.france import france
from cloud.frames.tally import Counts
from cloud.replay import Moment

FRAMES = 50  # rows of the live table when it is loaded

Picked = Annotated[By, Query(alias="map")]

router = APIRouter()


def _alerts_by_department(conn: sa.Connection, moment: Moment) -> Mapping[str, int]:
    """How many are open in each department that has any."""
    if moment.is_replay:
        return cloud.alerts.past.open_at(conn, moment.now).by_department
    return cloud.alerts.store.open_by_department(conn, moment.now)


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
        opened = cloud.alerts.past.open_at(conn, now) if moment.is_replay else None
        after = stream.newest(conn, moment)
        frames = cloud.frames.store.newest(conn, limit=FRAMES, before=after + 1)
        orders = stream.newest_orders(conn, request.app.state.vault, moment, after)
        counts = Counts(conn, now)
        context = {
            **_figures(request, conn, counts),
            **_funnel(conn, now, by, day),
            **_map(conn, moment, counts, by, day),
            **(opened.for_overview if opened else cloud.alerts.store.open_for_overview(conn, now)),
        }
    live = {"frames": frames, "orders": orders, "rows": stream.ORDERS, "after": after, "oob": False}
    return desk.render(request, "console/overview.html", now=now, **live, **context)


@router.get("/figures")
def show_figures(request: Request, session: See, moment: Now) -> Response:
    """The overview's strip and chart, which the page asks for anew when frames have come."""
    now = moment.now
    with database.reading(request.app.state.engine) as conn:
        context = _figures(request, conn, Counts(conn, now))
    return HTMLResponse(desk.fragment(request, "console/figures.html", now=now, oob=True, **context))


@router.get("/funnel")
def show_funnel(request: Request, session: See, moment: Now, by: Picked = By.PRESSES, day: Day = None) -> Response:
    """The overview's funnel alone."""
    now = moment.now
    with database.reading(request.app.state.engine) as conn:
        context = _funnel(conn, now, by, day)
    return HTMLResponse(desk.fragment(request, "console/funnel.html", now=now, **context))


@router.get("/map")
def show_map(request: Request, session: See, moment: Now, by: Picked = By.PRESSES, day: Day = None) -> Response:
    """The overview's map alone."""
    now = moment.now
    with database.reading(request.app.state.engine) as conn:
        context = _map(conn, moment, Counts(conn, now), by, day)
    return HTMLResponse(desk.fragment(request, "console/map.html", now=now, **context))


@router.get("/traffic")
def list_traffic(request: Request, session: See, moment: Now) -> Response:
    """The overview's chart as a table."""
    now = moment.now
    with database.reading(request.app.state.engine) as conn:
        counts = Counts(conn, now)
        context = {**_figures(request, conn, counts), "lags": figures.lags(counts), "REFUSALS": chart.REFUSALS}
    return desk.render(request, "console/traffic_table.html", now=now, **context)


@router.get("/departments")
def list_departments(request: Request, session: See, moment: Now, by: Picked = By.PRESSES) -> Response:
    """The overview's map as a list."""
    now = moment.now
    with database.reading(request.app.state.engine) as conn:
        survey = departments.survey(conn, Counts(conn, now), france(), _alerts_by_department(conn, moment))
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


def _map(conn: sa.Connection, moment: Moment, counts: Counts, by: By, day: date | None) -> dict[str, Any]:
    survey = departments.survey(conn, counts, france(), _alerts_by_department(conn, moment))
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
