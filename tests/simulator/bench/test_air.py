"""What the sliders do, measured on the model that the bench runs, with a seed; and what is said of it."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.bench import sayings
from simulator.bench.air import Air
from simulator.radio import model
from simulator.radio.core import Core, Fate
from simulator.radio.model import Impairments
from simulator.radio.service import BrokerAddress

MESSAGES = 4_000  # of the 4096 that a button may send before its luck repeats
BUTTON = "00B0BE01"


def air(seed: int = 1) -> Air:
    """One that is not carrying: its core alone is asked."""
    nobody = BrokerAddress("127.0.0.1", 1)
    return Air(nobody, nobody, seed=seed, stations=3)


def fates(core: Core, told: list[Fate], count: int = MESSAGES) -> list[Fate]:
    for n in range(count):
        core.uplink(BUTTON, n.to_bytes(12, "big"), monotonic_s=0, unix_s=0)
    return told


def within_four_sigma(seen: int, of: int, share: float) -> bool:
    return abs(seen - of * share) <= 4 * math.sqrt(of * share * (1 - share)) + 1


@pytest.mark.parametrize("loss", [0.35, 0.6, 0.8])
def test_the_loss_slider_loses_what_the_note_beside_it_says(loss: float) -> None:
    above, told = air(), []
    above.on_fate(told.append)
    above.impair(loss=loss)
    copies = above.copies(BUTTON)
    seen = fates(above.core, told)
    lost = sum(not fate.delays_s for fate in seen)
    assert within_four_sigma(lost, MESSAGES, model.all_lost(loss, copies, 1))
    missed = sum(level is None for fate in seen for one in fate.received for level in one.levels)
    assert within_four_sigma(missed, MESSAGES * copies, loss)


def test_the_other_sliders_repeat_delay_and_hold_back_as_they_say() -> None:
    above, told = air(), []
    above.on_fate(told.append)
    above.impair(duplicates=0.2, max_delay_s=6, out_of_order=0.05)
    seen = fates(above.core, told)
    assert within_four_sigma(sum(len(fate.delays_s) == 2 for fate in seen), MESSAGES, 0.2)
    delays = [late for fate in seen for late in fate.delays_s]
    held_back = [late for late in delays if late >= model.HELD_BACK_S]
    assert within_four_sigma(len(held_back), len(delays), 0.05)
    assert all(0 <= late <= 6 or 0 <= late - model.HELD_BACK_S <= 6 for late in delays)
    in_time = [late for late in delays if late <= 6]
    assert sum(in_time) / len(in_time) == pytest.approx(3, abs=0.2)


def test_a_slider_that_moves_changes_the_air_that_runs() -> None:
    above, told = air(), []
    above.on_fate(told.append)
    assert all(fate.delays_s for fate in fates(above.core, told, 100))
    told.clear()
    above.impair(loss=1)
    assert not any(fate.delays_s for fate in fates(above.core, told, 100))
    told.clear()
    above.calm()
    assert all(fate.delays_s for fate in fates(above.core, told, 100))


def test_a_station_that_is_down_hears_nothing_and_its_copies_are_not_counted() -> None:
    above, told = air(), []
    above.on_fate(told.append)
    copies, first = above.copies(BUTTON), next(iter(above.stations))
    above.set_station(first, is_up=False)
    assert (above.copies(BUTTON), above.down) == (copies - 3, {first})
    assert all(one.station != first for fate in fates(above.core, told, 50) for one in fate.received)
    for station in above.stations:
        above.set_station(station, is_up=False)
    assert str(sayings.odds(0.0, above.copies(BUTTON))[0]).startswith("No station in this button")
    above.calm()
    assert above.copies(BUTTON) == copies


def test_impairments_that_are_none_are_refused_and_change_nothing() -> None:
    above = air()
    for wrong in ({"loss": 1.1}, {"duplicates": -0.1}, {"out_of_order": 2}, {"max_delay_s": math.inf}):
        with pytest.raises(ValueError, match=r"probability|seconds"):
            above.impair(**wrong)
    assert above.impairments == Impairments()


@given(st.floats(0, 1), st.integers(0, 2**32))
def test_what_is_drawn_is_what_the_callback_tells(loss: float, seed: int) -> None:
    stations = model.place_stations(5, random.Random(7))
    button = model.place_button(stations, random.Random(8))
    received = model.receptions(button, stations, loss, random.Random(seed))
    heard = model.radiate(button, stations, loss, random.Random(seed))
    by_station = {one.station: [level for level in one.levels if level is not None] for one in received}
    told = {copy.station: copy.replicas for copy in heard.copies} if heard else {}
    assert told == {station: len(levels) for station, levels in by_station.items() if levels}


def test_a_loss_is_told_in_words_that_are_computed() -> None:
    assert str(sayings.odds(0.35, 6)[0]) == "At 35 % loss, 1 of 540 messages is lost on all 6 copies."
    assert str(sayings.odds(0.95, 6)[0]) == "At 95 % loss, 74 % of messages are lost on all 6 copies."
    assert str(sayings.odds(0.0, 9)[0]) == "Nothing is lost: each message has 9 copies to be heard by."
    assert sayings.odds(1.0, 9)[1] == "bad"
