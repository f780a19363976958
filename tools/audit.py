"""`domino audit`: the trail of who did what, read, exported, and its chain verified."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from cloud import database
from cloud.audit import store
from cloud.audit.model import Broken, Entry, of_json, parse_noted, to_json, verify
from cloud.audit.words import in_english
from tools import deeds
from tools.terminal import AsJson, DatabaseUrl, DataDir, Failure, console, open_database, print_json

BROKEN = 1  # exit code

app = typer.Typer(help="The audit trail: who did what, as a chain.", no_args_is_help=True)


def noted(text: str) -> tuple[int, bytes]:
    try:
        return parse_noted(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _moment(text: str) -> datetime:
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"a time is e.g. 2026-11-25T08:00, not {text[:40]!r}") from None
    return told if told.tzinfo else told.replace(tzinfo=UTC)


Since = Annotated[datetime | None, typer.Option(parser=_moment, metavar="TIME", help="ISO 8601; UTC if not said.")]
Until = Annotated[datetime | None, typer.Option(parser=_moment, metavar="TIME", help="Before then, likewise.")]


@app.command("verify")
def command(
    expect: Annotated[
        list[tuple] | None,  # pyright: ignore[reportMissingTypeArgument]  Typer takes the parser's word for what is in it
        typer.Option(
            parser=noted, metavar="ID:DIGEST", help="That an earlier run told, and you kept elsewhere. May be repeated."
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="An export instead of the database.", exists=True, dir_okay=False)
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Follow the whole chain; exits with 1 where it does not hold.

    Keep what it tells, ID:DIGEST, outside of this machine: an end that was cut off, and a chain that was made anew,
    hold in themselves and are found by --expect alone.
    """
    expected = dict(expect or ())
    try:
        with _bar(as_json) as bar:
            if file is not None:
                with file.open(encoding="utf-8") as lines:
                    last, digest = verify(_counted(_read(lines), bar, None), expected=expected)
            else:
                with database.reading(open_database(data_dir, database_url)) as conn:
                    total = store.end(conn)[0]
                    last, digest = verify(_counted(store.chain(conn), bar, total), expected=expected)
    except Broken as broken:
        if as_json:
            print_json({"holds": False, "entry": broken.id, "why": broken.why})
        raise Failure(f"the audit trail is broken: {broken}", BROKEN) from None
    except ValueError as error:
        raise Failure(f"{file}: {error}", 2) from None
    if as_json:
        print_json({"holds": True, "entries": last, "digest": digest.hex(), "expected": len(expected)})
        return
    console.print(f"{last} entries, and the chain holds" + (f"; {len(expected)} are as noted" if expected else ""))
    if last:
        console.print(f"newest  [bold]{last}:{digest.hex()}[/]", soft_wrap=True)
        console.print("[dim]keep that line elsewhere, and give it to --expect next time[/]")


@app.command("list")
def list_(
    actor: Annotated[str | None, typer.Option(help='"staff n.arnaud", or the name alone.')] = None,
    action: Annotated[str | None, typer.Option(help="Such as button.revoke.")] = None,
    subject: Annotated[str | None, typer.Option(help='"button 0012AB34", or the id alone.')] = None,
    since: Since = None,
    until: Until = None,
    before: Annotated[int | None, typer.Option(min=1, metavar="ID", help="Only entries before this one.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """The newest entries, in words; times are UTC."""
    wanted: dict[str, Any] = {"actor": actor, "action": action, "subject": subject, "since": since, "until": until}
    with database.reading(open_database(data_dir, database_url)) as conn:
        found = store.newest(conn, limit=limit, before=before, **wanted)
    if as_json:
        for entry in found:
            print(to_json(entry))
        return
    if not found:
        console.print("no such entries")
        return
    table = Table(box=None, header_style="dim")
    for title in ("entry", "when", "who", "on what", "what"):
        table.add_column(title, justify="right" if title == "entry" else "left", overflow="fold")
    for entry in found:
        who, what, said = Text(entry.actor), Text(entry.subject), Text(in_english(entry))
        table.add_row(str(entry.id), f"{entry.at:%Y-%m-%d %H:%M:%S}", who, what, said)
    console.print(table)


@app.command()
def export(
    out: Annotated[Path | None, typer.Option("--out", dir_okay=False, help="Default: standard output.")] = None,
    after: Annotated[int, typer.Option(min=0, metavar="ID", help="Only entries after this one.")] = 0,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """All entries, oldest first, as JSON lines with their digests: `domino audit verify --file` follows them."""
    engine = open_database(data_dir, database_url)
    count = 0
    if out is not None:  # for its owner alone: it says who works when, and whence they sign in
        out.unlink(missing_ok=True)
        out.touch(0o600)
    with (
        _bar(out is None) as bar,
        database.reading(engine) as conn,
        nullcontext(sys.stdout) if out is None else out.open("w", encoding="utf-8") as file,
    ):
        for entry in _counted(store.chain(conn, after), bar, store.end(conn)[0] - after):
            file.write(to_json(entry) + "\n")
            count += 1
    deeds.note_done(engine, "audit.export", "the audit trail", count=count)


def _read(lines: Iterable[str]) -> Iterator[Entry]:
    return (of_json(line) for line in lines if line.strip())


@contextmanager
def _bar(is_quiet: bool) -> Iterator[Progress]:
    columns = (TextColumn("entries"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=is_quiet) as bar:
        yield bar


def _counted(entries: Iterable[Entry], bar: Progress, total: int | None) -> Iterator[Entry]:
    task = bar.add_task("", total=total)
    for number, entry in enumerate(entries, 1):
        yield entry
        if not number % 1000:
            bar.update(task, completed=number)
    bar.update(task, completed=total)
