"""The buttons that are not well, with the reasoning in words: dead ones told from unused ones and from late ones."""

from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import Response

from cloud import database
from cloud.console import desk, verdicts
from cloud.console.desk import ROWS, See
from cloud.console.nav import BADGES
from cloud.fleet import silence
from cloud.fleet.rhythm import Verdict
from cloud.words import words_of

MOST_COUNTED = silence.MOST_COUNTED

Department = Annotated[str | None, Query(pattern="^[0-9]{1,3}$|^2[ABab]$|^$")]
After = Annotated[str | None, Query(max_length=32)]

router = APIRouter()


def count_silent(conn: sa.Connection) -> int:
    """For the bar; the template says "99+" of more."""
    return silence.count(conn, database.now(), at_most=MOST_COUNTED)


BADGES["silent"] = count_silent


@router.get("/silent")
def list_silent(
    request: Request,
    session: See,
    verdict: Verdict = Verdict.SILENT,
    department: Department = None,
    after: After = None,
) -> Response:
    now = database.now()
    department = (department or "").upper() or None
    with database.reading(request.app.state.engine) as conn:
        try:
            page = verdicts.listed(conn, now, verdict=verdict, department=department, after=after, limit=ROWS)
        except ValueError as error:
            raise HTTPException(422, words_of(error)) from None
        by_department = silence.silent_by_department(conn, now)
        late = silence.count(conn, now, verdict=Verdict.LATE, department=department)
    silent = sum(by_department.values()) if department is None else by_department.get(department, 0)
    return desk.render(
        request,
        "console/silent.html",
        now=now,
        page=page,
        verdict=verdict,
        verdicts=verdicts.LISTED,
        department=department,
        counts={Verdict.SILENT: silent, Verdict.LATE: late},
        most=MOST_COUNTED,
        by_department=sorted(
            ((name, count) for name, count in by_department.items() if name), key=lambda one: (-one[1], one[0])
        ),
        after=after,
    )
