"""The support bundle: what it takes to understand one button or one order, as a zip that may be sent to a maker.

Secrets and addresses stay here. Keys and passwords are in none of the tables that are read; a stamp's code, an
addressee's lines, a customer's name and mail address are left out where they have a column, and struck out of every
text that repeats them.
"""

import io
import re
import unicodedata
import zipfile
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Any

import orjson
import sqlalchemy as sa
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import Response

import cloud.accounts.store
import cloud.audit.store
import cloud.downlinks.store
import cloud.fleet.store
import cloud.frames.store
import cloud.pickups.store
import cloud.stamps.ledger
import cloud.stamps.store
from cloud import database
from cloud.accounts import guard
from cloud.console import desk
from cloud.console.desk import Id, See
from cloud.fleet.model import Button, format_id
from cloud.frames.model import Frame
from cloud.health import Part
from cloud.pickups.model import Pickup
from cloud.stamps.model import Stamp, format_pairs
from cloud.stamps.vault import Vault
from cloud.words import N_

FRAMES, ORDERS, ENTRIES = 500, 50, 200  # at most, the newest of each
STRUCK = "[struck out]"
EMAIL = re.compile(r"[^\s@\"<>]+@[^\s@\"<>]+\.[^\s@\"<>]+")
CUSTOMER = re.compile(r"\bcustomer (?!\[)[^\",\n]+")  # an actor
SHORTEST = 4  # signs of a text that is worth striking out: "12" is no address
PACKED = (2026, 1, 1, 0, 0, 0)  # the same for every file: what is alike is alike to the byte

README = """\
Domino support bundle: {subject}
made {made} by {by}, Domino {version}

{files}

Left out: raw callbacks, keys, passwords, stamps' codes, addressees, customers' names and mail addresses. Where a text
repeated one, it says {struck}. Data of frames is as it was radiated: sealed.
Times are UTC. At most the newest {frames} frames, {orders} orders and {entries} entries of the audit trail.
"""

router = APIRouter()


@router.post("/buttons/{id}/bundle", dependencies=[Depends(guard.csrf_checked)])
def of_button(request: Request, session: See, id: str) -> Response:
    device = desk.device(id)
    with request.app.state.engine.begin() as conn:
        button = None if device is None else cloud.fleet.store.find(conn, device)
        if button is None:
            raise HTTPException(404, N_("The fleet has no button %(button)s.", button=id[:40]))
        pickups = cloud.pickups.store.of_button(conn, button.id, ORDERS)
        frames = cloud.frames.store.newest(conn, limit=FRAMES, device=button.id)
        subject = f"button {format_id(button.id)}"
        return _answer(request, conn, f"staff {session.account.name}", subject, button, pickups, frames)


@router.post("/pickups/{id}/bundle", dependencies=[Depends(guard.csrf_checked)])
def of_order(request: Request, session: See, id: Id) -> Response:
    with request.app.state.engine.begin() as conn:
        pickup = cloud.pickups.store.find(conn, id)
        if pickup is None:
            raise HTTPException(404, N_("There is no order %(id)s.", id=id))
        button = cloud.fleet.store.find(conn, pickup.button_id)
        assert button is not None  # a foreign key says so
        frames = cloud.frames.store.of_pickup(conn, id)[-FRAMES:]
        return _answer(request, conn, f"staff {session.account.name}", f"order {id}", button, [pickup], frames)


def _answer(
    request: Request,
    conn: sa.Connection,
    by: str,
    subject: str,
    button: Button,
    pickups: Sequence[Pickup],
    frames: Sequence[Frame],
) -> Response:
    state, now = request.app.state, database.now()
    files = _files(conn, state.vault, subject, button, pickups, frames)
    files["service.json"] = _service(conn, state.health())
    secrets = _secrets(conn, state.vault, button, pickups)
    cloud.audit.store.record(conn, actor=by, action="bundle.make", subject=subject, now=now, files=sorted(files))
    name = f"domino-{subject.replace(' ', '-')}-{now:%Y%m%d-%H%M%S}.zip"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(pack(subject, by, now, files, secrets), media_type="application/zip", headers=headers)


def _files(
    conn: sa.Connection,
    vault: Vault,
    subject: str,
    button: Button,
    pickups: Sequence[Pickup],
    frames: Sequence[Frame],
) -> dict[str, object]:
    about = {subject, f"button {format_id(button.id)}", *(f"order {pickup.id}" for pickup in pickups)}
    return {
        "button.json": {
            "id": format_id(button.id),
            "is_claimed": button.owner_id is not None,
            **_fields(button, leave_out=("id", "place", "owner_id", "key_ticket")),
            "link": cloud.frames.store.link_loss(conn, button.id),
            "heartbeat_hours": cloud.downlinks.store.heartbeat_hours(conn, button.id),
        },
        "frames.json": [_frame(frame) for frame in frames],
        "downlinks.json": {
            "configurations": cloud.downlinks.store.of_button(conn, button.id),
            "answers": cloud.downlinks.store.answers(conn, button.id),
        },
        "orders.json": [_order(conn, vault, pickup) for pickup in pickups],
        "audit.json": cloud.audit.store.about(conn, about, ENTRIES),
    }


def _frame(frame: Frame) -> dict[str, object]:
    kept = _fields(frame, leave_out=("device", "place"))
    return {**kept, "device": None if frame.device is None else format_id(frame.device), "trace": frame.trace}


def _order(conn: sa.Connection, vault: Vault, pickup: Pickup) -> dict[str, object]:
    stamp = cloud.stamps.store.of_pickup(conn, vault, pickup.id)
    return {
        **_fields(pickup, leave_out=("button_id", "addressee")),
        "button": format_id(pickup.button_id),
        "is_addressed": pickup.addressee is not None,
        "department": pickup.addressee.lines[5][:2] if pickup.addressee else None,
        "events": cloud.pickups.store.events(conn, pickup.id),
        "stamp": None if stamp is None else _fields(stamp, leave_out=("code",)),
        "readings": [] if stamp is None else cloud.stamps.ledger.of_stamp(conn, vault, stamp, ENTRIES),
    }


def _fields(value: Any, leave_out: Collection[str] = ()) -> dict[str, object]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__ if name not in leave_out}


def _service(conn: sa.Connection, health: Mapping[str, Part]) -> dict[str, object]:
    return {
        "version": version("domino"),
        "database": conn.dialect.name,
        "health": {name: {"is_well": part.is_well, "why": part.why} for name, part in health.items()},
    }


def _secrets(conn: sa.Connection, vault: Vault, button: Button, pickups: Sequence[Pickup]) -> set[str]:
    """What must stand nowhere in the bundle."""
    found = {button.place or ""}
    owner = None if button.owner_id is None else cloud.accounts.store.by_id(conn, button.owner_id)
    if owner is not None:
        found |= {owner.name, owner.display_name}
    for pickup in pickups:
        found |= set(pickup.addressee.lines if pickup.addressee else ())
        found |= {one.detail.place or "" for one in cloud.pickups.store.events(conn, pickup.id)}  # a locker, a box
        stamp: Stamp | None = cloud.stamps.store.of_pickup(conn, vault, pickup.id)
        if stamp is not None:
            found |= {stamp.code, format_pairs(stamp.code)}
    return found


def pack(subject: str, by: str, now: datetime, files: Mapping[str, object], secrets: Collection[str]) -> bytes:
    """A zip of `files`, each as JSON, and a README; `secrets` are struck out of all."""
    listed = "\n".join(f"{name:16} {_size(content)}" for name, content in sorted(files.items()))
    limits = {"frames": FRAMES, "orders": ORDERS, "entries": ENTRIES, "struck": STRUCK}
    made = f"{now:%Y-%m-%d %H:%M:%S}"
    head = README.format(subject=subject, made=made, by=by, version=version("domino"), files=listed, **limits)
    texts = {"README.txt": head, **{name: _json(content) for name, content in files.items()}}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, text in texts.items():
            bundle.writestr(zipfile.ZipInfo(name, PACKED), strike_out(text, secrets), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def strike_out(text: str, secrets: Collection[str]) -> str:
    """`text` without any of `secrets`, in whatever case, with accents or without, and without any mail address.

    >>> strike_out("to MME HELENE Vasseur, h.v@example.org", ["Mme Hélène Vasseur"])
    'to [struck out], [struck out]'
    """
    inside = (orjson.dumps(one).decode()[1:-1] for one in secrets if len(one) >= SHORTEST)  # as JSON has them
    known = (re.compile(re.escape(_fold(one))) for one in sorted(inside, key=len, reverse=True))
    for pattern in (*known, EMAIL):
        folded, kept, end = _fold(text), [], 0
        for found in pattern.finditer(folded):
            kept += [text[end : found.start()], STRUCK]
            end = found.end()
        text = "".join([*kept, text[end:]])
    return CUSTOMER.sub(f"customer {STRUCK}", text)


def _fold(text: str) -> str:
    """Sign by sign, so that places stay: "É" is "e"."""
    return "".join(unicodedata.normalize("NFD", sign)[0].lower()[0] for sign in text)


def _size(content: object) -> str:
    return f"{len(content)} of them" if isinstance(content, list) else ""


def _json(content: object) -> str:
    return orjson.dumps(content, default=_plain, option=orjson.OPT_INDENT_2).decode() + "\n"


def _plain(value: Any) -> object:
    return value.hex() if isinstance(value, bytes) else dict(value)
