"""`domino stamp show`: look a stamp up."""

from typing import Annotated, Any

import typer
from rich.markup import escape

import cloud.stamps.store as stamps
from cloud.stamps.desk import subject_of
from cloud.stamps.model import Stamp, format_pairs, parse
from tools import deeds
from tools.terminal import AsJson, DatabaseUrl, DataDir, Failure, console, open_stamps, print_json

Code = Annotated[str, typer.Argument(help="As it is written: 7K4F2M9X, or in pairs in quotes.")]


def command(code: Code, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """What is known of a stamp: its state, its order, since when. For staff on this machine; no page tells it."""
    code = parsed(code)
    engine, vault = open_stamps(data_dir, database_url)
    with engine.begin() as conn:
        stamp = stamps.find(conn, vault, code)
        found = "no stamp" if stamp is None else stamp.state.value
        deeds.note(conn, "stamp.look-up", subject_of(stamp), found=found)
    if stamp is None:
        raise Failure(f"no stamp {format_pairs(code)}")
    tell(fields_of(stamp), as_json)


def parsed(code: str) -> str:
    try:
        return parse(code)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def fields_of(stamp: Stamp) -> dict[str, Any]:
    return {
        "code": stamp.code,
        "pairs": format_pairs(stamp.code),
        "state": stamp.state,
        "pickup_id": stamp.pickup_id,
        "minted_at": stamp.minted_at.isoformat(),
        "changed_at": stamp.changed_at.isoformat(),
        "piece": stamp.piece,
        "place": stamp.place,
        "actor": stamp.actor,
    }


def tell(fields: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(fields)
        return
    for name, value in fields.items():
        console.print(f"[dim]{name:12}[/] {'—' if value is None else escape(str(value))}")
