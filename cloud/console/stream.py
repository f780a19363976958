"""The live stream: every frame and every change of an order, pushed to the open pages as server-sent events.

**What goes over the line.** A connection asks for any number of views, ``/stream?after=18402117&view=…&view=…``, each a
filter and a kind of row (`filters.View`). Several times a second it is told, as one event ``frames``, what is new::

    id: 18402151
    data: {"to": 18402151, "rows": [[18402140, false, [0, 2], "<tr …>"], …], "views": [[34, 2, 1], [0, 0, 1], …]}

`rows` are oldest first, each with whether it was refused, and the views that are shown it, by their place in the
address. `views` has for each how
many frames its filter took, how many of those were refused, and N of "1 of N shown". `to` is how far the log has been
read for all of them, and it is the event's id: whoever lost the connection, or comes back to a page left open, names it
as Last-Event-ID or `after`, and any worker goes on from there: no gap, no double. An event is whole or it is not there.
The log goes on behind a filter that lets nothing through, so such an event comes without rows too, once a second.

``order`` is an order's row as it stands (`orders=true`). It carries no id; seeing it twice does no harm, and a new
connection is given the newest ones outright. ``clock`` tells the server's time in milliseconds since 1970, ``reload``
that the page is too old to catch up, ``end`` that the session is over.

**What is left out.** What was in the log before the connection was opened is given in full, up to BACKLOG. After that
a view that is given more than `sampling.ROWS_S` rows a second is shown one of N, the same ones in every tab and by
every worker; the counts stay right. A view whose filter thins the stream out below that is shown all of it.

**What it costs.** One `Tail` a process reads the log, and renders each row once a language: a connection more costs
its share of the writing. Only who is behind the tail reads for itself.

**A replay** (`cloud.replay`) is read in the order of the log, up to the newest frame of the replay's present.
Where frames are due faster than they can be read, one of N is read and the others are counted.
"""

import asyncio
import threading
import time
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

import orjson
import sqlalchemy as sa
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

import cloud.frames.store
from cloud import database, pages, replay
from cloud.accounts import guard
from cloud.accounts.model import Right
from cloud.console import store
from cloud.console.filters import Rows, View
from cloud.console.sampling import Sampler
from cloud.frames.model import STEPS, Frame, drawn
from cloud.stamps.vault import Vault
from cloud.words import words_of

BATCH = 500  # frames a read
BACKLOG = 5_000  # frames; whoever is further behind is told to load the page anew, which shows far fewer
THIN_BACKLOG = 200_000  # of whoever has a filter in every view: a quarter of a second's search a batch
SPAN = 20_000  # ids a read of those may cover
TAIL = 4_000  # frames that are kept for all connections
ORDERS = 20  # rows of the page's list of orders
CHANGES = 200  # of orders that are kept for all connections
PAUSE_S = 0.2  # after a read that found something: frames that come thick are read five times a second
WAIT_S = 1.0  # without a bell; also how soon a stream notices that its session or the server ends
CLOCK_S = 15.0  # of silence, after which the page is told the time and so knows that it is not cut off
REPLAY_S = 0.25  # between two reads of a replay
DUE = 1_000  # frames of a replay that are read at once
MOST_VIEWS = 32

router = APIRouter()

TEMPLATES = {Rows.NARROW: "console/frame.html", Rows.WIDE: "console/live_row.html"}


def views(view: Annotated[list[str], Query(max_length=MOST_VIEWS)] = [""]) -> list[View]:  # noqa: B006  FastAPI's own
    """A dependency: what is wrong with them must be said before the answer begins."""
    try:
        return [View.read(text) for text in view]
    except ValueError as error:
        raise HTTPException(422, words_of(error)) from None


@router.get("/stream", response_class=EventSourceResponse, dependencies=[Depends(guard.signed_in(Right.SEE))])
async def stream(
    request: Request,
    at: Annotated[replay.Moment, Depends(replay.moment)],
    views: Annotated[list[View], Depends(views)],
    orders: bool = False,
    after: Annotated[int | None, Query(ge=0, le=store.MAX_ID)] = None,
    last_event_id: Annotated[int | None, Header(ge=0, le=store.MAX_ID)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """What follows `Last-Event-ID`, else `?after=`, else from now on: see the module."""
    line = Line(request, views, after if last_event_id is None else last_event_id, orders, at.replay)
    yield line.clock(retry=1000)
    said_at = time.monotonic()
    while not stopping(request):
        rings = request.app.state.bell.rings
        news = await run_sync(line.read, rings)
        for event in news:
            yield event
        if line.done:
            return
        if news:
            said_at = time.monotonic()
        elif time.monotonic() - said_at > CLOCK_S:
            said_at = time.monotonic()
            yield line.clock()
        if line.pause_s is None:
            await request.app.state.bell.wait(rings, WAIT_S)
        else:
            await asyncio.sleep(line.pause_s)


def newest(conn: sa.Connection, moment: replay.Moment) -> int:
    """The log's newest frame at that moment: where a page's stream begins."""
    return cloud.frames.store.id_at(conn, moment.now) if moment.is_replay else cloud.frames.store.last_id(conn)


def newest_orders(conn: sa.Connection, vault: Vault, moment: replay.Moment, frame: int) -> list[store.Order]:
    """As many as a page shows, newest first, as they stood at that moment."""
    if moment.is_replay:
        return store.orders_at(conn, vault, moment.now, frame, ORDERS)
    return store.orders(conn, vault, limit=ORDERS)


def stopping(request: Request) -> bool:
    """Whether the server is being stopped: it waits for open answers to end, and a stream has no end of its own."""
    return getattr(request.app.state, "stopping", lambda: False)()


@dataclass(slots=True)
class Kept:
    """A frame with its rows, each rendered when it is first wanted."""

    frame: Frame
    station_name: Callable[[str], str] = str
    rows: dict[tuple[str, Rows], str] = field(default_factory=dict)

    def row(self, lang: str, rows: Rows, at: replay.Moment) -> str:
        """It says its age at that moment, as of when it was first wanted; a page counts on by itself."""
        if (lang, rows) not in self.rows:
            said = {"frame": self.frame, "station_name": self.station_name}
            self.rows[lang, rows] = pages.fragment(TEMPLATES[rows], lang=lang, now=at.now, moment=at, **said)
        return self.rows[lang, rows]


@dataclass(slots=True)
class KeptOrder:
    event: int  # the newest of the orders' events when it was read
    order: store.Order
    rows: dict[tuple[str, bool], str] = field(default_factory=dict)

    def row(self, lang: str, may_read_stamps: bool) -> str:
        if (lang, may_read_stamps) not in self.rows:
            said = {"order": self.order, "may_read_stamps": may_read_stamps}
            self.rows[lang, may_read_stamps] = pages.fragment("console/order.html", lang=lang, **said)
        return self.rows[lang, may_read_stamps]


class Tail:
    """The end of the log, read once for all connections of a process. For worker threads, any number at a time."""

    def __init__(self, engine: sa.Engine, vault: Vault, station_name: Callable[[str], str] = str) -> None:
        self._engine, self._vault, self._station_name = engine, vault, station_name
        self._lock = threading.Lock()
        self._frames: list[Kept] = []  # all that the log has above `since`, up to `last`
        self.since = self.last = 0
        self._orders: deque[KeptOrder] = deque(maxlen=CHANGES)
        self.event = -1  # of the orders', the newest that was read
        self._rings = -1  # of the bell, when it was looked for last
        self._looked_at: float | None = None
        self._found = False

    def look(self, rings: int) -> bool:
        """Whether all is here that was committed before the bell had rung `rings` times; asked again soon, if not."""
        with self._lock:
            passed = WAIT_S if self._looked_at is None else time.monotonic() - self._looked_at
            if self._rings >= rings and passed < WAIT_S:
                return True
            if self._found and passed < PAUSE_S:
                return False
            with database.reading(self._engine) as conn:
                self._found = self._read_frames(conn) | self._read_orders(conn)
            self._rings, self._looked_at = rings, time.monotonic()
            return True

    def keep(self, read: Sequence[Frame]) -> list[Kept]:
        return [Kept(frame, self._station_name) for frame in read]

    def after(self, id: int) -> tuple[list[Kept] | None, int]:
        """The frames above `id`, None where that is before the tail begins; and up to which one it has them all."""
        with self._lock:
            return None if id < self.since else self._frames[bisect_right(self._frames, id, key=_id) :], self.last

    def orders_after(self, event: int) -> list[KeptOrder]:
        """What has changed after `event`, each order once, by their ids."""
        with self._lock:
            changed = {one.order.id: one for one in self._orders if one.event > event}
        return [changed[id] for id in sorted(changed)]

    def _read_frames(self, conn: sa.Connection) -> bool:
        before, newest = self.last, cloud.frames.store.last_id(conn)
        if self._looked_at is None or not 0 <= newest - self.last <= TAIL:
            self.since = self.last = newest
            self._frames = []
        while len(read := cloud.frames.store.after(conn, self.last, BATCH)) > 0:
            self._frames += self.keep(read)
            self.last = read[-1].id
            if len(read) < BATCH:
                break
        if len(self._frames) > 2 * TAIL:
            del self._frames[: len(self._frames) - TAIL]
            self.since = self._frames[0].frame.id - 1
        return self.last != before

    def _read_orders(self, conn: sa.Connection) -> bool:
        newest = store.last_event(conn)
        if newest == self.event:
            return False
        changed, _ = store.changed_orders(conn, self._vault, max(self.event, newest - CHANGES), CHANGES)
        self._orders += [KeptOrder(newest, order) for order in changed]
        self.event = newest
        return True


def _id(kept: Kept) -> int:
    return kept.frame.id


class Line:
    """How far one connection has read, and what comes next; `read` is for a worker thread."""

    def __init__(
        self, request: Request, views: Sequence[View], after: int | None, orders: bool, replayed: replay.Replay | None
    ) -> None:
        self._request, self._views, self._orders, self._replay = request, views, orders, replayed
        self._engine: sa.Engine = request.app.state.engine
        self._tail: Tail = request.app.state.tail
        self._lang = pages.language(request, pages.STAFF)
        self._id = after
        self._told = after  # what the page knows to be read
        self._told_at = time.monotonic()
        self._whole_to: int | None = None  # up to this frame nothing is left out
        self._event: int | None = None
        self._versions: dict[int, int] = {}  # of a replay's orders, as they were told
        self._samplers = [Sampler(time.monotonic()) for _ in views]
        self._checked_at = -WAIT_S
        self._may_read_stamps = False
        self.done = False
        self.pause_s: float | None = None  # until it should be read again; None: until the bell rings

    def read(self, rings: int) -> list[ServerSentEvent]:
        if not self._is_allowed():
            return self._end("end", "the session is over")
        if self._replay is not None:
            return list(self._replayed(self._replay))
        is_whole = self._tail.look(rings)
        opened = self._whole_to is None
        if opened and (behind := self._open(self._tail.last)) is not None:
            return behind
        events = [*self._frames(), *(self._changed_orders() if self._orders else ())]
        assert self._id is not None
        if self._id < self._tail.last:
            self.pause_s = 0  # who catches up is held back by their own line
        else:
            self.pause_s = PAUSE_S if events or not is_whole else None
        return events

    def clock(self, retry: int | None = None) -> ServerSentEvent:
        """The page's time in milliseconds since 1970, by which it counts ages."""
        return ServerSentEvent(event="clock", raw_data=str(database.milliseconds(self._now())), retry=retry)

    def _moment(self) -> replay.Moment:
        wall = database.now()
        return replay.Moment(wall if self._replay is None else self._replay.at(wall), wall, self._replay)

    def _now(self) -> datetime:
        return self._moment().now

    def _is_allowed(self) -> bool:
        if time.monotonic() - self._checked_at < WAIT_S:
            return True
        self._checked_at = time.monotonic()
        session = guard.current(self._request)
        self._may_read_stamps = session is not None and Right.READ_STAMPS in session.account.rights
        return session is not None and Right.SEE in session.account.rights

    def _open(self, newest: int) -> list[ServerSentEvent] | None:
        self._id = newest if self._id is None else self._id
        self._told = self._id if self._told is None else self._told
        backlog = THIN_BACKLOG if all(view.wanted for view in self._views) else BACKLOG
        if not 0 <= newest - self._id <= backlog:
            return self._end("reload", orjson.dumps({"from": newest - backlog, "to": newest}).decode())
        self._whole_to = newest
        return None

    def _frames(self) -> Iterator[ServerSentEvent]:
        """Of what the tail has, or from the log, as long as that is behind the tail."""
        assert self._id is not None
        assert self._whole_to is not None
        kept, to = self._tail.after(self._id)
        if kept is None:
            kept, to = self._read_log(self._id, to)
        if self._id < self._whole_to < to:
            kept, to = [one for one in kept if one.frame.id <= self._whole_to], self._whole_to
        whole = to <= self._whole_to
        self._id = max(self._id, to)
        heard = [[one for one in kept if view.wanted.takes(one.frame)] for view in self._views]
        steps = [
            1 if whole else sampler.sift(len(of), time.monotonic())
            for sampler, of in zip(self._samplers, heard, strict=True)
        ]
        counts = [(len(of), sum(one.frame.result.is_refusal for one in of)) for of in heard]
        yield from self._batch(heard, counts, steps)

    def _read_log(self, id: int, to: int) -> tuple[list[Kept], int]:
        wanted = {view.wanted for view in self._views}
        if all(wanted):
            to = min(to, id + SPAN)
        with database.reading(self._engine) as conn:
            read = cloud.frames.store.after(conn, id, BATCH, until=to, any_of=wanted)
        return self._tail.keep(read), to if len(read) < BATCH else read[-1].id

    def _replayed(self, clock: replay.Replay) -> Iterator[ServerSentEvent]:
        self.pause_s = REPLAY_S if clock.speed else WAIT_S
        with database.reading(self._engine) as conn:
            to = cloud.frames.store.id_at(conn, self._now())
            self._id = to if self._id is None else self._id
            self._whole_to = to if self._whole_to is None else self._whole_to
            if self._told is None:
                self._told = self._id
            if to <= self._id:
                return
            due = to - self._id
            least = next((step for step in STEPS if due <= DUE * step), STEPS[-1])
            wanted = {view.wanted for view in self._views}
            read = cloud.frames.store.after(conn, self._id, 2 * DUE, until=to, any_of=wanted, step=least)
            kept = self._tail.keep(read)
            heard = [[one for one in kept if view.wanted.takes(one.frame)] for view in self._views]
            if least == 1:
                counts = [(len(of), sum(one.frame.result.is_refusal for one in of)) for of in heard]
            else:
                tell = {of: cloud.frames.store.count(conn, of, above=self._id, until=to) for of in wanted}
                counts = [tell[view.wanted] for view in self._views]
            if self._orders:
                yield from self._replayed_orders(conn, to)
        whole = least == 1 and to <= self._whole_to
        steps = [
            1 if whole else max(least, sampler.sift(count, time.monotonic()))
            for sampler, (count, _) in zip(self._samplers, counts, strict=True)
        ]
        self._id = to
        yield from self._batch(heard, counts, steps)

    def _replayed_orders(self, conn: sa.Connection, frame: int) -> Iterator[ServerSentEvent]:
        vault, moment = self._request.app.state.vault, self._moment()
        for order in store.orders_at(conn, vault, moment.now, frame, ORDERS)[::-1]:
            if self._versions.get(order.id) != order.version:
                self._versions[order.id] = order.version
                said = {"order": order, "may_read_stamps": self._may_read_stamps}
                row = pages.fragment("console/order.html", lang=self._lang, now=moment.now, moment=moment, **said)
                yield ServerSentEvent(event="order", raw_data=row)

    def _batch(
        self, heard: Sequence[Sequence[Kept]], counts: Sequence[tuple[int, int]], steps: Sequence[int]
    ) -> Iterator[ServerSentEvent]:
        """One event of what each view is shown, or none where there is nothing that must be told yet."""
        shown: dict[tuple[int, Rows], tuple[Kept, list[int]]] = {}
        for at, (view, of, step) in enumerate(zip(self._views, heard, steps, strict=True)):
            for one in of:
                if step == 1 or drawn(one.frame.id, step):
                    shown.setdefault((one.frame.id, view.rows), (one, []))[1].append(at)
        has_news = any(count for count, _ in counts)
        now = time.monotonic()
        if self._id == self._told or (not has_news and now - self._told_at < WAIT_S):
            return
        self._told, self._told_at = self._id, now
        moment = self._moment()
        rows = [
            (id, one.frame.result.is_refusal, views, one.row(self._lang, rows, moment))
            for (id, rows), (one, views) in sorted(shown.items(), key=_place)
        ]
        told = {
            "to": self._id,
            "rows": rows,
            "views": [(*count, step) for count, step in zip(counts, steps, strict=True)],
        }
        yield ServerSentEvent(event="frames", id=str(self._id), raw_data=orjson.dumps(told).decode())

    def _changed_orders(self) -> Iterator[ServerSentEvent]:
        if self._event is None:
            self._event = self._tail.event
            with database.reading(self._engine) as conn:
                newest = store.orders(conn, self._request.app.state.vault, limit=ORDERS)[::-1]
            changed = [KeptOrder(0, order) for order in newest]
        else:
            changed = self._tail.orders_after(self._event)
            self._event = max([self._event, *(one.event for one in changed)])
        for one in changed:
            yield ServerSentEvent(event="order", raw_data=one.row(self._lang, self._may_read_stamps))

    def _end(self, event: str, data: str) -> list[ServerSentEvent]:
        self.done = True
        return [ServerSentEvent(event=event, raw_data=data)]


def _place(item: tuple[tuple[int, Rows], object]) -> tuple[int, str]:
    (id, rows), _ = item
    return id, rows
