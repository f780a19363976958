"""The stream on a page of its own: each frame with all its fields, filtered by the address, live or replayed.

Without scripts it shows the newest frames of its filter; with them it goes on by itself (`cloud.console.stream`). A
filter that finds little is not searched through the whole log at once: a page covers the newest SPAN frames, says so,
and leads on to the ones before.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

import cloud.frames.store
from cloud import database, replay
from cloud.console import desk, filters, stream
from cloud.console.desk import Before, See
from cloud.console.filters import Rows, View
from cloud.frames.model import Filter, Result
from cloud.words import words_of

ROWS = 100
SPAN = 200_000  # frames read through for a page, a third of a second
SPAN_OF_BUTTON = 20_000  # of a button's own, which have an index

router = APIRouter()


@router.get("/live")
def live(
    request: Request,
    session: See,
    moment: Annotated[replay.Moment, Depends(replay.moment)],
    before: Before = None,
) -> Response:
    said = {name: request.query_params.get(name, "") for name in filters.NAMES}
    wanted, fault = Filter(), None
    try:
        wanted = filters.read(said)
    except ValueError as error:
        fault = words_of(error)
    here = "?".join(filter(None, ("/live", filters.write(wanted))))
    if fault is None and any(name in request.query_params and not said[name] for name in said):
        return RedirectResponse(moment.href(here), 303)  # a form's empty fields are no part of an address

    with database.reading(request.app.state.engine) as conn:
        store = cloud.frames.store
        newest = stream.newest(conn, moment)
        until = newest if before is None else min(before - 1, newest)
        span = SPAN if wanted.device is None else SPAN_OF_BUTTON
        above = store.reach(conn, until, span, wanted.device)
        frames = [] if fault else store.search(conn, wanted, above=above, until=until, limit=ROWS)
    # The frames before those that are shown; where the search ended without enough of them, before what it covered.
    is_full = len(frames) == ROWS
    before_these = frames[-1].id if is_full else above + 1 if above else None
    older = f"{here}{'&' if '?' in here else '?'}before={before_these}"
    return desk.render(
        request,
        "console/live.html",
        status=422 if fault else 200,
        now=moment.now,
        frames=frames,
        newest=newest,
        is_past=before is not None,
        said=said,
        fault=fault,
        wanted=wanted,
        newest_frames=moment.href(here),
        view=str(View(wanted, Rows.WIDE)),
        older=moment.href(older) if before_these else None,
        searched=span if above and not is_full else None,
        searched_from=until,
        results=tuple(Result),
        kinds=filters.KINDS,
    )
