"""The chain of who did what, on both databases."""

import doctest
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from cloud import database
from cloud.audit import model, store
from cloud.audit.model import Broken, verify

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path):
    url = (
        f"sqlite:///{tmp_path / 'domino.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_empty_url")
    )
    database.migrate(url)
    engine = database.connect(url)
    yield engine
    engine.dispose()


def deeds(engine: sa.Engine, count: int) -> None:
    for number in range(count):
        with engine.begin() as conn:
            subject = f"button 0012AB{number:02X}"
            store.record(conn, actor="staff é", action="button.revoke", subject=subject, now=NOW, why="“lost”")


def test_a_chain_holds_and_tells_its_end(engine: sa.Engine):
    deeds(engine, 3)
    with database.reading(engine) as conn:
        last, digest = verify(store.chain(conn))
        assert last == 3
        assert digest == store.newest(conn, limit=1)[0].digest
        assert [one.id for one in store.newest(conn, before=3)] == [2, 1]


def test_the_database_lets_nothing_be_changed_or_removed(engine: sa.Engine):
    deeds(engine, 1)
    for statement in (sa.update(store.audit).values(actor="nobody"), sa.delete(store.audit)):
        with pytest.raises(IntegrityError, match="append-only"), engine.begin() as conn:
            conn.execute(statement)


def test_a_deed_that_is_undone_leaves_no_entry(engine: sa.Engine):
    with engine.connect() as conn, conn.begin() as deed:
        store.record(conn, actor="a", action="b", subject="c", now=NOW)
        deed.rollback()
    deeds(engine, 1)
    with database.reading(engine) as conn:
        assert verify(store.chain(conn))[0] == 1


@pytest.mark.parametrize("change", ["actor", "detail", "left out", "swapped"])
def test_a_change_behind_the_databases_back_is_found_where_it_is(tmp_path, change: str):
    engine = database.connect(f"sqlite:///{tmp_path / 'domino.db'}")
    database.metadata.create_all(engine, tables=[store.audit])
    deeds(engine, 4)
    with engine.begin() as conn:
        for trigger in ("audit_never_changes", "audit_never_shrinks"):
            conn.exec_driver_sql(f"DROP TRIGGER {trigger}")
        conn.exec_driver_sql(
            {
                "actor": "UPDATE audit SET actor = 'nobody' WHERE id = 2",
                "detail": "UPDATE audit SET detail = '{}' WHERE id = 2",
                "left out": "DELETE FROM audit WHERE id = 2",
                "swapped": "UPDATE audit SET subject = (SELECT subject FROM audit WHERE id = 3) WHERE id = 2",
            }[change]
        )
    with database.reading(engine) as conn, pytest.raises(Broken) as broken:
        verify(store.chain(conn))
    assert broken.value.id == 2


def test_the_examples_are_true():
    assert doctest.testmod(model).failed == 0
