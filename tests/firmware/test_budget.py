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
