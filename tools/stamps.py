"""`domino stamp`: look a stamp up."""

from typing import Annotated

import typer

import cloud.stamps.store as stamps
from cloud import database
from cloud.stamps.model import format_pairs, parse
from tools import stamp_read
from tools.terminal import AsJson, DatabaseUrl, DataDir, Failure, console, open_database, print_json

app = typer.Typer(help="The eight-character stamps.", no_args_is_help=True)


app.command("read")(stamp_read.read)


@app.callback()
def stamps_group() -> None:
    """The eight-character stamps."""


@app.command()
def show(
    code: Annotated[str, typer.Argument(help="As it is written: 7K4F2M9X, or in pairs in quotes.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """What is known of a stamp: its state, its order, since when. For staff on this machine; no page tells it."""
    try:
        code = parse(code)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    with database.reading(open_database(data_dir, database_url)) as conn:
        stamp = stamps.find(conn, code)
    if stamp is None:
        raise Failure(f"no stamp {format_pairs(code)}")
    fields = {
        "code": stamp.code,
        "pairs": format_pairs(stamp.code),
        "state": stamp.state,
        "pickup_id": stamp.pickup_id,
        "minted_at": stamp.minted_at.isoformat(),
        "changed_at": stamp.changed_at.isoformat(),
    }
    if as_json:
        print_json(fields)
        return
    for name, value in fields.items():
        console.print(f"[dim]{name:12}[/] {'—' if value is None else value}")
