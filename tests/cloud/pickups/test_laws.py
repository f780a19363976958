"""Whatever is pressed, confirmed, cancelled, told and redeemed in whatever order, orders, stamps and history agree."""

import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import cloud.tables  # noqa: F401  fills the metadata
from cloud import database
from cloud.fleet.store import buttons
from cloud.pickups import store
from cloud.pickups.model import (
    AFTER,
    MAX_PARCELS,
    NOTHING,
    Detail,
    Event,
    Faulty,
    Handover,
    Press,
    Reason,
    State,
    WrongState,
)
from cloud.places.model import Address
from cloud.stamps import store as stamps
from cloud.stamps.model import Redeemed
from cloud.stamps.model import State as Stamp
from tests.postgres import Cluster
from tests.stock import VAULT, new_rows, stock

BUTTONS = (1, 2, 3)
CLAIRE = Address.of(["Mme Claire Morvan", "", "", "12 rue de l'Église", "", "35400 Saint-Malo"])
STAMP_OF = {
    State.REQUESTED: Stamp.RESERVED,
    State.CONFIRMED: Stamp.LIVE,
    State.ON_ROUND: Stamp.LIVE,
    State.COLLECTED: Stamp.LIVE,
    State.SORTED: Stamp.REDEEMED,
    State.DELIVERED: Stamp.REDEEMED,
    State.CANCELLED: Stamp.VOID,
    State.FAILED: Stamp.VOID,
}
TOLD = {
    Event.PUT_ON_ROUND: Detail(round="Rennes 07", stop=23, stops=61),
    Event.COLLECTED: Detail(place="9 m from the box", weight_g=1240),
    Event.FAILED: Detail(reason=Reason.DOG),
    Event.DELIVERED: Detail(handover=Handover.DOOR),
}

presses = st.lists(st.builds(Press, st.sampled_from(BUTTONS), st.integers(1, 60)), max_size=5)


class Letterboxes(RuleBasedStateMachine):
    """Three buttons, against a register in memory that is as simple as can be."""

    url = "sqlite://"

    @initialize(pool=st.integers(0, 4))
    def open(self, pool: int) -> None:
        self.engine = database.connect(self.url)
        database.metadata.create_all(self.engine)
        self.now = datetime(2026, 3, 2, 7, 30, tzinfo=UTC)
        self.states: dict[int, State] = {}
        self.parcels: dict[int, int] = {}
        self.button_of: dict[int, int] = {}
        self.stamps: dict[int, str] = {}
        self.told: dict[tuple[int, str], Event] = {}
        with self.engine.begin() as conn:
            conn.execute(buttons.insert(), [{"id": id, "state": "active", "created_at": self.now} for id in BUTTONS])
            self.lease = stock(conn, pool, self.now)

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            self.engine.dispose()

    def requested_of(self, button: int) -> int | None:
        mine = (id for id, state in self.states.items() if state is State.REQUESTED and self.button_of[id] == button)
        return next(mine, None)

    @rule(batch=presses, passed_s=st.integers(0, 3))
    def press(self, batch: list[Press], passed_s: int) -> None:
        self.now += timedelta(seconds=passed_s)
        with self.engine.begin() as conn:
            answers = store.request(conn, batch, self.lease, self.now)
        for press, answer in zip(batch, answers, strict=True):
            open_one = self.requested_of(press.button_id)
            assert answer.is_new == (open_one is None)
            if open_one is None:
                assert answer.pickup_id not in self.states
                self.states[answer.pickup_id] = State.REQUESTED
                self.button_of[answer.pickup_id] = press.button_id
            else:
                assert answer.pickup_id == open_one
            self.parcels[answer.pickup_id] = min(self.parcels.get(answer.pickup_id, 0) + press.parcels, MAX_PARCELS)

    @rule(batch=presses)
    def press_and_crash_before_the_commit(self, batch: list[Press]) -> None:
        with self.engine.connect() as conn:
            store.request(conn, batch, self.lease, self.now)

    @rule(count=st.integers(0, 3))
    def restock(self, count: int) -> None:
        """As the keeper does: what the database says is left, new codes, and stamps for who waited."""
        with self.engine.begin() as conn:
            self.lease.fill(stamps.leased(conn, self.lease.id))
            self.lease.add(new_rows(conn, self.lease, count, self.now))
        with self.engine.begin() as conn:
            left = len(self.lease)
            before = conn.scalar(sa.select(sa.func.count()).select_from(stamps.stamp_waits)) or 0
            assert stamps.serve_waiting(conn, self.lease, self.now) == max(before - left, 0)

    @precondition(lambda self: self.states)
    @rule(data=st.data(), event=st.sampled_from([Event.CONFIRMED, Event.CANCELLED]))
    def move(self, data: st.DataObject, event: Event) -> None:
        id = data.draw(st.sampled_from(sorted(self.states)))
        after = AFTER.get((self.states[id], event))
        try:
            with self.engine.begin() as conn:
                if event is Event.CONFIRMED:
                    moved = store.confirm(conn, id, CLAIRE, "customer claire", self.now)
                else:
                    moved = store.cancel(conn, id, "customer claire", self.now)
        except WrongState:
            assert after is None
        else:
            assert moved.state is after
            self.states[id] = moved.state

    @precondition(lambda self: self.states)
    @rule(data=st.data(), event=st.sampled_from(list(TOLD)), key=st.integers(0, 9).map(str))
    def tell(self, data: st.DataObject, event: Event, key: str) -> None:
        """As a handset does, some things twice, some under a name that another thing had."""
        id = data.draw(st.sampled_from(sorted(self.states)))
        before = self.told.get((id, key))
        after = AFTER.get((self.states[id], event))
        again = event is Event.COLLECTED and any(one == id and was is event for (one, _), was in self.told.items())
        try:
            with self.engine.begin() as conn:
                done = store.tell(conn, id, event, TOLD[event], key=key, actor="token p", now=self.now)
        except Faulty:
            assert before not in (None, event)
        except WrongState:
            assert before is None
            assert after is None or again
        else:
            assert done == (before is None)
            if done:
                assert after is not None
                self.told[id, key] = event
                self.states[id] = after

    @precondition(lambda self: self.states)
    @rule(data=st.data())
    def redeem(self, data: st.DataObject) -> None:
        """As a sorting centre does, at times twice: the piece is the pickup's own."""
        id = data.draw(st.sampled_from(sorted(self.states)))
        with self.engine.begin() as conn:
            stamp = stamps.of_pickup(conn, VAULT, id)
            if stamp is None:
                return
            paid = {"piece": f"P{id}", "place": "35 Rennes PIC", "by": "token s", "at": self.now}
            done = stamps.redeem(conn, VAULT, stamp.code, **paid)
            assert isinstance(done, Redeemed) == (stamp.state in (Stamp.LIVE, Stamp.REDEEMED))
            if isinstance(done, Redeemed):
                store.redeemed(conn, done.stamp, 1240, self.now)
                self.states[id] = AFTER.get((self.states[id], Event.SORTED), self.states[id])

    @rule(button=st.sampled_from(BUTTONS))
    def hold(self, button: int) -> None:
        mine = [id for id in self.states if self.button_of[id] == button]
        confirmed = [id for id in mine if self.states[id] is State.CONFIRMED]
        expected = self.requested_of(button) or max(confirmed, default=None)
        with self.engine.begin() as conn:
            cancelled = store.cancel_newest(conn, button, self.now)
        assert (cancelled and cancelled.id) == expected
        if cancelled:
            self.states[cancelled.id] = cancelled.state

    @invariant()
    def orders_stamps_and_history_agree(self) -> None:
        with database.reading(self.engine) as conn:
            pickups = {pickup.id: pickup for pickup in store.newest(conn, limit=1000)}
            assert {id: pickup.state for id, pickup in pickups.items()} == self.states
            assert {id: pickup.parcels for id, pickup in pickups.items()} == self.parcels
            codes = stamps.codes_of(conn, VAULT, list(pickups))
            assert len(set(codes.values())) == len(codes)
            assert codes.items() >= self.stamps.items(), "a stamp once given stays"
            self.stamps = codes
            waiting = dict(conn.execute(sa.select(stamps.stamp_waits)).all())
            for id, pickup in pickups.items():
                stamp = stamps.of_pickup(conn, VAULT, id)
                if stamp is not None:
                    assert stamp.state is STAMP_OF[pickup.state]
                    assert id not in waiting
                elif pickup.state is State.CANCELLED:
                    assert id not in waiting
                else:
                    assert waiting[id] == STAMP_OF[pickup.state]
                state = None
                events = store.events(conn, id)
                for event in events:
                    state = AFTER[state, event.event]
                    assert event.state is state
                    assert event.detail == TOLD.get(event.event, event.detail)
                    assert (event.detail == NOTHING) == (event.event not in TOLD and event.event != Event.SORTED)
                assert state is pickup.state
                assert sum(event.event is Event.COLLECTED for event in events) <= 1
                assert sum(event.event is Event.SORTED for event in events) <= 1
                words = conn.scalars(sa.select(store.pickup_words.c.word).where(store.pickup_words.c.pickup_id == id))
                assert set(words) == (set(CLAIRE.street_words) if pickup.addressee else set())
            open_ones = Counter(pickup.button_id for pickup in pickups.values() if pickup.state is State.REQUESTED)
            assert all(count == 1 for count in open_ones.values())
            assert store.count_by_state(conn) == dict.fromkeys(State, 0) | Counter(self.states.values())


class LetterboxesInAFile(Letterboxes):
    @initialize(pool=st.integers(0, 4))
    def open(self, pool: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.url = f"sqlite:///{self.folder.name}/domino.db"
        super().open(pool)

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "folder"):
            self.folder.cleanup()


TestInMemory = Letterboxes.TestCase
TestInMemory.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestInAFile = LetterboxesInAFile.TestCase
TestInAFile.settings = settings(max_examples=10, stateful_step_count=20, deadline=None)


def test_the_same_holds_on_postgresql(postgres: Cluster) -> None:
    class LetterboxesOnPostgreSQL(Letterboxes):
        @initialize(pool=st.integers(0, 4))
        def open(self, pool: int) -> None:
            self.place = postgres.database()
            self.url = self.place.__enter__()
            super().open(pool)

        def teardown(self) -> None:
            super().teardown()
            if hasattr(self, "place"):
                self.place.__exit__(None, None, None)

    few = settings(max_examples=10, stateful_step_count=20, deadline=None)
    run_state_machine_as_test(LetterboxesOnPostgreSQL, settings=few)
