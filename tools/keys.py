"""`domino key`: the master keys, and a fleet's way from one to the next."""

import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import sqlalchemy as sa
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sqlalchemy import event

import cloud.alerts.routes as routes
import cloud.fleet.store as fleet
import cloud.stamps.resealing as resealing
import cloud.stamps.store as stamps
from cloud import database
from cloud.alerts.safe import WrongKey as WrongSafe
from cloud.alerts.safe import number_of
from cloud.appeals.store import appeals
from cloud.ingest.keys import Keys, keep_keys
from cloud.secret import MASTER_KEY, write_secret
from cloud.settings import Settings
from cloud.stamps.ledger import readings
from cloud.stamps.vault import WrongKey
from tools import deeds
from tools.terminal import (
    AsJson,
    DatabaseUrl,
    DataDir,
    Failure,
    check_all_know,
    console,
    open_database,
    open_stamps,
    print_json,
    settings,
)

SEALED = (stamps.stamps, readings, appeals)  # every table with sealed codes

app = typer.Typer(help="The master keys, from which every button's and stamp's key comes.", no_args_is_help=True)


@app.command("list")
def list_(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """The master keys that are here, by number and fingerprint, and where they are. Never a key."""
    chosen = settings(data_dir=data_dir)
    keys = chosen.keys()
    told = [{"number": n, "fingerprint": keys.fingerprint(n), "newest": n == keys.number} for n in keys.numbers]
    if as_json:
        print_json({"where": _where(chosen), "keys": told})
        return
    console.print(f"in {_where(chosen)}", markup=False, soft_wrap=True)
    for one in told:
        console.print(f"{one['number']:>4}  {one['fingerprint']}{'  newest' if one['newest'] else ''}")


@app.command()
def status(data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """What still uses which master key, and who runs without the newest."""
    keys, told, behind = _status(data_dir, database_url)
    if as_json:
        print_json({"newest": keys.number, "keys": told, "running_without_newest": behind})
        return
    table = Table(box=None, header_style="dim")
    for title in ("key", "fingerprint", "buttons", "sealed codes", ""):
        table.add_column(title, justify="right" if title in ("key", "buttons", "sealed codes") else "left")
    for one in told:
        table.add_row(*(str(one[name]) for name in ("number", "fingerprint", "buttons", "sealed")), one["said"])
    console.print(table)
    for holder in behind:
        console.print(f"{holder} runs without key {keys.number}: start it anew", markup=False)


def _status(data_dir: Path | None, database_url: str | None) -> tuple[Keys, list[dict[str, Any]], list[str]]:
    keys = settings(data_dir=data_dir, database_url=database_url).keys()
    engine, vault = open_stamps(data_dir, database_url)
    with database.reading(engine) as conn:
        buttons = fleet.count_by_master(conn)
        behind = stamps.holders_without_key(conn, keys.number, database.now())
        try:
            sealed = sum((resealing.count(conn, table, vault) for table in SEALED), start=Counter())
            sealed.update(number_of(block) for _, _, block in routes.sealed_blocks(conn))
        except WrongKey as error:
            raise Failure(str(error)) from None
    told: list[dict[str, Any]] = []
    for number in sorted({*keys.numbers, *buttons}):
        is_here = number in keys.numbers
        used = buttons.get(number, 0) or sealed[number]
        said = "newest" if number == keys.number else "in use" if used else "not in use: retire it"
        told.append(
            {
                "number": number,
                "fingerprint": keys.fingerprint(number) if is_here else None,
                "buttons": buttons.get(number, 0),
                "sealed": sealed[number],
                "said": said if is_here else "MISSING",
            }
        )
    return keys, told, behind


File = Annotated[Path | None, typer.Option(help="Write all keys to this new file instead (mode 0600).")]


@app.command()
def new(file: File = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Make a further master key, the newest from now on. Then stop all processes of this database, and start them."""
    chosen = settings(data_dir=data_dir)
    keys = chosen.keys().with_new()
    where = _keep(chosen, keys, file)
    _note(chosen, "key.new", keys.number)
    told = {"number": keys.number, "fingerprint": keys.fingerprint(keys.number), "where": where}
    if as_json:
        print_json(told)
        return
    console.print(f"master key {keys.number}, fingerprint {told['fingerprint']}, is in {where}", markup=False)
    console.print("back it up; then stop all processes of this database and start them; then `domino key reseal`")


@app.command()
def reseal(
    pause_ms: Annotated[int, typer.Option(min=0, help="Between batches, for the service to write.")] = 0,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Move sealed codes to the newest master key, beside the running service. Stopped, it goes on where it was."""
    keys = settings(data_dir=data_dir, database_url=database_url).keys()
    engine, vault = open_stamps(data_dir, database_url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _overwrite)
        engine.dispose()  # so that every connection is a new one
    resealed = 0
    with Progress(console=Console(stderr=True), disable=as_json) as bars:
        for table in SEALED:
            with database.reading(engine) as conn:
                last = conn.scalar(sa.select(sa.func.max(table.c.id))) or 0
            bar = bars.add_task(table.name, total=last)
            after_id: int | None = 0
            while after_id is not None:
                with engine.begin() as conn:
                    check_all_know(conn, keys)
                    try:
                        batch = resealing.reseal(conn, table, vault, after_id)
                    except WrongKey as error:
                        raise Failure(f"{table.name}: {error}") from None
                after_id, resealed = batch.last_id, resealed + batch.resealed
                bars.update(bar, completed=last if after_id is None else after_id)
                if batch.resealed and after_id is not None:
                    time.sleep(pause_ms / 1000)
    with engine.begin() as conn:
        check_all_know(conn, keys)
        try:
            resealed += routes.reseal(conn, keys.safe())
        except WrongSafe as error:
            raise Failure(str(error)) from None
    deeds.note_done(engine, "key.reseal", f"master key {keys.number}", count=resealed)
    if as_json:
        print_json({"resealed": resealed, "number": keys.number})
    else:
        console.print(f"{resealed} codes and secrets were sealed anew; all lie under master key {keys.number}")


def _overwrite(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA secure_delete = ON")  # or what lay there before would lie about in free pages


@app.command()
def retire(
    number: Annotated[int, typer.Argument(help="Of a master key that nothing uses any more.")],
    file: File = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Forget an older master key. What was recorded of its buttons can then be read no more."""
    chosen = settings(data_dir=data_dir, database_url=database_url)
    keys, told, _ = _status(data_dir, database_url)
    one = next((one for one in told if one["number"] == number), None)
    if one is None or one["said"] == "MISSING":
        raise Failure(f"there is no master key {number} here")
    if number == keys.number:
        raise Failure(f"master key {number} is the newest")
    if one["buttons"] or one["sealed"]:
        raise Failure(f"master key {number} is in use: {one['buttons']} buttons, {one['sealed']} sealed codes")
    where = _keep(chosen, keys.without(number), file)
    deeds.note_done(open_database(data_dir, database_url), "key.retire", f"master key {number}")
    console.print(f"master key {number} is no more in {where}", markup=False)


def _note(chosen: Settings, action: str, number: int) -> None:
    """In the audit trail, where there is a database by now: a key may be made before the first start."""
    if chosen.database_url is not None or (chosen.data_dir / "domino.db").exists():
        url = None if chosen.database_url is None else chosen.database_url.get_secret_value()
        deeds.note_done(open_database(chosen.data_dir, url), action, f"master key {number}")


def _keep(chosen: Settings, keys: Keys, file: Path | None) -> str:
    """Where the keys are kept now."""
    if file is not None:
        try:
            write_secret(file, keys.text())
        except FileExistsError:
            raise Failure(f"{file} exists: name another file, for this one may hold keys") from None
        return str(file)
    if chosen.master_keys is not None:
        raise Failure(f"the master keys come from {MASTER_KEY}: write them with --file, and give the service those", 2)
    keep_keys(chosen.master_key, keys)
    return str(chosen.master_key)


def _where(chosen: Settings) -> str:
    return MASTER_KEY if chosen.master_keys is not None else str(chosen.master_key)
