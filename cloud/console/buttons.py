"""One button with all that is known of it, and what can be done to it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

import cloud.audit.store
import cloud.console.button_charts as charts
import cloud.downlinks.store
import cloud.fleet.notes
import cloud.fleet.store
import cloud.frames.past
import cloud.frames.store
from cloud import database, pages
from cloud.accounts import guard
from cloud.accounts.model import Right, Session
from cloud.console import desk, known, store, verdicts, wellness
from cloud.console.desk import Administer, Before, Id, Now, Operate, See
from cloud.console.filters import View
from cloud.downlinks.model import MAX_HOURS, MAX_REASON, MIN_HOURS, Answer, Configuration
from cloud.fleet import battery, rhythm
from cloud.fleet.model import LAST_GENERATION, MAX_WHY, Button, State, check_why, format_id
from cloud.fleet.rhythm import DEFAULT_HOURS, Facts, Word, judge
from cloud.frames import history, table
from cloud.frames.link import Loss
from cloud.frames.model import Filter, Frame
from cloud.pages import PARIS
from cloud.words import N_, words_of

FRAMES, ORDERS, DOWNLINKS = 20, 5, 4  # rows on a button's page
USE_WORDS = 200  # the newest, by which a day's use is reckoned
DAY = timedelta(days=1)

router = APIRouter()


@router.get("/buttons/{id}")
def show_button(
    request: Request, session: See, moment: Now, id: str, before: Before = None, notes_before: Before = None
) -> Response:
    now = moment.now
    with database.reading(request.app.state.engine) as conn:
        newest = cloud.frames.store.last_id(conn)
        button = _found(conn, id)
        if moment.is_replay and button.created_at > now:
            said = N_(
                "Button %(id)s was not yet in the fleet at %(time)s.",
                id=format_id(button.id),
                time=pages.time_of_day(moment.now),
            )
            return pages.not_yet(request, said, button.created_at)
        seen = _then(conn, request, button, now, before) if moment.is_replay else _now(conn, request, button, before)
        button = seen.button
        owner = desk.owner(conn, button)
        notes = cloud.fleet.notes.newest(conn, button.id, before=notes_before, until=now if moment.is_replay else None)
    words, facts, link_days, configurations = seen.words, seen.facts, seen.link_days, seen.configurations
    readings = [battery.Reading(word.at, word.battery_mv, word.temperature_c) for word in words]
    outlook = battery.outlook(readings, _use(words), now, is_new=len(words) < history.WORDS)
    if outlook is not None:  # the batteries that these readings look like, not the usual ones
        facts = replace(facts, battery_is_low=outlook.is_low)
    judgement = judge(facts, now)
    said = [Word(word.at, word.kind) for word in words]
    strip = rhythm.strip(said, _periods(button, configurations), now, PARIS)
    presses = [word for word in words if word.kind == "pickup"]
    stations = history.usual_stations(link_days)
    downlinks = [(one.queued_at, one.at(now), one) for one in configurations] + [
        (one.at, None, one) for one in seen.answers
    ]
    return desk.render(
        request,
        "console/button.html",
        now=now,
        newest=newest,
        view=View(Filter(device=button.id)),
        button=button,
        owner=owner,
        judgement=judgement,
        wellness=wellness.told(
            button, facts, judgement, rhythm.habit(said, PARIS), presses[-1].at if presses else None, stations, outlook
        ),
        strip=charts.strip_cells(strip),
        counted=charts.heard_days(strip),
        outlook=outlook,
        battery=charts.battery_chart(readings, outlook, now, PARIS) if outlook is not None else None,
        link=charts.link_chart(link_days, strip) if link_days else None,
        stations=stations,
        loss=seen.loss,
        gaps=history.gaps(words, button.key_generation),
        presses=(len(presses), len({one.pickup_id for one in presses} - {None}), words[0].at if words else None),
        pressed={word.pickup_id: word for word in reversed(presses) if word.pickup_id is not None},
        frames=seen.frames,
        frames_shown=FRAMES,
        orders=seen.orders,
        notes=notes,
        notes_shown=cloud.fleet.notes.PAGE,
        downlinks=sorted(downlinks, key=lambda one: one[0], reverse=True)[:DOWNLINKS],
        downlinks_today=seen.downlinks_today,
        downlinks_per_day=request.app.state.downlinks_per_day,
        newer_firmware=_newer(button, seen.newest_firmware),
        may_operate=Right.OPERATE in session.account.rights and not moment.is_replay,
        may_administer=Right.ADMINISTER in session.account.rights and not moment.is_replay,
        last_generation=LAST_GENERATION,
        limits=(MIN_HOURS, MAX_HOURS, MAX_REASON, MAX_WHY, cloud.fleet.notes.MAX_NOTE),
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the page shows of a button, now or then."""

    button: Button
    frames: Sequence[Frame]
    orders: Sequence[store.Order]
    words: Sequence[history.Said]
    link_days: Sequence[history.LinkDay]
    loss: Loss
    facts: Facts
    configurations: Sequence[Configuration]
    answers: Sequence[Answer]
    downlinks_today: int
    newest_firmware: tuple[str, datetime] | None = None


def _now(conn: sa.Connection, request: Request, button: Button, before: int | None) -> _Seen:
    now = database.now()
    return _Seen(
        button,
        frames=cloud.frames.store.newest(conn, limit=FRAMES, before=before, device=button.id),
        orders=store.orders(conn, request.app.state.vault, limit=ORDERS, button_id=button.id),
        words=history.words(conn, button.id),
        link_days=history.link_days(conn, button.id, PARIS),
        loss=cloud.frames.store.link_loss(conn, button.id),
        facts=verdicts.facts(conn, [button], now)[button.id],
        configurations=cloud.downlinks.store.of_button(conn, button.id, DOWNLINKS),
        answers=cloud.downlinks.store.answers(conn, button.id, DOWNLINKS),
        downlinks_today=cloud.fleet.store.used_today(conn, button.id, now)[1],
        newest_firmware=cloud.fleet.store.newest_firmware(conn),
    )


def _then(conn: sa.Connection, request: Request, button: Button, now: datetime, before: int | None) -> _Seen:
    """Of a button that was in the fleet then."""
    frame = cloud.frames.store.id_at(conn, now)
    words = history.words(conn, button.id, until=now)
    queue = cloud.downlinks.store.of_button(conn, button.id, known.QUEUED)
    deeds = cloud.audit.store.about(conn, [f"button {format_id(button.id)}"], known.DEEDS)
    heard = cloud.frames.past.known(conn, button.id, now)
    button = known.button(button, last_seen_at=heard.last_seen_at, said=words, deeds=deeds, queue=queue, now=now)
    last = frame + 1 if before is None else min(before, frame + 1)
    return _Seen(
        button,
        frames=cloud.frames.store.newest(conn, limit=FRAMES, before=last, device=button.id),
        orders=store.orders_then(conn, request.app.state.vault, now, limit=ORDERS, button_id=button.id).orders,
        words=words,
        link_days=history.link_days(conn, button.id, PARIS, until=frame),
        loss=cloud.frames.store.link_loss(conn, button.id, until=frame),
        facts=verdicts.facts_then(conn, button, now, frame),
        configurations=known.configurations(queue, now)[:DOWNLINKS],
        answers=cloud.downlinks.store.answers(conn, button.id, DOWNLINKS, until=now),
        downlinks_today=heard.downlinks_today,
    )


def _found(conn: sa.Connection, id: str) -> Button:
    device = desk.device(id)
    button = None if device is None else cloud.fleet.store.find(conn, device)
    if button is None:
        raise HTTPException(404, N_("The fleet has no button %(button)s.", button=id[:40]))
    return button


def _use(words: Sequence[history.Said]) -> battery.Use:
    """A day's words on average, of the newest. Whether a heartbeat listened is not kept: half of them are taken to."""
    some = words[-USE_WORDS:]
    if len(some) < 2:
        return battery.Use()
    days = max((some[-1].at - some[0].at) / DAY, 1.0)
    heartbeats = sum(word.kind in ("alive", "boot") for word in some) / days
    presses = sum(word.kind not in ("alive", "boot") for word in some) / days
    return battery.Use(heartbeats, min(heartbeats / 2, 0.5), presses)


def _periods(button: Button, configurations: Sequence[Configuration]) -> list[tuple[datetime, int]]:
    """From when on which heartbeat period held, oldest first, as far as it was proven."""
    proven = sorted((one.proven_at, one.hours) for one in configurations if one.proven_at is not None)
    if proven:
        return [(button.created_at, DEFAULT_HOURS), *proven]
    return [(button.created_at, button.heartbeat_hours or DEFAULT_HOURS)]


def _newer(button: Button, newest: tuple[str, datetime] | None) -> tuple[str, datetime] | None:
    """What another board was flashed with since, where it is not the same."""
    if newest is None or button.firmware is None or button.firmware_at is None:
        return None
    return newest if newest[1] > button.firmware_at and newest[0] != button.firmware else None


@router.get("/buttons/{id}/frames.csv")
def export_frames(request: Request, session: See, id: str) -> Response:
    """All its frames, newest first, as they are read: whoever stops listening ends it."""
    with database.reading(request.app.state.engine) as conn:
        button = _found(conn, id)
    name = f"frames-{format_id(button.id)}.csv"
    return StreamingResponse(
        table.lines(request.app.state.engine, button.id),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{name}"'},
    )


@router.post("/buttons/{id}/notes", dependencies=[Depends(guard.csrf_checked)])
def write_note(request: Request, session: Operate, id: str, text: Annotated[str, Form()] = "") -> Response:
    with request.app.state.engine.begin() as conn:
        button = _found(conn, id)
        cloud.fleet.notes.write(conn, button.id, text, author=session.account, now=database.now())
    return RedirectResponse(f"/buttons/{format_id(button.id)}#notes", 303)


@router.post("/buttons/{id}/notes/{note}/remove", dependencies=[Depends(guard.csrf_checked)])
def remove_note(request: Request, session: Operate, id: str, note: Id) -> Response:
    with request.app.state.engine.begin() as conn:
        button = _found(conn, id)
        cloud.fleet.notes.remove(conn, button.id, note, by=session.account, now=database.now())
    return RedirectResponse(f"/buttons/{format_id(button.id)}#notes", 303)


@router.post("/buttons/{id}/key", dependencies=[Depends(guard.csrf_checked)])
def plan_key(request: Request, session: Operate, id: str) -> Response:
    """A new key goes to its board by `domino flash --reprovision` alone; until then lists show that it is wanted."""
    now = database.now()
    with request.app.state.engine.begin() as conn:
        button = _found(conn, id)
        cloud.fleet.store.plan_key(conn, button.id, by=f"staff {session.account.name}", now=now)
        _record(conn, session, "button.plan-key", button, now)
    return RedirectResponse(f"/buttons/{format_id(button.id)}", 303)


@router.post("/buttons/{id}/key/drop", dependencies=[Depends(guard.csrf_checked)])
def drop_key_plan(request: Request, session: Operate, id: str) -> Response:
    now = database.now()
    with request.app.state.engine.begin() as conn:
        button = _found(conn, id)
        if cloud.fleet.store.drop_key_plan(conn, button.id):
            _record(conn, session, "button.drop-key-plan", button, now)
    return RedirectResponse(f"/buttons/{format_id(button.id)}", 303)


def _record(
    conn: sa.Connection, session: Session, action: str, button: Button, now: datetime, **detail: object
) -> None:
    actor, subject = f"staff {session.account.name}", f"button {format_id(button.id)}"
    cloud.audit.store.record(conn, actor=actor, action=action, subject=subject, now=now, **detail)


@router.post("/buttons/{id}/revoke", dependencies=[Depends(guard.csrf_checked)])
def revoke_button(
    request: Request,
    session: Operate,
    id: str,
    why: Annotated[str, Form()] = "",
) -> Response:
    now, by = database.now(), f"staff {session.account.name}"
    try:
        why = check_why(why)
    except ValueError as error:
        raise HTTPException(422, words_of(error)) from None
    with request.app.state.engine.begin() as conn:
        button = _found(conn, id)
        cloud.fleet.store.revoke(conn, button.id, why=why, by=by, now=now)
        if button.state is State.ACTIVE:
            _record(conn, session, "button.revoke", button, now, why=why)
    return RedirectResponse(f"/buttons/{format_id(button.id)}", 303)


@router.post("/buttons/{id}/found", dependencies=[Depends(guard.csrf_checked)])
def restore_button(request: Request, session: Administer, id: str) -> Response:
    """It comes back under its next key, which a board has to be given."""
    now = database.now()
    with request.app.state.engine.begin() as conn:
        button = _found(conn, id)
        restored = cloud.fleet.store.restore(conn, button.id, key_master=request.app.state.key_master)
        _record(conn, session, "button.found", restored, now, key_generation=restored.key_generation)
    return RedirectResponse(f"/buttons/{format_id(button.id)}", 303)
