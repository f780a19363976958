"""Codes that lay plain in the database of an earlier version are sealed: all of them, whole, and nothing is left."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import alembic.command
import pytest
import sqlalchemy as sa

from cloud import database
from cloud.stamps import store
from cloud.stamps.model import Stamp, State
from tests.postgres import Cluster
from tests.stock import VAULT

AT = 1_772_436_600_000  # milliseconds
THEN = datetime(2026, 3, 2, 7, 30, tzinfo=UTC)
FIRST = {
    "buttons": {"id": 1, "state": "active", "created_at": AT},
    "pickups": {"id": 1, "button_id": 1, "state": "confirmed", "parcels": 1, "requested_at": AT, "changed_at": AT},
}
CODES = ["7K4F2M9X", "00000000", "YYYYYYYY", *(f"{i:08d}" for i in range(111, 999))]


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a database of the first version, with an order that has its stamp, and a pool."""
    if request.param == "SQLite":
        yield old(f"sqlite:///{tmp_path}/domino.db")
        return
    postgres: Cluster = request.getfixturevalue("postgres")
    with postgres.database(template="template1") as url:
        yield old(url)


def old(url: str) -> str:
    alembic.command.upgrade(database.alembic_config(url), "0001")
    engine = database.connect(url)
    with engine.begin() as conn:
        for name, row in FIRST.items():
            conn.execute(sa.table(name, *map(sa.column, row)).insert().values(row))
        stamps = sa.table("stamps", *map(sa.column, ("code", "state", "pickup_id", "minted_at", "changed_at")))
        rows = [
            {
                "code": code,
                "state": "live" if code == CODES[0] else "minted",
                "pickup_id": 1 if code == CODES[0] else None,
            }
            for code in CODES
        ]
        conn.execute(stamps.insert().values(minted_at=AT, changed_at=AT), rows)
    engine.dispose()
    return url


def migrate(url: str) -> None:
    database.migrate(url, lambda: VAULT.key)


def test_every_stamp_is_there_as_it_was_and_its_code_is_sealed(url: str) -> None:
    migrate(url)
    engine = database.connect(url)
    with database.reading(engine) as conn:
        assert store.find(conn, VAULT, CODES[0]) == Stamp(CODES[0], State.LIVE, 1, THEN, THEN)
        assert store.count_by_state(conn) == dict.fromkeys(State, 0) | {State.LIVE: 1, State.MINTED: len(CODES) - 1}
        sealed = conn.scalars(sa.select(store.stamps.c.sealed)).all()
    assert {VAULT.open(block) for block in sealed} == set(CODES)
    engine.dispose()


def test_nothing_of_the_plain_codes_is_left_in_the_files(tmp_path: Path) -> None:
    url = old(f"sqlite:///{tmp_path}/domino.db")

    def found() -> bool:
        return any(code.encode() in path.read_bytes() for path in tmp_path.iterdir() for code in CODES[3:])

    assert found()
    migrate(url)
    assert not found()


def test_the_migrations_make_exactly_the_tables_of_the_code(url: str) -> None:
    migrate(url)
    alembic.command.check(database.alembic_config(url))


def test_without_the_key_nothing_is_touched_and_it_is_said_what_to_do(url: str) -> None:
    with pytest.raises(database.Unusable, match="domino migrate"):
        database.migrate(url)
    engine = database.connect(url)
    with database.reading(engine) as conn:
        assert set(conn.exec_driver_sql("SELECT code FROM stamps").scalars()) == set(CODES)
        assert conn.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "0001"
    engine.dispose()
    migrate(url)


def test_the_way_back_opens_the_codes_again(url: str) -> None:
    migrate(url)
    alembic.command.downgrade(database.alembic_config(url, lambda: VAULT.key), "0001")
    engine = database.connect(url)
    with database.reading(engine) as conn:
        rows = conn.exec_driver_sql("SELECT code, state, pickup_id, pair0 FROM stamps").all()
    engine.dispose()
    assert {row.code for row in rows} == set(CODES)
    assert [tuple(row) for row in rows if row.pickup_id] == [(CODES[0], "live", 1, "7K")]
