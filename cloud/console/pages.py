"""The operators' pages, put together."""

from fastapi import APIRouter

from cloud.console import buttons, frames, live_page, nav, orders, overview, replay, search, stream

router = APIRouter()
for part in (nav, overview, stream, live_page, replay, orders, buttons, frames, search):
    router.include_router(part.router)
