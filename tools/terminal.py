"""How commands speak: one line of error, JSON for scripts, options that many share."""

import json
from pathlib import Path
from typing import Annotated, Any

import pydantic
import sqlalchemy as sa
import typer
from rich.console import Console

from cloud import database
from cloud.fleet.model import check_place, parse_id
from cloud.ingest.keys import FIRST, Keys
from cloud.settings import Settings, load
from cloud.stamps.store import check_key, holders_without_key
from cloud.stamps.vault import Vault, WrongKey

console = Console(highlight=False)


class Failure(Exception):
    """A command cannot do what it was asked; the text says why and what to do, on one line."""

    def __init__(self, text: str, exit_code: int = 1) -> None:
        super().__init__(text)
        self.exit_code = exit_code


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]
DataDir = Annotated[
    Path | None, typer.Option(help="The folder of the database, keys and queues (DOMINO_DATA_DIR, else ./data).")
]
DatabaseUrl = Annotated[str | None, typer.Option(help="Another database than SQLite in the data folder.")]


def print_json(value: Any) -> None:
    """One object on a line of its own, at once: a script may be waiting for it."""
    print(json.dumps(value, ensure_ascii=False, default=str), flush=True)


def settings(**given: object) -> Settings:
    """The settings; what is wrong with them becomes one clear line. Values are not repeated: one may be a password."""
    try:
        return load(**given)
    except pydantic.ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise Failure(f"a setting is wrong: {wrong}", 2) from None
    except ValueError as error:
        raise Failure(f"the settings file cannot be read: {error}", 2) from None


def open_database(data_dir: Path | None, database_url: str | None) -> sa.Engine:
    """The database that the options name, made and brought up to date where needed."""
    chosen = settings(data_dir=data_dir, database_url=database_url)
    chosen.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    database.migrate(chosen.database, lambda: chosen.keys().stamp_key())
    return database.connect(chosen.database)


def open_stamps(data_dir: Path | None, database_url: str | None) -> tuple[sa.Engine, Vault]:
    """The database, and what its codes are sealed with; a `Failure` where the two do not belong together."""
    vault = settings(data_dir=data_dir, database_url=database_url).keys().vault()
    engine = open_database(data_dir, database_url)
    try:
        with database.reading(engine) as conn:
            check_key(conn, vault)
    except WrongKey as error:
        raise Failure(f"{error}: put back the one that belongs to this database") from None
    return engine, vault


def check_all_know(conn: sa.Connection, keys: Keys) -> None:
    """A `Failure` where a process runs without the newest master key: it would not understand what that makes."""
    if behind := holders_without_key(conn, keys.number, database.now()):
        raise Failure(f"{', '.join(behind)} runs without master key {keys.number}: start it anew first")


def newest_master(chosen: Settings) -> int:
    """Its number; the first one's where there is none yet, or not here: a button's first key is given by flashing."""
    if chosen.master_keys is None and not chosen.master_key.exists():
        return FIRST
    return chosen.keys().number


def device_id(text: str) -> int:
    try:
        return parse_id(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def place_name(text: str) -> str:
    try:
        return check_place(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def hex_bytes(text: str, size: int | None, what: str) -> bytes:
    """`text` as exactly `size` bytes, or any number; spaces are allowed. The text is not repeated: it may be a key."""
    try:
        value = bytes.fromhex(text)
    except ValueError:
        raise typer.BadParameter(f"{what} is not hex") from None
    if size is not None and len(value) != size:
        raise typer.BadParameter(f"{what} has {len(value)} bytes instead of {size}")
    return value
