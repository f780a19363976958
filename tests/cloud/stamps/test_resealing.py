"""Sealed codes on their way to the newest master key, with a service beside that runs on."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

import cloud.appeals.store as appeals
import cloud.stamps.store as stamps
from cloud import database
from cloud.appeals.model import Claim
from cloud.ingest.keys import Keys
from cloud.stamps import resealing
from cloud.stamps.model import Redeemed, State
from cloud.stamps.vault import WrongKey
from cloud.tables import cloud as _tables  # noqa: F401  all tables, before they are made
from tests.stock import stock

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
FIRST = Keys(bytes(range(32)))
BOTH = FIRST.with_new()


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def engine(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    engine = database.connect("sqlite://" if request.param == "SQLite" else request.getfixturevalue("postgres_url"))
    database.metadata.create_all(engine)
    with engine.begin() as conn:
        stock(conn, 25, NOW, FIRST.vault())
    yield engine
    engine.dispose()


def codes(engine: sa.Engine, keys: Keys) -> list[str]:
    with database.reading(engine) as conn:
        rows = conn.execute(sa.select(stamps.stamps.c.sealed).order_by(stamps.stamps.c.id))
        return [keys.vault().open(row.sealed) for row in rows]


def counts(engine: sa.Engine, keys: Keys = BOTH) -> Counter[int]:
    with database.reading(engine) as conn:
        return resealing.count(conn, stamps.stamps, keys.vault(), limit=10)


def test_codes_move_in_batches_that_can_be_interrupted_and_are_the_same_codes(engine):
    before = codes(engine, FIRST)
    with engine.begin() as conn:
        first = resealing.reseal(conn, stamps.stamps, BOTH.vault(), limit=10)
    assert (first.resealed, first.looked_at) == (10, 10)
    assert counts(engine) == {1: 15, 2: 10}
    assert codes(engine, BOTH) == before  # half-way, whoever knows both reads all
    resealed, after_id = 0, 0
    while after_id is not None:  # begun again from the start
        with engine.begin() as conn:
            batch = resealing.reseal(conn, stamps.stamps, BOTH.vault(), after_id, limit=10)
        resealed, after_id = resealed + batch.resealed, batch.last_id
    assert resealed == 15
    assert counts(engine) == {2: 25}
    assert codes(engine, BOTH.without(1)) == before


def test_a_batch_that_is_rolled_back_leaves_the_old_seals(engine):
    with engine.connect() as conn, conn.begin() as transaction:
        resealing.reseal(conn, stamps.stamps, BOTH.vault())
        transaction.rollback()
    assert counts(engine) == {1: 25}


@pytest.mark.parametrize("is_resealed", [False, True], ids=["before", "after"])
def test_a_stamp_is_found_redeemed_and_used_once_on_either_side_of_the_move(engine, is_resealed):
    code = codes(engine, FIRST)[0]
    with engine.begin() as conn:
        conn.execute(sa.update(stamps.stamps).values(state=State.LIVE))
        if is_resealed:
            resealing.reseal(conn, stamps.stamps, BOTH.vault())
    with engine.begin() as conn:
        pay = {"piece": "CD604127935FR", "place": "35 Rennes", "by": "a test", "at": NOW}
        assert isinstance(stamps.redeem(conn, BOTH.vault(), code, **pay), Redeemed)
        found = stamps.find(conn, BOTH.vault(), code)
    assert found is not None
    assert (found.state, found.code) == (State.REDEEMED, code)


def test_an_appeal_without_a_code_is_passed_over_and_one_with_is_moved(engine):
    with engine.begin() as conn:
        for code in ("7K4F2M9X", None):
            claim = Claim(name="Claire", contact="c@example.org", piece="X1", code=code, text="It was sent back.")
            appeals.file(conn, FIRST.vault(), claim, NOW)
        assert resealing.reseal(conn, appeals.appeals, BOTH.vault()).resealed == 1
        assert resealing.count(conn, appeals.appeals, BOTH.vault()) == {2: 1}


def test_a_block_of_no_known_key_stops_the_move_and_changes_nothing(engine):
    with pytest.raises(WrongKey), engine.begin() as conn:
        resealing.reseal(conn, stamps.stamps, BOTH.without(1).vault())
    assert counts(engine) == {1: 25}


def test_who_runs_without_the_newest_key_is_named_until_their_lease_is_over(engine):
    with engine.begin() as conn:
        stamps.open_lease(conn, "new:2", NOW + timedelta(minutes=2), key_number=2)
        stamps.open_lease(conn, "old:1", NOW + timedelta(minutes=2))
        conn.execute(sa.update(stamps.stamp_leases).where(stamps.stamp_leases.c.holder == "a test").values(until=NOW))
        assert stamps.holders_without_key(conn, 2, NOW + timedelta(minutes=1)) == ["old:1"]
        assert stamps.holders_without_key(conn, 1, NOW) == []
        assert stamps.holders_without_key(conn, 2, NOW + timedelta(minutes=3)) == []
