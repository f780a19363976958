"""One frame of the log."""

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

import cloud.frames.store
from cloud import database
from cloud.console import bits, desk
from cloud.console.desk import Id, See
from cloud.words import N_

router = APIRouter()


@router.get("/frames/{id}")
def show_frame(request: Request, session: See, id: Id) -> Response:
    with database.reading(request.app.state.engine) as conn:
        frame = cloud.frames.store.find(conn, id)
    if frame is None:
        raise HTTPException(404, N_("The log has no frame %(id)s.", id=id))
    return desk.render(request, "console/frame_page.html", frame=frame, drawing=bits.drawing(frame))
