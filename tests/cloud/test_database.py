import sqlite3
import threading
from datetime import UTC, datetime, timedelta, timezone

import alembic.command
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from cloud import database
from cloud.accounts.store import accounts

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


MOMENTS = 100  # files that are opened by several at once: of the statement alone one in ten fails


@pytest.fixture
def url(tmp_path) -> str:
    url = f"sqlite:///{tmp_path / 'domino.db'}"
    database.migrate(url)
    return url


def add_account(conn: sa.Connection, name: str) -> None:
    values = {"name": name, "display_name": name, "role": "viewer", "password_hash": "-", "created_at": NOW}
    conn.execute(sa.insert(accounts).values(values))


def names(conn: sa.Connection) -> list[str]:
    return list(conn.execute(sa.select(accounts.c.name).order_by(accounts.c.id)).scalars())


def test_the_migrations_make_exactly_the_tables_of_the_code(url):
    alembic.command.check(database.alembic_config(url))


def test_migrating_again_does_nothing(url):
    database.migrate(url)


def test_the_migrations_can_be_taken_back(url, tmp_path):
    alembic.command.downgrade(database.alembic_config(url), "base")
    with sqlite3.connect(tmp_path / "domino.db") as raw:
        assert raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("alembic_version",)]


def test_sqlite_keeps_what_it_committed_through_a_power_cut_and_lets_readers_read(url):
    with database.reading(database.connect(url)) as conn:
        assert conn.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert conn.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert conn.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_a_block_that_raises_leaves_nothing_behind(url):
    engine = database.connect(url)

    def break_off() -> None:
        with engine.begin() as conn:
            add_account(conn, "claire")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    with database.reading(engine) as conn:
        assert names(conn) == []


def test_a_failed_statement_tells_none_of_its_values(url):
    engine = database.connect(url)
    with engine.begin() as conn:
        add_account(conn, "claire@example.org")
        with pytest.raises(sa.exc.IntegrityError) as refused:  # pyright: ignore[reportAttributeAccessIssue]
            add_account(conn, "claire@example.org")
    assert "claire" not in str(refused.value)


def test_a_reader_sees_the_moment_before_and_holds_up_no_writer(url):
    engine = database.connect(url)
    with database.reading(engine) as reader:
        assert names(reader) == []
        with engine.begin() as writer:
            add_account(writer, "claire")
        assert names(reader) == []
    with database.reading(engine) as reader:
        assert names(reader) == ["claire"]


def test_several_may_open_a_new_database_at_once(tmp_path):
    def open_all(of: int) -> None:
        for at in range(MOMENTS):
            start.wait(30)
            with database.connect(f"sqlite:///{tmp_path}/{at}.db").connect() as conn:
                modes[of].append(conn.exec_driver_sql("PRAGMA journal_mode").scalar_one())

    start, modes = threading.Barrier(4), [[] for _ in range(4)]
    threads = [threading.Thread(target=open_all, args=(of,)) for of in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert modes == [["wal"] * MOMENTS] * 4


def test_two_writers_wait_for_each_other_instead_of_failing(url):
    engine = database.connect(url)
    first_writes, errors = threading.Event(), []

    def second() -> None:
        try:
            first_writes.wait()
            with engine.begin() as conn:
                add_account(conn, str(len(names(conn))))
        except sa.exc.OperationalError as error:  # pyright: ignore[reportAttributeAccessIssue]
            errors.append(error)

    thread = threading.Thread(target=second)
    thread.start()
    with engine.begin() as conn:
        first_writes.set()
        add_account(conn, "0")
    thread.join()
    with database.reading(engine) as conn:
        assert (errors, names(conn)) == ([], ["0", "1"])


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001  the zone is added below
def test_an_instant_comes_back_as_it_was_to_the_millisecond(moment):
    moment = moment.replace(tzinfo=UTC, microsecond=moment.microsecond // 1000 * 1000)
    dialect = database.connect("sqlite://").dialect
    kept = database.Instant().process_bind_param(moment.astimezone(timezone(timedelta(hours=2))), dialect)
    assert database.Instant().process_result_value(kept, dialect) == moment


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="without a zone"):
        database.Instant().process_bind_param(datetime(2026, 1, 1), database.connect("sqlite://").dialect)  # noqa: DTZ001
