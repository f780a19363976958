"""The frame bench: bytes that somebody pasted, explained to the bit, and tried against a button's keys."""

from dataclasses import dataclass
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

import cloud.fleet.store
import cloud.frames.store
from cloud import database
from cloud.console import bits, desk, explain
from cloud.console.desk import See
from cloud.console.explain import ANSWER_SIZE, MOST_TEXT, Pasted, Unreadable
from cloud.fleet.model import Button, State, format_id, parse_id
from cloud.frames.model import Frame, Result
from cloud.frames.reasons import read
from cloud.frames.store import Claimed
from cloud.ingest.downlink import Status
from cloud.ingest.keys import Keys
from cloud.ingest.unseal import open_answer, open_any
from cloud.ingest.uplink import SIZE, WINDOW_BEHIND, Rejected, Uplink
from cloud.words import N_, Said

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of trying the seal: `tone` as of a chip, the words, and where else to look."""

    tone: str
    word: Said
    text: Said | str
    pickup_id: int | None = None


@router.get("/decode")
def decode(
    request: Request,
    session: See,
    data: Annotated[str, Query(max_length=2 * MOST_TEXT)] = "",
    button: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """What is pasted stands in the address, so that a colleague can be sent there: it is sealed, and no secret."""
    fault: dict[str, Said | None] = {"data": None, "button": None}
    pasted, context = None, {"fields": [], "radio": [], "drawing": None, "frame": None, "verdict": None}
    device = None
    if button.strip():
        try:
            device = parse_id(button)
        except ValueError:
            fault["button"] = N_("A button’s id is up to 8 hex digits, such as 0012AB34.")
    if data.strip():
        try:
            pasted = explain.read_pasted(data)
        except Unreadable as unreadable:
            fault["data"] = unreadable.said
    if pasted is not None:
        device = pasted.device if device is None else device
        with database.reading(request.app.state.engine) as conn:
            context = _explained(conn, request.app.state.keys, pasted, device)
    typed = {"data": data.strip(), "button": button.strip() or ("" if device is None else format_id(device))}
    page = {"pasted": pasted, "typed": typed, "fault": fault, **context}
    return desk.render(request, "console/decode.html", status=422 if any(fault.values()) else 200, **page)


def _explained(conn: sa.Connection, keys: Keys | None, pasted: Pasted, device: int | None) -> dict[str, Any]:
    verdict, opened, answer = _try(conn, keys, pasted, device)
    fields, drawing, frame = [], None, None
    if len(pasted.data) == SIZE:
        frame = _frame(pasted.data, opened)
        fields, drawing = explain.explain_uplink(pasted.data, opened), bits.drawing(frame)
    elif len(pasted.data) == ANSWER_SIZE:
        fields = explain.explain_answer(pasted.data, answer)
    radio = explain.explain_radio(pasted.radio) if pasted.radio else []
    return {"fields": fields, "radio": radio, "drawing": drawing, "frame": frame, "verdict": verdict}


def _try(
    conn: sa.Connection, keys: Keys | None, pasted: Pasted, device: int | None
) -> tuple[Verdict | None, Uplink | None, tuple[Status, int] | None]:
    if len(pasted.data) not in (SIZE, ANSWER_SIZE):
        return None, None, None
    if device is None:
        said = N_("Name the button that sent it, and its keys are tried.")
        return Verdict("info", N_("sealed"), said), None, None
    button = cloud.fleet.store.find(conn, device)
    if button is None:
        said = N_("The fleet has no button %(id)s, so there is no key to try.", id=format_id(device))
        return Verdict("bad", N_("button unknown"), said), None, None
    if keys is None:
        return Verdict("warn", N_("sealed"), N_("This process holds no keys.")), None, None
    if len(pasted.data) == ANSWER_SIZE:
        return _try_answer(conn, keys, pasted.data, button)
    try:
        opened = open_any(pasted.data, button, keys)
    except Rejected as rejected:
        return Verdict("bad", N_("does not open"), read(rejected.reason)[0]), None, None
    known = cloud.frames.store.claimed(conn, [opened.key]).get(opened.key)
    return _verdict(opened, button, known), opened, None


def _try_answer(
    conn: sa.Connection, keys: Keys, data: bytes, button: Button
) -> tuple[Verdict, None, tuple[Status, int] | None]:
    uplink = cloud.frames.store.answered_with(conn, button.id, data)
    opened = None if uplink is None else open_answer(data, uplink, button, keys)
    if uplink is None or opened is None:
        said = N_("None of this button’s messages was answered with these bytes.")
        return Verdict("bad", N_("does not open"), said), None, None
    said = N_("It answered message %(counter)s. Sent, which is not the same as heard.", counter=uplink[2])
    return Verdict("ok", N_("opens"), said), None, opened


def _verdict(opened: Uplink, button: Button, known: Claimed | None) -> Verdict:
    """What the log says of it, or what ingest would say now."""
    opens = N_("opens")
    if known is not None:
        said = N_("Accepted at %(at)s UTC. Radiated again it is a replay.", at=f"{known.received_at:%Y-%m-%d %H:%M:%S}")
        return Verdict("ok", opens, said, known.pickup_id)
    if button.state is State.REVOKED:
        return Verdict("warn", opens, N_("Never accepted. It would be refused: the button is revoked."))
    if opened.key_generation != button.key_generation:
        now = button.key_generation
        return Verdict(
            "warn", opens, N_("Never accepted. It would be refused: the button is at key generation %(now)s.", now=now)
        )
    if opened.counter <= button.last_counter - WINDOW_BEHIND:
        return Verdict(
            "warn",
            opens,
            N_("Never accepted. It would be refused as stale: the last is %(last)s.", last=button.last_counter),
        )
    return Verdict(
        "ok", opens, N_("Never accepted. It would be taken now: the last is %(last)s.", last=button.last_counter)
    )


def _frame(data: bytes, opened: Uplink | None) -> Frame:
    """As the log would have it, to be drawn alike."""
    nothing = dict.fromkeys(("heard_at", "seq_number", "lqi", "pickup_id", "downlink", "place"))
    names = ("key_generation", "counter", "parcels", "battery_mv", "temperature_c", "reset_cause", "link_failures")
    read = {name: getattr(opened, name, None) for name in names}
    return Frame(
        id=0,
        received_at=database.now(),
        carrier="",
        result=Result.ACCEPTED if opened else Result.BAD_SEAL,
        reason="",
        device=opened.device if opened else None,
        data=data,
        listens=False,
        copies=(),
        kind=opened.kind.word if opened else None,
        **read,
        **nothing,
    )
