"""The command line `domino`: where cloud, simulator and firmware meet."""

import sys

import typer
from sqlalchemy.exc import DBAPIError

from cloud import database
from cloud.ingest.keys import KeyFileError
from simulator.board.vm import BoardError
from tools import (
    accounts,
    audit,
    board,
    broker,
    buttons,
    demo,
    frames,
    ingest,
    keys,
    rawlog,
    serve,
    stamps,
    stations,
    tokens,
    uplinks,
)
from tools.bench import command as bench
from tools.drill import command as drill
from tools.flash import command as flash
from tools.terminal import Failure

app = typer.Typer(
    name="domino",
    help="From the press of a button in a letterbox to a stamped parcel.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("serve")(serve.command)
app.command("web")(serve.web)
app.command("ingest")(ingest.command)
app.command("demo")(demo.command)
app.command("migrate")(serve.migrate)
app.command("flash")(flash.command)
app.command("drill")(drill.command)
app.command("bench")(bench.bench)
app.command("simulate")(bench.simulate)
app.add_typer(buttons.app, name="button")
app.add_typer(board.app, name="board")
app.add_typer(broker.app, name="broker")
app.add_typer(keys.app, name="key")
app.add_typer(uplinks.app, name="uplink")
app.add_typer(frames.app, name="frame")
app.add_typer(stations.app, name="stations")
app.add_typer(rawlog.app, name="log")
app.add_typer(stamps.app, name="stamp")
app.add_typer(tokens.app, name="token")
app.add_typer(accounts.app, name="account")
app.add_typer(audit.app, name="audit")


def main() -> None:
    """Run the command line; what the machine or a setting does not allow becomes one line on standard error."""
    try:
        app()
    except Failure as failure:
        print(f"domino: {failure}", file=sys.stderr)
        sys.exit(failure.exit_code)
    except DBAPIError as error:
        sys.exit(f"domino: the database refuses: {database.why(error)}")
    except (database.Unusable, KeyFileError, BoardError, OSError) as error:
        sys.exit(f"domino: {error}")


if __name__ == "__main__":
    main()
