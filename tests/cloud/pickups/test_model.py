import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.pickups.model import (
    AFTER,
    AHEAD,
    ASK_STATES,
    DETAILS,
    MAX_WEIGHT_G,
    NEEDED,
    NOTHING,
    OPEN,
    Detail,
    Event,
    Faulty,
    Handover,
    Pickup,
    Reason,
    State,
    WrongState,
    check_detail,
    check_time,
)
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


def test_a_pickup_goes_from_the_press_to_the_door() -> None:
    state = AFTER[None, Event.PRESSED]
    told = (Event.JOINED, Event.CONFIRMED, Event.PUT_ON_ROUND, Event.COLLECTED, Event.SORTED, Event.DELIVERED)
    for event in told:
        state = replace(PICKUP, state=state).on(event)
    assert state is State.DELIVERED


def test_what_has_ended_changes_no_more_but_a_late_collection_is_told_of() -> None:
    ended = {State.CANCELLED, State.EXPIRED, State.FAILED}
    assert {before for before, _ in AFTER if before is not None} == set(State) - ended
    stays = {(before, event) for (before, event), after in AFTER.items() if before is after}
    late = {(State.SORTED, Event.COLLECTED), (State.DELIVERED, Event.COLLECTED)}
    assert stays == late | {(State.REQUESTED, Event.JOINED), (State.ON_ROUND, Event.PUT_ON_ROUND)}


def test_no_way_leads_back() -> None:
    order = list(State)
    assert all(order.index(after) >= order.index(before) for (before, _), after in AFTER.items() if before)


def test_every_state_can_be_reached() -> None:
    assert set(AFTER.values()) == set(State)


def test_every_state_has_an_answer_for_the_button() -> None:
    assert set(ASK_STATES) == set(State)
    assert all((ASK_STATES[state] in (1, 2, 3)) == (state in OPEN) for state in State)


def test_an_addressee_is_not_printed() -> None:
    lines = ("Mme Claire Morvan", "", "", "12 rue de l Église", "", "35400 SAINT MALO")
    assert "Morvan" not in repr(replace(PICKUP, addressee=Address(lines)))


words = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=80)
details = st.builds(
    Detail,
    round=st.none() | words,
    stop=st.none() | st.integers(1, 999),
    stops=st.none() | st.integers(1, 999),
    reason=st.none() | st.sampled_from(Reason),
    place=st.none() | words,
    handover=st.none() | st.sampled_from(Handover),
    weight_g=st.none() | st.integers(1, MAX_WEIGHT_G),
    piece=st.none() | words,
    photo=st.none() | st.binary(min_size=32, max_size=32).map(bytes.hex),
    notice=st.none() | st.booleans(),
)


@given(details)
def test_what_is_known_of_an_event_goes_into_json_and_back(detail: Detail) -> None:
    assert Detail.of(json.loads(json.dumps(detail.as_json()))) == detail


@given(details, st.sampled_from(Event))
def test_an_event_says_what_it_may_and_all_that_it_must(detail: Detail, event: Event) -> None:
    said = detail.as_json().keys()
    fits = said <= DETAILS.get(event, frozenset()) and said >= NEEDED.get(event, frozenset())
    if fits and not (detail.stop and detail.stops and detail.stop > detail.stops):
        assert check_detail(event, detail) == detail
    else:
        with pytest.raises(Faulty):
            check_detail(event, detail)


@pytest.mark.parametrize(
    "said",
    [{"colour": "red"}, {"stop": "3"}, {"stop": True}, {"reason": "rain"}, {"handover": "roof"}, {"notice": 1}],
)
def test_what_no_event_says_is_refused(said: dict[str, object]) -> None:
    with pytest.raises(Faulty):
        Detail.of(said)


@pytest.mark.parametrize(
    ("event", "detail"),
    [
        (Event.PUT_ON_ROUND, Detail(round="Rennes 07", stop=62, stops=61)),
        (Event.PUT_ON_ROUND, Detail(round=" ")),
        (Event.PUT_ON_ROUND, Detail(round="two\nlines")),
        (Event.COLLECTED, Detail(weight_g=0)),
        (Event.COLLECTED, Detail(weight_g=MAX_WEIGHT_G + 1)),
        (Event.COLLECTED, Detail(photo="AB" * 32)),
        (Event.COLLECTED, Detail(place="x" * 81)),
    ],
)
def test_a_detail_out_of_bounds_is_refused(event: Event, detail: Detail) -> None:
    with pytest.raises(Faulty):
        check_detail(event, detail)


def test_most_events_say_nothing_more() -> None:
    assert check_detail(Event.CONFIRMED, NOTHING) is NOTHING


def test_what_is_told_later_happened_between_the_press_and_now() -> None:
    now = NOW + timedelta(hours=5)
    assert check_time(NOW, NOW, now) == NOW
    assert check_time(now + AHEAD, NOW, now) == now + AHEAD
    for wrong in (now + AHEAD + timedelta(seconds=1), NOW - AHEAD - timedelta(seconds=1)):
        with pytest.raises(Faulty):
            check_time(wrong, NOW, now)
