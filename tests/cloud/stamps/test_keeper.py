"""The keeper on real databases: the pool, orders that waited, what others do, what time does."""

import threading
import time
from datetime import timedelta
from itertools import combinations

import prometheus_client
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from structlog.testing import capture_logs

from cloud import database
from cloud.stamps import store
from cloud.stamps.keeper import AT_ONCE, Keeper, Terms
from cloud.stamps.lease import Lease
from cloud.stamps.model import MIN_DISTANCE, State, distance, number_of
from cloud.stamps.vault import WrongKey
from tests.cloud.stamps.test_store import some_pickups
from tests.stock import VAULT

FEW = Terms(pool=20)
DAY = timedelta(days=1)


def keeper_of(engine: sa.Engine, terms: Terms = FEW, lease: Lease | None = None, **more) -> Keeper:
    registry = prometheus_client.CollectorRegistry()
    return Keeper(engine, VAULT, Lease() if lease is None else lease, terms, registry=registry, **more)


def codes(engine: sa.Engine) -> list[str]:
    with database.reading(engine) as conn:
        return [
            VAULT.open(sealed) for sealed in conn.scalars(sa.select(store.stamps.c.sealed).order_by(store.stamps.c.id))
        ]


def counts(engine: sa.Engine) -> dict[State, int]:
    with database.reading(engine) as conn:
        return {state: count for state, count in store.count_by_state(conn).items() if count}


def states_in(keeper: Keeper, these: list[str]) -> list[int]:
    import numpy as np

    assert keeper.register is not None
    return keeper.register.find(np.array([number_of(code) for code in these], np.uint64)).tolist()


def test_the_pool_is_filled_with_codes_three_apart_and_leased_at_once(engine: sa.Engine) -> None:
    lease = Lease()
    keeper = keeper_of(engine, Terms(pool=1500), lease)
    keeper.tend()
    assert len(lease) == 1500
    assert counts(engine) == {State.MINTED: 1500}
    minted = codes(engine)
    assert all(distance(a, b) >= MIN_DISTANCE for a, b in combinations(minted, 2))
    assert len(keeper.register or ()) == 1500
    assert keeper.facts()["codes"] == 1500
    keeper.tend()
    assert counts(engine) == {State.MINTED: 1500}


def test_orders_that_came_before_any_code_are_stamped_as_soon_as_there_are_some(engine: sa.Engine) -> None:
    lease, rings = Lease(), []
    with engine.begin() as conn:
        ids = some_pickups(conn, 50)
        store.reserve(conn, lease, ids, database.now())
        store.go_live(conn, 7, database.now())
    keeper_of(engine, lease=lease, stamped=lambda: rings.append("!")).tend()
    assert counts(engine) == {State.MINTED: 20, State.RESERVED: 49, State.LIVE: 1}
    assert rings
    with database.reading(engine) as conn:
        assert len(store.codes_of(conn, VAULT, ids)) == 50


def test_an_order_that_another_process_left_waiting_is_stamped(engine: sa.Engine) -> None:
    keeper = keeper_of(engine)
    keeper.tend()
    with engine.begin() as conn:
        store.reserve(conn, Lease(), some_pickups(conn, 1), database.now())
    keeper.tend()
    assert counts(engine) == {State.MINTED: 20, State.RESERVED: 1}


def test_an_order_that_waited_is_named_in_the_log_with_its_press(engine: sa.Engine) -> None:
    lease = Lease()
    keeper = keeper_of(engine, lease=lease, traces=lambda _conn, ids: {id: f"trace of {id}" for id in ids})
    with engine.begin() as conn:
        (id,) = some_pickups(conn, 1)
        store.reserve(conn, lease, [id], database.now())
    with capture_logs() as lines:
        keeper.tend()
    told = [line for line in lines if line["event"] == "stamped late"]
    assert [(line["pickup"], line["trace"], line["still_waiting"]) for line in told] == [(id, f"trace of {id}", 0)]


def test_without_a_pool_each_order_is_stamped_after_it_came(engine: sa.Engine) -> None:
    lease = Lease()
    keeper = keeper_of(engine, Terms(pool=0), lease)
    keeper.tend()
    with engine.begin() as conn:
        store.reserve(conn, lease, some_pickups(conn, 3), database.now())
    keeper.tend(everything=False)
    assert counts(engine) == {State.RESERVED: 3}


def test_a_stop_gives_the_codes_back_and_the_next_start_mints_none(engine: sa.Engine) -> None:
    pool = 2 * AT_ONCE + 100  # which takes several transactions
    for _ in range(2):
        lease = Lease()
        keeper = keeper_of(engine, Terms(pool=pool), lease)
        thread = threading.Thread(target=keeper.run)
        thread.start()
        while len(lease) < pool and thread.is_alive():
            time.sleep(0.01)
        keeper.stop()
        thread.join()
        assert keeper.is_well
        with database.reading(engine) as conn:
            assert store.leased(conn, lease.id) == []
    assert counts(engine) == {State.MINTED: pool}


def test_what_a_dead_process_had_leased_goes_to_the_living(engine: sa.Engine) -> None:
    keeper_of(engine).tend()  # and is heard of no more
    with engine.begin() as conn:
        conn.execute(store.stamp_leases.update().values(until=database.now() - DAY))
    lease = Lease()
    keeper_of(engine, lease=lease).tend()
    assert len(lease) == 20
    assert counts(engine) == {State.MINTED: 20}


def test_a_keeper_whose_lease_ran_out_opens_another(engine: sa.Engine) -> None:
    lease = Lease()
    keeper = keeper_of(engine, lease=lease)
    keeper.tend()
    first = lease.id
    with engine.begin() as conn:
        store.close_lease(conn, first)
    keeper.tend()
    assert lease.id != first
    with database.reading(engine) as conn:
        assert len(store.leased(conn, lease.id)) == 20


def test_the_register_follows_what_the_pages_and_other_processes_do(engine: sa.Engine) -> None:
    from cloud.stamps.register import Keeping

    lease = Lease()
    keeper, other = keeper_of(engine, lease=lease), keeper_of(engine)
    keeper.tend()
    other.tend()
    with engine.begin() as conn:
        ids = some_pickups(conn, 3)
        store.reserve(conn, lease, ids, database.now())
        store.go_live(conn, 2, database.now())
        store.go_live(conn, 3, database.now())
        of = store.codes_of(conn, VAULT, ids)
        store.redeem(conn, VAULT, of[3], piece="6A 123", place="35 Rennes", by="a test", at=database.now())
    for one in (keeper, other):
        one.tend()
        assert states_in(one, [of[1], of[2], of[3], *codes(engine)[-1:]]) == [
            Keeping.HELD,
            Keeping.LIVE,
            Keeping.SPENT,
            Keeping.HELD,
        ]
        assert len(one.register or ()) == len(codes(engine))
        assert one.live == 1


def test_what_lives_too_long_expires_and_after_the_quarantine_its_code_is_free(engine: sa.Engine) -> None:
    from cloud.stamps.register import Keeping

    lease = Lease()
    keeper = keeper_of(engine, Terms(pool=5, lifetime=3 * DAY, quarantine=2 * DAY), lease)
    keeper.tend()
    now = database.now()
    with engine.begin() as conn:
        ids = some_pickups(conn, 2)
        store.reserve(conn, lease, ids, now)
        store.go_live(conn, 1, now - 4 * DAY)
        store.go_live(conn, 2, now - 2 * DAY)
        old, young = store.codes_of(conn, VAULT, ids).values()
    keeper.tend()
    assert counts(engine) == {State.MINTED: 5, State.LIVE: 1, State.EXPIRED: 1}
    keeper.tend()
    assert states_in(keeper, [old]) == [Keeping.SPENT]
    with engine.begin() as conn:
        expired = store.stamps.c.state == State.EXPIRED
        conn.execute(store.stamps.update().where(expired).values(changed_at=now - 3 * DAY))
    keeper.tend()
    assert counts(engine) == {State.MINTED: 5, State.LIVE: 1}
    assert states_in(keeper, [old]) == [0]
    assert states_in(keeper, [young]) != [0]


def test_codes_that_could_not_be_kept_leave_the_register(tmp_path) -> None:
    engine = database.connect(f"sqlite:///{tmp_path}/domino.db")
    database.metadata.create_all(engine)
    keeper = keeper_of(engine)
    keeper.tend()
    with engine.begin() as conn:
        conn.exec_driver_sql("CREATE TRIGGER no BEFORE INSERT ON stamps BEGIN SELECT RAISE(ABORT, 'no'); END")
        store.lease_free(conn, 99, 0)
        conn.execute(store.stamps.update().values(lease_id=99))  # so that there is nothing left to lease
    keeper._lease.short = True
    with pytest.raises(IntegrityError):
        keeper.tend(everything=False)
    assert len(keeper.register or ()) == 20
    with engine.begin() as conn:
        conn.exec_driver_sql("DROP TRIGGER no")
    keeper._lease.short = True
    keeper.tend(everything=False)
    assert len(keeper.register or ()) == 40 == len(codes(engine))
    engine.dispose()


def test_a_keeper_with_another_key_mints_nothing_and_says_that_it_is_not_well(engine: sa.Engine) -> None:
    keeper_of(engine).tend()
    other = Keeper(
        engine, type(VAULT)(bytes(32)), Lease(), Terms(pool=50), registry=prometheus_client.CollectorRegistry()
    )
    with pytest.raises(WrongKey):
        other.tend()
    assert counts(engine) == {State.MINTED: 20}


def test_keepers_that_mint_at_once_keep_their_codes_apart(postgres_url: str) -> None:
    engines = [database.connect(postgres_url) for _ in range(3)]
    keepers = [keeper_of(engine, Terms(pool=400)) for engine in engines]
    threads = [threading.Thread(target=keeper.tend) for keeper in keepers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    minted = codes(engines[0])
    assert len(minted) == 1600  # and one lease more lies free for who does not mint
    assert all(distance(a, b) >= MIN_DISTANCE for a, b in combinations(minted, 2))
    for engine in engines:
        engine.dispose()


def test_a_process_that_does_not_mint_leases_what_another_minted_for_it_and_loads_no_register(engine: sa.Engine):
    minting, leasing = keeper_of(engine), Lease()
    worker = keeper_of(engine, lease=leasing, mints=False)
    worker.tend()
    assert (len(leasing), leasing.short) == (0, False)
    minting.tend()  # sees that there is another lease
    assert counts(engine) == {State.MINTED: 40}
    worker.tend()
    assert len(leasing) == 20
    assert worker.register is None
    assert worker.facts()["loaded"] is False
    minting.tend()
    assert counts(engine) == {State.MINTED: 60}  # as many again lie free
    worker.tend()
    assert len(leasing) == 20


def test_an_order_that_a_process_without_mint_leaves_waiting_is_stamped_by_who_mints(engine: sa.Engine):
    leasing = Lease()
    worker = keeper_of(engine, lease=leasing, mints=False)
    worker.tend()
    minting = keeper_of(engine)
    minting.tend()
    with engine.begin() as conn:
        ids = some_pickups(conn, 3)
        store.reserve(conn, leasing, ids, database.now())
    assert leasing.short
    minting._look_at = 0.0
    minting.tend(everything=False)  # as after a ring of its bell
    with database.reading(engine) as conn:
        assert len(store.codes_of(conn, VAULT, ids)) == 3


def test_who_does_not_mint_stamps_what_waits_once_it_has_codes(engine: sa.Engine):
    leasing = Lease()
    worker = keeper_of(engine, lease=leasing, mints=False)
    worker.tend()
    with engine.begin() as conn:
        ids = some_pickups(conn, 3)
        store.put(conn, [VAULT.seal(code) for code in ("7K4F2M9X", "00000000", "YYYYYYYY")], None, database.now())
        store.reserve(conn, leasing, ids, database.now())
    worker.tend(everything=False)
    with database.reading(engine) as conn:
        assert len(store.codes_of(conn, VAULT, ids)) == 3
