"""`domino button silent`: which buttons are not well, and why."""

from typing import Annotated

import typer
from rich.text import Text

from cloud import database
from cloud.fleet.model import format_id
from cloud.fleet.rhythm import Verdict
from tools.terminal import AsJson, DatabaseUrl, DataDir, Failure, console, open_database, print_json


def command(
    verdict: Annotated[
        Verdict, typer.Option(help="Which ones: silent, late, never heard, or unused.")
    ] = Verdict.SILENT,
    department: Annotated[str | None, typer.Option(help="Of this department alone, e.g. 35 or 2B.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 50,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Buttons that are silent, longest first, with the reasoning: dead told from unused, and from late."""
    # Here, because the pages' parts cost half a second that no other command need pay.
    from cloud import pages
    from cloud.console import verdicts

    if verdict not in verdicts.LISTED:
        raise Failure(f"a list has {', '.join(verdicts.LISTED)} buttons", 2)
    now, at = database.now(), department and department.upper()
    with database.reading(open_database(data_dir, database_url)) as conn:
        rows = verdicts.listed(conn, now, verdict=verdict, department=at, limit=limit).rows
    if as_json:
        print_json(
            [
                {
                    "id": format_id(row.button.id),
                    "place": row.button.place,
                    "last_seen_at": row.button.last_seen_at.isoformat() if row.button.last_seen_at else None,
                    "verdict": row.judgement.verdict,
                    "cause": row.judgement.cause,
                    "missed": row.judgement.missed,
                    "reasons": [pages.say(said) for said in row.judgement.reasons],
                }
                for row in rows
            ]
        )
        return
    if not rows:
        console.print(f"no button is {verdict}")
    for row in rows:
        seen = row.button.last_seen_at
        heard = "never heard" if seen is None else f"last heard {seen.isoformat(' ', 'minutes')}"
        console.print(f"[bold]{format_id(row.button.id)}[/] {row.judgement.verdict}, {heard}", end="  ")
        console.print(Text(row.button.place or "", "dim"))
        console.print(Text("  " + " ".join(pages.say(said) for said in row.judgement.reasons)))
