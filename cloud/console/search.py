"""The search in the bar: from whatever names a button, an order, a stamp, a parcel, a street or a frame to its page.

One text may read as several things. What is there is shown, and one thing alone is gone to. A code is looked up last,
if nothing else was meant: only who may read stamps is told, and one that is no stamp counts as a guess.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

import cloud.fleet.store
import cloud.frames.store
import cloud.pickups.store
import cloud.stamps.store
from cloud import database, replay
from cloud.accounts.model import Right, Session
from cloud.console import desk, store
from cloud.console.desk import See
from cloud.fleet.model import ID_DIGITS, format_id
from cloud.frames.model import TRACE_BYTES, Frame
from cloud.ingest.uplink import SIZE
from cloud.places.model import words
from cloud.stamps import item, s10
from cloud.stamps.model import LENGTH, parse
from cloud.words import N_, Said

SHOWN = 50  # orders of a street
WORDS = 8  # of a street that are sought
LEAST = 3  # characters of its longest word: fewer would be in every street
_HEX = re.compile(r"[0-9A-Fa-f]+")
_FRAME = re.compile(rf"(?:([0-9A-Fa-f]{{1,{ID_DIGITS}}})[ :,]+)?((?:[0-9A-Fa-f]{{2}}[ :-]*){{{SIZE}}})")

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Hit:
    """One thing that the text names: what it is, where its page is, and why it is meant."""

    kind: Said
    name: Said
    href: str
    why: Said


@dataclass(frozen=True, slots=True)
class Street:
    """Orders whose addressee's street or town was named; `is_all` where no more was to be looked at."""

    orders: list[store.Addressed]
    is_all: bool


@router.get("/find")
def find(request: Request, session: See, q: Annotated[str, Query(max_length=100)] = "") -> Response:
    """Straight to what `q` names; a list where it is several things, and a page that says so where it is nothing."""
    sought = q.strip()
    with database.reading(request.app.state.engine) as conn:
        hits = list(_hits(conn, sought)) if sought else []
        street = _street(conn, sought)
        as_frame = _as_frame(sought)
        reach = None if hits or as_frame is None else store.reach(conn, as_frame[0])
    if not hits and not street.orders:
        hits = _by_stamp(request, session, sought)
    pages = dict.fromkeys([hit.href for hit in hits] + [f"/pickups/{order.id}" for order in street.orders])
    if len(pages) == 1:
        return RedirectResponse(replay.beside(request).href(next(iter(pages))), 303)
    if pages:
        return desk.render(request, "console/found.html", sought=sought, hits=hits, street=street, shown=SHOWN)
    return desk.render(
        request,
        "console/nothing_found.html",
        status=404,
        sought=sought,
        data=as_frame and as_frame[1].hex(),
        device=as_frame and as_frame[0],
        reach=reach,
        most_of_button=store.SEARCHED_OF_BUTTON,
        may_read=Right.READ_STAMPS in session.account.rights,
    )


def _hits(conn: sa.Connection, sought: str) -> Iterator[Hit]:
    text = "".join(sought.split())
    device = desk.device(text)
    is_button = device is not None and cloud.fleet.store.find(conn, device) is not None
    if device is not None and is_button:
        why = N_("its id") if len(text) == ID_DIGITS else N_("its id, without the zeros before it")
        yield Hit(N_("Button"), Said(format_id(device)), f"/buttons/{format_id(device)}", why)
        if len(text) == ID_DIGITS:
            return  # written in full: nothing else is meant
    if text.isascii() and text.isdecimal() and len(text) <= 18 and cloud.pickups.store.find(conn, int(text)):
        yield _order(int(text), N_("its number"))
    yield from _by_number(conn, text)
    if (frame := _frame_of(conn, sought)) is not None:
        why = N_("these twelve bytes are of its frame %(frame)s", frame=frame.id)
        if _as_frame(sought) is None:
            why = N_("its trace id")
        if frame.pickup_id is not None:
            yield _order(frame.pickup_id, why)
        else:
            yield Hit(N_("Frame"), Said(str(frame.id)), f"/frames/{frame.id}", why)


def _order(id: int, why: Said) -> Hit:
    return Hit(N_("Order"), Said(str(id)), f"/pickups/{id}", why)


def _by_number(conn: sa.Connection, text: str) -> Iterator[Hit]:
    """By a parcel's S10 number: the stamp that paid for it, and the order whose label has it, mostly the same."""
    try:
        number = s10.parse(text)
    except ValueError:
        return
    paid = cloud.stamps.store.paid_for(conn, [str(number), number.grouped])
    for id in paid:
        yield _order(id, N_("its stamp paid for this parcel number"))
    try:
        id = item.pickup_of(number)
    except ValueError:
        return
    if id not in paid and cloud.pickups.store.find(conn, id) is not None:
        yield _order(id, N_("the parcel number of its label"))


def _by_stamp(request: Request, session: Session, sought: str) -> list[Hit]:
    """For those alone who may know what a code is worth; what is no stamp counts as a guess."""
    if Right.READ_STAMPS not in session.account.rights:
        return []
    try:
        code = parse(sought)
    except ValueError:
        return []
    by = f"staff {session.account.name}"
    stamp = request.app.state.desk.look_up(code, by=by, place=f"search by {by}", now=database.now())
    return [] if stamp is None or stamp.pickup_id is None else [_order(stamp.pickup_id, N_("its stamp has this code"))]


def _street(conn: sa.Connection, sought: str) -> Street:
    if _HEX.fullmatch("".join(sought.split())) and len("".join(sought.split())) > LENGTH:
        return Street([], True)  # a frame or a trace id
    named = words(sought)[:WORDS]
    if max(map(len, named), default=0) < LEAST:
        return Street([], True)
    found = cloud.pickups.store.of_street(conn, named, limit=SHOWN)
    return Street(store.addressed(conn, found.ids), found.is_all)


def _frame_of(conn: sa.Connection, sought: str) -> Frame | None:
    """By its 12 bytes, after its button's id if that is known; or by its trace id."""
    if (named := _as_frame(sought)) is None:
        text = "".join(sought.split())
        is_trace = len(text) == 2 * TRACE_BYTES and _HEX.fullmatch(text)
        return next(iter(cloud.frames.store.of_trace(conn, text)), None) if is_trace else None
    device, data = named
    id = store.frame_of_data(conn, data) if device is None else store.frame_of_button(conn, device, data)
    return None if id is None else cloud.frames.store.find(conn, id)


def _as_frame(sought: str) -> tuple[int | None, bytes] | None:
    """The button that `sought` names, if any, and twelve bytes, in whatever groups they are written.

    >>> _as_frame("00D1F3A7 00 00 02 7e 5d 76 ad 50 a5 6e b7 97")
    (13759399, b'\\x00\\x00\\x02~]v\\xadP\\xa5n\\xb7\\x97')
    """
    if (found := _FRAME.fullmatch(sought)) is None:
        return None
    device, data = found.groups()
    return None if device is None else int(device, 16), bytes.fromhex(re.sub("[ :-]", "", data))
