"""`domino token` and the accounts of staff."""

from typing import Annotated

import typer

import cloud.accounts.store as accounts
from cloud import database
from cloud.accounts.model import Role
from tools.terminal import AsJson, DatabaseUrl, DataDir, open_database, print_json

app = typer.Typer(help="Bearer tokens for the JSON API.", no_args_is_help=True)


@app.command()
def create(
    role: Annotated[Role, typer.Option(help="What the token may do.")],
    name: Annotated[str, typer.Option(help="What it is for; shown where tokens are listed.")] = "command line",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a token. It is shown this once: only its hash is kept."""
    with open_database(data_dir, database_url).begin() as conn:
        token = accounts.create_token(conn, name=name, role=role, now=database.now())
    if as_json:
        print_json({"token": token, "role": role, "name": name})
    else:
        print(token)
