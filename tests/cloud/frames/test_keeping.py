"""The database itself refuses to change the log or to thin it out, as the code makes it and as migrations do."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from cloud import database
from cloud.frames.keeping import let_go
from cloud.frames.store import frames
from cloud.tables import cloud as _tables  # noqa: F401  all tables, before they are made

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


@pytest.fixture(params=["SQLite, made", "SQLite, migrated", "PostgreSQL, made", "PostgreSQL, migrated"])
def engine(request: pytest.FixtureRequest, tmp_path) -> Iterator[sa.Engine]:
    """With a line a day, five days long."""
    kind, way = request.param.split(", ")
    if kind == "SQLite":
        url = f"sqlite:///{tmp_path / 'domino.db'}"
    elif way == "made":
        url = request.getfixturevalue("postgres_url")
    else:
        url = request.getfixturevalue("unmigrated_url")
    if way == "migrated":
        database.migrate(url)
    engine = database.connect(url)
    if way == "made" and kind == "SQLite":
        database.metadata.create_all(engine)
    with engine.begin() as conn:
        line = {"carrier": "mqtt", "raw": b"{}", "raw_size": 2, "result": "malformed"}
        conn.execute(sa.insert(frames), [line | {"received_at": NOW + timedelta(days=day)} for day in range(5)])
    yield engine
    engine.dispose()


@pytest.fixture
def unmigrated_url(postgres) -> Iterator[str]:
    with postgres.database(template="template1") as url:
        yield url


def days(engine: sa.Engine) -> list[int]:
    with database.reading(engine) as conn:
        return [(at - NOW).days for at in conn.scalars(sa.select(frames.c.received_at).order_by(frames.c.id))]


def test_no_line_is_changed(engine):
    with pytest.raises(IntegrityError, match="append-only"), engine.begin() as conn:
        conn.execute(sa.update(frames).where(frames.c.id == 1).values(result="accepted"))


def test_no_line_is_deleted_while_nothing_may_go(engine):
    with pytest.raises(IntegrityError, match="append-only"), engine.begin() as conn:
        conn.execute(sa.delete(frames).where(frames.c.id == 1))
    assert days(engine) == [0, 1, 2, 3, 4]


def test_what_is_older_than_the_bound_may_go_and_nothing_newer(engine):
    with engine.begin() as conn:
        let_go(conn, NOW + timedelta(days=1))
        let_go(conn, NOW + timedelta(days=2))
        conn.execute(sa.delete(frames).where(frames.c.received_at < NOW + timedelta(days=2)))
    assert days(engine) == [2, 3, 4]
    with pytest.raises(IntegrityError, match="append-only"), engine.begin() as conn:
        conn.execute(sa.delete(frames))
    assert days(engine) == [2, 3, 4]


def test_an_id_is_never_another_lines_even_when_all_are_old(engine):
    with engine.begin() as conn:
        let_go(conn, NOW + timedelta(days=9))
    if engine.dialect.name == "sqlite":  # which would number from 1 again
        with pytest.raises(IntegrityError, match="append-only"), engine.begin() as conn:
            conn.execute(sa.delete(frames))
    with engine.begin() as conn:
        conn.execute(sa.delete(frames).where(frames.c.id < 5))
        line = {"carrier": "mqtt", "raw": b"", "raw_size": 0, "result": "malformed", "received_at": NOW}
        (id,) = conn.execute(sa.insert(frames).values(line)).inserted_primary_key or (0,)
    assert id == 6


def test_lines_move_between_partitions_when_one_says_so_and_only_in_that_transaction(postgres_url):
    engine = database.connect(postgres_url)
    with engine.begin() as conn:
        line = {"carrier": "mqtt", "raw": b"", "raw_size": 0, "result": "malformed", "received_at": NOW}
        conn.execute(sa.insert(frames).values(line))
    with engine.begin() as conn:
        conn.exec_driver_sql("SET LOCAL domino.moves_frames = 'on'")
        conn.exec_driver_sql("WITH gone AS (DELETE FROM frames RETURNING *) INSERT INTO frames SELECT * FROM gone")
    with pytest.raises(IntegrityError, match="append-only"), engine.begin() as conn:
        conn.execute(sa.delete(frames))
    assert days(engine) == [0]
    engine.dispose()


def test_postgresql_does_not_truncate_it_either(postgres_url):
    engine = database.connect(postgres_url)
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as conn:
        conn.exec_driver_sql("TRUNCATE frames")
    engine.dispose()
