"""The live stream: every frame and every change of an order, pushed to the open pages as server-sent events.

The id of an event is the frame's id in the log, so whoever lost the connection, or comes back to a page left open,
names the last one it has, and any worker goes on from there: no gap, no double. An order's row carries no id; it is the
order as it stands, so seeing it twice does no harm, and a new connection is given the newest ones outright.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

import cloud.frames.store
from cloud import database
from cloud.accounts import guard
from cloud.accounts.model import Right
from cloud.console import desk, store

BATCH = 200  # frames a read
BACKLOG = 5_000  # frames; whoever is further behind is told to load the page anew, which shows far fewer
ORDERS = 20  # rows of the page's list of orders
PAUSE_S = 0.2  # after a read that found something: frames that come thick are read five times a second
WAIT_S = 1.0  # without a bell; also how soon a stream notices that its session or the server ends
CLOCK_S = 15.0  # of silence, after which the page is told the time and so knows that it is not cut off

router = APIRouter()


@router.get("/stream", response_class=EventSourceResponse, dependencies=[Depends(guard.signed_in(Right.SEE))])
async def stream(
    request: Request,
    after: Annotated[int | None, Query(ge=0, le=store.MAX_ID)] = None,
    last_event_id: Annotated[int | None, Header(ge=0, le=store.MAX_ID)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Frames after `Last-Event-ID`, else after `?after=`, else from now on, as `frame`; orders as `order`.

    `clock` tells the server's time in milliseconds, `reload` that the page is too old to catch up, `end` that the
    session is over.
    """
    reader = Reader(request, after if last_event_id is None else last_event_id)
    yield _clock(retry=1000)
    said_at = time.monotonic()
    while not stopping(request):
        rings = request.app.state.bell.rings
        news = await run_sync(reader.read)
        for event in news:
            yield event
        if reader.done:
            return
        if news:
            said_at = time.monotonic()
            await asyncio.sleep(PAUSE_S if len(news) < BATCH else 0)  # who catches up is held back by their own line
            continue
        if time.monotonic() - said_at > CLOCK_S:
            said_at = time.monotonic()
            yield _clock()
        await request.app.state.bell.wait(rings, WAIT_S)


def stopping(request: Request) -> bool:
    """Whether the server is being stopped: it waits for open answers to end, and a stream has no end of its own."""
    return getattr(request.app.state, "stopping", lambda: False)()


class Reader:
    """How far one connection has read, and what comes next; `read` is for a worker thread."""

    def __init__(self, request: Request, after: int | None) -> None:
        self.request = request
        self.frame = after
        self.event: int | None = None
        self.done = False

    def read(self) -> list[ServerSentEvent]:
        session = guard.current(self.request)
        if session is None or Right.SEE not in session.account.rights:
            return self._end("end", "the session is over")
        now, vault = database.now(), self.request.app.state.vault
        with database.reading(self.request.app.state.engine) as conn:
            if self.event is None:
                newest = cloud.frames.store.last_id(conn)
                self.frame = newest if self.frame is None else self.frame
                if not 0 <= newest - self.frame <= BACKLOG:
                    return self._end("reload", str(newest))
                self.event = store.last_event(conn)
                orders = store.orders(conn, vault, limit=ORDERS)[::-1]
            else:
                orders, self.event = store.changed_orders(conn, vault, self.event, BATCH)
            assert self.frame is not None
            frames = cloud.frames.store.after(conn, self.frame, BATCH)
        if frames:
            self.frame = frames[-1].id
        return [
            *(self._event("frame", "console/frame.html", id=str(one.id), now=now, frame=one) for one in frames),
            *(self._event("order", "console/order.html", now=now, order=one) for one in orders),
        ]

    def _event(self, event: str, template: str, *, id: str | None = None, **context: object) -> ServerSentEvent:
        return ServerSentEvent(event=event, id=id, raw_data=desk.fragment(self.request, template, **context))

    def _end(self, event: str, data: str) -> list[ServerSentEvent]:
        self.done = True
        return [ServerSentEvent(event=event, raw_data=data)]


def _clock(retry: int | None = None) -> ServerSentEvent:
    """The server's time in milliseconds since 1970, by which the page counts ages."""
    return ServerSentEvent(event="clock", raw_data=str(int(database.now().timestamp() * 1000)), retry=retry)
