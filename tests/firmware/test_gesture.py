"""What clicks, holds, bounces and jammed keys mean, in virtual time on the real VM."""

import json
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from simulator.board import vm

UP, DOWN = 0, 1
END = [(UP, 750)]
BOUNCE = [(DOWN, 2), (UP, 2)] * 3
CHATTER = [(DOWN, 50), (UP, 50)]


def clicks(count: int) -> list[tuple[int, int]]:
    return [(UP, 200), (DOWN, 100)] * count


# What the key does, whether it is down when Python starts, how it moves from then on and how often, what that means.
GESTURES = (
    ("a click over before Python starts", UP, END, 1, ("pickup", 1)),
    ("a click seen to its end", DOWN, [(DOWN, 80), *END], 1, ("pickup", 1)),
    ("two clicks", UP, [*clicks(1), *END], 1, ("pickup", 2)),
    ("seven clicks", UP, [*clicks(6), *END], 1, ("pickup", 7)),
    ("nine clicks are still seven parcels", UP, [*clicks(8), *END], 1, ("pickup", 7)),
    ("slow clicks", UP, [(UP, 650), (DOWN, 400), (UP, 650), (DOWN, 400), *END], 1, ("pickup", 3)),
    ("a click of 1.4 s", DOWN, [(DOWN, 1400), *END], 1, ("pickup", 1)),
    ("a long press", DOWN, [(DOWN, 1600), *END], 1, ("cancel", 0)),
    ("a very long press", DOWN, [(DOWN, 9500), *END], 1, ("cancel", 0)),
    ("a click, then a hold", UP, [(UP, 200), (DOWN, 1700), *END], 1, ("ask", 0)),
    ("three clicks, then a hold", UP, [*clicks(2), (UP, 200), (DOWN, 1700), *END], 1, ("ask", 0)),
    ("a jammed key", DOWN, [(DOWN, 10_100)], 1, (None, 0)),
    ("a key jammed after a click", UP, [(UP, 200), (DOWN, 10_100)], 1, (None, 0)),
    ("bouncing contacts", UP, [(UP, 200), *BOUNCE, (DOWN, 80), *BOUNCE, *END], 1, ("pickup", 2)),
    ("a spike that is no click", UP, [(UP, 200), (DOWN, 15), *END], 1, ("pickup", 1)),
    ("a hold with a loose contact", DOWN, [(DOWN, 800), (UP, 15), (DOWN, 900), *END], 1, ("cancel", 0)),
    ("a wet contact that chatters for ever", UP, CHATTER, 250, (None, 0)),
    ("noise too fast for a finger", UP, [(DOWN, 4), (UP, 3)], 200, ("pickup", 1)),
)


def play(games: list) -> list:
    given = "".join(json.dumps(game) + "\n" for game in games)
    return [json.loads(line) for line in vm.run_on_vm(Path(__file__).parent / "on_vm/gestures.py", given).splitlines()]


@pytest.mark.parametrize("step_ms", [1, 5, 10])
def test_every_gesture_means_what_the_card_says(step_ms):
    told = play([(bool(start), step_ms, moves, times) for _, start, moves, times, _ in GESTURES])
    assert {name: (over, (kind, n)) for (name, *_), (over, kind, n, _) in zip(GESTURES, told, strict=True)} == {
        name: (True, meaning) for name, *_, meaning in GESTURES
    }


def test_a_hold_means_nothing_before_it_is_let_go():
    """Else a jammed key would take back somebody's request after 1.5 s."""
    assert play([(True, 5, [(DOWN, 9_000)], 1)]) == [[False, None, 0, 9_000]]


def test_every_gesture_ends_whatever_the_key_does():
    for moves in ([(DOWN, 100)], CHATTER, [(DOWN, 300), (UP, 600)]):
        for over, _, _, age_ms in play([(start, 5, moves, 300) for start in (True, False)]):
            assert over
            assert age_ms <= 20_000


moves = st.lists(st.tuples(st.sampled_from((UP, DOWN)), st.integers(1, 3_000)), min_size=1, max_size=12)


@settings(max_examples=10, phases=(Phase.explicit, Phase.generate))  # an example is a VM's start
@given(st.lists(st.tuples(st.booleans(), st.sampled_from((1, 3, 5)), moves), min_size=20, max_size=40))
def test_whatever_the_key_does_it_means_one_of_four_things(traces: list):
    games = [[start, step_ms, [*played, (UP, 20_000)], 1] for start, step_ms, played in traces]
    for over, kind, parcels, age_ms in play(games):
        assert over
        assert age_ms <= 20_000
        assert (kind == "pickup" and 1 <= parcels <= 7) or (kind in ("cancel", "ask", None) and parcels == 0)


@settings(max_examples=10, phases=(Phase.explicit, Phase.generate))
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 15), st.booleans()), min_size=20, max_size=40))
def test_bounce_on_any_edge_changes_no_meaning(fingers: list):
    """Contacts that open and close for up to 15 ms after each edge."""
    clean, bouncing = [], []
    for more, bounce_ms, holds in fingers:
        edges = [*clicks(more), (UP, 200), (DOWN, 1_700 if holds else 100), *END]
        clean.append([False, 1, edges, 1])
        shaken = [
            (level, ms)
            for at, for_ms in edges
            for level, ms in ((at, 1), (1 - at, bounce_ms // 2), (at, 1), (1 - at, bounce_ms // 3), (at, for_ms))
        ]
        bouncing.append([False, 1, [move for move in shaken if move[1]], 1])
    assert [told[:3] for told in play(bouncing)] == [told[:3] for told in play(clean)]
