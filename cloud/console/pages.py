"""The operators' pages, put together."""

from fastapi import APIRouter

from cloud.console import access, audit, buttons, frames, me, nav, orders, overview, search, stream

router = APIRouter()
for part in (nav, overview, stream, orders, buttons, frames, search, audit, access, me):
    router.include_router(part.router)
