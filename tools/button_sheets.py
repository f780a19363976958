"""`domino button import`, `export-csv`, `imports` and `undo-import`: the fleet from and to files."""

import csv
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from cloud import database
from cloud.fleet import filters, imports, listing, sheet
from cloud.fleet.imports import Import, OnDone, Plan
from cloud.fleet.model import format_id
from tools.stamp_redeem import actor
from tools.terminal import (
    AsJson,
    DatabaseUrl,
    DataDir,
    Failure,
    console,
    newest_master,
    open_database,
    print_json,
    settings,
)

SHOWN = 20  # lines of each kind on a terminal; --json has them all
ERRORS = (imports.NotFound, imports.WrongState, imports.Outdated, imports.Faulty)


def import_(
    file: Annotated[Path, typer.Argument(help="CSV with the columns id, place, label; UTF-8.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do, and write nothing.")] = False,
    clean: Annotated[bool, typer.Option("--clean", help="Leave out the lines with faults.")] = False,
    codes: Annotated[
        Path | None, typer.Option(help="Where the new buttons' claim codes go; default: beside the file.")
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Add buttons and change their places and labels from a file, in one transaction; it can be undone as a whole."""
    engine = open_database(data_dir, database_url)
    if file.stat().st_size > sheet.MAX_BYTES:
        raise Failure(f"{file} has more than {sheet.MAX_BYTES} bytes: cut it in several")
    content, now = file.read_bytes(), database.now()
    try:
        looked_at = sheet.read(content)
        with database.reading(engine) as conn:
            planned = imports.plan(conn, looked_at)
    except sheet.Unreadable as unreadable:
        raise Failure(f"{file}: {unreadable}") from None
    if dry_run or (planned.faults and not clean) or not planned.changes:
        _tell_plan(planned, as_json=as_json)
        if planned.faults and not dry_run:
            raise Failure("nothing was written: mend the lines, or leave them out with --clean")
        return
    kept_at = codes or file.with_name(f"{file.stem}.codes.csv")
    try:
        with engine.begin() as conn, _secret_file(kept_at) if planned.added else nullcontext() as out:
            started, planned = imports.check(conn, content=content, file_name=file.name, actor=actor(), now=now)
            with _progress("writing", as_json) as on_done:
                written = imports.write(
                    conn,
                    started.id,
                    looked_at,
                    digest=planned.digest,
                    clean_only=clean,
                    actor=actor(),
                    key_master=newest_master(settings(data_dir=data_dir, database_url=database_url)),
                    now=now,
                    on_done=on_done,
                )
            if out is not None:  # before the commit: codes that were lost would be lost for good
                drawn = imports.codes(conn, written.of.id, written.secret, now)
                out.write(sheet.rows([("id", "claim_code", "place", "label")]))
                out.write(sheet.rows([(format_id(one.id), code, one.place or "", one.label) for one, code in drawn]))
                out.flush()
                os.fsync(out.fileno())
    except ERRORS as error:
        raise Failure(str(error)) from None
    done = written.of
    if as_json:
        print_json(_fields(done) | ({"claim_codes": str(kept_at)} if done.added else {}))
        return
    console.print(f"import [bold]{done.id}[/]: {_counts(done)}")
    if done.added:
        console.print(f"[dim]the claim codes are in {kept_at}, readable to you alone: they are kept nowhere else[/]")
    console.print(f"[dim]to undo it: domino button undo-import {done.id}[/]")


@contextmanager
def _secret_file(path: Path) -> Iterator[Any]:
    """A new file for its maker alone, which goes again where the work fails."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Failure(f"{path} is there already: name another file for the claim codes with --codes") from None
    with os.fdopen(handle, "wb") as out:
        try:
            yield out
        except BaseException:
            path.unlink()
            raise


@contextmanager
def _progress(what: str, as_json: bool) -> Iterator[OnDone]:
    if as_json or not sys.stderr.isatty():
        yield lambda *_: None
        return
    with Progress(console=type(console)(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)


def _tell_plan(planned: Plan, *, as_json: bool) -> None:
    new = [one for one in planned.changes if one.is_new]
    changed = [one for one in planned.changes if not one.is_new]
    if as_json:
        lines = [one._asdict() | {"id": format_id(one.id)} for one in planned.changes]
        faults = [{"line": one.number, "text": one.text, "why": str(one.why)} for one in planned.faults]
        print_json({"lines": lines, "unchanged": len(planned.unchanged), "faults": faults})
        return
    for fault in planned.faults[:SHOWN]:
        console.print(Text(f"line {fault.number:>7}  {fault.text or '—'}: {fault.why}"))
    _tell_more(len(planned.faults))
    for title, some in (("new", new), ("changed", changed)):
        if some:
            table = Table("line", "button", "place", "label", title=title, title_justify="left", box=None)
            for one in some[:SHOWN]:
                place = one.place or "—" if one.is_new else _cell(one.place_before or "", one.place or "")
                label = one.label if one.is_new else _cell(one.label_before, one.label)
                table.add_row(str(one.line), format_id(one.id), Text(place), Text(label))
            console.print(table)
            _tell_more(len(some))
    same, faults = len(planned.unchanged), len(planned.faults)
    console.print(f"{len(new)} new, {len(changed)} changed, {same} unchanged, {faults} with faults")


def _cell(before: str, now: str) -> str:
    return now if before == now else f"{before or '—'} → {now or '—'}"


def _tell_more(count: int) -> None:
    if count > SHOWN:
        console.print(f"[dim]and {count - SHOWN} more; --json has them all[/]")


def export_csv(
    file: Annotated[Path | None, typer.Argument(help="Where to; default: standard output.")] = None,
    which: Annotated[
        str, typer.Option(help='As in the list\'s address: "department=35&silent=7d". Default: all.')
    ] = "",
    delimiter: Annotated[str, typer.Option(help="Between the cells; French spreadsheets read ;")] = ",",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write the fleet as CSV, which `import` takes again."""
    if delimiter not in (",", ";", "\t"):
        raise Failure("a delimiter is a comma, a semicolon or a tab", 2)
    asked = filters.parse(which)
    if asked.faults:
        raise Failure("; ".join(f"{name}: {why}" for name, why in asked.faults.items()), 2)
    engine = open_database(data_dir, database_url)
    pieces = sheet.write(listing.every(engine, asked.filter, database.now()), delimiter)
    if file is None:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    with file.open("wb") as out:
        for piece in pieces:
            out.write(piece)
    with file.open(encoding="utf-8-sig", newline="") as back:
        console.print(f"{sum(1 for _ in csv.reader(back)) - 1} buttons in {file}")


def undo_import(
    id: Annotated[int, typer.Argument(min=1, max=2**31, help="The import, as `domino button imports` lists it.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Take back what an import wrote, less what was heard, claimed or changed since."""
    engine = open_database(data_dir, database_url)
    try:
        with engine.begin() as conn, _progress("taking back", as_json) as on_done:
            undone = imports.undo(conn, id, actor=actor(), now=database.now(), on_done=on_done)
            kept = imports.lines(conn, id, kept=True)
    except ERRORS as error:
        raise Failure(str(error)) from None
    if as_json:
        print_json(_fields(undone) | {"kept_buttons": {format_id(one.id): why for one, why in kept}})
        return
    console.print(f"import {id} is undone: {undone.written - len(kept)} lines taken back, {len(kept)} kept")
    for one, why in kept[:SHOWN]:
        console.print(f"{format_id(one.id)}  line {one.line}: {why}")
    _tell_more(len(kept))


def list_imports(data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """The imports so far, newest first."""
    with database.reading(open_database(data_dir, database_url)) as conn:
        found = imports.newest(conn, 1000)
    if as_json:
        print_json([_fields(one) for one in found])
        return
    table = Table("import", "when", "by", "file", "what", "state", box=None, header_style="dim")
    for one in found:
        told = one.state.value + (f",\n{one.kept} kept" if one.kept else "")
        when = one.at.isoformat(" ", "minutes")
        table.add_row(str(one.id), when, Text(one.actor), Text(one.file_name), _counts(one), told)
    console.print(table if found else "no imports yet: `domino button import FILE` makes one")


def _counts(one: Import) -> str:
    return f"{one.added} new, {one.changed} changed, {one.unchanged} unchanged, {one.faulty} left out"


def _fields(one: Import) -> dict[str, object]:
    return {
        "import": one.id,
        "state": one.state,
        "file": one.file_name,
        "by": one.actor,
        "at": one.at.isoformat(),
        "new": one.added,
        "changed": one.changed,
        "unchanged": one.unchanged,
        "left_out": one.faulty,
        "undone_at": one.undone_at.isoformat() if one.undone_at else None,
        "undone_by": one.undone_by,
        "kept": one.kept,
    }
