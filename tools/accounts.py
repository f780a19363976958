"""`domino account`: the staff, from the command line. Passwords are asked for, never given as arguments."""

import sys
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

import cloud.accounts.store as accounts
from cloud import database
from cloud.accounts.model import (
    Account,
    Exists,
    Faulty,
    LastAdmin,
    NotFound,
    PasswordRefused,
    Role,
    check_name,
    check_sign_in_name,
)
from tools import deeds
from tools.terminal import AsJson, DatabaseUrl, DataDir, Failure, console, open_database, print_json

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
        if role is not Role.CUSTOMER:
            name = check_sign_in_name(name)
        called = check_name(display_name or name, "a display name")
        with engine.begin() as conn:
            account = accounts.add(
                conn,
                name=name,
                display_name=called,
                role=role,
                password=password,
                now=database.now(),
            )
            deeds.note(conn, "account.add", account.subject, role=role)
    except (Exists, Faulty, PasswordRefused) as error:
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
            deeds.note(conn, "account.password", account.subject)
    except PasswordRefused as error:
        raise Failure(str(error)) from None
    print(f"{account.name} has a new password and is signed out everywhere")


@app.command("list")
def list_(data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """The accounts of staff, those that may sign in first."""
    with database.reading(open_database(data_dir, database_url)) as conn:
        staff = accounts.staff(conn)
    if as_json:
        print_json([_fields(one) for one in staff])
        return
    table = Table(box=None, header_style="dim")
    for title in ("name", "called", "role", "since", ""):
        table.add_column(title)
    for one in staff:
        state = f"disabled {one.disabled_at:%Y-%m-%d}" if one.disabled_at else ""
        table.add_row(one.name, Text(one.display_name), one.role, f"{one.created_at:%Y-%m-%d}", state)
    console.print(table)


@app.command("role")
def change_role(
    name: Name,
    role: Annotated[Role, typer.Argument(help="What the account may do from now on.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Give one of staff another role, which ends all their sessions."""
    if role is Role.CUSTOMER:
        raise Failure("staff cannot become customers: disable the account")
    try:
        with open_database(data_dir, database_url).begin() as conn:
            before = accounts.set_role(conn, accounts.one_of_staff(conn, name).id, role)
            deeds.note(conn, "account.role", before.subject, was=before.role, role=role)
    except (LastAdmin, NotFound) as error:
        raise Failure(str(error)) from None
    print(f"{before.name} is {role} now, and signed out everywhere")


@app.command()
def disable(name: Name, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Let an account sign in no more; ends all its sessions. Tokens that it made stay in force."""
    try:
        with open_database(data_dir, database_url).begin() as conn:
            account = accounts.one_of_staff(conn, name)
            if accounts.disable(conn, account.id, database.now()):
                deeds.note(conn, "account.disable", account.subject)
            made = [one for one in accounts.tokens(conn, database.now()) if one.made_by == account.actor]
            in_force = [one.token.name for one in made if one.is_in_force(database.now())]
    except (LastAdmin, NotFound) as error:
        raise Failure(str(error)) from None
    print(f"{account.name} is disabled")
    if in_force:
        print(f"in force stay the tokens that they made: {', '.join(in_force)}")


@app.command()
def enable(name: Name, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Let a disabled account sign in again."""
    try:
        with open_database(data_dir, database_url).begin() as conn:
            account = accounts.one_of_staff(conn, name)
            if accounts.enable(conn, account.id):
                deeds.note(conn, "account.enable", account.subject)
    except NotFound as error:
        raise Failure(str(error)) from None
    print(f"{account.name} can sign in")


def _fields(one: Account) -> dict[str, object]:
    return {
        "name": one.name,
        "display_name": one.display_name,
        "role": one.role,
        "created_at": one.created_at.isoformat(),
        "disabled_at": one.disabled_at.isoformat() if one.disabled_at else None,
    }


def _ask_password() -> str:
    if sys.stdin.isatty():
        return typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return sys.stdin.readline().rstrip("\n")
