"""The operators' pages, put together."""

from fastapi import APIRouter

from cloud.console import (
    access,
    audit,
    bundle,
    buttons,
    decode,
    documents,
    fleet,
    frames,
    history,
    imports,
    live_page,
    me,
    nav,
    orders,
    overview,
    replay,
    search,
    silent,
    stream,
)

router = APIRouter()
for part in (
    *(nav, overview, stream, live_page, replay, history),
    *(orders, silent, imports, fleet, buttons, frames),
    *(decode, documents, bundle, search, audit, access, me),
):
    router.include_router(part.router)
