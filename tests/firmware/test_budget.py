"""What a day and an hour allow, in virtual time on the real VM, with a deep sleep between any two attempts."""

import json
from pathlib import Path

import pytest

from simulator.board import vm

HOUR_S, DAY_S = 3_600, 86_400
WIFI, SIGFOX = (0, 0), (6_240, 5_280)


def sent(link: tuple[int, int], every_s: int, attempts: int, *, is_heartbeat: bool = False) -> list[list[int]]:
    asked = json.dumps([*link, every_s, attempts, is_heartbeat]) + "\n"
    return json.loads(vm.run_on_vm(Path(__file__).parent / "on_vm/budget.py", asked))


def most(times: list[int], within_s: int) -> int:
    """In any window of that length."""
    return max(sum(start <= at < start + within_s for at in times) for start in times)


@pytest.mark.parametrize(("link", "every_s"), [(WIFI, 240), (WIFI, 611), (SIGFOX, 300)])
def test_no_day_has_more_than_140_uplinks_and_4_answers_and_no_hour_36_s_of_air(link: tuple[int, int], every_s: int):
    uplinks, answers = sent(link, every_s, 2 * DAY_S // every_s)
    assert most(uplinks, DAY_S) <= 140
    assert most(answers, DAY_S) == 4
    air_ms = [(at, link[0]) for at in uplinks] + [(at, link[1]) for at in answers]
    for start, _ in air_ms:
        assert sum(ms for at, ms in air_ms if start <= at < start + HOUR_S) <= 36_000


def test_a_day_is_used_to_its_end():
    uplinks, _ = sent(WIFI, 60, 24 * 60)
    assert len(uplinks) == 140
    uplinks, _ = sent(SIGFOX, 60, 60)
    assert len(uplinks) == 3  # answered, 11.5 s of air each


def test_heartbeats_leave_room_for_presses():
    uplinks, answers = sent(WIFI, 60, 24 * 60, is_heartbeat=True)
    assert (len(uplinks), len(answers)) == (120, 1)
    uplinks, _ = sent(SIGFOX, 60, 60, is_heartbeat=True)
    assert len(uplinks) < 5


def test_the_windows_open_again_when_the_first_message_leaves_them_and_not_before():
    """5 % later by the board's clock, which may err so much."""
    every_s, day_s, hour_s = 60, DAY_S * 21 // 20, HOUR_S * 21 // 20
    uplinks, answers = sent(WIFI, every_s, day_s // every_s + 5)
    first = list(range(0, 140 * every_s, every_s))
    again = list(range(day_s, day_s + 5 * every_s, every_s))
    assert (uplinks, answers) == (first + again, first[:4] + again[:4])
    uplinks, _ = sent((6_240, 0), every_s, hour_s // every_s + 2)
    assert uplinks == [0, 60, 120, 180, 240, hour_s, hour_s + 60]  # five of 6.24 s, and a sixth would be 37.4 s


def test_air_time_is_used_to_the_very_end_and_no_further():
    assert len(sent((36_000, 0), 60, 60)[0]) == 1
    assert sent((36_001, 0), 60, 60)[0] == []
    assert len(sent((18_000, 0), 60, 60)[0]) == 2
    assert len(sent((18_001, 0), 60, 60)[0]) == 1
