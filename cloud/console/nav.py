"""What the bar counts: how many wait behind some of its ways, told to every open page once a minute."""

from collections.abc import Callable

import sqlalchemy as sa
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

import cloud.alerts.store
from cloud import database
from cloud.console import desk
from cloud.console.desk import See

router = APIRouter()

# By the path that a badge stands at, without its slash.
BADGES: dict[str, Callable[[sa.Connection], int]] = {"alerts": cloud.alerts.store.badge}


@router.get("/badges")
def badges(request: Request, session: See) -> Response:
    with database.reading(request.app.state.engine) as conn:
        counts = {name: count(conn) for name, count in BADGES.items()}
    return HTMLResponse(desk.fragment(request, "console/badges.html", counts=counts))
