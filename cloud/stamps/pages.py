"""The staff's page of the stamps: how many there are, what is read today against what is usual, what was refused."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

import cloud.stamps.store
from cloud import database, pages
from cloud.accounts import guard
from cloud.accounts.model import Right, Session
from cloud.stamps import ledger
from cloud.stamps.alarms import DAYS, RARE

ROWS = 50
MAX_ID = 2**63 - 1

router = APIRouter()


@router.get("/stamps")
def show_stamps(
    request: Request,
    session: Annotated[Session, Depends(guard.signed_in(Right.READ_STAMPS))],
    before: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
) -> Response:
    now = database.now()
    with database.reading(request.app.state.engine) as conn:
        stamps = cloud.stamps.store.count_by_state(conn)
        places = ledger.today(conn, now.date())
        refusals = ledger.refusals(conn, limit=ROWS, before=before)
    return pages.render_for_staff(
        request,
        "console/stamps.html",
        now=now,
        stamps=stamps,
        terms=request.app.state.desk.terms,
        everywhere=places[0] if places else None,
        places=places[1:],
        alarms=[(one.place, finding) for one in places for finding in one.alarms],
        refusals=refusals,
        rows=ROWS,
        days=DAYS,
        rare=round(1 / RARE),
    )
