import math
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.fleet import battery
from cloud.fleet.battery import CURVES, Outlook, Pack, Reading, Use, is_low, outlook

NOW = datetime(2026, 11, 20, tzinfo=UTC)
DAY = timedelta(days=1)
POWER = Path(__file__).parents[3] / "docs" / "power.md"

readings = st.lists(
    st.builds(
        Reading,
        st.timedeltas(timedelta(0), timedelta(days=700)).map(lambda span: NOW - span),
        st.integers(0, 63).map(lambda step: 1800 + 50 * step),
        st.integers(-20, 43),
    ),
    min_size=1,
    max_size=60,
)


def life(
    lasts: float, age: int, *, seed: int = 1, begins: int = 0, pack: Pack = Pack.LITHIUM, offset: float = 0.0
) -> list[Reading]:
    """A reading a day of a pack that lasts so many days and is `age` days old, as the wire carries it."""
    chance, curve = random.Random(seed), CURVES[pack]
    told = []
    for day in range(begins, age):
        celsius = round(14 + 11 * math.sin(2 * math.pi * day / 365))
        mv = np.interp(day / lasts, curve.at, curve.mv) + offset - 3 * max(0, 20 - celsius) + chance.gauss(0, 15)
        told.append(Reading(NOW - (age - day) * DAY, round(float(mv) / 50) * 50, celsius))
    return told


def test_its_wakes_cost_what_the_document_says():
    table = POWER.read_text()

    def row(name: str) -> tuple[float, float]:
        found = re.search(rf"^\| {name} \|([^\n]+)\|$", table, re.MULTILINE)
        assert found, name
        figures = [cell.strip() for cell in found[1].split("|")]
        return float(figures[1]), float(figures[3])

    assert row("a day asleep") == battery.ASLEEP
    assert row("heartbeat") == battery.HEARTBEAT
    assert row("heartbeat that listens") == battery.LISTENED
    assert row("one click, answered")[1] == battery.PRESSED[1]
    assert row("one click, answered")[0] == battery.PRESSED[0]
    assert "the module wants 2.7 V" in table
    assert CURVES[Pack.LITHIUM].stop_mv == 2700
    for name, mah, usable in re.findall(r"^\| `([a-z-]+)`.*?\| (\d+) \| (\d+) % \|", table, re.MULTILINE):
        pack = {"aa-lithium": Pack.LITHIUM, "aa-alkaline": Pack.ALKALINE, "li-ion": Pack.LI_ION}[name]
        assert CURVES[pack].usable_mah == pytest.approx(int(mah) * int(usable) / 100)


@given(readings)
@settings(max_examples=60)
def test_whatever_was_read_the_range_holds_the_figure_and_the_path_falls(told):
    found = outlook(told, Use(), NOW)
    assert found is not None
    if found.days is None:
        assert (found.low, found.high, found.path) == (None, None, ())
    else:
        assert found.low is not None
        assert found.high is not None
        assert 0 <= found.low <= found.days <= found.high <= battery.LIFE_DAYS[1]
        middles = [middle for _, middle, _, _ in found.path]
        assert middles == sorted(middles, reverse=True)
        assert all(low <= middle <= high for _, middle, low, high in found.path)


@given(readings, st.randoms())
@settings(max_examples=30)
def test_the_order_of_the_readings_says_nothing(told, chance):
    mixed = list({one.at: one for one in told}.values())
    shuffled = chance.sample(mixed, len(mixed))
    assert outlook(mixed, Use(), NOW) == outlook(shuffled, Use(), NOW)


@pytest.mark.parametrize("is_new", [True, False])
def test_the_truth_lies_within_the_range_nine_times_of_ten(is_new):
    chance, told, held = random.Random(7), 0, 0
    for seed in range(60):
        lasts = min(math.exp(chance.gauss(math.log(2000), 0.6)), 5000)
        age = int(lasts * chance.uniform(0.1, 0.95))
        begins = 0 if is_new else int(age * chance.uniform(0, 0.5))
        found = outlook(
            life(lasts, age, seed=seed, begins=begins, offset=chance.gauss(0, 50)), Use(), NOW, is_new=is_new
        )
        if found is not None and found.days is not None:
            assert found.low is not None
            assert found.high is not None
            told += 1
            held += found.low <= lasts - age <= found.high
    assert told >= 10
    assert held >= 0.9 * told, f"{held} of {told}"


@pytest.mark.parametrize("pack", list(Pack))
def test_a_pack_is_known_by_its_voltage(pack):
    found = outlook(life(900, 300, pack=pack), Use(), NOW, is_new=True)
    assert found is not None
    assert (found.pack, found.stop_mv) == (pack, CURVES[pack].stop_mv)


def test_a_new_battery_begins_a_new_story():
    old = [Reading(one.at - 120 * DAY, one.mv, one.temperature_c) for one in life(500, 490)]
    found = outlook([*old, *life(900, 120)], Use(), NOW)
    assert found is not None
    assert found.changed
    assert timedelta(days=113) <= NOW - found.since <= timedelta(days=127)
    assert found.days is not None
    assert 300 < found.days < 2500


def test_one_odd_reading_is_no_new_battery():
    told = life(900, 300)
    odd = [*told[:200], Reading(told[200].at, 4900, 20), *told[201:]]
    assert known(odd).since == known(told).since
    assert known(odd).days == known(told).days


def known(told: list[Reading]) -> Outlook:
    found = outlook(told, Use(), NOW, is_new=True)
    assert found is not None
    return found


def test_little_is_known_after_a_week():
    found = known(life(900, 7))
    assert (found.days, found.path) == (None, ())
    assert outlook([], Use(), NOW) is None


def test_a_pack_that_has_come_to_its_stop_has_no_days_left():
    told = [*life(900, 300), *(Reading(NOW - n * DAY, 2650, 20) for n in range(14))]
    assert (known(told).days, known(told).is_low) == (0, True)


@given(st.integers(1800, 4950), st.integers(-20, 43), st.integers(0, 500))
def test_a_higher_voltage_is_never_low_where_a_lower_one_is_not(mv, celsius, more):
    assert is_low(mv, celsius) or not is_low(mv + more, celsius)


@given(st.floats(0, 24), st.floats(0, 24))
def test_more_presses_take_more(one, other):
    few, many = sorted((one, other))
    assert Use(presses=few).mah <= Use(presses=many).mah
