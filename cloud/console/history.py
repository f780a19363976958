"""The traffic of days: frames a minute, drawn so that an hour can be picked and replayed; the same hours as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import Response

from cloud import database, pages
from cloud.console import desk
from cloud.console.desk import See
from cloud.console.replay import FIRST_SPEED
from cloud.frames.model import Result
from cloud.frames.tally import Counts, What
from cloud.replay import SPEEDS
from cloud.words import N_

DAYS = 3  # in one drawing: 4 320 minutes
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
FIRST = date(1971, 1, 1)
LAST = date(9998, 1, 1)

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Heard:
    """Of one minute, or one hour."""

    at: datetime  # when it began
    frames: int
    refused: int


def minutes(conn: sa.Connection, since: datetime, until: datetime) -> list[Heard]:
    """The minutes of [since, until) in which anything was heard, oldest first; `since` begins one."""
    counted = Counts(conn, until - timedelta(milliseconds=1)).each_minute(What.RESULT, since)
    return [
        Heard(at, of.total(), sum(count for result, count in of.items() if Result(result).is_refusal))
        for at, of in sorted(counted.items())
    ]


def hours(found: Sequence[Heard]) -> list[Heard]:
    """The same by the hour, newest first."""
    by_hour: dict[datetime, list[Heard]] = {}
    for one in found:
        by_hour.setdefault(one.at.replace(minute=0), []).append(one)
    return [
        Heard(at, sum(one.frames for one in of), sum(one.refused for one in of))
        for at, of in sorted(by_hour.items(), reverse=True)
    ]


@router.get("/traffic/days")
def show_days(
    request: Request, session: See, day: Annotated[date | None, Query(description="The last one that is drawn")] = None
) -> Response:
    now = database.now()
    last = now.astimezone(pages.PARIS).date() if day is None else day
    if not FIRST <= last <= LAST:
        raise HTTPException(422, N_("Nothing was heard in %(year)s.", year=last.year))
    since, until = _midnight(last - (DAYS - 1) * DAY), min(_midnight(last + DAY), now)
    with database.reading(request.app.state.engine) as conn:
        found = minutes(conn, since, until) if since < until else []
    return desk.render(
        request,
        "console/history.html",
        now=now,
        since=since,
        until=until,
        minutes=[[(one.at - since) // MINUTE, one.frames, one.refused] for one in found],
        hours=hours(found),
        most=max(found, key=lambda one: one.frames, default=None),
        refused=sum(one.refused for one in found),
        picked=max(since, until - HOUR).astimezone(pages.PARIS).strftime("%Y-%m-%dT%H:00"),
        earlier=last - DAYS * DAY,
        later=last + DAYS * DAY if until < now else None,
        speeds=SPEEDS,
        first_speed=FIRST_SPEED,
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), pages.PARIS).astimezone(UTC)
