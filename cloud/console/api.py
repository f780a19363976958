"""The JSON API."""

from typing import Annotated

from fastapi import APIRouter, Depends

from cloud.accounts.guard import bearer
from cloud.accounts.model import Right, Token

router = APIRouter()


@router.get("/buttons")
def list_buttons(token: Annotated[Token, Depends(bearer(Right.SEE))]) -> dict[str, list[str]]:
    return {"buttons": []}
