from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest

from cloud.pickups.model import AFTER, ASK_STATES, OPEN, Event, Pickup, State, WrongState
from cloud.places.model import Address

NOW = datetime(2026, 3, 2, 7, 30, tzinfo=UTC)
PICKUP = Pickup(1, 0x12AB34, State.REQUESTED, 1, None, NOW, NOW)


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_what_the_table_does_not_know_is_refused(state: State, event: Event) -> None:
    pickup = replace(PICKUP, state=state)
    if (state, event) in AFTER:
        assert pickup.on(event) is AFTER[state, event]
    else:
        with pytest.raises(WrongState, match=f"the pickup is {state}: it cannot be {event}"):
            pickup.on(event)


def test_a_pickup_goes_from_the_press_to_the_postman() -> None:
    state = AFTER[None, Event.PRESSED]
    for event in (Event.JOINED, Event.CONFIRMED, Event.PUT_ON_ROUND, Event.COLLECTED):
        state = replace(PICKUP, state=state).on(event)
    assert state is State.COLLECTED


def test_only_what_is_open_can_still_change() -> None:
    assert {before for before, _ in AFTER if before is not None} == OPEN


def test_every_state_can_be_reached() -> None:
    assert set(AFTER.values()) == set(State)


def test_every_state_has_an_answer_for_the_button() -> None:
    assert set(ASK_STATES) == set(State)
    assert all((ASK_STATES[state] in (1, 2, 3)) == (state in OPEN) for state in State)


def test_an_addressee_is_not_printed() -> None:
    lines = ("Mme Claire Morvan", "", "", "12 rue de l Église", "", "35400 SAINT MALO")
    assert "Morvan" not in repr(replace(PICKUP, addressee=Address(lines)))
