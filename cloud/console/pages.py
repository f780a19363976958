"""The operators' pages, put together."""

from fastapi import APIRouter

from cloud.console import buttons, frames, history, live_page, nav, orders, overview, replay, search, stream

router = APIRouter()
for part in (nav, overview, stream, live_page, replay, history, orders, buttons, frames, search):
    router.include_router(part.router)
