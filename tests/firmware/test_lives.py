"""Laws of a button's life, by both links: random fingers, networks, power cuts, clocks and memories; many in a row."""

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.firmware.lives import (
    ANSWERS,
    CLICK,
    CLICK_AND_HOLD,
    DAY_S,
    HOLD,
    HOUR_S,
    RECOVERY,
    SERVICE_CLICK,
    Told,
    Wake,
    check,
    live,
)

LINKS = ("mqtt", "wisol")
AIRS = ("answers", "silent", "absent", "deaf", "mute", "hangs")
YEAR_S = 366 * DAY_S
ABSENT = Wake(air="absent")
START = Wake("power", ())
ONE_LIFE = (  # folded, heard without knowing it, taken back, retried, answered
    START,
    ABSENT,
    Wake(key=(*CLICK, (300, 1), (400, 0)), air="deaf"),
    Wake(air="mute"),
    Wake(key=HOLD, air="absent"),
    Wake("timer", (), pass_s=700, air="silent"),
    Wake(),
)

SEVEN_CLICKS = tuple((200 * half, 1 - half % 2) for half in range(14))
FILLING = [Wake(air="absent", key=SEVEN_CLICKS)] * 8  # too many parcels each to be folded

keys = st.lists(st.tuples(st.integers(10, 2_500), st.integers(0, 1)), max_size=8).map(
    lambda moves: list(zip(itertools.accumulate(ms for ms, _ in moves), (level for _, level in moves), strict=True))
)
wakes = st.builds(
    Wake,
    why=st.sampled_from(("press", "press", "press", "timer", "nothing", "power", "watchdog")),
    key=st.sampled_from((CLICK, HOLD, CLICK_AND_HOLD, SERVICE_CLICK)) | keys,
    air=st.sampled_from(AIRS),
    answer=st.tuples(st.integers(0, 8), st.integers(0, 9) | st.just(65_535)),
    noise=st.lists(st.binary(min_size=1, max_size=12).map(bytes.hex), max_size=3),
    cut=st.just(0) | st.integers(0, 60),
    pass_s=st.integers(0, 900),
    clock_s=st.sampled_from((0, 0, 0, 26 * YEAR_S, -HOUR_S)),
    rtc=st.none() | st.none() | st.binary(max_size=80).map(bytes.hex),
)


# No shrinking: an example is a VM's start and up to 20 lives, and the assertion shows the life.
@settings(
    max_examples=8,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=(Phase.explicit, Phase.generate),
)
@given(st.lists(st.tuples(st.sampled_from(LINKS), st.booleans(), st.lists(wakes, max_size=8)), min_size=8, max_size=20))
def test_no_life_repeats_a_counter_loses_or_doubles_a_press_or_lies(plans: list[Any]):
    """But for what nobody can know: a clock that is set back and on again within what waits is not tried."""
    lives = live([(link, through, (START, *life, *RECOVERY)) for link, through, life in plans])
    for (link, *_), life in zip(plans, lives, strict=True):
        check(link, life)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("writes_through", [False, True], ids=["at the commit", "at once"])
def test_the_power_may_go_at_any_boundary_of_any_wake_and_again_in_the_next(link: str, writes_through: bool):
    """At each NVS write, commit, RTC write and word to the radio of each wake; and, two further on, once more."""
    plans, cuts = [], 0
    for at in range(len(ONE_LIFE)):
        for number in range(1, 41):
            after = (Wake("power", SERVICE_CLICK, "mute", cut=number // 3), *ONE_LIFE[at + 1 :])
            cut = Wake(ONE_LIFE[at].why, ONE_LIFE[at].key, ONE_LIFE[at].air, cut=number, pass_s=ONE_LIFE[at].pass_s)
            plans.append((link, writes_through, (*ONE_LIFE[:at], cut, *after, *RECOVERY)))
    for life in live(plans):
        check(link, life)
        cuts += any(told.ended == "cut" for told in life)
    assert cuts > 150


@pytest.mark.parametrize("link", LINKS)
def test_one_life_without_a_fault_is_heard_as_it_was_pressed(link: str):
    (life,) = live([(link, False, (*ONE_LIFE, *RECOVERY))])
    check(link, life)
    assert [told.said("light") for told in life[:7]] == [
        ["sent-not-confirmed"],  # the boot, which asks for no answer
        *[["not-sent"]] * 4,
        [],
        ["accepted"] if link == "mqtt" else ["not-sent"],  # by Sigfox the hour's air time is used up
    ]


@pytest.mark.parametrize("link", LINKS)
def test_the_light_says_success_for_a_sealed_answer_alone(link: str):
    """Every gesture under every network and every answer, with presses that wait or without, and out of budget."""
    gestures = (CLICK, HOLD, CLICK_AND_HOLD)
    cases = [
        *itertools.product(gestures, AIRS, range(9), (False, True), ("",)),
        *itertools.product(gestures, AIRS, (1, 6), (False,), ("full", "no answer left")),
    ]
    plans = []
    for key, air, status, waits, before in cases:
        filling = {"": (), "full": FILLING, "no answer left": [Wake(pass_s=9)] * 4}[before]
        wake = Wake(key=key, air=air, answer=(status, status), noise=("00" * 8, "ff" * 12))
        plans.append((link, False, (START, *filling, *[ABSENT] * waits, wake)))
    for (_, air, status, *_), life in zip(cases, live(plans), strict=True):
        check_success(life[-1], air, status)


def check_success(told: Told, air: str, status: int) -> None:
    shown = told.said("light")
    if air != "answers" or status in (0, 5, 7, 8) or not told.all("answered"):
        assert not set(shown) & set(ANSWERS), told.events
    elif told.ended == "asleep":
        assert len(shown) == 1


@pytest.mark.parametrize("link", LINKS)
def test_a_ninth_press_is_not_confirmed_not_kept_and_said_so(link: str):
    (life,) = live([(link, False, (START, *FILLING, Wake(), *RECOVERY))])
    ninth = life[len(FILLING) + 1]
    assert (ninth.said("light"), ninth.is_confirmed) == (["not-kept"], False)
    assert all(told.is_confirmed for told in life[1 : len(FILLING) + 1])
    check(link, life)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("garbage", ["", "00", "ff" * 300, "0007" + "ab" * 54, "0000" + "00" * 40])
def test_whatever_stands_in_flash_for_kept_presses_does_not_end_the_button(link: str, garbage: str):
    (life,) = live([(link, False, (START, Wake(flash={"kept": garbage})))])
    assert life[-1].said("light") == ["accepted"]
    assert len(life[-1].heard) == 1


def test_presses_of_another_key_are_dropped_and_counted():
    """Provisioned anew, without the erasing of what was kept."""
    (life,) = live([("mqtt", False, (START, ABSENT, Wake(flash={"key": "ab" * 16})))])
    assert (len(life[-1].heard), life[-1].said("counter")) == (1, ["4"])


@pytest.mark.parametrize("jump_s", [26 * YEAR_S, -20, -26 * YEAR_S])
def test_a_clock_that_is_set_loses_no_press_and_gives_no_budget_back(jump_s: int):
    """As an editor does that sets it over USB, from the year 2000 to now."""
    plan = (START, *[Wake(pass_s=9)] * 4, ABSENT, Wake("timer", (), clock_s=jump_s, pass_s=300), Wake())
    (life,) = live([("mqtt", False, plan)])
    check("mqtt", life)  # the kept press is heard by the next one at the latest
    assert life[-1].said("light") == ["sent-not-confirmed"]  # its four answers are still used up


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize(("before", "then_s"), [((), DAY_S), ((START, ABSENT), 4 * HOUR_S)], ids=["boot", "a press"])
def test_a_battery_that_a_radio_brings_down_is_not_tried_at_every_power_on(
    link: str, before: tuple[Wake, ...], then_s: int
):
    """Else `boot` would call the radio, the radio the brown-out, the brown-out the `boot`, for ever."""
    cuts = [Wake("power", (), "silent", cut=number) for number in range(1, 60)]
    tried = live([(link, False, (*before, cut)) for cut in cuts])
    first = next(cut for cut, life in zip(cuts, tried, strict=True) if life[-1].heard)
    (life,) = live([(link, False, (*before, *[first] * 6, Wake(pass_s=10), START))])
    after = life[len(before) :]
    assert [len(told.heard) for told in after[:6]] == [1, 0, 0, 0, 0, 0]
    ((slept_ms,),) = after[1].all("sleep")
    assert then_s * 1000 - 6_000 <= slept_ms <= then_s * 1000
    assert after[6].heard
    assert after[7].heard


def test_ask_is_never_tried_again():
    (life,) = live([("mqtt", False, (START, Wake(key=CLICK_AND_HOLD, air="absent"), *RECOVERY[:4]))])
    assert (life[1].said("gesture"), life[1].said("light")) == (["ask"], ["not-sent"])
    assert [told.heard for told in life[2:]] == [[]] * 4


def test_a_heartbeat_that_fails_waits_for_its_next_period():
    days = [Wake("timer", (), air, pass_s=DAY_S) for air in ("absent", "silent")]
    (life,) = live([("mqtt", False, (START, days[0], Wake("timer", (), pass_s=HOUR_S), days[1]))])
    assert life[1].said("link") == ["failed wifi: no access point"]
    (slept_ms,) = life[1].all("sleep")[0]
    assert abs(slept_ms / 1000 - DAY_S) < 20
    assert (life[2].heard, len(life[3].heard)) == ([], 1)


@pytest.mark.parametrize("link", LINKS)
def test_a_press_during_sending_is_not_seen_and_disturbs_nothing(link: str):
    during = (*CLICK, (1_100, 1), (1_150, 0), (1_300, 1), (1_350, 0))
    (life,) = live([(link, False, (START, Wake(key=during)))])
    assert (life[-1].said("gesture"), life[-1].said("light")) == (["pickup 1"], ["accepted"])
    assert (len(life[-1].heard), life[-1].ended) == (1, "asleep")


def test_a_key_still_held_at_the_end_is_waited_for_and_then_left_to_the_timer():
    released = Wake(key=(*CLICK, (1_500, 1), (2_800, 0)))
    held = Wake(key=(*CLICK, (1_500, 1)))
    (life,) = live([("mqtt", False, (START, released, held, Wake("timer", ((0, 1),)), Wake("timer", ())))])
    assert [told.said("sleep") for told in life[1:]] == [
        ["until-pressed"],
        ["key-stuck"],
        ["key-stuck"],
        ["until-pressed"],
    ]
    assert [bool(told.all("wakes")) for told in life[1:]] == [True, False, False, True]


def test_of_140_uplinks_a_day_the_last_20_are_for_presses():
    """Over as many deep sleeps."""
    first, more = [Wake(pass_s=9)] * 119, [Wake(pass_s=9)] * 21
    (life,) = live([("mqtt", False, (START, *first, Wake("timer", (), pass_s=DAY_S), *more))])
    *presses, last = life[121:]
    assert life[120].said("link") == ["failed budget: no more for now"]  # the `alive`
    assert {told.said("light")[0] for told in life[5:120]} == {"sent-not-confirmed"}  # and four answers a day
    assert [told.said("link") for told in presses] == [["radiated"]] * 20
    assert (last.said("link"), last.said("light")) == (["failed budget: no more for now"], ["not-sent"])
    assert sum(len(told.heard) for told in life) == 140
