"""The operators' pages."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from cloud.accounts.guard import signed_in
from cloud.accounts.model import Right, Session

router = APIRouter()


@router.get("/")
def overview(request: Request, session: Annotated[Session, Depends(signed_in(Right.SEE))]) -> Response:
    return RedirectResponse("/my", 303)
