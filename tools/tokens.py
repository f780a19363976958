"""`domino token`: bearer tokens for the JSON API, each for as little and as long as it is needed."""

from datetime import timedelta
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

import cloud.accounts.store as accounts
from cloud import database
from cloud.accounts.model import (
    TOKEN_LASTS,
    Exists,
    Faulty,
    NotFound,
    Right,
    Role,
    TokenRecord,
    check_name,
    granted,
    parse_networks,
)
from tools import deeds
from tools.terminal import AsJson, DatabaseUrl, DataDir, Failure, console, open_database, print_json

app = typer.Typer(help="Bearer tokens for the JSON API.", no_args_is_help=True)

NEVER = "never"
EVERY_RIGHT = frozenset(Right)  # whoever runs commands on this machine has the database itself


def span(text: str) -> timedelta | None:
    """90d, 12h or never.

    >>> span("90d"), span("never")
    (datetime.timedelta(days=90), None)
    """
    if text == NEVER:
        return None
    number, unit = text[:-1], text[-1:]
    if not (number.isdecimal() and 0 < int(number) <= 100_000 and unit in "dh"):
        raise typer.BadParameter(f"{text[:40]!r} is no time: 90d, 12h or {NEVER}")
    return timedelta(days=int(number)) if unit == "d" else timedelta(hours=int(number))


@app.command()
def create(
    role: Annotated[
        Role | None, typer.Option(help="What the token may do; default: the least that has its scopes.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What it is for, like no token before.")] = None,
    scope: Annotated[
        list[Right] | None, typer.Option(help="A right that it is to have, instead of all its role's. May be repeated.")
    ] = None,
    expires: Annotated[str, typer.Option(help="In 90d, 12h, or never.")] = f"{TOKEN_LASTS.days}d",
    allow_from: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="ADDRESS", help="An address or network it may come from. May be repeated."),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a token. It is shown this once: only its hash is kept."""
    lasts, now = span(expires), database.now()
    try:
        role, rights = granted(EVERY_RIGHT, role, None if scope is None else frozenset(scope))
        networks = parse_networks(" ".join(allow_from or ()))
        with open_database(data_dir, database_url).begin() as conn:
            name = check_name(name or f"{deeds.actor()}, {now:%Y-%m-%d %H:%M:%S}", "a token's name")
            accounts.check_unused(conn, name)
            until = None if lasts is None else now + lasts
            token = accounts.create_token(
                conn,
                name=name,
                role=role,
                now=now,
                expires_at=until,
                scopes=None if scope is None else rights,
                networks=networks,
                made_by=deeds.actor(),
            )
            about = {"rights": sorted(rights), "from": [str(one) for one in networks]}
            when = until and f"{until:%Y-%m-%d %H:%M} UTC"
            deeds.note(conn, "token.create", f"token {name}", role=role, expires=when, **about)
    except (Exists, Faulty) as error:
        raise Failure(str(error)) from None
    if as_json:
        told = {"token": token, "role": role, "name": name, "rights": sorted(rights)}
        print_json(told | {"expires_at": until and until.isoformat(), "networks": [str(one) for one in networks]})
        return
    print(token)
    ends = f"until {until:%Y-%m-%d %H:%M} UTC" if until else "for ever: revoke it when it is needed no more"
    typer.echo(f"{name}: may {', '.join(sorted(rights))}; {ends}", err=True)  # the token alone goes into a file


@app.command("list")
def list_(data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """The tokens, those in force first. What one is made of is kept nowhere."""
    now = database.now()
    with database.reading(open_database(data_dir, database_url)) as conn:
        found = accounts.tokens(conn, now)
    if as_json:
        print_json([_fields(one, one.is_in_force(now)) for one in found])
        return
    if not found:
        console.print("no tokens yet: `domino token create` makes one")
        return
    table = Table(box=None, header_style="dim")
    for title in ("number", "name", "role", "may", "from", "made", "until", "last used", ""):
        table.add_column(title)
    for one in found:
        ends = f"{one.expires_at:%Y-%m-%d %H:%M}" if one.expires_at else "for ever"
        used = f"{one.last_used_at:%Y-%m-%d %H:%M}" if one.last_used_at else "never"
        state = "" if one.is_in_force(now) else "revoked" if one.revoked_at else "over"
        table.add_row(
            str(one.token.id),
            Text(one.token.name),
            one.token.role,
            ", ".join(sorted(one.token.rights)),
            ", ".join(map(str, one.token.networks)) or "anywhere",
            f"{one.created_at:%Y-%m-%d}",
            ends,
            used,
            state,
        )
    console.print(table)


@app.command()
def revoke(
    token: Annotated[str, typer.Argument(help="Its name, or its number.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Refuse a token from now on."""
    now = database.now()
    try:
        with open_database(data_dir, database_url).begin() as conn:
            id = int(token) if token.isdecimal() else accounts.token_named(conn, token, now).token.id
            revoked = accounts.revoke_token(conn, id, now)
            if revoked is not None:
                deeds.note(conn, "token.revoke", f"token {revoked.token.name}", number=id)
    except (NotFound, Exists) as error:
        raise Failure(str(error)) from None
    console.print(f"{token} is revoked" if revoked else f"{token} was revoked already", markup=False)


def _fields(one: TokenRecord, is_in_force: bool) -> dict[str, object]:
    times = {name: getattr(one, name) for name in ("created_at", "expires_at", "last_used_at", "revoked_at")}
    return {
        "id": one.token.id,
        "name": one.token.name,
        "role": one.token.role,
        "rights": sorted(one.token.rights),
        "networks": [str(network) for network in one.token.networks],
        "made_by": one.made_by,
        "in_force": is_in_force,
        **{name: at.isoformat() if at else None for name, at in times.items()},
    }
