"""The database: one metadata, one engine, and what SQLite and PostgreSQL do differently.

One unit of work is one ``with engine.begin() as conn``; nobody else commits. On SQLite such a transaction begins
IMMEDIATE, so that two writers wait for each other instead of failing half-way; who only reads says ``reading(engine)``.
"""

import datetime
import re
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    NotSupportedError,
    ProgrammingError,
)

BUSY_TIMEOUT_MS = 10_000  # longer than any transaction here; a writer that waits longer has met a bug

KINDS = ("sqlite", "postgresql")

# What libpq is told where the URL says nothing: a server that fell silent is given up within half a minute, not in two
# hours, which is how long Linux waits by itself.
_GIVE_UP = {
    "connect_timeout": 10,  # seconds
    "keepalives_idle": 10,  # seconds
    "keepalives_interval": 5,  # seconds
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # milliseconds
}

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite makes only a column of exactly this type its own row id.
BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


class Unusable(ValueError):
    """The database that the settings name cannot be worked with; the text says why, without its URL's password."""


class Instant(sa.TypeDecorator[datetime.datetime]):
    """An aware UTC datetime, kept as integer milliseconds since 1970: the same on every database, and it sorts."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime.datetime | None, dialect: sa.Dialect) -> int | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"a time without a zone: {value!r}")
        return milliseconds(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime.datetime | None:
        return None if value is None else moment(value)


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MILLISECOND = datetime.timedelta(milliseconds=1)


def now() -> datetime.datetime:
    """The present in UTC, cut to the millisecond that `Instant` keeps."""
    present = datetime.datetime.now(datetime.UTC)
    return present.replace(microsecond=present.microsecond // 1000 * 1000)


def connect(url: str) -> sa.Engine:
    """An engine for `url`, e.g. ``sqlite:///data/domino.db``; SQLite is set up for a durable writer beside readers.

    Raises `Unusable` for a URL that names no database, or one of another kind.
    """
    try:
        kind = sa.make_url(url).get_backend_name()
    except ArgumentError:
        kind = None
    if kind not in KINDS:
        raise Unusable(f"the database URL is of none of {', '.join(KINDS)}: e.g. postgresql+psycopg://host/domino")
    # A failed statement tells its text in a log, never its values: they are people's addresses and hashes of passwords.
    if not url.startswith("sqlite"):
        said = sa.make_url(url).query
        give_up = {name: value for name, value in _GIVE_UP.items() if name not in said}
        return sa.create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=give_up)
    if ":memory:" in url or url == "sqlite://":
        threads = {"check_same_thread": False}
        engine = sa.create_engine(url, hide_parameters=True, poolclass=sa.StaticPool, connect_args=threads)
    else:
        engine = sa.create_engine(url, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3 must not begin transactions by itself; _begin_sqlite does
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    _write_ahead(cursor)
    for pragma in (
        "synchronous=FULL",  # acknowledged means on disk, also through a power cut
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _write_ahead(cursor: Any) -> None:
    """Change a new file to WAL. Of several processes that do so at once SQLite turns all but one away, without the wait
    that `busy_timeout` asks for; to a file that is changed already the same statement does nothing."""
    give_up = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= give_up:
                raise
        time.sleep(0.01)


def _begin_sqlite(connection: sa.Connection) -> None:
    reads = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that only reads: it sees one moment and keeps no writer waiting."""
    with engine.execution_options(reading=True).begin() as conn:
        yield conn


def plan_by_index(conn: sa.Connection) -> None:
    """For this transaction, of statements that each look up a few rows of a table.

    PostgreSQL keeps a prepared statement's plan: one that it made while a table was nearly empty, and its statistics
    said so, would read the whole table ever after.
    """
    if conn.dialect.name == "postgresql":
        conn.exec_driver_sql("SET LOCAL enable_seqscan = off")


def insert(conn: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """``INSERT`` with the dialect's ``ON CONFLICT``, by which the database decides races."""
    return postgresql.insert(table) if conn.dialect.name == "postgresql" else sqlite.insert(table)


class Many:
    """One statement for any number of rows: unnested arrays on PostgreSQL, executemany or JSON on SQLite.

    `text` has them ``FROM {new}``, each column as ``new.name``; `columns` are their names and PostgreSQL's types. Rows
    are tuples in that order, of what the driver itself takes: an `Instant` as `milliseconds`, an enum's value, JSON as
    text. Built once, with nothing to convert row by row, it costs a tenth of a Core statement.

    >>> moved = Many("UPDATE buttons SET place = new.at FROM {new} WHERE buttons.id = new.id", "id bigint, at text")
    """

    def __init__(self, text: str, columns: str) -> None:
        names, kinds = zip(*(column.split() for column in columns.split(",")), strict=True)
        arrays = ", ".join(f"%b::{kind}[]" for kind in kinds)
        self._arrays = text.format(new=f"unnest({arrays}) AS new({', '.join(names)})")
        places = {name: f"?{at}" for at, name in enumerate(names, 1)}
        # One row of VALUES costs half of one that is selected.
        each = re.sub(r"SELECT (new\..*?)\s+FROM \{new\}( WHERE true)?", r"VALUES (\1)", text, flags=re.DOTALL)
        self._each = re.sub(r"new\.(\w+)", lambda found: places[found[1]], each.replace("FROM {new}", ""))
        listed = ", ".join(f"value ->> {at} AS {name}" for at, name in enumerate(names))
        self._json = text.format(new=f"(SELECT {listed} FROM json_each(?)) AS new")  # noqa: S608  names, in our own text

    def run(self, conn: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """How many rows it changed."""
        if not rows:
            return 0
        if conn.dialect.name == "postgresql":
            return conn.exec_driver_sql(self._arrays, _columns(rows)).rowcount
        return conn.exec_driver_sql(self._each, rows).rowcount

    def rows(self, conn: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
        """What it selects or returns, as tuples. On SQLite the rows travel as JSON, so they hold no bytes."""
        if not rows:
            return ()
        if conn.dialect.name == "postgresql":
            return _tuples(conn.exec_driver_sql(self._arrays, _columns(rows)))
        return _tuples(conn.exec_driver_sql(self._json, (orjson.dumps(rows).decode(),)))


def _tuples(result: sa.CursorResult[Any]) -> Sequence[tuple[Any, ...]]:
    """As the driver gives them: what `sa.Row` adds costs more than it is used for here."""
    assert result.cursor is not None
    rows = result.cursor.fetchall()
    result.close()
    return rows


def _columns(rows: Sequence[tuple[Any, ...]]) -> tuple[list[Any], ...]:
    return tuple(map(list, zip(*rows, strict=True)))


def milliseconds(moment: datetime.datetime | None) -> int | None:
    """As `Instant` keeps it."""
    return None if moment is None else (moment - _EPOCH) // _MILLISECOND


def moment(milliseconds: int) -> datetime.datetime:
    """What `Instant` makes of it."""
    return _EPOCH + milliseconds * _MILLISECOND


# Errors that are about what was asked, and come again whenever it is asked again.
_ABOUT_THE_STATEMENT = (IntegrityError, DataError, ProgrammingError, NotSupportedError, InterfaceError)


def refuses(error: DBAPIError) -> bool:
    """Whether the database could not do it now, whatever it was asked: away, full, read-only, locked, in conflict.

    Not by one class alone: psycopg calls a read-only PostgreSQL (SQLSTATE 25006) and one that met its own fault (XX000)
    InternalError, and sqlite3 a damaged file DatabaseError.
    """
    return error.connection_invalidated or not isinstance(error, _ABOUT_THE_STATEMENT)


def in_conflict(error: DBAPIError) -> bool:
    """Whether two transactions met and this one gave way, a deadlock (40P01) say: the other goes on, so try at once."""
    return str(getattr(error.orig, "sqlstate", None) or "").startswith("40")


def migrate(url: str, stamp_key: Callable[[], bytes] | None = None) -> None:
    """Bring the schema at `url` up to the newest migration, where it is not there already; raises `Unusable`.

    `stamp_key` gives the key of `stamps.vault`, and is asked where a migration seals or opens codes.
    """
    import alembic.command  # here, because Alembic costs a third of a second that the command line need not pay
    import alembic.util

    try:
        alembic.command.upgrade(alembic_config(url, stamp_key), "head")
    except alembic.util.CommandError as error:
        raise Unusable(f"the database is not of this version of Domino: {error}") from None
    except DBAPIError as error:
        raise Unusable(f"the database cannot be used: {why(error)}") from None


def why(error: DBAPIError) -> str:
    """What the database itself said, on one line."""
    return str(error.orig).strip().partition("\n")[0]


def alembic_config(url: str, stamp_key: Callable[[], bytes] | None = None) -> Any:
    import alembic.config

    config = alembic.config.Config(stdout=sys.stdout)  # its default is whatever stdout was when it was imported
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = url
    config.attributes["stamp_key"] = stamp_key or _no_key
    return config


def _no_key() -> bytes:
    raise Unusable("the stamps in this database have to be sealed with the master key: run `domino migrate` first")
