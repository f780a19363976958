"""Which of a button's keys and counters opens some bytes, whenever they were sealed."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.fleet.model import Button, State
from cloud.frames.model import Result
from cloud.ingest.downlink import Status, seal_downlink
from cloud.ingest.keys import Keys
from cloud.ingest.unseal import open_answer, open_any
from cloud.ingest.uplink import Rejected, open_uplink
from tests.sealing import seal

KEYS = Keys(bytes(range(32))).with_new()
DEVICE = 0x00D1F3A7
BUTTON = Button(
    id=DEVICE,
    key_generation=1,
    state=State.ACTIVE,
    place=None,
    department=None,
    owner_id=None,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    claimed_at=None,
    last_seen_at=None,
    last_counter=431,
    battery_mv=None,
    temperature_c=None,
)


def sealed(counter: int, generation: int = 1, number: int = 1) -> bytes:
    key = KEYS.device_key(DEVICE, generation, number)
    said = {"kind": "pickup", "parcels": 1, "battery_mv": 2850, "temperature_c": 7}
    return bytes(seal(device=DEVICE, key=key, counter=counter, generation=generation, **said))


@given(st.integers(1, 2**32 - 1), st.integers(-0x10000, 62 * 0x10000))
def test_whatever_the_button_sent_in_half_its_life_opens(counter: int, since: int):
    button = replace(BUTTON, last_counter=min(max(counter + since, 0), 2**32 - 1))
    assert open_any(sealed(counter), button, KEYS).counter == counter


def test_an_earlier_generation_opens_under_the_master_key_that_it_came_from():
    button = replace(BUTTON, key_master=2)
    opened = open_any(sealed(70_000, generation=0, number=1), replace(button, last_counter=9), KEYS)
    assert (opened.key_generation, opened.counter) == (0, 70_000)


@pytest.mark.parametrize(
    ("data", "result"),
    [
        (sealed(5, generation=2), Result.WRONG_GENERATION),
        (sealed(5)[:-1] + b"\0", Result.BAD_SEAL),
        (sealed(5)[:-1], Result.MALFORMED),
        (b"\x41" + sealed(5)[1:], Result.MALFORMED),
    ],
)
def test_what_does_not_open_is_refused_by_name(data: bytes, result: Result):
    with pytest.raises(Rejected) as rejected:
        open_any(data, BUTTON, KEYS)
    assert rejected.value.result is result


def test_an_answer_opens_under_the_message_that_it_answers_and_no_other():
    key = KEYS.device_key(DEVICE, 1, 1)
    uplink = open_uplink(sealed(432), device=DEVICE, key=key, last_counter=431)
    answer = seal_downlink(Status.CONFIGURE, 24, answers=uplink, key=key)
    assert open_answer(answer, uplink.key, BUTTON, KEYS) == (Status.CONFIGURE, 24)
    assert open_answer(answer, (DEVICE, 1, 433), BUTTON, KEYS) is None
