"""`domino stations`: names and places of the network's stations, which it tells by their ids alone."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cloud import database
from cloud.frames import stations
from tools import deeds
from tools.terminal import AsJson, DatabaseUrl, DataDir, Failure, console, open_database, print_json

app = typer.Typer(help="Names and places of the network's stations.", no_args_is_help=True)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV with the columns id, name and, if you like, department; UTF-8.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Name stations, all of the file or none; a name given before is replaced, and those not in the file stay."""
    engine = open_database(data_dir, database_url)
    try:
        if file.stat().st_size > stations.MAX_BYTES:
            raise Failure(f"{file} has more than {stations.MAX_BYTES} bytes")
        found = stations.read(file.read_bytes())
    except stations.Faulty as faulty:
        raise Failure(f"{file}: {faulty}; nothing was written") from None
    with engine.begin() as conn:
        stations.put(conn, found)
        deeds.note(conn, "station.import", "stations", count=len(found))
    if as_json:
        print_json({"named": len(found)})
    else:
        console.print(f"{len(found)} stations named; pages and alerts say so within half a minute")


@app.command("list")
def list_(data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """The stations that have a name."""
    with database.reading(open_database(data_dir, database_url)) as conn:
        found = list(stations.known(conn).values())
    if as_json:
        print_json([{"id": one.id, "name": one.name, "department": one.department} for one in found])
        return
    table = Table("id", "name", "department", box=None)
    for one in found:
        table.add_row(one.id, one.name, one.department or "")
    console.print(table if found else "No station has a name yet: domino stations import FILE")
