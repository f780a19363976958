"""One frame of the log."""

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

import cloud.frames.store
from cloud import database, pages
from cloud.console import bits, desk
from cloud.console.desk import Id, Now, See
from cloud.words import N_

router = APIRouter()


@router.get("/frames/{id}")
def show_frame(request: Request, session: See, moment: Now, id: Id) -> Response:
    with database.reading(request.app.state.engine) as conn:
        frame = cloud.frames.store.find(conn, id)
    if frame is None:
        raise HTTPException(404, N_("The log has no frame %(id)s.", id=id))
    if moment.is_replay and frame.received_at > moment.now:
        said = N_("Frame %(number)s had not arrived yet at %(time)s.", number=id, time=pages.time_of_day(moment.now))
        return pages.not_yet(request, said, frame.received_at)
    return desk.render(request, "console/frame_page.html", now=moment.now, frame=frame, drawing=bits.drawing(frame))
