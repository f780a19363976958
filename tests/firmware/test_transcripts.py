"""What the firmware does in named wakes, to the ms, beside transcripts that can be read.

`python -m tests.firmware.test_transcripts` writes them anew; the difference is then for the reviewer to judge.
"""

import difflib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.firmware.lives import CLICK, CLICK_AND_HOLD, DAY_S, HOLD, Told, Wake, live
from tests.firmware.test_lives import ABSENT, FILLING, START

FOLDER = Path(__file__).parent / "transcripts"
THREE_CLICKS = (*CLICK, (300, 1), (400, 0), (600, 1), (700, 0))
BOUNCES = ((0, 1), (2, 0), (5, 1), (90, 0), (93, 1), (96, 0))
BOUNCING = tuple((start + ms, level) for start in (0, 300) for ms, level in BOUNCES)

# Name: the link, what came before and is not shown, and the wakes that are.
STORIES: dict[str, tuple[str, Sequence[Wake], Sequence[Wake]]] = {
    "press-answered": ("mqtt", [START], [Wake()]),
    "three-clicks": ("mqtt", [START], [Wake(key=THREE_CLICKS)]),
    "bouncing-contacts": ("mqtt", [START], [Wake(key=BOUNCING)]),
    "cancel": ("mqtt", [START], [Wake(key=HOLD, answer=(3, 0))]),
    "ask": ("mqtt", [START], [Wake(key=CLICK_AND_HOLD, answer=(6, 2))]),
    "unclaimed": ("mqtt", [START], [Wake(answer=(2, 0))]),
    "stuck-key": ("mqtt", [START], [Wake(key=[(0, 1)]), Wake("timer", [(0, 1)]), Wake("timer", ())]),
    "wake-by-nothing": ("mqtt", [START], [Wake("nothing", ())]),
    "no-access-point": ("mqtt", [START], [ABSENT]),
    "silent-broker": ("mqtt", [START], [Wake(air="deaf")]),
    "no-answer": ("mqtt", [START], [Wake(air="silent")]),
    "forged-answer": ("mqtt", [START], [Wake(air="silent", noise=["00" * 8, "0011223344556677"])]),
    "unprovisioned": ("mqtt", [], [Wake("power", (), flash={"key": None}), Wake()]),
    "boot": ("mqtt", [], [START]),
    "alive": ("mqtt", [START], [Wake("timer", (), answer=(5, 48), pass_s=DAY_S)]),
    "retry-after-back-off": ("mqtt", [START], [ABSENT, Wake("timer", (), "absent"), Wake("timer", (), pass_s=130)]),
    "folded": ("mqtt", [START, ABSENT], [Wake(key=THREE_CLICKS)]),
    "ninth-press": ("mqtt", [START, *FILLING], [Wake(air="absent")]),
    "power-cut": ("mqtt", [START], [Wake(cut=17), Wake("power", ())]),
    "hung-radio": ("mqtt", [START], [Wake(air="hangs"), Wake("watchdog", ())]),
    "empty-battery": ("mqtt", [], [Wake("power", (), "hangs", cut=12), Wake("power", ())]),
    "service-window": ("mqtt", [], [Wake("power", [(1_000, 1), (3_000, 0), (5_000, 1), (5_100, 0)])]),
    "wisol-press": ("wisol", [START], [Wake()]),
    "wisol-no-answer": ("wisol", [START], [Wake(air="silent")]),
    "wisol-silent-modem": ("wisol", [START], [ABSENT]),
}  # fmt: skip


def written(told: Sequence[Told], wakes: Sequence[Wake]) -> str:
    parts = []
    for one, wake in zip(told, wakes, strict=True):
        key = ", ".join(f"{'down' if is_down else 'up'} at {ms}" for ms, is_down in wake.key) or "left alone"
        parts.append(f"== {wake.pass_s} s later: {wake.why}; the key {key}; the network: {wake.air}")
        parts += [
            f"{ms:7} ms  {what:12} {' '.join(map(str, said))}".rstrip() for ms, what, *said in flashes(one.events)
        ]
    return "\n".join(parts) + "\n"


def flashes(events: list[list[Any]]) -> Iterator[list[Any]]:
    """Each time the light goes on and off again, with nothing in between, as one."""
    lit_at = None
    nothing: list[Any] = [0, ""]
    for event, following in itertools.pairwise([*events, nothing]):
        if lit_at is not None:
            yield [lit_at, "led", f"on for {event[0] - lit_at} ms"]
            lit_at = None
        elif event[1:] == ["led", 1] and following[1:] == ["led", 0]:
            lit_at = event[0]
        elif event[1] == "led":
            yield [event[0], "led", "on" if event[2] else "off"]
        else:
            yield event


def play() -> dict[str, str]:
    lives = live([(link, False, (*before, *shown)) for link, before, shown in STORIES.values()])
    return {
        name: written(life[-len(shown) :], shown)
        for (name, (_, _, shown)), life in zip(STORIES.items(), lives, strict=True)
    }


@pytest.fixture(scope="module")
def played() -> dict[str, str]:
    return play()


@pytest.mark.parametrize("name", STORIES)
def test_the_firmware_does_what_the_transcript_says(played: dict[str, str], name: str):
    file = FOLDER / f"{name}.txt"
    expected, found = file.read_text().splitlines(), played[name].splitlines()
    difference = "\n".join(difflib.unified_diff(expected, found, str(file), "the firmware", lineterm=""))
    assert not difference, f"\n{difference}\n`python -m tests.firmware.test_transcripts` writes it anew"


def test_no_transcript_is_of_nothing():
    assert {file.stem for file in FOLDER.iterdir()} == set(STORIES)


if __name__ == "__main__":
    for story, text in play().items():
        (FOLDER / f"{story}.txt").write_text(text)
