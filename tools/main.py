"""The command line `domino`: where cloud, simulator and firmware meet."""

import sys
from collections import UserDict
from functools import cache
from importlib import import_module
from typing import Any

import typer
from sqlalchemy.exc import DBAPIError
from typer.core import TyperGroup

from cloud import database
from cloud.ingest.keys import KeyFileError
from simulator.board.vm import BoardError
from tools.terminal import Failure

# Each command's function, or the app of its sub-commands. Only the module of the one that is asked for is imported:
# all of them together cost more than a second of processor time at every command.
COMMANDS = {
    "serve": "tools.serve:command",
    "web": "tools.serve:web",
    "ingest": "tools.ingest:command",
    "demo": "tools.demo:command",
    "migrate": "tools.serve:migrate",
    "flash": "tools.flash.command:command",
    "drill": "tools.drill.command:command",
    "bench": "tools.bench.command:bench",
    "simulate": "tools.bench.command:simulate",
    "button": "tools.buttons:app",
    "board": "tools.board:app",
    "broker": "tools.broker:app",
    "key": "tools.keys:app",
    "uplink": "tools.uplinks:app",
    "frame": "tools.frames:app",
    "log": "tools.rawlog:app",
    "stamp": "tools.stamps:app",
    "stations": "tools.stations:app",
    "token": "tools.tokens:app",
    "account": "tools.accounts:app",
    "audit": "tools.audit:app",
}


@cache
def load(name: str) -> Any:
    """The command of this name, from its module."""
    module, attribute = COMMANDS[name].split(":")
    part = getattr(import_module(module), attribute)
    of_one = typer.Typer()
    of_one.callback()(lambda: None)  # a group, though of one
    if isinstance(part, typer.Typer):
        of_one.add_typer(part, name=name)
    else:
        of_one.command(name)(part)
    return typer.main.get_group(of_one).commands[name]


class Named(UserDict[str, Any]):
    """Commands by their names, each loaded when it is looked up."""

    def __getitem__(self, name: str) -> Any:
        return load(name) if name in COMMANDS else super().__getitem__(name)


class Domino(TyperGroup):
    """All commands; to name them loads none."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Named(COMMANDS)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)


app = typer.Typer(
    name="domino",
    cls=Domino,
    help="From the press of a button in a letterbox to a stamped parcel.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.callback()(lambda: None)  # a group, whose commands `Domino` knows


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
