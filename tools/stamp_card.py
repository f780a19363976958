"""`domino stamp card` and `domino stamp find`: the three marks of a parcel, onto paper and back."""

import os
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer

import cloud.stamps.store as stamps
from cloud.stamps import item
from cloud.stamps.card import PAGES, Card, Sheet, to_pdf, to_svg
from cloud.stamps.desk import subject_of
from cloud.stamps.model import Stamp, State, format_pairs, parse
from cloud.stamps.vault import Vault
from tools import deeds
from tools.terminal import AsJson, DatabaseUrl, DataDir, Failure, console, open_stamps, print_json


def card(
    out: Annotated[
        Path, typer.Option(help="The file to write, .pdf or .svg. Whoever has it has the stamps: mode 0600.")
    ],
    pickups: Annotated[list[int] | None, typer.Argument(help="The numbers of confirmed pickups.")] = None,
    code: Annotated[
        list[str] | None, typer.Option(help="A code instead of a pickup's number; may be repeated.")
    ] = None,
    blank: Annotated[int, typer.Option(min=0, help="So many cards with writing boxes alone.")] = 0,
    sheet: Annotated[Sheet, typer.Option(help="a4: eight cards a page, a6: two, a7: one.")] = Sheet.A4,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Cards for parcels: code, DataMatrix and parcel number, each enough to find the pickup; boxes to write into."""
    try:
        codes = [parse(one) for one in code or ()]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if not (pickups or codes or blank):
        raise typer.BadParameter("name pickups, or --code, or --blank with how many")
    cards: list[Card | None] = []
    if pickups or codes:
        engine, vault = open_stamps(data_dir, database_url)
        with engine.begin() as conn:
            cards += [_card(stamps.of_pickup(conn, vault, one), f"pickup {one} has no stamp") for one in pickups or ()]
            cards += [_card(stamps.find(conn, vault, one), f"no stamp {format_pairs(one)}") for one in codes]
            printed = [
                *(pickups or ()),
                *(stamp.pickup_id for one in codes if (stamp := stamps.find(conn, vault, one))),
            ]
            for pickup in printed:
                deeds.note(conn, "stamp.print", f"stamp of order {pickup}")
    cards += [None] * blank
    _write(out, _print(cards, sheet, out))
    a_page = PAGES[sheet][2] * PAGES[sheet][3]
    console.print(f"cards {len(cards)}, pages {-(-len(cards) // a_page)} of {sheet.value.upper()}: [bold]{out}[/]")


def _card(stamp: Stamp | None, otherwise: str) -> Card:
    if stamp is None or stamp.pickup_id is None:
        raise Failure(otherwise)
    if stamp.state is not State.LIVE:
        raise Failure(
            f"the stamp of pickup {stamp.pickup_id} is {stamp.state}: cards are printed of live stamps, "
            "which are those of confirmed pickups not yet redeemed"
        )
    return Card(stamp.code, item.parcel_number(stamp.pickup_id))


def _print(cards: list[Card | None], sheet: Sheet, out: Path) -> bytes:
    match out.suffix.lower():
        case ".pdf":
            return to_pdf(cards, sheet)
        case ".svg":
            try:
                return to_svg(cards, sheet).encode()
            except ValueError as error:
                raise Failure(f"{error}; a .pdf has as many pages as it needs") from None
    raise typer.BadParameter(f"{out.name}: a card is written as .pdf or .svg")


def _write(out: Path, made: bytes) -> None:
    """Never through a link or into a file that others may read: what was there goes first."""
    out.unlink(missing_ok=True)
    with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(made)


def find(
    text: Annotated[str, typer.Argument(help="The code, the parcel number, or what the DataMatrix says.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """The pickup that a mark on a parcel belongs to. For staff on this machine; no page tells it."""
    engine, vault = open_stamps(data_dir, database_url)
    with engine.begin() as conn:
        stamp = _find(conn, vault, text)
        found = "no stamp" if stamp is None else stamp.state.value
        deeds.note(conn, "stamp.look-up", subject_of(stamp), found=found)
    if stamp is None or stamp.pickup_id is None:
        raise Failure("no parcel of ours bears this")
    number = item.parcel_number(stamp.pickup_id)
    if as_json:
        print_json({"pickup_id": stamp.pickup_id, "number": str(number), "state": stamp.state})
        return
    console.print(f"[dim]{'pickup':12}[/] {stamp.pickup_id}")
    console.print(f"[dim]{'number':12}[/] {number.grouped}")
    console.print(f"[dim]{'stamp':12}[/] {stamp.state}")


def _find(conn: sa.Connection, vault: Vault, text: str) -> Stamp | None:
    try:
        return item.find_item(
            text,
            by_code=lambda code: stamps.find(conn, vault, code),
            by_pickup=lambda pickup: stamps.of_pickup(conn, vault, pickup),
        )
    except item.Contradiction as error:
        raise Failure(str(error)) from None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
