"""The stamps' table on SQLite and PostgreSQL: the pool, the life of a stamp, and who comes first of many at once."""

import multiprocessing
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from cloud import database
from cloud.fleet.store import buttons
from cloud.pickups.store import pickups
from cloud.stamps import store
from cloud.stamps.lease import Lease
from cloud.stamps.model import (
    SPENT,
    TRANSITIONS,
    AlreadyUsed,
    NotFound,
    NotLive,
    Redeemed,
    Redemption,
    Stamp,
    State,
    Unknown,
    WrongState,
)
from cloud.stamps.vault import BLOCK, Vault, WrongKey
from tests.stock import LEASED_FOR, MINTED_AT, VAULT, new_rows, stock

NOW = datetime(2026, 3, 2, 7, 30, tzinfo=UTC)
LATER = datetime(2026, 3, 2, 7, 45, tzinfo=UTC)


def some_pickups(conn: sa.Connection, count: int) -> list[int]:
    conn.execute(buttons.insert().values(id=0x12AB34, state="active", created_at=NOW))
    ids = list(range(1, count + 1))
    row = {"button_id": 0x12AB34, "state": "confirmed", "parcels": 1, "requested_at": NOW, "changed_at": NOW}
    conn.execute(pickups.insert(), [row | {"id": id} for id in ids])
    return ids


def reserved(conn: sa.Connection, count: int, state: State = State.RESERVED) -> list[str]:
    """Codes of pickups 1, 2, …, all in this state."""
    ids = some_pickups(conn, count)
    store.reserve(conn, stock(conn, count), ids, NOW)
    conn.execute(store.stamps.update().values(state=state))
    return list(store.codes_of(conn, VAULT, ids).values())


def waits(conn: sa.Connection) -> dict[int, str]:
    return {row.pickup_id: row.state for row in conn.execute(sa.select(store.stamp_waits))}


def redeem(conn: sa.Connection, code: str, piece: str, at: datetime = LATER, vault: Vault = VAULT) -> Redemption:
    return store.redeem(conn, vault, code, piece=piece, place="35 Rennes", by="staff n.arnaud", at=at)


def test_each_pickup_gets_its_own_code_from_the_pool(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        ids = some_pickups(conn, 20)
        lease = stock(conn, 50)
        store.reserve(conn, lease, ids, LATER)
        codes = store.codes_of(conn, VAULT, [*ids, 999])
        assert set(codes) == set(ids)
        assert len(set(codes.values())) == 20
        assert store.pool_left(conn) == len(lease) == 30
        assert waits(conn) == {}
        stamp = store.of_pickup(conn, VAULT, ids[0])
        assert stamp == Stamp(codes[ids[0]], State.RESERVED, ids[0], MINTED_AT, LATER)
        assert store.find(conn, VAULT, codes[ids[0]]) == stamp


def test_a_reservation_is_one_update_by_primary_key_and_searches_nothing(engine: sa.Engine) -> None:
    asked: list[str] = []
    with engine.begin() as conn:
        ids = some_pickups(conn, 20)
        lease = stock(conn, 50)
        event.listen(conn, "before_cursor_execute", lambda _c, _cur, sql, *_: asked.append(sql))
        store.reserve(conn, lease, ids, LATER)
    assert len(asked) == 1
    assert asked[0].startswith("UPDATE stamps")
    if engine.dialect.name == "sqlite":
        with database.reading(engine) as conn:
            values = tuple(range(asked[0].count("?")))
            plan = [row.detail for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked[0]}", values)]
        assert plan == ["SEARCH stamps USING INTEGER PRIMARY KEY (rowid=?)"]


def test_no_plain_code_is_in_the_database(tmp_path) -> None:
    engine = database.connect(f"sqlite:///{tmp_path}/domino.db")
    database.metadata.create_all(engine)
    with engine.begin() as conn:
        codes = reserved(conn, 20)
    engine.dispose()
    there = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert all(VAULT.seal(code) in there for code in codes)
    assert not any(code.encode() in there for code in codes)


def test_when_the_pool_is_empty_orders_wait_and_are_stamped_in_their_order(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        ids = some_pickups(conn, 6)
        lease = stock(conn, 2)
        store.reserve(conn, lease, ids, NOW)
        assert set(store.codes_of(conn, VAULT, ids)) == {1, 2}
        assert waits(conn) == dict.fromkeys((3, 4, 5, 6), State.RESERVED)
        assert lease.short
    with engine.begin() as conn:
        lease.add(new_rows(conn, lease, 3))
        assert store.serve_waiting(conn, lease, LATER) == 1
        assert set(store.codes_of(conn, VAULT, ids)) == {1, 2, 3, 4, 5}
        assert waits(conn) == {6: State.RESERVED}


def test_an_order_that_waits_is_confirmed_and_its_stamp_is_live_when_it_comes(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        [id] = some_pickups(conn, 1)
        lease = stock(conn, 0)
        store.reserve(conn, lease, [id], NOW)
        store.go_live(conn, id, NOW)
        assert waits(conn) == {id: State.LIVE}
        lease.add(new_rows(conn, lease, 1))
        assert store.serve_waiting(conn, lease, LATER) == 0
        stamp = store.of_pickup(conn, VAULT, id)
    assert stamp is not None
    assert (stamp.state, stamp.changed_at) == (State.LIVE, LATER)


def test_an_order_that_waits_and_is_cancelled_gets_no_stamp(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        [id] = some_pickups(conn, 1)
        lease = stock(conn, 0)
        store.reserve(conn, lease, [id], NOW)
        store.void(conn, id, NOW)
        lease.add(new_rows(conn, lease, 1))
        assert store.serve_waiting(conn, lease, LATER) == 0
        assert store.of_pickup(conn, VAULT, id) is None
        assert len(lease) == 1


def test_nothing_is_reserved_for_no_pickups(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        store.reserve(conn, stock(conn, 0), [], NOW)
        assert store.count_by_state(conn) == dict.fromkeys(State, 0)


def test_a_pickup_has_one_stamp_only(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        some_pickups(conn, 1)
        lease = stock(conn, 2)
        store.reserve(conn, lease, [1], NOW)
    with pytest.raises(IntegrityError), engine.begin() as conn:
        store.reserve(conn, lease, [1], NOW)


def test_an_unfinished_transaction_gives_its_codes_back(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        some_pickups(conn, 1)
        lease = stock(conn, 1)
    with engine.connect() as conn:  # and no commit
        store.reserve(conn, lease, [1], NOW)
    with engine.begin() as conn:
        assert store.of_pickup(conn, VAULT, 1) is None
        assert len(lease) == 0
        lease.fill(store.leased(conn, lease.id))
        store.reserve(conn, lease, [1], NOW)
        assert store.of_pickup(conn, VAULT, 1) is not None


def test_an_id_that_was_taken_already_is_passed_over(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        some_pickups(conn, 4)
        lease = stock(conn, 6)
        all_ids = store.leased(conn, lease.id)
        store.reserve(conn, lease, [1], NOW)
        lease.fill(all_ids)  # as after a look at the database just before another's commit
        store.reserve(conn, lease, [2, 3, 4], NOW)
        assert len(set(store.codes_of(conn, VAULT, [1, 2, 3, 4]).values())) == 4
        assert waits(conn) == {}


def test_a_lease_that_ran_out_gives_its_codes_to_the_next_and_takes_none_any_more(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        some_pickups(conn, 3)
        dead, alive = stock(conn, 5), stock(conn, 2)
        assert store.close_leases_before(conn, MINTED_AT + LEASED_FOR) == 0
        store.renew_lease(conn, alive.id, NOW + 2 * LEASED_FOR)
        assert store.close_leases_before(conn, NOW + LEASED_FOR) == 1
        assert not store.renew_lease(conn, dead.id, NOW + 2 * LEASED_FOR)
        store.reserve(conn, dead, [1], NOW)
        assert waits(conn) == {1: State.RESERVED}
        store.lease_free(conn, alive.id, 4)
        assert len(store.leased(conn, alive.id)) == 6
        assert store.pool_left(conn) == 7


MOVES: dict[State, Callable[[sa.Connection, int, datetime], None]] = {
    State.LIVE: store.go_live,
    State.VOID: store.void,
}


@pytest.mark.parametrize("to", MOVES)
@pytest.mark.parametrize("state", [state for state in State if state is not State.MINTED])
def test_a_stamp_moves_as_the_table_says_and_otherwise_not_at_all(engine: sa.Engine, state: State, to: State) -> None:
    with engine.begin() as conn:
        reserved(conn, 2, state)
    with engine.begin() as conn:
        if to in TRANSITIONS[state] or to is State.VOID:  # an order can be cancelled whatever became of its stamp
            MOVES[to](conn, 1, LATER)
        else:
            with pytest.raises(WrongState, match=f"is {state} and cannot become {to}"):
                MOVES[to](conn, 1, LATER)
        moved, other = store.of_pickup(conn, VAULT, 1), store.of_pickup(conn, VAULT, 2)
    assert moved is not None
    assert other is not None
    assert (moved.state, moved.changed_at) == ((to, LATER) if to in TRANSITIONS[state] else (state, NOW))
    assert (other.state, other.changed_at) == (state, NOW)


def test_a_pickup_without_a_stamp_cannot_have_one_live(engine: sa.Engine) -> None:
    with engine.begin() as conn, pytest.raises(WrongState, match="pickup 7 is not there"):
        store.go_live(conn, 7, NOW)


def test_what_is_not_there_is_not_found(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        assert store.find(conn, VAULT, "7K4F2M9X") is None
        assert store.of_pickup(conn, VAULT, 1) is None
        assert redeem(conn, "7K4F2M9X", "piece") == Unknown()
        with pytest.raises(NotFound):
            store.void_code(conn, VAULT, "7K4F2M9X", by="staff n.arnaud", at=NOW)


def test_stamps_are_counted_by_state(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        ids = some_pickups(conn, 4)
        store.reserve(conn, stock(conn, 10), ids, NOW)
        store.go_live(conn, 2, NOW)
        store.void(conn, 3, NOW)
        expected = {State.MINTED: 6, State.RESERVED: 2, State.LIVE: 1, State.VOID: 1}
        assert store.count_by_state(conn) == dict.fromkeys(State, 0) | expected
        assert store.count_live(conn) == 1


def test_another_key_is_noticed_before_anything_is_done_with_it(engine: sa.Engine) -> None:
    other = Vault(bytes(32))
    with engine.begin() as conn:
        store.check_key(conn, other)  # an empty table fits every key
        stock(conn, 1)
        store.check_key(conn, VAULT)
        with pytest.raises(WrongKey, match="another master key"):
            store.check_key(conn, other)


# Redeeming


def test_a_live_stamp_is_redeemed_once_and_the_same_piece_gets_the_same_answer(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        code, _ = reserved(conn, 2, State.LIVE)
        stamp = Stamp(code, State.REDEEMED, 1, MINTED_AT, LATER, "6A 123", "35 Rennes", "staff n.arnaud")
        assert redeem(conn, code, "6A 123") == Redeemed(stamp)
        assert redeem(conn, code, "6A 123", at=LATER + timedelta(days=1)) == Redeemed(stamp)
        assert redeem(conn, code, "6A 999") == AlreadyUsed(stamp)
        assert store.count_live(conn) == 1


@pytest.mark.parametrize("state", [state for state in State if state not in (State.LIVE, State.REDEEMED)])
def test_only_a_live_stamp_is_redeemed(engine: sa.Engine, state: State) -> None:
    with engine.begin() as conn:
        code, _ = reserved(conn, 2, state)
        answer = redeem(conn, code, "6A 123")
        assert isinstance(answer, NotLive)
        assert answer.stamp == store.find(conn, VAULT, code)
        assert answer.stamp.state is state


@pytest.mark.parametrize("state", State)
def test_staff_void_what_is_not_spent(engine: sa.Engine, state: State) -> None:
    with engine.begin() as conn:
        code, _ = reserved(conn, 2, state)
        if State.VOID in TRANSITIONS[state]:
            stamp = store.void_code(conn, VAULT, code, by="staff n.arnaud", at=LATER)
            assert (stamp.state, stamp.changed_at, stamp.actor) == (State.VOID, LATER, "staff n.arnaud")
            assert isinstance(redeem(conn, code, "6A 123"), NotLive)
        else:
            with pytest.raises(WrongState, match=f"is {state} and cannot become void") as refused:
                store.void_code(conn, VAULT, code, by="staff n.arnaud", at=LATER)
            assert code not in str(refused.value)


@given(tries=st.lists(st.tuples(st.integers(0, 2), st.sampled_from("ABC")), max_size=12))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_tried_in_whatever_order_a_code_pays_for_the_first_piece_alone(
    engine: sa.Engine, tries: list[tuple[int, str]]
) -> None:
    first: dict[str, str] = {}
    with engine.connect() as conn:  # and no commit
        codes = reserved(conn, 3, State.LIVE)
        for number, piece in tries:
            answer = redeem(conn, codes[number], piece)
            owner = first.setdefault(codes[number], piece)
            assert isinstance(answer, Redeemed | AlreadyUsed)
            assert isinstance(answer, Redeemed) == (owner == piece)
            assert answer.stamp.piece == owner
        assert store.count_live(conn) == 3 - len(first)


WORKERS = 8


def redeem_all(url: str, codes: list[str], worker: int) -> list[str]:
    """Tries every code for a piece of its own; the codes that it got. In a process of its own."""
    engine = database.connect(url)
    got = []
    for code in codes:
        with engine.begin() as conn:
            answer = redeem(conn, code, f"piece of {worker}")
        if isinstance(answer, Redeemed):
            got.append(code)
        else:
            assert isinstance(answer, AlreadyUsed)
            assert answer.stamp.piece != f"piece of {worker}"
    engine.dispose()
    return got


def test_of_eight_processes_that_redeem_at_once_one_gets_each_stamp(url: str) -> None:
    engine = database.connect(url)
    with engine.begin() as conn:
        codes = reserved(conn, 40, State.LIVE)
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:
        taken = [pool.submit(redeem_all, url, codes, worker) for worker in range(WORKERS)]
        got = Counter(code for each in taken for code in each.result())
    assert got == Counter(codes)
    with database.reading(engine) as conn:
        assert store.count_by_state(conn)[State.REDEEMED] == 40
    engine.dispose()


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.sampled_from("AB"), min_size=WORKERS, max_size=WORKERS))
def test_of_eight_threads_that_redeem_at_once_those_of_one_piece_are_paid_for(url: str, pieces: list[str]) -> None:
    engine = database.connect(url)
    with engine.begin() as conn:
        for table in (store.stamps, pickups, buttons):
            conn.execute(table.delete())
        [code] = reserved(conn, 1, State.LIVE)
    start = threading.Barrier(WORKERS)
    answers: list[Redemption] = []

    def work(piece: str) -> None:
        start.wait()
        with engine.begin() as conn:
            answers.append(redeem(conn, code, piece))

    run_all([threading.Thread(target=work, args=(piece,)) for piece in pieces])
    with database.reading(engine) as conn:
        stamp = store.find(conn, VAULT, code)
    assert stamp is not None
    assert Counter(type(answer) for answer in answers) == +Counter(
        {Redeemed: pieces.count(stamp.piece or ""), AlreadyUsed: WORKERS - pieces.count(stamp.piece or "")}
    )
    engine.dispose()


def run_all(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_processes_with_leases_of_their_own_never_take_one_code(url: str) -> None:
    engine = database.connect(url)
    with engine.begin() as conn:
        ids = some_pickups(conn, 60)
        store.close_lease(conn, stock(conn, 130).id)
        leases = [Lease(store.open_lease(conn, "a test", NOW + LEASED_FOR)) for _ in range(4)]
    start = threading.Barrier(len(leases))

    def take(lease: Lease, mine: list[int]) -> None:
        start.wait()
        for id in mine:
            with engine.begin() as conn:
                store.lease_free(conn, lease.id, 2)
                lease.fill(store.leased(conn, lease.id))
            with engine.begin() as conn:
                store.reserve(conn, lease, [id], NOW)

    run_all([threading.Thread(target=take, args=(lease, ids[i::4])) for i, lease in enumerate(leases)])
    with database.reading(engine) as conn:
        codes = store.codes_of(conn, VAULT, ids)
        assert len(set(codes.values())) == len(codes) == 60
    engine.dispose()


# What time does


def test_what_was_not_used_in_time_expires_oldest_first_and_in_small_batches(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        reserved(conn, 6)
        for id in (5, 4, 3, 2):
            store.go_live(conn, id, NOW + timedelta(hours=10 - id))
        before = NOW + timedelta(hours=8)
        assert store.expire(conn, before, LATER, limit=2) == 2
        states = {id: store.of_pickup(conn, VAULT, id) for id in range(1, 7)}
        assert {id for id, stamp in states.items() if stamp and stamp.state is State.EXPIRED} == {4, 5}
        assert store.expire(conn, before, LATER, limit=2) == 1
        assert store.expire(conn, before, LATER, limit=2) == 0
        assert store.count_by_state(conn)[State.RESERVED] == 2, "an order's stamp waits for its customer"


def test_a_spent_code_is_released_after_its_quarantine_and_may_be_minted_again(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        codes = reserved(conn, 5, State.LIVE)
        redeem(conn, codes[0], "6A 123", at=NOW)
        store.void(conn, 2, NOW)
        store.expire(conn, NOW + timedelta(days=1), NOW, limit=1)
        redeem(conn, codes[3], "6A 124", at=LATER)
        spent = {VAULT.seal(code) for code in codes[:3]}
        assert set(store.release(conn, LATER, LATER, limit=10)) == spent
        assert store.release(conn, LATER, LATER, limit=10) == []
        assert store.find(conn, VAULT, codes[0]) is None
        released = store.of_pickup(conn, VAULT, 1)
        assert released is not None
        assert (released.code, released.state, released.released_at) == (codes[0], State.REDEEMED, LATER)
        store.put(conn, [VAULT.seal(codes[0])], 1, LATER)
        again = store.find(conn, VAULT, codes[0])
        assert again is not None
        assert again.state is State.MINTED
    with pytest.raises(IntegrityError), engine.begin() as conn:
        store.put(conn, [VAULT.seal(codes[3])], 1, LATER)


@pytest.mark.parametrize("sweep", [store.expire, store.release])
def test_a_sweep_searches_by_index_and_never_through_the_table(
    engine: sa.Engine, sweep: Callable[[sa.Connection, datetime, datetime, int], object]
) -> None:
    asked: list[str] = []
    with engine.begin() as conn:
        event.listen(conn, "before_cursor_execute", lambda _c, _cur, sql, *_: asked.append(sql))
        sweep(conn, NOW, LATER, 10)
        store.changed_since(conn, NOW)
        store.count_live(conn)
        store.lease_free(conn, 1, 10)
        store.leased(conn, 1)
    assert asked
    if engine.dialect.name == "sqlite":  # PostgreSQL scans what is as small as this
        with database.reading(engine) as conn:
            for sql in asked:
                plan = [row.detail for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", (0,) * sql.count("?"))]
                assert not [step for step in plan if step.startswith("SCAN stamps")], (sql, plan)


def opened(blocks: store.Blocks) -> dict[str, set[str]]:
    return {
        name: {VAULT.open(sealed[at : at + BLOCK]) for at in range(0, len(sealed), BLOCK)}
        for name, sealed in blocks.items()
    }


def test_what_is_kept_is_read_in_parts_and_what_changed_is_read_again(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        codes = reserved(conn, 5)
        store.go_live(conn, 2, LATER)
        store.void(conn, 3, LATER)
        parts = [(end, opened(blocks)) for end, blocks in store.kept(conn, after_id=1, at_once=3)]
        assert parts == [
            (4, {"HELD": {codes[3]}, "LIVE": {codes[1]}, "SPENT": {codes[2]}}),
            (5, {"HELD": {codes[4]}, "LIVE": set(), "SPENT": set()}),
        ]
        assert list(store.kept(conn, after_id=5)) == []
        changed = opened(store.changed_since(conn, LATER))
        assert changed == {"HELD": set(), "LIVE": {codes[1]}, "SPENT": {codes[2]}}


def test_the_spent_are_those_that_move_no_more_and_every_state_is_kept_as_something() -> None:
    assert {State.REDEEMED, State.VOID, State.EXPIRED} == SPENT
    assert sorted(state for states in store.KEPT_AS.values() for state in states) == sorted(State)
