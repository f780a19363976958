"""Buttons from a file: what it would do line by line, the import, its claim codes, its undoing, and the history."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Query, Request, UploadFile
from fastapi.responses import RedirectResponse, Response

from cloud import database, pages
from cloud.accounts import guard
from cloud.audit.store import record
from cloud.console import desk
from cloud.console.desk import ROWS, Administer, Before, Id
from cloud.console.fleet import DELIMITERS, as_file
from cloud.fleet import imports, sheet
from cloud.fleet.imports import ImportState, Outdated, Plan, Written
from cloud.fleet.model import format_id
from cloud.words import N_, Said

LINES = 100  # of a file on one page

Line = Annotated[int, Query(ge=0, le=sheet.MAX_LINES * 2)]

router = APIRouter(prefix="/buttons")


@router.get("/import")
def ask_for_a_file(request: Request, session: Administer, before: Before = None) -> Response:
    return _form(request, before=before)


def _form(request: Request, *, before: int | None = None, fault: Said | None = None) -> Response:
    with database.reading(request.app.state.engine) as conn:
        history = imports.newest(conn, ROWS, before)
    return desk.render(
        request,
        "console/import_form.html",
        status=422 if fault else 200,
        here="/buttons/import",
        history=history,
        rows=ROWS,
        fault=fault,
        columns=sheet.COLUMNS,
        limits={"bytes": sheet.MAX_BYTES // 1_000_000, "lines": sheet.MAX_LINES, "changes": imports.MOST},
    )


@router.post("/import", dependencies=[Depends(guard.csrf_checked)])
def look_at_a_file(
    request: Request, session: Administer, file: Annotated[UploadFile | None, File()] = None
) -> Response:
    """Keep what was sent and show what it would do; nothing is written."""
    if file is None or not file.filename:
        return _form(request, fault=N_("No file was chosen."))
    content = file.file.read(sheet.MAX_BYTES + 1)
    actor = f"staff {session.account.name}"
    try:
        with request.app.state.engine.begin() as conn:
            found, _ = imports.check(conn, content=content, file_name=file.filename, actor=actor, now=database.now())
    except sheet.Unreadable as unreadable:
        return _form(request, fault=unreadable.said)
    return RedirectResponse(f"/buttons/imports/{found.id}", 303)


@router.get("/imports/{id}")
def show_import(
    request: Request,
    session: Administer,
    id: Id,
    show: Annotated[str, Query(max_length=20)] = "",
    after: Line = 0,
) -> Response:
    """What the file would do, or once it is imported what it did."""
    now = database.now()
    with database.reading(request.app.state.engine) as conn:
        found = imports.find(conn, id, now)
        if found.state is ImportState.CHECKED:
            looked_at = imports.sheet_of(conn, id)
            planned = imports.plan(conn, looked_at)
            return _dry_run(request, id, looked_at, planned, show=show, after=after)
        lines = imports.lines(conn, id, LINES + 1, after, kept=show == "kept")
    return desk.render(
        request,
        "console/import_done.html",
        now=now,
        done=found,
        lines=lines[:LINES],
        more=len(lines) > LINES,
        show=show,
        secret="",
    )


def _dry_run(
    request: Request,
    id: int,
    looked_at: sheet.Sheet,
    planned: Plan,
    *,
    show: str = "",
    after: int = 0,
    outdated: bool = False,
) -> Response:
    """A hundred lines of one kind, faults first."""
    now = database.now()
    with database.reading(request.app.state.engine) as conn:
        found = imports.find(conn, id, now)
    kinds: dict[str, list[Any]] = {
        "faults": list(planned.faults),
        "new": [change for change in planned.changes if change.is_new],
        "changed": [change for change in planned.changes if not change.is_new],
        "unchanged": list(planned.unchanged),
    }
    if show not in kinds:
        show = next((kind for kind, lines in kinds.items() if lines), "new")
    lines = [line for line in kinds[show] if _number(line) > after]
    return desk.render(
        request,
        "console/import_look.html",
        status=409 if outdated else 200,
        here=f"/buttons/imports/{id}",
        now=now,
        found=found,
        kinds={kind: len(lines) for kind, lines in kinds.items()},
        show=show,
        lines=lines[:LINES],
        last=_number(lines[LINES - 1]) if len(lines) > LINES else None,
        left_alone=looked_at.left_alone,
        digest=planned.digest,
        outdated=outdated,
        until=found.at + imports.LASTS,
        writes=len(planned.changes),
        most=imports.MOST,
    )


def _number(line: Any) -> int:
    return line.line if isinstance(line, imports.Change) else line.number


@router.post("/imports/{id}/write", dependencies=[Depends(guard.csrf_checked)])
def write_import(
    request: Request,
    session: Administer,
    id: Id,
    digest: Annotated[str, Form(max_length=64)] = "",
    clean: Annotated[bool, Form()] = False,
) -> Response:
    """Do what was shown. The answer alone has what the claim codes are drawn from."""
    engine, now = request.app.state.engine, database.now()
    with database.reading(engine) as conn:
        imports.find(conn, id, now)
        looked_at = imports.sheet_of(conn, id)
    try:
        with engine.begin() as conn:
            written = imports.write(
                conn,
                id,
                looked_at,
                digest=digest.encode("ascii", "replace").decode(),
                clean_only=clean,
                actor=f"staff {session.account.name}",
                key_master=request.app.state.key_master,
                now=now,
            )
    except Outdated:
        with database.reading(engine) as conn:
            planned = imports.plan(conn, looked_at)
        return _dry_run(request, id, looked_at, planned, outdated=True)
    return _done(request, written)


def _done(request: Request, written: Written) -> Response:
    with database.reading(request.app.state.engine) as conn:
        lines = imports.lines(conn, written.of.id, LINES + 1)
    return desk.render(
        request,
        "console/import_done.html",
        here=f"/buttons/imports/{written.of.id}",
        now=database.now(),
        done=written.of,
        lines=lines[:LINES],
        more=len(lines) > LINES,
        show="",
        secret=written.secret.hex() if written.of.added else "",
    )


@router.post("/imports/{id}/codes", dependencies=[Depends(guard.csrf_checked)])
def hand_out_codes(
    request: Request, session: Administer, id: Id, secret: Annotated[str, Form(max_length=100)] = ""
) -> Response:
    """The claim codes of the new buttons, as a file, once."""
    try:
        drawn_from = bytes.fromhex(secret)
    except ValueError:
        drawn_from = b""
    with request.app.state.engine.begin() as conn:
        now = database.now()
        codes = imports.codes(conn, id, drawn_from, now)
        actor = f"staff {session.account.name}"
        record(conn, actor=actor, action="fleet.codes", subject=f"import {id}", now=now, count=len(codes))
    delimiter = DELIMITERS[pages.language(request, pages.STAFF)]
    head = [("id", "claim_code", "place", "label")]
    cells = [(format_id(change.id), code, change.place or "", change.label) for change, code in codes]
    content = sheet.rows([*head, *cells], delimiter)
    return as_file(Response(content, media_type="text/csv; charset=utf-8"), f"claim-codes-{id}.csv")


@router.post("/imports/{id}/undo", dependencies=[Depends(guard.csrf_checked)])
def undo_import(request: Request, session: Administer, id: Id) -> Response:
    with request.app.state.engine.begin() as conn:
        undone = imports.undo(conn, id, actor=f"staff {session.account.name}", now=database.now())
    return RedirectResponse(f"/buttons/imports/{id}{'?show=kept' if undone.kept else ''}", 303)


@router.post("/imports/{id}/drop", dependencies=[Depends(guard.csrf_checked)])
def drop_import(request: Request, session: Administer, id: Id) -> Response:
    with request.app.state.engine.begin() as conn:
        imports.drop(conn, id)
    return RedirectResponse("/buttons/import", 303)
