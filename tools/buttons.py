"""`domino button`: the fleet from the command line, and a press of a button that has no board yet."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer
from rich.table import Table
from rich.text import Text

import cloud.fleet.store as fleet
from cloud import database
from cloud.fleet.claims import new_claim_code
from cloud.fleet.model import Button, Exists, KeysUsedUp, WrongState, check_label, check_why, format_id
from cloud.settings import Settings
from simulator.board.vm import Board, Line
from tools import button_sheets, deeds, downlinks, silent
from tools.deeds import actor
from tools.flash.identity import export_slip
from tools.running import find_running
from tools.terminal import (
    AsJson,
    DatabaseUrl,
    DataDir,
    Failure,
    check_all_know,
    console,
    device_id,
    newest_master,
    open_database,
    place_name,
    print_json,
    settings,
)

HOLD_MS = 2000  # longer than the 1.5 s from which the firmware takes a press for a long one

app = typer.Typer(help="The buttons of the fleet.", no_args_is_help=True)


def reason(text: str) -> str:
    try:
        return check_why(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def label_text(text: str) -> str:
    try:
        return check_label(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Id = Annotated[int, typer.Argument(parser=device_id, metavar="ID", help="The button's id, 8 hex digits.")]


@app.command()
def add(
    device: Annotated[
        int | None, typer.Argument(parser=device_id, metavar="[ID]", help="8 hex digits; a free one if not given.")
    ] = None,
    place: Annotated[str | None, typer.Option(parser=place_name, help='Where it hangs, e.g. "35 Rennes".')] = None,
    label: Annotated[str, typer.Option(parser=label_text, help='The group it belongs to, e.g. "pilot Rennes".')] = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Take a button into the fleet. Its claim code is shown this once; its key never."""
    engine = open_database(data_dir, database_url)
    code, now = new_claim_code(), database.now()
    newest = newest_master(settings(data_dir=data_dir, database_url=database_url))
    try:
        with engine.begin() as conn:
            id, said = _free_id(device), {"place": place, "label": label}
            button = fleet.add(conn, id=id, **said, claim_code=code, now=now, key_master=newest)
            deeds.note(conn, "button.add", f"button {format_id(button.id)}")
    except Exists as error:
        raise Failure(str(error)) from None
    if as_json:
        print_json({"id": format_id(button.id), "claim_code": code, "key_generation": button.key_generation})
    else:
        console.print(
            f"button     [bold]{format_id(button.id)}[/]\nclaim code [bold]{code}[/]  [dim]print it on the card[/]"
        )


def _free_id(device: int | None) -> int:
    return secrets.randbits(32) if device is None else device


@app.command("list")
def list_(data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """The buttons, last heard first."""
    with database.reading(open_database(data_dir, database_url)) as conn:
        buttons = fleet.newest(conn, 1000)
    if as_json:
        print_json([_fields(button) for button in buttons])
        return
    if not buttons:
        console.print("no buttons yet: `domino button add` takes one into the fleet")
        return
    table = Table(box=None, header_style="dim")
    for title in ("button", "place", "state", "claimed", "last heard", "counter", "battery"):
        table.add_column(title)
    for button in buttons:
        heard = button.last_seen_at.isoformat(" ", "seconds") if button.last_seen_at else "never"
        battery = f"{button.battery_mv} mV" if button.battery_mv else "—"
        claimed = "yes" if button.owner_id else "no"
        table.add_row(
            format_id(button.id),
            Text(button.place or "—"),
            button.state,
            claimed,
            heard,
            str(button.last_counter),
            battery,
        )
    console.print(table)


def _fields(button: Button) -> dict[str, object]:
    return {
        "id": format_id(button.id),
        "place": button.place,
        "label": button.label,
        "state": button.state,
        "key_generation": button.key_generation,
        "key_master": button.key_master,
        "claimed": button.owner_id is not None,
        "last_seen_at": button.last_seen_at.isoformat() if button.last_seen_at else None,
        "last_counter": button.last_counter,
        "battery_mv": button.battery_mv,
        "temperature_c": button.temperature_c,
        "revoked_at": button.revoked_at.isoformat() if button.revoked_at else None,
        "revoked_by": button.revoked_by,
        "revoked_why": button.revoked_why,
        "heartbeat_hours": button.heartbeat_hours,
        "firmware": button.firmware,
        "rekey_planned_at": button.rekey_planned_at.isoformat() if button.rekey_planned_at else None,
    }


@app.command()
def export(
    device: Id,
    file: Annotated[Path, typer.Argument(help="The slip; it holds a key, and is made readable to you alone.")],
    reprovision: Annotated[
        bool, typer.Option("--reprovision", help="Though its key is out: a new one, and that board falls silent.")
    ] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Write a slip for somebody who flashes elsewhere: `domino flash --from FILE`, for one board, once."""
    chosen = settings(data_dir=data_dir, database_url=database_url)
    engine, keys = open_database(data_dir, database_url), chosen.keys(make=True)
    told = export_slip(engine, keys, device, file, claim_url=chosen.public_url, may_replace=reprovision)
    deeds.note_done(engine, "button.export", f"button {told['id']}", key_generation=told["key_generation"])
    if as_json:
        print_json(told)
        return
    console.print(f"{file} makes one board button [bold]{told['id']}[/], key generation {told['key_generation']}")
    console.print(f"[dim]it holds the key: hand it over as a secret, then `domino flash --from {file.name}`[/]")


@app.command()
def revoke(
    device: Id,
    why: Annotated[str, typer.Option(parser=reason, help="Lost, stolen, broken …")] = "lost",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Refuse from now on whatever a lost button sends; it is stored with that reason."""
    with open_database(data_dir, database_url).begin() as conn:
        if not fleet.revoke(conn, device, why=why, by=actor(), now=database.now()):
            raise Failure(f"button {format_id(device)} is not in the fleet")
        deeds.note(conn, "button.revoke", f"button {format_id(device)}", why=why)
    console.print(f"{format_id(device)} is revoked")


@app.command()
def found(device: Id, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Take a revoked button back, under its next key: what was recorded under the old one stays refused."""
    engine, keys = open_database(data_dir, database_url), settings(data_dir=data_dir, database_url=database_url).keys()
    try:
        with engine.begin() as conn:
            check_all_know(conn, keys)
            button = fleet.restore(conn, device, key_master=keys.number)
            deeds.note(conn, "button.found", f"button {format_id(device)}", key_generation=button.key_generation)
    except (KeysUsedUp, WrongState) as error:
        raise Failure(str(error)) from None
    name = format_id(device)
    console.print(f"{name} is back, key generation {button.key_generation}")
    console.print(f"[dim]it has to be given that key: domino flash --button {name} --reprovision[/]")


app.command("silent")(silent.command)
app.command("import")(button_sheets.import_)
app.command("imports")(button_sheets.list_imports)
app.command("undo-import")(button_sheets.undo_import)
app.command("export-csv")(button_sheets.export_csv)
app.command("configure")(downlinks.configure)
app.command("downlinks")(downlinks.command)


@app.command()
def press(
    device: Id,
    clicks: Annotated[int, typer.Option(min=1, max=7, help="How many parcels.")] = 1,
    cancel: Annotated[bool, typer.Option("--cancel", help="A long press: take the open request back.")] = False,
    ask: Annotated[bool, typer.Option("--ask", help="Clicks, then hold: what became of my request?")] = False,
    mqtt_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The broker's port; default: the running `domino serve`'s.")
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Press a button: the real firmware on a stand-in board, against the running service."""
    chosen = settings(data_dir=data_dir, database_url=database_url)
    engine = open_database(data_dir, database_url)
    port = mqtt_port or find_running(chosen.data_dir).mqtt_port
    if port is None:
        raise Failure("the running service uses a broker by URL: give its --mqtt-port", 2)
    board = open_board(engine, chosen, device, port)
    steps: dict[str, str] = {}
    for line in press_board(board, clicks=clicks, cancel=cancel, ask=ask):
        steps[line.step] = line.value
        if not as_json:
            console.print(f"[dim]{line.step:10}[/] {line.value}")
    if as_json:
        print_json(steps)
    if steps.get("link") != "radiated":
        raise Failure("the press was not radiated", 3)


def open_board(
    engine: sa.Engine,
    chosen: Settings,
    device: int,
    mqtt_port: int,
    *,
    folder: Path | None = None,
    by_modem: bool = False,
) -> Board:
    """The stand-in board of `device`, provisioned as flashing does it, in `folder` or the data folder.

    Raises `Failure` for a button that is not in the fleet, and for one whose key was given to a board: two boards with
    one key would use the same counters.
    """
    with database.reading(engine) as conn:
        button = fleet.find(conn, device)
    if button is None:
        raise Failure(f"button {format_id(device)} is not in the fleet: `domino button add {format_id(device)}`")
    if button.key_board is not None:
        raise Failure(f"the key of {format_id(device)} is on a board of its own, {button.key_board}: press that one")
    key = chosen.keys(make=True).key_of(button)
    board = Board(folder or chosen.data_dir / "boards" / format_id(device))
    # Flashed anew each time, as the broker's port may have changed; its counter only ever goes up.
    used = max(button.last_counter, board.counter if board.is_provisioned else 0)
    link = "wisol" if by_modem else "mqtt"
    board.provision(button.id, key, button.key_generation, "127.0.0.1", mqtt_port, counter=used, link=link)
    return board


def press_board(board: Board, *, clicks: int = 1, cancel: bool = False, ask: bool = False) -> Iterator[Line]:
    """Press the button and give the firmware's own console log, a step at a time, as it comes."""
    if cancel or ask:
        yield from board.press(clicks=2 if ask else 1, hold_ms=HOLD_MS)
    else:
        yield from board.press(clicks=clicks)
