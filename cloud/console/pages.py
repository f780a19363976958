"""The operators' pages, put together."""

from fastapi import APIRouter

from cloud.console import buttons, fleet, frames, imports, nav, orders, overview, search, stream

router = APIRouter()
for part in (nav, overview, stream, orders, imports, fleet, buttons, frames, search):
    router.include_router(part.router)
