import threading
from datetime import UTC, datetime
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from cloud import database
from cloud.fleet.store import buttons
from cloud.pickups.store import pickups
from cloud.stamps import model, store
from cloud.stamps.model import ALPHABET, MIN_DISTANCE, TRANSITIONS, State, WrongState

NOW = datetime(2026, 3, 2, 7, 30, tzinfo=UTC)
LATER = datetime(2026, 3, 2, 7, 45, tzinfo=UTC)


def some_pickups(conn: sa.Connection, count: int) -> list[int]:
    conn.execute(buttons.insert().values(id=0x12AB34, state="active", created_at=NOW))
    ids = list(range(1, count + 1))
    row = {"button_id": 0x12AB34, "state": "confirmed", "parcels": 1, "requested_at": NOW, "changed_at": NOW}
    conn.execute(pickups.insert(), [row | {"id": id} for id in ids])
    return ids


def all_codes(conn: sa.Connection) -> list[str]:
    return list(conn.scalars(sa.select(store.stamps.c.code)))


def test_minted_codes_fill_the_pool_and_lie_three_apart(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        assert store.mint(conn, 1200, NOW) == 1200
        assert store.pool_left(conn) == 1200
        codes = all_codes(conn)
    assert all(model.parse(code) == code for code in codes)
    assert all(model.distance(a, b) >= MIN_DISTANCE for a, b in combinations(codes, 2))


def test_every_neighbour_at_distance_one_and_two_is_found_and_none_at_three(engine: sa.Engine) -> None:
    code = "7K4F2M9X"
    swap = {place: ALPHABET[(ALPHABET.index(symbol) + 1 + place) % 32] for place, symbol in enumerate(code)}

    def changed(*places: int) -> str:
        return "".join(swap[place] if place in places else symbol for place, symbol in enumerate(code))

    with engine.begin() as conn:
        assert store.add(conn, [code], NOW) == 1
        store.mint(conn, 300, NOW)
        for distance in (0, 1, 2):
            for places in combinations(range(8), distance):
                assert store.add(conn, [changed(*places)], NOW) == 0, places
        assert store.add(conn, [changed(0, 3, 7)], NOW) == 1


def test_a_crowd_of_neighbours_is_thinned_to_codes_three_apart_and_not_further(engine: sa.Engine) -> None:
    """All 6561 words of three symbols, in several batches: what is refused must have a neighbour that was kept."""
    words = ["".join(word) for word in product("7K4", repeat=8)]
    with engine.begin() as conn:
        kept_count = sum(store.add(conn, words[at : at + 1000], NOW) for at in range(0, len(words), 1000))
        kept = all_codes(conn)
    assert len(kept) == kept_count
    assert all(model.distance(a, b) >= MIN_DISTANCE for a, b in combinations(kept, 2))
    assert all(any(model.distance(word, code) < MIN_DISTANCE for code in kept) for word in words)


def test_the_search_for_neighbours_looks_into_the_six_indexes_and_never_through_the_table(engine: sa.Engine) -> None:
    asked: list[tuple[str, Any]] = []
    with engine.begin() as conn:
        store.mint(conn, 100, NOW)
        event.listen(conn, "before_cursor_execute", lambda _c, _cur, sql, values, *_: asked.append((sql, values)))
        store.mint(conn, 10, NOW)
        search, values = next((sql, values) for sql, values in asked if "UNION" in sql)
        plan = [row.detail for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {search}", values)]
    assert sum("SEARCH stamps USING INDEX ix_stamps_pairs" in step for step in plan) == 6
    assert not any("SCAN stamps" in step for step in plan)


def test_each_pickup_gets_its_own_code_from_the_pool(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        ids = some_pickups(conn, 20)
        store.mint(conn, 50, NOW)
        codes = store.reserve(conn, ids, LATER)
        assert list(codes) == ids
        assert len(set(codes.values())) == 20
        assert store.pool_left(conn) == 30
        assert store.codes_of(conn, [*ids, 999]) == codes
        stamp = store.of_pickup(conn, ids[0])
        assert stamp == model.Stamp(codes[ids[0]], State.RESERVED, ids[0], NOW, LATER)
        assert store.find(conn, codes[ids[0]]) == stamp


def test_an_empty_pool_keeps_no_pickup_waiting(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        ids = some_pickups(conn, 20)
        store.mint(conn, 5, NOW)
        assert len(set(store.reserve(conn, ids, NOW).values())) == 20
        assert store.pool_left(conn) == 0


def test_nothing_is_reserved_for_no_pickups(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        assert store.reserve(conn, [], NOW) == {}
        assert store.count_by_state(conn) == dict.fromkeys(State, 0)


def test_a_pickup_has_one_stamp_only(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        some_pickups(conn, 1)
        store.reserve(conn, [1], NOW)
    with pytest.raises(IntegrityError), engine.begin() as conn:
        store.reserve(conn, [1], NOW)


MOVES = {State.LIVE: store.go_live, State.VOID: store.void}


@pytest.mark.parametrize("to", MOVES)
@pytest.mark.parametrize("state", [state for state in State if state is not State.MINTED])
def test_a_stamp_moves_as_the_table_says_and_otherwise_not_at_all(engine: sa.Engine, state: State, to: State) -> None:
    with engine.begin() as conn:
        some_pickups(conn, 2)
        store.reserve(conn, [1, 2], NOW)
        conn.execute(store.stamps.update().values(state=state))
    with engine.begin() as conn:
        if to in TRANSITIONS[state]:
            MOVES[to](conn, 1, LATER)
        else:
            with pytest.raises(WrongState, match=f"is {state} and cannot become {to}"):
                MOVES[to](conn, 1, LATER)
        moved, other = store.of_pickup(conn, 1), store.of_pickup(conn, 2)
    assert moved is not None
    assert other is not None
    assert (moved.state, moved.changed_at) == ((to, LATER) if to in TRANSITIONS[state] else (state, NOW))
    assert (other.state, other.changed_at) == (state, NOW)


def test_a_pickup_without_a_stamp_cannot_have_one_voided(engine: sa.Engine) -> None:
    with engine.begin() as conn, pytest.raises(WrongState, match="pickup 7 has no stamp"):
        store.void(conn, 7, NOW)


def test_what_is_not_there_is_not_found(engine: sa.Engine) -> None:
    with database.reading(engine) as conn:
        assert store.find(conn, "7K4F2M9X") is None
        assert store.of_pickup(conn, 1) is None


def test_stamps_are_counted_by_state(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        some_pickups(conn, 4)
        store.mint(conn, 10, NOW)
        store.reserve(conn, [1, 2, 3, 4], NOW)
        store.go_live(conn, 2, NOW)
        store.void(conn, 3, NOW)
        counts = store.count_by_state(conn)
    expected = {State.MINTED: 6, State.RESERVED: 2, State.LIVE: 1, State.VOID: 1}
    assert counts == dict.fromkeys(State, 0) | expected


def test_an_unfinished_transaction_gives_its_codes_back(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        some_pickups(conn, 1)
        store.mint(conn, 1, NOW)
    with engine.connect() as conn:  # and no commit
        store.reserve(conn, [1], NOW)
    with database.reading(engine) as conn:
        assert store.pool_left(conn) == 1
        assert store.of_pickup(conn, 1) is None


def test_two_at_once_never_take_one_code(tmp_path: Path) -> None:
    engine = database.connect(f"sqlite:///{tmp_path}/domino.db")
    database.metadata.create_all(engine)
    with engine.begin() as conn:
        ids = some_pickups(conn, 60)
        store.mint(conn, 40, NOW)
    start = threading.Barrier(2)

    def take(mine: list[int]) -> None:
        start.wait()
        for id in mine:
            with engine.begin() as conn:
                store.reserve(conn, [id], NOW)

    workers = [threading.Thread(target=take, args=(ids[part::2],)) for part in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    with database.reading(engine) as conn:
        assert len(store.codes_of(conn, ids)) == 60
        codes = all_codes(conn)
    assert all(model.distance(a, b) >= MIN_DISTANCE for a, b in combinations(codes, 2))
    engine.dispose()
