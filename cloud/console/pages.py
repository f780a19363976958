"""The operators' pages, put together."""

from fastapi import APIRouter

from cloud.console import (
    bundle,
    buttons,
    decode,
    documents,
    fleet,
    frames,
    imports,
    nav,
    orders,
    overview,
    search,
    silent,
    stream,
)

router = APIRouter()
for part in (nav, overview, stream, orders, silent, imports, fleet, buttons, frames, decode, documents, bundle, search):
    router.include_router(part.router)
