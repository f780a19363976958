"""From a heard message to an order, on a real database."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

import cloud.fleet.store as fleet
import cloud.frames.store as frames
import cloud.pickups.store as pickups
import cloud.stamps.store as stamps
from cloud import database
from cloud.accounts.store import accounts
from cloud.frames.model import Result
from cloud.ingest.downlink import Status, seal_downlink
from cloud.ingest.keys import KeyFileError, Keys
from cloud.ingest.receive import Limits, Message, Outcome, receive
from cloud.ingest.uplink import WINDOW_BEHIND
from cloud.pickups.model import State
from cloud.stamps.model import SPENT
from cloud.tables import cloud as _tables  # noqa: F401  all tables, before they are made
from tests.sealing import callback, seal
from tests.stock import VAULT, lease_of, stock

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
DEVICE, OTHER, UNCLAIMED = 0x0012AB34, 0x00D1F3A7, 0xFFFFFFFF
KEYS = Keys(bytes(range(32)))


def make_engine(url: str = "sqlite://") -> sa.Engine:
    """A database with two claimed buttons, an unclaimed one, and a few stamps in the pool."""
    engine = database.connect(url)
    database.metadata.create_all(engine)
    with engine.begin() as conn:
        conn.execute(
            sa.insert(accounts).values(
                id=1, name="claire", display_name="Claire", role="customer", password_hash="-", created_at=NOW
            )
        )
        for device, owner in ((DEVICE, 1), (OTHER, 1), (UNCLAIMED, None)):
            fleet.add(conn, id=device, place=None, claim_code=f"code {device}", now=NOW, owner_id=owner)
        stock(conn, 5, NOW)
    return engine


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def engine(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    engine = make_engine("sqlite://" if request.param == "SQLite" else request.getfixturevalue("postgres_url"))
    yield engine
    engine.dispose()


def press(counter: int, device: int = DEVICE, kind: str = "pickup", *, seq: int | None = None, **said) -> Message:
    generation = said.pop("generation", 0)
    ack = said.pop("ack", True)
    data = seal(
        device=device,
        key=KEYS.device_key(device, generation),
        counter=counter,
        kind=kind,
        generation=generation,
        **said,
    )
    return message(device, callback(device, data, ack=ack, seq=counter & 0xFFF if seq is None else seq))


def message(device: int, payload: bytes) -> Message:
    return Message("mqtt", f"{device:08X}", payload)


def take(engine: sa.Engine, *batch: Message, now: datetime = NOW, limits: Limits = Limits()) -> list[Outcome]:  # noqa: B008
    with engine.begin() as conn:
        return receive(conn, batch, keys=KEYS, limits=limits, lease=lease_of(conn), now=now)


def orders(engine: sa.Engine) -> list[tuple[int, State, int]]:
    with database.reading(engine) as conn:
        return [(p.button_id, p.state, p.parcels) for p in reversed(pickups.newest(conn))]


def log(engine: sa.Engine) -> list[Result]:
    with database.reading(engine) as conn:
        return [frame.result for frame in frames.after(conn, 0)]


def test_a_press_is_one_order_with_one_stamp_and_an_answer(engine):
    (outcome,) = take(engine, press(1, parcels=2))
    assert outcome.result is Result.ACCEPTED
    assert outcome.pickup_id is not None
    assert outcome.downlink is not None
    assert len(outcome.downlink) == 8
    assert orders(engine) == [(DEVICE, State.REQUESTED, 2)]
    with database.reading(engine) as conn:
        stamp = stamps.of_pickup(conn, VAULT, outcome.pickup_id or 0)
        (frame,) = frames.newest(conn)
        button = fleet.find(conn, DEVICE)
    assert stamp is not None
    assert stamp.state == "reserved"
    assert (frame.pickup_id, frame.downlink) == (outcome.pickup_id, outcome.downlink)
    assert (frame.counter, frame.kind, frame.parcels, frame.battery_mv, len(frame.copies)) == (1, "pickup", 2, 3000, 2)
    assert button is not None
    assert (button.last_counter, button.battery_mv, button.last_seen_at) == (1, 3000, NOW)


def test_a_second_press_joins_the_open_request(engine):
    first, second = take(engine, press(1)) + take(engine, press(2, parcels=3))
    assert first.pickup_id == second.pickup_id
    assert orders(engine) == [(DEVICE, State.REQUESTED, 4)]


def test_an_unclaimed_buttons_press_waits_for_its_customer_and_is_told_so(engine):
    (outcome,) = take(engine, press(1, UNCLAIMED))
    assert outcome.result is Result.ACCEPTED
    assert "no customer" in outcome.reason
    assert orders(engine) == [(UNCLAIMED, State.REQUESTED, 1)]


def test_a_copy_changes_nothing_and_gets_the_same_answer(engine):
    (first,) = take(engine, press(1))
    (again,) = take(engine, press(1), now=NOW + timedelta(seconds=30))
    assert again.result is Result.DUPLICATE
    assert (again.pickup_id, again.downlink) == (first.pickup_id, first.downlink)
    assert orders(engine) == [(DEVICE, State.REQUESTED, 1)]


def test_a_copy_in_the_same_batch_changes_nothing(engine):
    results = [outcome.result for outcome in take(engine, press(1), press(1), press(1))]
    assert results == [Result.ACCEPTED, Result.DUPLICATE, Result.DUPLICATE]
    assert orders(engine) == [(DEVICE, State.REQUESTED, 1)]


def test_a_redelivery_of_the_same_callback_is_a_copy_even_a_day_later(engine):
    take(engine, press(1))
    (again,) = take(engine, press(1), now=NOW + timedelta(days=1))
    assert again.result is Result.DUPLICATE


def test_the_same_bytes_radiated_anew_are_a_replay_and_get_no_answer(engine):
    take(engine, press(1))
    (again,) = take(engine, press(1, seq=999), now=NOW + timedelta(minutes=31))
    assert (again.result, again.downlink) == (Result.REPLAYED, None)
    assert again.reason == "counter 1 was taken 31 min ago"
    assert orders(engine) == [(DEVICE, State.REQUESTED, 1)]


def test_a_press_overtaken_by_its_successor_still_counts(engine):
    take(engine, press(2))
    (late,) = take(engine, press(1))
    assert late.result is Result.ACCEPTED
    assert orders(engine) == [(DEVICE, State.REQUESTED, 2)]
    with database.reading(engine) as conn:
        button = fleet.find(conn, DEVICE)
    assert button is not None
    assert button.last_counter == 2


def test_a_press_with_no_stamp_left_is_answered_all_the_same_and_its_order_waits_for_one(engine):
    with engine.begin() as conn:
        stamps.close_lease(conn, lease_of(conn).id)
    (outcome,) = take(engine, press(1))
    assert (outcome.result, outcome.downlink is not None) == (Result.ACCEPTED, True)
    assert orders(engine) == [(DEVICE, State.REQUESTED, 1)]
    with engine.begin() as conn:
        assert stamps.of_pickup(conn, VAULT, outcome.pickup_id or 0) is None
        lease = stock(conn, 1)
        assert stamps.serve_waiting(conn, lease, NOW) == 0
        assert stamps.of_pickup(conn, VAULT, outcome.pickup_id or 0) is not None


@pytest.mark.parametrize("state", sorted(SPENT))
def test_a_cancel_of_an_order_whose_stamp_is_spent_disturbs_no_batch(engine, state):
    take(engine, press(1))
    with engine.begin() as conn:
        conn.execute(sa.update(stamps.stamps).where(stamps.stamps.c.pickup_id.is_not(None)).values(state=state))
    cancelled, pressed = take(engine, press(2, kind="cancel"), press(1, OTHER))
    assert (cancelled.result, pressed.result) == (Result.ACCEPTED, Result.ACCEPTED)
    with database.reading(engine) as conn:
        stamp = stamps.of_pickup(conn, VAULT, cancelled.pickup_id or 0)
    assert stamp is not None
    assert stamp.state is state


def test_a_cancel_voids_the_order_and_its_stamp(engine):
    (first,) = take(engine, press(1))
    (cancel,) = take(engine, press(2, kind="cancel"))
    assert cancel.pickup_id == first.pickup_id
    assert orders(engine) == [(DEVICE, State.CANCELLED, 1)]
    with database.reading(engine) as conn:
        stamp = stamps.of_pickup(conn, VAULT, first.pickup_id or 0)
    assert stamp is not None
    assert stamp.state == "void"


def test_press_and_cancel_in_one_batch_happen_in_the_order_of_their_counters(engine):
    take(engine, press(2, kind="cancel"), press(3), press(1))
    assert orders(engine) == [(DEVICE, State.CANCELLED, 1), (DEVICE, State.REQUESTED, 1)]


def test_a_press_that_its_own_cancel_overtook_makes_no_order(engine):
    take(engine, press(2, kind="cancel"))
    (late,) = take(engine, press(1))
    assert late.result is Result.ACCEPTED
    assert "taken back by counter 2" in late.reason
    assert orders(engine) == []


def test_ask_is_answered_and_heartbeats_are_not(engine):
    ask, alive = take(engine, press(1, kind="ask"), press(2, kind="alive"))
    assert ask.downlink is not None
    assert (alive.result, alive.downlink) == (Result.ACCEPTED, None)
    assert orders(engine) == []


def test_a_button_that_does_not_listen_gets_no_answer(engine):
    (outcome,) = take(engine, press(1, ack=False))
    assert outcome.downlink is None


def test_the_days_downlinks_are_not_exceeded_and_the_press_still_counts(engine):
    outcomes = [take(engine, press(n))[0] for n in range(1, 7)]
    assert [outcome.downlink is not None for outcome in outcomes] == [True] * 4 + [False] * 2
    assert {outcome.result for outcome in outcomes} == {Result.ACCEPTED}
    assert "downlinks are used up" in outcomes[-1].reason
    (tomorrow,) = take(engine, press(7), now=NOW + timedelta(days=1))
    assert tomorrow.downlink is not None


def test_more_than_the_days_uplinks_is_refused_until_tomorrow(engine):
    limits = Limits(uplinks_per_day=3)
    outcomes = take(engine, *(press(n) for n in range(1, 6)), limits=limits)
    assert [o.result for o in outcomes] == [Result.ACCEPTED] * 3 + [Result.OVER_BUDGET] * 2
    assert take(engine, press(6), limits=limits)[0].result is Result.OVER_BUDGET
    assert take(engine, press(1), limits=limits)[0].result is Result.DUPLICATE
    assert take(engine, press(7), limits=limits, now=NOW + timedelta(days=1))[0].result is Result.ACCEPTED


def test_each_refusal_has_its_name_and_disturbs_no_other(engine):
    with engine.begin() as conn:
        fleet.revoke(conn, OTHER, why="lost", by="staff anne", now=NOW)
    bad_tag = bytearray(seal(device=DEVICE, key=KEYS.device_key(DEVICE, 0), counter=1))
    bad_tag[-1] ^= 1
    batch = {
        Result.MALFORMED: message(DEVICE, b"{broken"),
        Result.UNKNOWN_BUTTON: press(1, 0xFE03D1A0),
        Result.REVOKED: press(1, OTHER),
        Result.WRONG_GENERATION: press(1, generation=1),
        Result.BAD_SEAL: message(DEVICE, callback(DEVICE, bytes(bad_tag))),
        Result.ACCEPTED: press(1),
    }
    outcomes = take(engine, *batch.values())
    assert [outcome.result for outcome in outcomes] == list(batch)
    assert all(outcome.reason for outcome in outcomes[:-1])
    assert log(engine) == list(batch)
    assert orders(engine) == [(DEVICE, State.REQUESTED, 1)]


@pytest.mark.parametrize(
    "payload",
    [b"", b"null", b'{"data": "zz"}', b'{"data": "00"}', b'{"data": "' + b"0" * 1_000_000 + b'"}', b"\x00" * 1_000_000],
    ids=["empty", "null", "not hex", "one byte", "a megabyte of hex", "a megabyte of zeros"],
)
def test_what_cannot_be_read_is_stored_with_its_reason(engine, payload):
    (outcome,) = take(engine, message(DEVICE, payload))
    assert outcome.result is Result.MALFORMED
    with database.reading(engine) as conn:
        (row,) = conn.execute(sa.select(frames.frames)).all()
    assert (row.result, row.reason, row.raw_size) == ("malformed", outcome.reason, len(payload))
    assert row.raw == payload[: frames.RAW_LIMIT]


def test_a_counter_far_behind_the_window_is_stale(engine):
    take(engine, press(WINDOW_BEHIND + 1))
    results = [take(engine, press(n))[0].result for n in (1, 2)]
    assert results == [Result.STALE, Result.ACCEPTED]


def test_a_forged_jump_cannot_move_the_counter(engine):
    take(engine, press(5))
    forged = bytearray(seal(device=DEVICE, key=KEYS.device_key(DEVICE, 0), counter=60_000))
    forged[7] ^= 0x10
    assert take(engine, message(DEVICE, callback(DEVICE, bytes(forged))))[0].result is Result.BAD_SEAL
    assert take(engine, press(6))[0].result is Result.ACCEPTED


def test_the_counter_crosses_65535(engine):
    assert [take(engine, press(n))[0].result for n in (65_534, 65_535, 65_536, 65_537)] == [Result.ACCEPTED] * 4


@given(st.data())
def test_a_message_delivered_any_number_of_times_in_any_order_counts_once(data):
    """Three presses, each with its copies, shuffled with the other button's and with noise, cut into batches anyhow."""
    engine = make_engine()
    mine = [press(n) for n in (1, 2, 3)] + [press(1, OTHER, parcels=2)]
    copies = [one for one in mine for _ in range(data.draw(st.integers(1, 4)))]
    noise = data.draw(st.lists(st.binary(max_size=30).map(lambda b: message(DEVICE, b)), max_size=3))
    shuffled = data.draw(st.permutations(copies + noise))
    while shuffled:
        cut = data.draw(st.integers(1, len(shuffled)))
        take(engine, *shuffled[:cut])
        shuffled = shuffled[cut:]
    assert sorted(orders(engine)) == [(DEVICE, State.REQUESTED, 3), (OTHER, State.REQUESTED, 2)]
    ends = Counter(log(engine))
    assert ends[Result.ACCEPTED] == 4
    assert ends[Result.DUPLICATE] == len(copies) - 4
    assert ends[Result.MALFORMED] == len(noise)


def last_counter(engine: sa.Engine, device: int = DEVICE) -> int:
    with database.reading(engine) as conn:
        button = fleet.find(conn, device)
    assert button is not None
    return button.last_counter


def test_a_press_overtaken_across_65535_still_counts(engine):
    assert [take(engine, press(n))[0].result for n in (65_534, 65_536, 65_535)] == [Result.ACCEPTED] * 3
    assert last_counter(engine) == 65_536


def test_a_button_that_was_unheard_for_a_year_at_the_full_daily_budget_is_understood(engine):
    take(engine, press(5))
    assert take(engine, press(5 + 366 * 140))[0].result is Result.ACCEPTED
    assert last_counter(engine) == 5 + 366 * 140


def test_a_jump_of_65536_is_taken_and_one_more_is_not(engine):
    take(engine, press(5))
    assert take(engine, press(5 + 65_537))[0].result is Result.BAD_SEAL
    assert take(engine, press(5 + 65_536))[0].result is Result.ACCEPTED


def test_a_button_with_a_new_key_counts_anew_and_what_was_captured_under_the_old_one_is_refused(engine):
    captured = press(41)
    take(engine, press(40))
    with engine.begin() as conn:
        button = fleet.find(conn, DEVICE)
        assert button is not None
        fleet.issue_key(conn, button, board="a", ticket="t")
    assert take(engine, press(1, generation=1))[0].result is Result.ACCEPTED
    refused = take(engine, captured)[0]
    assert (refused.result, refused.reason) == (Result.WRONG_GENERATION, "key generation 0, the fleet has 1")
    assert take(engine, press(40, generation=1))[0].result is Result.ACCEPTED  # the same number, another message
    assert last_counter(engine) == 40


def test_a_button_under_a_newer_master_key_is_understood_and_answered_under_that(engine):
    newer = KEYS.with_new()
    with engine.begin() as conn:
        button = fleet.find(conn, DEVICE)
        assert button is not None
        fleet.issue_key(conn, button, board="a", ticket="t", beyond=0, key_master=2)
    key = newer.device_key(DEVICE, 1, 2)
    moved = message(DEVICE, callback(DEVICE, seal(device=DEVICE, key=key, counter=1, generation=1)))
    with engine.begin() as conn:
        heard = [moved, press(1, OTHER)]
        outcomes = receive(conn, heard, keys=newer, limits=Limits(), lease=lease_of(conn), now=NOW)
    assert [outcome.result for outcome in outcomes] == [Result.ACCEPTED, Result.ACCEPTED]
    assert outcomes[0].uplink is not None
    assert outcomes[0].downlink == seal_downlink(Status.ACCEPTED, 0, answers=outcomes[0].uplink, key=key)


def test_a_master_key_that_is_not_here_refuses_no_press_but_keeps_it_with_the_broker(engine):
    """Raised, so that the message is not acknowledged: a process that was started too early must lose nothing."""
    with engine.begin() as conn:
        button = fleet.find(conn, DEVICE)
        assert button is not None
        fleet.issue_key(conn, button, board="a", ticket="t", key_master=2)
    with pytest.raises(KeyFileError, match="master key 2"):
        take(engine, press(1))
    assert log(engine) == []


@given(st.binary(min_size=12, max_size=12) | st.tuples(st.integers(1, 200_000), st.integers(0, 95)))
def test_what_does_not_open_moves_no_state_whatever_counter_it_claims(forged):
    """Noise of an uplink's size, and true uplinks of any counter with one bit flipped."""
    engine = make_engine()
    take(engine, press(60_000))
    if isinstance(forged, tuple):
        counter, bit = forged
        data = bytearray(seal(device=DEVICE, key=KEYS.device_key(DEVICE, 0), counter=counter))
        data[bit // 8] ^= 0x80 >> bit % 8
        forged = bytes(data)
    with database.reading(engine) as conn:
        before = conn.execute(sa.select(fleet.buttons).where(fleet.buttons.c.id == DEVICE)).one()
    outcome = take(engine, message(DEVICE, callback(DEVICE, forged)), now=NOW + timedelta(hours=1))[0]
    with database.reading(engine) as conn:
        after = conn.execute(sa.select(fleet.buttons).where(fleet.buttons.c.id == DEVICE)).one()
    assert outcome.result in (Result.MALFORMED, Result.BAD_SEAL, Result.WRONG_GENERATION)
    assert tuple(before) == tuple(after)
    assert take(engine, press(60_001))[0].result is Result.ACCEPTED


def test_what_a_link_loses_is_read_from_the_log(engine):
    for counter, seq in ((1, 10), (2, 11), (3, 14)):
        at = NOW + timedelta(minutes=counter)
        data = seal(device=DEVICE, key=KEYS.device_key(DEVICE, 0), counter=counter, kind="alive")
        heard = message(DEVICE, callback(DEVICE, data, seq=seq, time=int(at.timestamp())))
        take(engine, heard, heard, now=at)
    forged = message(DEVICE, callback(DEVICE, bytes(12), seq=400))
    take(engine, forged, now=NOW + timedelta(minutes=4))
    with database.reading(engine) as conn:
        loss = frames.link_loss(conn, DEVICE)
        sampled = frames.sampled_loss(conn)
        assert frames.link_loss(conn, OTHER).expected == 0
    assert (loss.expected, loss.missed, loss.since) == (5, 2, NOW + timedelta(minutes=1))
    assert sampled == loss
