"""Whatever is pressed, confirmed and cancelled in whatever order, orders, stamps and history stay in step."""

import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import combinations

import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import cloud.tables  # noqa: F401  fills the metadata
from cloud import database
from cloud.fleet.store import buttons
from cloud.pickups import store
from cloud.pickups.model import AFTER, MAX_PARCELS, Event, Press, State, WrongState
from cloud.places.model import Address
from cloud.stamps import store as stamps
from cloud.stamps.model import MIN_DISTANCE, distance
from cloud.stamps.model import State as Stamp

BUTTONS = (1, 2, 3)
CLAIRE = Address.of(["Mme Claire Morvan", "", "", "12 rue de l'Église", "", "35400 Saint-Malo"])
STAMP_OF = {State.REQUESTED: Stamp.RESERVED, State.CONFIRMED: Stamp.LIVE, State.CANCELLED: Stamp.VOID}

presses = st.lists(st.builds(Press, st.sampled_from(BUTTONS), st.integers(1, 60)), max_size=5)


class Letterboxes(RuleBasedStateMachine):
    """Three buttons, against a register in memory that is as simple as can be."""

    url = "sqlite://"

    @initialize(stock=st.integers(0, 4))
    def open(self, stock: int) -> None:
        self.engine = database.connect(self.url)
        database.metadata.create_all(self.engine)
        self.now = datetime(2026, 3, 2, 7, 30, tzinfo=UTC)
        self.states: dict[int, State] = {}
        self.parcels: dict[int, int] = {}
        self.button_of: dict[int, int] = {}
        self.stamps: dict[int, str] = {}
        with self.engine.begin() as conn:
            conn.execute(buttons.insert(), [{"id": id, "state": "active", "created_at": self.now} for id in BUTTONS])
            stamps.mint(conn, stock, self.now)

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
            answers = store.request(conn, batch, self.now)
        for press, answer in zip(batch, answers, strict=True):
            open_one = self.requested_of(press.button_id)
            assert answer.is_new == (open_one is None)
            if open_one is None:
                assert answer.pickup_id not in self.states
                self.states[answer.pickup_id] = State.REQUESTED
                self.button_of[answer.pickup_id] = press.button_id
                self.stamps[answer.pickup_id] = answer.stamp
            else:
                assert answer.pickup_id == open_one
            assert answer.stamp == self.stamps[answer.pickup_id]
            self.parcels[answer.pickup_id] = min(self.parcels.get(answer.pickup_id, 0) + press.parcels, MAX_PARCELS)

    @rule(batch=presses)
    def press_and_crash_before_the_commit(self, batch: list[Press]) -> None:
        with self.engine.connect() as conn:
            store.request(conn, batch, self.now)

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
            assert stamps.codes_of(conn, list(pickups)) == self.stamps
            for id, pickup in pickups.items():
                stamp = stamps.of_pickup(conn, id)
                assert stamp is not None
                assert stamp.state is STAMP_OF[pickup.state]
                state = None
                for event in store.events(conn, id):
                    state = AFTER[state, event.event]
                    assert event.state is state
                assert state is pickup.state
            open_ones = Counter(pickup.button_id for pickup in pickups.values() if pickup.state is State.REQUESTED)
            assert all(count == 1 for count in open_ones.values())
            assert store.count_by_state(conn) == dict.fromkeys(State, 0) | Counter(self.states.values())
            codes = list(conn.scalars(sa.select(stamps.stamps.c.code)))
            assert all(distance(a, b) >= MIN_DISTANCE for a, b in combinations(codes, 2))


class LetterboxesInAFile(Letterboxes):
    @initialize(stock=st.integers(0, 4))
    def open(self, stock: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.url = f"sqlite:///{self.folder.name}/domino.db"
        super().open(stock)

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "folder"):
            self.folder.cleanup()


TestInMemory = Letterboxes.TestCase
TestInMemory.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestInAFile = LetterboxesInAFile.TestCase
TestInAFile.settings = settings(max_examples=10, stateful_step_count=20, deadline=None)
