"""The time machine: what moves a replay, the clock in the address that `cloud.replay` reads.

Another speed, a pause and a leap are links to /replay, which gives the new address: only the server knows what time the
old one has come to.
"""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response

from cloud import pages
from cloud.console.desk import See
from cloud.replay import SPEEDS, Moment, Replay, moment, without_replay
from cloud.words import N_

FIRST_SPEED = 10
LONGEST_LEAP = 7 * 86400  # seconds

router = APIRouter()


@router.get("/replay")
def move(
    request: Request,
    session: See,
    at: Annotated[str | None, Query(max_length=40)] = None,
    speed: Annotated[int | None, Query()] = None,
    leap: Annotated[int, Query(ge=-LONGEST_LEAP, le=LONGEST_LEAP)] = 0,
    to: Annotated[str, Query(max_length=2000)] = "/live",
) -> Response:
    """To the page `to` at another time: from `at` on (in Paris, as a form's field has it), else from the replay's own.

    `speed` is one of SPEEDS, or 0: it stands; `leap` is in seconds.
    """
    here = moment(request)
    replay = here.replay or Replay(here.wall, here.wall, FIRST_SPEED)
    if speed is not None and speed not in (0, *SPEEDS):
        raise HTTPException(422, N_("A replay runs at %(speeds)s times, or stands.", speeds=SPEEDS))
    if at:
        replay = Replay(min(_in_paris(at), here.wall), here.wall, replay.speed)
    moved = replay.leap(leap, here.wall).at_speed(replay.speed if speed is None else speed, here.wall)
    path = without_replay(pages.local_path(to) or "/live")
    return RedirectResponse(Moment(here.wall, here.wall, moved).href(path), 303)


def _in_paris(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise HTTPException(422, N_("%(text)s is no date with a time.", text=text)) from None
    if not 1970 < at.year < 9999:
        raise HTTPException(422, N_("Nothing was heard in %(year)s.", year=at.year))
    return (at if at.tzinfo else at.replace(tzinfo=pages.PARIS)).astimezone(UTC)
