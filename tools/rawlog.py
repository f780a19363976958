"""`domino log`: the raw log shipped elsewhere, replayed, decoded anew, exported."""

import importlib
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import sqlalchemy as sa
import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy.exc import OperationalError

from cloud import database
from cloud.ingest.receive import Decoder, Limits
from cloud.ingest.uplink import open_uplink
from cloud.rawlog import diff as differing
from cloud.rawlog import export as exporting
from cloud.rawlog import shipping
from cloud.rawlog.model import Damaged, Diverged
from cloud.rawlog.replay import Gap, Replayed, span
from cloud.rawlog.replay import replay as play
from cloud.stamps.store import check_key
from cloud.stamps.vault import Vault, WrongKey
from tools import deeds
from tools.children import InUse, locked
from tools.terminal import AsJson, DatabaseUrl, DataDir, Failure, console, open_database, print_json, settings

SHOWN = 20  # of each kind, in tables

app = typer.Typer(help="The raw log: every message as it came.", no_args_is_help=True)


def _moment(text: str) -> datetime:
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"a time is e.g. 2026-11-25T08:00, not {text[:40]!r}") from None
    return told if told.tzinfo else told.replace(tzinfo=UTC)


Since = Annotated[datetime | None, typer.Option(parser=_moment, metavar="TIME", help="ISO 8601; UTC if not said.")]
Until = Annotated[datetime | None, typer.Option(parser=_moment, metavar="TIME", help="Before then, likewise.")]
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", file_okay=False, help="Best on another machine's disk.")]


class Format(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"


@app.command()
def ship(
    folder: Folder,
    every_s: Annotated[
        float | None, typer.Option("--every", min=0.1, metavar="SECONDS", help="Go on until Ctrl-C; default: once.")
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Write what FOLDER does not have yet: whole files, each named when it is on disk. The service may run."""
    engine = open_database(data_dir, database_url)
    is_noted = False
    while True:
        try:
            with _progress(as_json, "shipped") as advance:
                done = shipping.ship(engine, folder, database.now(), advance)
        except (Damaged, Diverged, shipping.Busy) as error:
            raise Failure(str(error)) from None
        except OperationalError as error:
            if every_s is None:
                raise
            print(f"domino: the database refuses: {database.why(error)}", file=sys.stderr)
        else:
            if done.segments and not is_noted:
                deeds.note_done(engine, "log.ship", "the log", goes_on=every_s is not None)
                is_noted = True
            if as_json:
                print_json(asdict(done))
            elif every_s is None or done.segments:
                console.print(f"{done.frames} frames in {done.segments} files; the log reaches to {done.reaches.frame}")
        if every_s is None:
            return
        threading.Event().wait(every_s)


@app.command()
def replay(
    source: Annotated[Path, typer.Argument(metavar="FOLDER", exists=True, file_okay=False, help="As shipped.")],
    into: Annotated[
        str | None, typer.Option("--into", metavar="URL", help="The database: a copy, or an empty one.")
    ] = None,
    data_dir: DataDir = None,
    since: Since = None,
    until: Until = None,
    gaps: Annotated[bool, typer.Option("--gaps", help="Though a part of the log is missing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take the log into a copy of the database, at rest, with what came since; exits with 1 where anything differs.

    What is there already is passed over, so it may be stopped and run again. The master key is the data folder's.
    """
    chosen = settings(data_dir=data_dir, database_url=into)
    keys = chosen.keys()
    with _locked(chosen.data_dir):
        engine = open_database(data_dir, into)
        _check_key(engine, keys.vault())
        limits = Limits(chosen.uplinks_per_day, chosen.downlinks_per_day)
        started = time.monotonic()
        try:
            with _progress(as_json, "replayed") as advance:
                entries = span(shipping.load(source), since, until)
                done = play(engine, entries, keys=keys, limits=limits, look=lambda *_: advance(1), may_miss=gaps)
        except Gap as error:
            raise Failure(f"{error}. Find it, or say --gaps") from None
        except (Damaged, Diverged) as error:
            raise Failure(str(error)) from None
        if done.frames or done.moves:
            deeds.note_done(engine, "log.replay", "the log", count=done.frames)
        engine.dispose()
    _tell_replay(done, time.monotonic() - started, as_json)
    if not done.is_the_same:
        raise Failure("not everything came out as it was: see above")


def _tell_replay(done: Replayed, seconds: float, as_json: bool) -> None:
    changes = [{"before": before, "after": after, "frames": n} for (before, after), n in done.changes.most_common()]
    if as_json:
        print_json(asdict(done) | {"changes": changes, "seconds": round(seconds, 3)})
        return
    per_s = round(done.frames / seconds) if seconds else 0
    console.print(f"{done.frames} frames in {done.batches} batches, {seconds:.1f} s: {per_s} a second")
    console.print(f"{done.skipped} were there; {done.moves} moves by people; {done.stamps} stamps")
    if done.followed:
        console.print(f"{done.followed} buttons were not known, or not with this key: taken from the log")
    if done.renumbered:
        console.print(f"{len(done.renumbered)} orders have another number now")
    for change in changes:
        console.print(f"[red]{change['frames']}[/] ended as {change['before']}, and now as {change['after']}")
    for line in done.not_done[:SHOWN]:
        console.print(f"[red]not done[/] {line}", markup=True)


@app.command()
def diff(
    decoder: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION", help="In place of cloud.ingest.uplink:open_uplink, and called like it."
        ),
    ] = None,
    since: Since = None,
    until: Until = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Decode history anew, change nothing, and say what would have come out otherwise; then exits with 1."""
    chosen = settings(data_dir=data_dir, database_url=database_url)
    keys, decode = chosen.keys(), _decoder(decoder)
    engine = open_database(data_dir, database_url)
    with _progress(as_json, "decoded") as advance:
        found = differing.compare(
            engine,
            database.now(),
            keys=keys,
            limits=Limits(chosen.uplinks_per_day, chosen.downlinks_per_day),
            decode=decode,
            since=since,
            until=until,
            progress=advance,
        )
    engine.dispose()
    if as_json:
        print_json(_as_fields(found))
    else:
        _show(found)
    if not found.is_none:
        raise Failure(f"{found.changed} frames and {sum(found.orders.values())} orders would come out otherwise")


def _decoder(named: str | None) -> Decoder:
    if named is None:
        return open_uplink
    module, _, function = named.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise Failure(f"no decoder {named}: {error}", 2) from None


def _as_fields(found: differing.Difference) -> dict[str, Any]:
    return {
        "frames": found.frames,
        "cut": found.cut,
        "changed": found.changed,
        "changes": [{"before": one, "after": other, "frames": n} for (one, other), n in found.changes.most_common()],
        "examples": [asdict(one) for one in found.examples],
        "orders": {
            "same": found.same_orders,
            "only_there": found.orders["only_there"],
            "only_here": found.orders["only_here"],
            "differing": found.orders["differing"],
        },
        "only_there": [asdict(one) for one in found.only_there],
        "only_here": [asdict(one) for one in found.only_here],
        "differing": [{"there": asdict(one), "here": asdict(other)} for one, other in found.differing],
    }


def _show(found: differing.Difference) -> None:
    console.print(f"{found.frames} frames decoded, {found.cut} of them too short to be read again")
    table = Table("frame", "received", "device", "was", "would be", box=None, header_style="dim")
    for one in found.examples[:SHOWN]:
        device = "" if one.device is None else f"{one.device:08X}"
        at = f"{one.received_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(str(one.frame), at, device, str(one.before), str(one.after))
    if found.examples:
        console.print(table)
    for (before, after), count in found.changes.most_common():
        console.print(f"[bold]{count}[/] were {before}, and would be {after}")
    console.print(f"{found.same_orders} orders the same")
    for order in found.only_there[:SHOWN]:
        console.print(f"[red]would not be made[/]  {order}")
    for order in found.only_here[:SHOWN]:
        console.print(f"[green]would be made[/]      {order}")
    for one, other in found.differing[:SHOWN]:
        console.print(f"[yellow]would be another[/]   {one}, then {other.parcels} × {other.state}")


@app.command()
def export(
    form: Annotated[Format, typer.Option("--format", help="CSV, or Parquet by the extra `export`.")] = Format.CSV,
    out: Annotated[Path | None, typer.Option("--out", dir_okay=False, help="Default: standard output.")] = None,
    since: Since = None,
    until: Until = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write the log as one table; its columns are in docs/operating.md."""
    engine = open_database(data_dir, database_url)
    times = {"since": since, "until": until}
    # As a part until it is whole, and for its owner alone: it says when people were at home.
    part = None if out is None else out.with_name(out.name + ".part")
    try:
        with _progress(out is None, "exported") as advance:
            if form is Format.CSV:
                with (
                    nullcontext(sys.stdout)
                    if part is None
                    else _owned(part).open("w", encoding="utf-8", newline="") as file
                ):
                    exporting.to_csv(engine, file, advance, **times)
            else:
                with nullcontext(sys.stdout.buffer) if part is None else _owned(part).open("wb") as file:
                    exporting.to_parquet(engine, file, advance, **times)
        if part is not None and out is not None:
            part.rename(out)
        deeds.note_done(engine, "log.export", "the log", form=form.value)
    except exporting.Missing as error:
        raise Failure(str(error), 2) from None
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
        engine.dispose()


def _owned(path: Path) -> Path:
    path.unlink(missing_ok=True)
    path.touch(0o600)
    return path


@contextmanager
def _progress(is_quiet: bool, what: str) -> Iterator[Any]:
    columns = (SpinnerColumn(), TextColumn(f"{{task.completed}} frames {what}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=is_quiet) as progress:
        task = progress.add_task(what, total=None)
        yield lambda frames: progress.advance(task, frames)


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """Nothing may serve a data folder that is restored."""
    try:
        with locked(data_dir):
            yield
    except InUse as error:
        raise Failure(f"{error}: stop it first") from None


def _check_key(engine: sa.Engine, vault: Vault) -> None:
    try:
        with database.reading(engine) as conn:
            check_key(conn, vault)
    except WrongKey as error:
        raise Failure(f"{error}: put back the one that belongs to it") from None
