"""History once more is the same history: into a copy from any moment, into an empty database, on both databases."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import cloud.fleet.store as fleet
import cloud.pickups.store as pickups
import cloud.stamps.store as stamps
from cloud import database
from cloud.frames.model import Result
from cloud.ingest.keys import Keys
from cloud.ingest.receive import Limits
from cloud.pickups.model import Event
from cloud.rawlog.model import Diverged, RawFrame
from cloud.rawlog.replay import Gap, Replayed, replay
from cloud.rawlog.shipping import Busy, load, ship
from cloud.stamps.lease import Lease
from tests.cloud.rawlog.history import BUTTONS, KEYS, TOLD, VAULT, Service, copy_of, log_of, make_engine, state_of

LATER = timedelta(hours=1)

uplinks = st.lists(
    st.tuples(
        st.integers(0, len(BUTTONS) - 1),
        st.sampled_from(("pickup", "pickup", "pickup", "cancel", "ask", "alive")),
        st.integers(1, 7),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)
elapsed = st.sampled_from((0, 0, 1, 500, 60_000, 3_600_000, 86_400_000))  # ms since the step before
steps = st.lists(
    st.one_of(
        st.tuples(st.just("batch"), uplinks, elapsed),
        st.tuples(st.just("shuffled"), uplinks, elapsed),
        st.tuples(st.just("again"), st.lists(st.integers(0, 50), min_size=1, max_size=3), elapsed),
        st.tuples(st.just("noise"), st.lists(st.binary(max_size=30), min_size=1, max_size=2), elapsed),
        st.tuples(st.just("confirm"), st.integers(0, 9), elapsed),
        st.tuples(st.just("cancel"), st.integers(0, 9), elapsed),
        st.tuples(st.just("tell"), st.sampled_from(list(TOLD)), st.integers(0, 9), elapsed),
        st.tuples(st.just("mint"), elapsed),
        st.tuples(st.just("redeem"), elapsed),
    ),
    min_size=1,
    max_size=20,
)


def play(into: sa.Engine, service: Service, at_once: int = 5000, **options) -> Replayed:
    entries = log_of(service.engine, service.now + LATER, at_once=at_once)
    return replay(into, entries, keys=KEYS, limits=Limits(0, 0), **options)


@settings(max_examples=25, phases=[Phase.generate])
@given(steps, st.data())
def test_the_log_replayed_into_a_copy_from_any_moment_gives_the_same_uplinks_orders_answers_and_stamps(history, data):
    service = Service(make_engine(), limits=Limits(6, 2))
    moment = data.draw(st.integers(0, len(history)))
    for step in history[:moment]:
        service.do(step)
    copy = copy_of(service.engine)
    for step in history[moment:]:
        service.do(step)
    done = play(copy, service, at_once=data.draw(st.sampled_from((5, 5000))))
    assert (done.is_the_same, done.renumbered) == (True, {})
    assert state_of(copy) == state_of(service.engine)
    again = play(copy, service)
    assert (again.frames, again.moves) == (0, 0)
    assert state_of(copy) == state_of(service.engine)
    service.engine.dispose()
    copy.dispose()


@settings(max_examples=25, phases=[Phase.generate])
@given(steps)
def test_the_whole_log_into_an_empty_database_gives_all_but_what_people_own(history):
    service = Service(make_engine(), limits=Limits(6, 2))
    for step in history:
        service.do(step)
    service.now += timedelta(days=1)
    service.rekey(BUTTONS[0])
    service.take(service.message(BUTTONS[0]))
    empty = make_engine()
    done = play(empty, service)
    unowned = ("owner_id", "claim_hash", "claimed_at", "created_at", "key_board", "key_ticket", "reason")
    for table in ("uplinks", "pickups", "pickup_events", "stamps"):
        assert state_of(empty, table) == state_of(service.engine, table)
    heard = {device for device, *_ in service.acknowledged}
    for table in ("buttons",):
        there, here = (state_of(engine, table, without=unowned)[table] for engine in (service.engine, empty))
        assert [row for row in here if row[0] in heard] == [row for row in there if row[0] in heard]
    assert done.missed == 0
    service.engine.dispose()
    empty.dispose()


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def engine(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    engine = make_engine("sqlite://" if request.param == "SQLite" else request.getfixturevalue("postgres_url"))
    yield engine
    engine.dispose()


def some_days(service: Service) -> None:
    one, other, last = BUTTONS
    pressed, _ = service.take(service.message(one, parcels=2), service.message(other))
    service.now += timedelta(minutes=5)
    service.confirm(pressed.pickup_id or 0)
    service.now += timedelta(seconds=1)
    _, open_one = service.take(service.message(one), service.message(last))
    service.mint()
    service.now += timedelta(days=1)
    service.tell(pressed.pickup_id or 0, Event.PUT_ON_ROUND)
    service.now += timedelta(seconds=1)
    service.tell(pressed.pickup_id or 0, Event.COLLECTED)
    service.now += timedelta(seconds=1)
    service.redeem()
    service.now += timedelta(seconds=1)
    service.tell(pressed.pickup_id or 0, Event.DELIVERED)
    service.now += timedelta(seconds=1)
    service.take(service.message(other, "cancel"), service.message(last, "ask"))
    service.take(service.message(other), service.message(one))
    service.now += timedelta(seconds=1)
    service.cancel(open_one.pickup_id or 0)
    service.now += timedelta(seconds=1)
    service.take(*service.sent[:2])


def test_numbers_of_orders_and_lines_are_kept_across_gaps_and_databases(engine):
    """What PostgreSQL skipped, as after a batch that was rolled back, is skipped again."""
    service = Service(engine)
    some_days(service)
    if engine.dialect.name == "postgresql":
        with engine.begin() as conn:
            for table in ("frames", "pickups"):
                sequence = sa.func.pg_get_serial_sequence(table, "id")
                conn.execute(sa.select(sa.func.setval(sequence, 500)))
    some_days(service)
    empty = make_engine()
    done = play(empty, service)
    assert (done.is_the_same, done.renumbered) == (True, {})
    for table in ("uplinks", "pickups", "pickup_events", "pickup_words", "stamps"):
        assert state_of(empty, table) == state_of(engine, table)
    assert state_of(empty, "frames", without=("reason",)) == state_of(engine, "frames", without=("reason",))


def test_a_log_goes_into_postgresql_with_its_numbers(postgres_url):
    service = Service(make_engine())
    some_days(service)
    target = make_engine(postgres_url)
    assert play(target, service).is_the_same
    for table in ("uplinks", "pickups", "pickup_events", "pickup_words", "stamps"):
        assert state_of(target, table) == state_of(service.engine, table)
    with target.begin() as conn:  # and the next order gets a number of its own
        made = pickups.request(conn, [pickups.Press(BUTTONS[2], 1)], Lease(), service.now)
    assert made[0].pickup_id not in service.orders()
    target.dispose()


def test_a_stamp_on_a_parcel_is_that_orders_stamp_after_the_restore_and_cannot_be_used_twice():
    """Minted, given, confirmed and redeemed after the copy: the code is not in the copy at all."""
    service = Service(make_engine())
    copy = copy_of(service.engine)
    with service.engine.begin() as conn:  # the pool of the copy is used up elsewhere
        conn.execute(stamps.stamps.update().values(lease_id=7))
    service.take(service.message(BUTTONS[0]))
    service.mint()
    [order] = service.orders()
    service.confirm(order)
    with service.engine.begin() as conn:
        was = stamps.of_pickup(conn, VAULT, order)
        assert was is not None
        paid = {"place": "35 Rennes PIC", "by": "token t", "at": service.now}
        stamps.redeem(conn, VAULT, was.code, piece="P1", **paid)
    play(copy, service)
    with copy.begin() as conn:
        stamp = stamps.of_pickup(conn, VAULT, order)
        again = stamps.redeem(conn, VAULT, was.code, piece="P2", **paid)
    assert stamp is not None
    assert (stamp.code, stamp.state, stamp.piece) == (was.code, "redeemed", "P1")
    assert type(again).__name__ == "AlreadyUsed"


def test_an_answer_that_was_sent_stays_the_only_one_under_its_counter():
    """The copy knows nothing of the claim in between, and would seal another message under the same nonce."""
    service = Service(make_engine())
    copy = copy_of(service.engine)
    device = BUTTONS[1]
    with service.engine.begin() as conn:
        fleet.claim(conn, claim_code=f"code {device}", owner_id=1, now=service.now)
    (told,) = service.take(service.message(device))
    play(copy, service)
    with database.reading(copy) as conn:
        button = fleet.find(conn, device)
    assert button is not None
    assert button.owner_id is None
    assert state_of(copy, "uplinks") == state_of(service.engine, "uplinks")
    assert told.downlink is not None


def test_a_button_that_was_revoked_or_given_a_new_key_after_the_copy_is_so_again():
    service = Service(make_engine())
    lost, renewed = BUTTONS[:2]
    service.take(service.message(renewed))
    copy = copy_of(service.engine)
    captured = service.message(renewed)
    service.rekey(renewed)
    with service.engine.begin() as conn:
        fleet.revoke(conn, lost, why="lost", by="staff admin", now=service.now)
    results = [one.result for one in service.take(service.message(lost), service.message(renewed), captured)]
    assert results == [Result.REVOKED, Result.ACCEPTED, Result.WRONG_GENERATION]
    assert play(copy, service).is_the_same
    with database.reading(copy) as conn:
        day = service.now.date()
        found = {id: (one.state, one.key_generation) for id, one in fleet.standings(conn, BUTTONS, day).items()}
    assert found[lost] == ("revoked", 0)
    assert found[renewed] == ("active", 1)


def test_an_order_that_cannot_have_its_number_is_followed_under_another_also_when_broken_off():
    service = Service(make_engine())
    device = BUTTONS[0]
    (pressed,) = service.take(service.message(device))
    service.now += timedelta(seconds=1)
    service.confirm(pressed.pickup_id or 0)
    service.now += timedelta(seconds=1)
    service.take(service.message(BUTTONS[1]))
    entries = log_of(service.engine, service.now + LATER)
    target = make_engine()
    with target.begin() as conn:  # somebody else's order has the number
        fleet.add(conn, id=7, place=None, claim_code="7", now=service.now)
        pickups.request(conn, [pickups.Press(7, 1)], Lease(), service.now)
    first = replay(target, entries[:1], keys=KEYS, limits=Limits())
    assert first.renumbered == {1: 2}
    done = replay(target, entries, keys=KEYS, limits=Limits())
    assert (done.renumbered, done.missed, done.stamps) == ({1: 2, 2: 3}, 0, 2)
    with database.reading(target) as conn:
        found = [(order.button_id, order.state) for order in pickups.newest(conn)]
        stamp = stamps.of_pickup(conn, VAULT, 2)
    with database.reading(service.engine) as conn:
        was = stamps.of_pickup(conn, VAULT, 1)
    assert found == [(BUTTONS[1], "requested"), (device, "confirmed"), (7, "requested")]
    assert stamp is not None
    assert was is not None
    assert stamp.code == was.code


def test_a_stamp_that_was_sealed_under_another_master_key_is_not_taken():
    """A key was rotated since: the log from before belongs to a copy from before."""
    service = Service(make_engine())
    service.take(service.message(BUTTONS[0]))
    other = Keys(bytes(32))
    target = make_engine()
    done = replay(target, log_of(service.engine, service.now), keys=other, limits=Limits())
    assert (done.stamps, done.is_the_same) == (0, False)
    assert any("another master key" in line for line in done.not_done)


def test_a_log_that_misses_a_part_is_refused_unless_one_says_so():
    service = Service(make_engine())
    for _ in range(3):
        service.take(service.message(BUTTONS[0]))
    frames = [one for one in log_of(service.engine, service.now) if isinstance(one, RawFrame)]
    with pytest.raises(Gap, match="after frame 2, the database ends with 1"):
        replay(make_engine(), [frames[0], frames[2]], keys=KEYS, limits=Limits())
    target = make_engine()
    done = replay(target, [frames[0], frames[2]], keys=KEYS, limits=Limits(), may_miss=True)
    assert done.frames == 2
    with database.reading(target) as conn:
        assert list(conn.scalars(sa.text("SELECT id FROM frames ORDER BY id"))) == [1, 3]


def test_a_database_that_went_on_by_itself_is_not_taken_for_a_copy(tmp_path: Path):
    """The service was started on the copy before the log was replayed: its new lines have the numbers of the lost."""
    service = Service(make_engine())
    service.take(service.message(BUTTONS[0]))
    copy = copy_of(service.engine)
    went_on = Service.__new__(Service)
    went_on.__dict__ |= service.__dict__ | {"engine": copy, "sent": [], "acknowledged": set()}
    went_on.counters = dict(service.counters)
    service.now += timedelta(minutes=1)
    service.take(service.message(BUTTONS[0]))
    went_on.now += timedelta(minutes=2)
    went_on.take(went_on.message(BUTTONS[1]))
    with pytest.raises(Diverged, match="another in the database"):
        play(copy, service)


def test_a_log_goes_on_after_a_restore_and_not_without_one(tmp_path: Path):
    service = Service(make_engine())
    service.take(service.message(BUTTONS[0]))
    copy, other_copy = copy_of(service.engine), copy_of(service.engine)
    service.now += timedelta(minutes=1)
    service.take(service.message(BUTTONS[0]))
    ship(service.engine, tmp_path, service.now)
    with pytest.raises(Diverged, match="replay the log first"):
        ship(copy, tmp_path, service.now)
    replay(copy, load(tmp_path), keys=KEYS, limits=Limits())
    service.engine = copy
    service.now += timedelta(minutes=1)
    service.take(service.message(BUTTONS[0]))
    assert ship(copy, tmp_path, service.now).frames == 1
    assert replay(other_copy, load(tmp_path), keys=KEYS, limits=Limits()).frames == 2
    assert state_of(other_copy) == state_of(copy)
    assert ship(copy, tmp_path, service.now + LATER).segments == 0  # nothing new


def test_one_ships_into_a_folder_at_a_time_and_leaves_nothing_half_written(tmp_path: Path):
    service = Service(make_engine())
    service.take(service.message(BUTTONS[0]))

    def break_off(frames: int) -> None:
        with pytest.raises(Busy):
            ship(service.engine, tmp_path, service.now)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ship(service.engine, tmp_path, service.now, break_off)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    assert ship(service.engine, tmp_path, service.now).frames == 1
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o600, 0o600]


def test_a_segment_that_is_lost_or_cut_off_is_noticed(tmp_path: Path):
    service = Service(make_engine())
    folder = tmp_path / "log"
    for _ in range(3):
        service.take(service.message(BUTTONS[0]))
        service.now += timedelta(minutes=1)
        ship(service.engine, folder, service.now)
    _, second, third = sorted(folder.glob("*.gz"))
    third.write_bytes(third.read_bytes()[:-20])
    with pytest.raises(ValueError, match="cannot be read"):
        list(load(folder))
    third.unlink()
    assert len([one for one in load(folder) if isinstance(one, RawFrame)]) == 2
    ship(service.engine, folder, service.now)
    second.unlink()
    with pytest.raises(ValueError, match="a segment is missing"):
        list(load(folder))
