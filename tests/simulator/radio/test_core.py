"""What the core remembers of a device: where it stands, its numbers, until when it listens."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.radio import model
from simulator.radio.core import Core

A, B = "0012AB34", "FFFFFFFF"
ANSWER = json.dumps({"device": A, "downlinkData": "0011223344556677"}).encode()


def make_core(seed: int = 1, listen_s: float = 25, **impairments: float) -> Core:
    return Core(seed=seed, stations=5, impairments=model.Impairments(**impairments), listen_s=listen_s)


def uplink(core: Core, device: str, payload: bytes = b"\x01", monotonic_s: float = 100) -> list[dict[str, Any]]:
    deliveries = core.uplink(device, payload, monotonic_s=monotonic_s, unix_s=1_800_000_000.9)
    return [json.loads(delivery.body) for delivery in deliveries]


def test_a_delivery_has_the_names_of_a_sigfox_callback() -> None:
    [body] = uplink(make_core(), A, bytes(range(12)))
    best = body["duplicates"][0]
    assert body == {
        "device": A,
        "time": 1_800_000_000,
        "data": "000102030405060708090a0b",
        "seqNumber": 0,
        "station": best["bsId"],
        "rssi": best["rssi"],
        "lqi": body["lqi"],
        "ack": True,
        "duplicates": body["duplicates"],
    }
    assert best["nbRep"] == 3
    assert body["lqi"] in set(model.Quality)


@given(st.integers(0, 2**32), st.lists(st.sampled_from([A, B]), max_size=30), st.floats(0, 1))
def test_what_becomes_of_a_message_does_not_depend_on_other_buttons(seed: int, order: list[str], loss: float) -> None:
    mixed, alone = make_core(seed, loss=loss), make_core(seed, loss=loss)
    together = [bodies for device in order if (bodies := uplink(mixed, device)) is not None and device == A]
    assert together == [uplink(alone, A) for device in order if device == A]


def test_sequence_numbers_have_12_bits_and_each_device_its_own() -> None:
    core = make_core()
    numbers = [uplink(core, A)[0]["seqNumber"] for _ in range(4098)]
    assert numbers == [*range(4096), 0, 1]
    assert uplink(core, B)[0]["seqNumber"] == 0


def test_a_lost_message_uses_its_sequence_number_up() -> None:
    core = make_core(loss=0.7)
    numbers = [body["seqNumber"] for _ in range(300) for body in uplink(core, A)]
    assert len(numbers) == core.counters["heard"] == 300 - core.counters["unheard"] < 300
    assert numbers == sorted(set(numbers))
    assert max(numbers) >= len(numbers)


def test_a_network_whose_stations_are_down_hears_nothing() -> None:
    ids = [station.id for station in make_core().stations]
    core = Core(seed=1, stations=5, down=ids, impairments=model.Impairments(), listen_s=25)
    assert uplink(core, A) == []
    assert core.counters["unheard"] == 1


def test_an_answer_reaches_the_button_only_while_it_listens() -> None:
    core = make_core(listen_s=25)
    assert core.downlink(A, ANSWER, monotonic_s=100) is None  # never heard of
    uplink(core, A, monotonic_s=100)
    assert core.downlink(A, ANSWER, monotonic_s=125) == bytes.fromhex("0011223344556677")
    assert core.downlink(A, ANSWER, monotonic_s=125.1) is None
    assert core.counters["late"] == 2


@given(st.binary())
def test_noise_is_refused(body: bytes) -> None:
    with pytest.raises(model.Refused):
        make_core().downlink(A, body, monotonic_s=0)


def test_deeply_nested_json_is_refused() -> None:
    with pytest.raises(model.Refused):
        make_core().downlink(A, b"[" * 100_000, monotonic_s=0)
