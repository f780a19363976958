"""`domino account`: the staff, from the command line. Passwords are asked for, never given as arguments."""

import sys
from typing import Annotated

import typer

import cloud.accounts.store as accounts
from cloud import database
from cloud.accounts.model import Exists, PasswordRefused, Role
from tools.terminal import AsJson, DatabaseUrl, DataDir, Failure, open_database, print_json

app = typer.Typer(help="Accounts of staff.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="What one signs in with.")]


@app.command()
def add(
    name: Name,
    role: Annotated[Role, typer.Option(help="What the account may do.")],
    display_name: Annotated[str | None, typer.Option(help="How pages call them; default: the name.")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make an account; its password is asked for, or read from standard input where that is no terminal."""
    engine = open_database(data_dir, database_url)
    password = _ask_password()
    try:
        with engine.begin() as conn:
            account = accounts.add(
                conn,
                name=name,
                display_name=display_name or name,
                role=role,
                password=password,
                now=database.now(),
            )
    except (Exists, PasswordRefused) as error:
        raise Failure(str(error)) from None
    if as_json:
        print_json({"name": account.name, "role": account.role})
    else:
        print(f"{account.name} can sign in, as {account.role}")


@app.command()
def password(name: Name, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Give an account a new password, which ends all its sessions."""
    engine = open_database(data_dir, database_url)
    with database.reading(engine) as conn:
        account = accounts.find(conn, name)
    if account is None:
        raise Failure(f"there is no account {name}")
    new = _ask_password()
    try:
        with engine.begin() as conn:
            accounts.set_password(conn, account, new)
    except PasswordRefused as error:
        raise Failure(str(error)) from None
    print(f"{account.name} has a new password and is signed out everywhere")


def _ask_password() -> str:
    if sys.stdin.isatty():
        return typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return sys.stdin.readline().rstrip("\n")
