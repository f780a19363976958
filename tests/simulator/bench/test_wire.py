"""The bench seals and opens what firmware and cloud do: the golden vectors hold all three."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.bench import wire
from simulator.bench.wire import Answer, Identity, Uplink
from tests.sealing import VECTORS

BUTTON = Identity(0x00B10000, 1, bytes(range(16)))


def identity(vector: dict[str, object]) -> Identity:
    device, key = str(vector["device_id"]), str(vector["device_key"])
    generation = vector["key_generation"]
    assert isinstance(generation, int)
    return Identity(int(device, 16), generation, bytes.fromhex(key))


@pytest.mark.parametrize("vector", VECTORS["uplinks"], ids=lambda vector: f"{vector['kind']} {vector['counter']}")
def test_an_uplink_is_sealed_and_opened_as_the_vectors_say(vector) -> None:
    names = "kind", "parcels", "battery_mv", "temperature_c", "reset_cause", "link_failures"
    said, data = Uplink(**{name: vector[name] for name in names}), bytes.fromhex(vector["uplink"])
    assert wire.seal(identity(vector), vector["counter"], said) == data
    opened = wire.open_uplink(identity(vector), vector["counter"], data)
    assert opened is not None
    assert wire.seal(identity(vector), vector["counter"], opened) == data


KEYS = {(vector["device_id"], vector["key_generation"]): vector["device_key"] for vector in VECTORS["uplinks"]}


@pytest.mark.parametrize("vector", VECTORS["downlinks"], ids=lambda vector: vector["downlink"])
def test_an_answer_is_opened_as_the_vectors_say(vector) -> None:
    key = KEYS[vector["device_id"], vector["key_generation"]]
    button = identity(vector | {"device_key": key})
    opened = wire.open_answer(button, vector["answers_counter"], bytes.fromhex(vector["downlink"]))
    assert opened == Answer(wire.STATUSES[vector["status"]], vector["argument"])


@given(st.sampled_from(wire.KINDS), st.integers(0, 7), st.integers(1, 2**32 - 1), st.integers(0, 95))
def test_one_flipped_bit_is_no_uplink_any_more(kind, parcels, counter, bit) -> None:
    data = wire.seal(BUTTON, counter, Uplink(kind, parcels))
    flipped = (int.from_bytes(data, "big") ^ 1 << bit).to_bytes(12, "big")
    is_counter = 72 <= bit < 88  # which a receiver may know better than the message says
    assert (wire.open_uplink(BUTTON, counter, flipped) is None) is not is_counter


@given(st.binary(max_size=20))
def test_noise_is_neither_uplink_nor_answer(noise) -> None:
    assert wire.open_uplink(BUTTON, 1, noise) is None
    assert wire.open_answer(BUTTON, 1, noise) is None


def test_a_key_is_in_no_repr() -> None:
    assert BUTTON.key.hex() not in repr(BUTTON)
    assert repr(BUTTON.key) not in repr(BUTTON)
