import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from cloud import database
from cloud.accounts.store import accounts
from cloud.fleet.store import buttons
from cloud.pickups import store
from cloud.pickups.model import (
    AFTER,
    Detail,
    Event,
    Faulty,
    Handover,
    NotFound,
    Pickup,
    PickupEvent,
    Press,
    Reason,
    Requested,
    State,
    WrongState,
)
from cloud.places.model import Address, words
from cloud.stamps import store as stamps
from cloud.stamps.model import State as Stamp
from tests.stock import VAULT, stock

NOW = datetime(2026, 3, 2, 7, 30, tzinfo=UTC)
LATER = datetime(2026, 3, 2, 7, 45, tzinfo=UTC)
BUTTON, OTHER = 0x12AB34, 0xFFFFFFFF
CLAIRE = Address.of(["Mme Claire Morvan", "", "", "12 rue de l'Église", "", "35400 Saint-Malo"])


@pytest.fixture
def conn(engine: sa.Engine):
    with engine.begin() as conn:
        add_buttons(conn)
        yield conn


def add_buttons(conn: sa.Connection) -> None:
    conn.execute(buttons.insert(), [{"id": id, "state": "active", "created_at": NOW} for id in (BUTTON, OTHER)])


def ask(conn: sa.Connection, *presses: Press, now: datetime = NOW) -> list[Requested]:
    return store.request(conn, presses, stock(conn, len(presses)), now)


def press(conn: sa.Connection, button: int = BUTTON, parcels: int = 1) -> int:
    return ask(conn, Press(button, parcels))[0].pickup_id


def set_state(conn: sa.Connection, pickup_id: int, state: State) -> None:
    conn.execute(store.pickups.update().where(store.pickups.c.id == pickup_id).values(state=state))


def found(conn: sa.Connection, pickup_id: int) -> Pickup:
    pickup = store.find(conn, pickup_id)
    assert pickup is not None
    return pickup


def stamp_state(conn: sa.Connection, pickup_id: int) -> Stamp:
    stamp = stamps.of_pickup(conn, VAULT, pickup_id)
    assert stamp is not None
    return stamp.state


def test_a_press_makes_a_request_with_a_reserved_stamp(conn: sa.Connection) -> None:
    [requested] = ask(conn, Press(BUTTON, 2))
    assert requested.is_new
    assert found(conn, requested.pickup_id) == Pickup(requested.pickup_id, BUTTON, State.REQUESTED, 2, None, NOW, NOW)
    assert stamp_state(conn, requested.pickup_id) is Stamp.RESERVED
    assert store.events(conn, requested.pickup_id) == [
        PickupEvent(NOW, Event.PRESSED, State.REQUESTED, "button 0012AB34")
    ]


def test_a_second_press_joins_the_open_request_and_adds_its_parcels(conn: sa.Connection) -> None:
    [first] = ask(conn, Press(BUTTON, 2))
    stamp = stamps.of_pickup(conn, VAULT, first.pickup_id)
    [second] = ask(conn, Press(BUTTON, 3), now=LATER)
    assert (second.pickup_id, second.is_new) == (first.pickup_id, False)
    assert stamps.of_pickup(conn, VAULT, first.pickup_id) == stamp
    pickup = found(conn, first.pickup_id)
    assert (pickup.parcels, pickup.requested_at, pickup.changed_at) == (5, NOW, LATER)
    assert [event.event for event in store.events(conn, first.pickup_id)] == [Event.PRESSED, Event.JOINED]


def test_presses_of_one_batch_make_one_request_a_button_and_are_answered_in_order(conn: sa.Connection) -> None:
    batch = [Press(OTHER, 1), Press(BUTTON, 2), Press(OTHER, 3), Press(BUTTON, 1)]
    requested = ask(conn, *batch)
    assert [one.is_new for one in requested] == [True, True, False, False]
    assert requested[0].pickup_id == requested[2].pickup_id != requested[1].pickup_id == requested[3].pickup_id
    assert [found(conn, one.pickup_id).parcels for one in requested] == [4, 3, 4, 3]
    assert [found(conn, one.pickup_id).button_id for one in requested] == [press.button_id for press in batch]
    assert len(stamps.codes_of(conn, VAULT, [one.pickup_id for one in requested])) == 2


def test_no_presses_ask_for_nothing(conn: sa.Connection) -> None:
    assert ask(conn) == []


def test_a_request_never_grows_beyond_99_parcels(conn: sa.Connection) -> None:
    [first] = ask(conn, *[Press(BUTTON, 7)] * 15)[:1]
    assert found(conn, first.pickup_id).parcels == 99
    assert found(conn, press(conn, parcels=7)).parcels == 99


def test_a_press_after_the_confirmation_makes_a_new_request(conn: sa.Connection) -> None:
    first = press(conn)
    store.confirm(conn, first, CLAIRE, "customer claire", NOW)
    assert press(conn) != first
    assert found(conn, first).parcels == 1


def test_a_press_of_an_unknown_button_is_refused_by_the_database(engine: sa.Engine) -> None:
    with pytest.raises(IntegrityError), engine.begin() as conn:
        press(conn)


def test_the_confirmation_keeps_the_addressee_and_makes_the_stamp_live(conn: sa.Connection) -> None:
    id = press(conn)
    pickup = store.confirm(conn, id, CLAIRE, "customer claire", LATER)
    assert pickup == found(conn, id)
    assert (pickup.state, pickup.addressee, pickup.changed_at) == (State.CONFIRMED, CLAIRE, LATER)
    assert stamp_state(conn, id) is Stamp.LIVE
    assert store.events(conn, id)[-1] == PickupEvent(LATER, Event.CONFIRMED, State.CONFIRMED, "customer claire")


@pytest.mark.parametrize("confirmed", [False, True])
def test_a_cancelled_pickup_voids_its_stamp(conn: sa.Connection, confirmed: bool) -> None:
    id = press(conn)
    if confirmed:
        store.confirm(conn, id, CLAIRE, "customer claire", NOW)
    pickup = store.cancel(conn, id, "staff admin", LATER)
    assert pickup == found(conn, id)
    assert (pickup.state, pickup.changed_at) == (State.CANCELLED, LATER)
    assert stamp_state(conn, id) is Stamp.VOID
    assert store.events(conn, id)[-1] == PickupEvent(LATER, Event.CANCELLED, State.CANCELLED, "staff admin")


def confirm(conn: sa.Connection, id: int) -> Pickup:
    return store.confirm(conn, id, CLAIRE, "customer claire", LATER)


def cancel(conn: sa.Connection, id: int) -> Pickup:
    return store.cancel(conn, id, "customer claire", LATER)


@pytest.mark.parametrize(("move", "event"), [(confirm, Event.CONFIRMED), (cancel, Event.CANCELLED)])
@pytest.mark.parametrize("state", State)
def test_a_forbidden_move_is_refused_and_leaves_no_trace(
    conn: sa.Connection, move: Callable[[sa.Connection, int], Pickup], event: Event, state: State
) -> None:
    id = press(conn)
    set_state(conn, id, state)
    if (state, event) in AFTER:
        assert move(conn, id).state is AFTER[state, event]
        return
    before = found(conn, id), store.events(conn, id), stamp_state(conn, id)
    with pytest.raises(WrongState, match=f"the pickup is {state}"):
        move(conn, id)
    assert (found(conn, id), store.events(conn, id), stamp_state(conn, id)) == before


@pytest.mark.parametrize("move", [confirm, cancel])
def test_what_is_not_there_can_be_neither_confirmed_nor_cancelled(
    conn: sa.Connection, move: Callable[[sa.Connection, int], Pickup]
) -> None:
    with pytest.raises(NotFound, match="no pickup 404"):
        move(conn, 404)


def test_the_long_press_takes_back_the_open_request_before_a_confirmed_one(conn: sa.Connection) -> None:
    old, confirmed = press(conn), press(conn, OTHER)
    store.confirm(conn, old, CLAIRE, "customer claire", NOW)
    requested = press(conn)
    taken_back = [store.cancel_newest(conn, BUTTON, LATER) for _ in range(3)]
    assert [pickup and pickup.id for pickup in taken_back] == [requested, old, None]
    assert found(conn, confirmed).state is State.REQUESTED
    assert store.events(conn, old)[-1].actor == "button 0012AB34"
    assert stamp_state(conn, old) is stamp_state(conn, requested) is Stamp.VOID


def test_the_long_press_leaves_alone_what_is_on_a_round(conn: sa.Connection) -> None:
    id = press(conn)
    set_state(conn, id, State.ON_ROUND)
    assert store.cancel_newest(conn, BUTTON, LATER) is None
    assert found(conn, id).state is State.ON_ROUND


def test_the_latest_of_a_button_is_its_newest_open_one_if_any(conn: sa.Connection) -> None:
    assert store.latest_of_button(conn, BUTTON) is None
    confirmed = press(conn)
    store.confirm(conn, confirmed, CLAIRE, "customer claire", NOW)
    requested = press(conn)
    press(conn, OTHER)
    latest = []
    for _ in range(3):
        latest.append(store.latest_of_button(conn, BUTTON))
        store.cancel_newest(conn, BUTTON, LATER)
    assert [pickup and (pickup.id, pickup.state) for pickup in latest] == [
        (requested, State.REQUESTED),
        (confirmed, State.CONFIRMED),
        (requested, State.CANCELLED),
    ]


def test_the_newest_come_first_and_page_by_page(conn: sa.Connection) -> None:
    ids = []
    for _ in range(5):
        ids.append(press(conn))
        store.cancel(conn, ids[-1], "staff admin", NOW)
    ids.append(press(conn))
    assert [pickup.id for pickup in store.newest(conn)] == ids[::-1]
    assert [pickup.id for pickup in store.newest(conn, limit=2, before=ids[4])] == [ids[3], ids[2]]
    assert [pickup.id for pickup in store.newest(conn, state=State.REQUESTED)] == [ids[5]]


def test_an_owner_sees_the_pickups_of_all_their_buttons_and_no_others(conn: sa.Connection) -> None:
    conn.execute(
        accounts.insert().values(
            id=5, name="claire", display_name="Claire", role="customer", password_hash="x", created_at=NOW
        )
    )
    press(conn, OTHER)
    mine = press(conn)
    assert store.of_owner(conn, 5) == []
    conn.execute(buttons.update().where(buttons.c.id == BUTTON).values(owner_id=5))
    assert [pickup.id for pickup in store.of_owner(conn, 5)] == [mine]


def test_pickups_are_counted_by_state(conn: sa.Connection) -> None:
    store.cancel(conn, press(conn), "staff admin", NOW)
    press(conn)
    press(conn, OTHER)
    assert store.count_by_state(conn) == dict.fromkeys(State, 0) | {State.CANCELLED: 1, State.REQUESTED: 2}


def test_an_unfinished_transaction_leaves_neither_request_nor_stamp(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        add_buttons(conn)
        lease = stock(conn, 3)
    with engine.connect() as conn:  # and no commit
        store.request(conn, [Press(BUTTON, 1)], lease, NOW)
    with database.reading(engine) as conn:
        assert store.newest(conn) == []
        assert stamps.pool_left(conn) == 3


def at_once(url: str, *works: Callable[[sa.Connection], object]) -> list[object]:
    """Each work in a thread, connection and transaction of its own; what it gave or raised."""
    start = threading.Barrier(len(works))
    results: list[object] = [None] * len(works)

    def run(place: int) -> None:
        engine = database.connect(url)
        start.wait()
        try:
            with engine.begin() as conn:
                results[place] = works[place](conn)
        except Exception as error:
            results[place] = error
        engine.dispose()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.fixture
def shared(url: str) -> Iterator[sa.Engine]:
    engine = database.connect(url)
    with engine.begin() as conn:
        add_buttons(conn)
    yield engine
    engine.dispose()


def test_one_button_pressed_by_many_at_once_makes_one_request(shared: sa.Engine, url: str) -> None:
    ids = at_once(url, *[press] * 8)
    assert len(set(ids)) == 1
    with database.reading(shared) as conn:
        [pickup] = store.newest(conn)
        history = [event.event for event in store.events(conn, pickup.id)]
    assert pickup.parcels == 8
    assert history == [Event.PRESSED, *[Event.JOINED] * 7]


@pytest.mark.parametrize("other", [confirm, cancel])
def test_of_two_who_move_one_pickup_at_once_one_wins(
    shared: sa.Engine, url: str, other: Callable[[sa.Connection, int], Pickup]
) -> None:
    with shared.begin() as conn:
        id = press(conn)
        set_state(conn, id, State.REQUESTED if other is confirm else State.CONFIRMED)
        conn.execute(stamps.stamps.update().values(state=Stamp.RESERVED if other is confirm else Stamp.LIVE))
    results = at_once(url, lambda conn: other(conn, id), lambda conn: other(conn, id))
    assert sorted(type(result).__name__ for result in results) == ["Pickup", "WrongState"]


ROUND = Detail(round="Rennes 07", stop=23, stops=61)
PROOF = Detail(place="9 m from the box", weight_g=1240, photo="ab" * 32, notice=True)


def tell(conn: sa.Connection, id: int, event: Event, detail: Detail, key: str = "k1", **said: datetime) -> bool:
    return store.tell(conn, id, event, detail, key=key, actor="token postman", now=said.pop("now", LATER), **said)


def on_round(conn: sa.Connection) -> int:
    id = press(conn)
    confirm(conn, id)
    assert tell(conn, id, Event.PUT_ON_ROUND, ROUND, "round 1")
    return id


def test_what_a_handset_tells_is_kept_with_when_it_happened(conn: sa.Connection) -> None:
    id = on_round(conn)
    happened = LATER.replace(hour=8)
    tell(conn, id, Event.COLLECTED, PROOF, "c1", happened_at=happened, now=LATER.replace(hour=9))
    assert found(conn, id).state is State.COLLECTED
    [*_, put, collected] = store.events(conn, id)
    assert (put.detail, put.happened_at, put.when) == (ROUND, None, LATER)
    assert (collected.detail, collected.when, collected.key) == (PROOF, happened, "c1")
    assert collected.at > happened


def test_what_is_told_twice_happened_once(conn: sa.Connection) -> None:
    id = on_round(conn)
    assert [tell(conn, id, Event.COLLECTED, PROOF) for _ in range(3)] == [True, False, False]
    assert not tell(conn, id, Event.PUT_ON_ROUND, ROUND, "round 1"), "also when much has come since"
    assert [event.event for event in store.events(conn, id)][-2:] == [Event.PUT_ON_ROUND, Event.COLLECTED]
    with pytest.raises(Faulty, match="another event"):
        tell(conn, id, Event.FAILED, Detail(reason=Reason.DOG))
    with pytest.raises(WrongState):
        tell(conn, id, Event.COLLECTED, PROOF, "another name")


def test_a_collection_that_failed_voids_the_stamp(conn: sa.Connection) -> None:
    id = on_round(conn)
    tell(conn, id, Event.FAILED, Detail(reason=Reason.EMPTY_BOX, notice=True))
    assert (found(conn, id).state, stamp_state(conn, id)) == (State.FAILED, Stamp.VOID)


def redeem(conn: sa.Connection, id: int, weight_g: int | None = None) -> None:
    stamp = stamps.of_pickup(conn, VAULT, id)
    assert stamp is not None
    paid = {"piece": "CD000000017FR", "place": "35 Rennes PIC", "by": "token line 4", "at": LATER}
    done = stamps.redeem(conn, VAULT, stamp.code, **paid)
    assert isinstance(done, stamps.Redeemed)
    store.redeemed(conn, done.stamp, weight_g, LATER)


def test_a_redeemed_stamp_sorts_its_pickup_once(conn: sa.Connection) -> None:
    id = on_round(conn)
    redeem(conn, id, 1240)
    redeem(conn, id)
    *_, last = store.events(conn, id)
    assert (last.event, last.actor) == (Event.SORTED, "token line 4")
    assert last.detail == Detail(place="35 Rennes PIC", piece="CD000000017FR", weight_g=1240)
    assert found(conn, id).state is State.SORTED


def test_a_collection_told_after_the_parcel_was_sorted_leaves_it_sorted(conn: sa.Connection) -> None:
    id = on_round(conn)
    redeem(conn, id)
    assert tell(conn, id, Event.COLLECTED, PROOF, happened_at=LATER)
    assert found(conn, id).state is State.SORTED
    assert tell(conn, id, Event.DELIVERED, Detail(handover=Handover.LOCKER, place="Lyon 1er, box 12"), "d1")
    assert found(conn, id).state is State.DELIVERED
    with pytest.raises(WrongState):
        tell(conn, id, Event.COLLECTED, PROOF, "once more")


def test_one_event_told_by_many_at_once_is_told_once(shared: sa.Engine, url: str) -> None:
    with shared.begin() as conn:
        id = on_round(conn)
    results = at_once(url, *[lambda conn: tell(conn, id, Event.PUT_ON_ROUND, ROUND, "round 2")] * 6)
    assert sorted(map(str, results)) == ["False"] * 5 + ["True"]
    with database.reading(shared) as conn:
        assert [event.key for event in store.events(conn, id)][-2:] == ["round 1", "round 2"]


def test_what_is_not_there_has_no_events_told_of_it(conn: sa.Connection) -> None:
    with pytest.raises(NotFound):
        tell(conn, 404, Event.PUT_ON_ROUND, ROUND)


STREETS = (
    ("18 rue des Quatre Navettes", "69001 Lyon"),
    ("4 place du Marché", "35000 Rennes"),
    ("12 rue de l'Église", "35400 Saint-Malo"),
    ("18 rue Œuvrée", "69002 Lyon"),
)


def addressed(conn: sa.Connection) -> list[int]:
    ids = []
    for street, town in STREETS:
        ids.append(press(conn))
        address = Address.of(["M Karim Benali", "", "", street, "", town])
        store.confirm(conn, ids[-1], address, "customer karim", NOW)
    return ids


@pytest.mark.parametrize(
    ("sought", "places"),
    [
        ("eglise", [2]),
        ("Église, SAINT-MALO", [2]),
        ("rue de l’église", [2]),
        ("lyon", [3, 0]),
        ("18 lyon", [3, 0]),
        ("lyon 18", [3, 0]),
        ("69001", [0]),
        ("6900", [3, 0]),
        ("navet", [0]),
        ("navet lyon", []),  # only the last word may be a beginning
        ("quatre navettes rennes", []),
        ("oeuvrée", [3]),
        ("place du march", [1]),
        ("rue de la", []),
    ],
)
def test_orders_are_found_by_words_of_street_and_town(conn: sa.Connection, sought: str, places: list[int]) -> None:
    ids = addressed(conn)
    found = store.of_street(conn, words(sought))
    assert found == store.Found(tuple(ids[place] for place in places), True)


def test_a_search_that_finds_more_than_it_shows_or_looks_at_says_so(conn: sa.Connection) -> None:
    ids = addressed(conn)
    assert store.of_street(conn, ["LYON"], limit=1) == store.Found((ids[3],), False)
    assert store.of_street(conn, ["18", "LYON"], scanned=1) == store.Found((ids[3],), False)
    assert store.of_street(conn, ["L"], scanned=1) == store.Found((ids[3], ids[0]), False)
    assert store.of_street(conn, ["6"], limit=1, scanned=1) == store.Found((ids[3],), False)
    assert store.of_street(conn, ["69001", "LYON"], scanned=1) == store.Found((ids[0],), True)


def test_a_search_reads_the_words_by_their_index(conn: sa.Connection) -> None:
    addressed(conn)
    database.plan_by_index(conn)
    asked: list[tuple[str, Any]] = []

    def note(*said: Any) -> None:
        asked.append((said[2], said[3]))

    event.listen(conn, "before_cursor_execute", note)
    store.of_street(conn, ["NAVETTES", "LY"])
    event.remove(conn, "before_cursor_execute", note)
    assert len(asked) == 3
    explain = "EXPLAIN QUERY PLAN " if conn.dialect.name == "sqlite" else "EXPLAIN "
    for text, values in asked:
        plan = " ".join(str(row) for row in conn.exec_driver_sql(explain + text, values))
        assert "SCAN pickup_words" not in plan
        if "EXISTS" in text and conn.dialect.name == "sqlite":
            assert "(pickup_id=? AND word>? AND word<?)" in plan, "a beginning is looked for within the order's words"
        assert "Seq Scan" not in plan
