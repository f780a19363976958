import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.frames.model import Result
from cloud.ingest.downlink import Status, seal_downlink
from cloud.ingest.uplink import Kind, Rejected, Uplink, candidates, open_uplink
from tests.sealing import KINDS, VECTORS, seal, seal_body

KEY = bytes(range(16))
DEVICE = 0x0012AB34
ids = st.integers(0, 0xFFFFFFFF)
counters = st.integers(1, 0xFFFFFFFF)


def open_it(data: bytes, last_counter: int = 0, device: int = DEVICE, key: bytes = KEY) -> Uplink:
    return open_uplink(data, device=device, key=key, last_counter=last_counter)


def fields(uplink: Uplink) -> dict[str, object]:
    return {name: getattr(uplink, name) for name in ("counter", "parcels", "battery_mv", "temperature_c")} | {
        "kind": uplink.kind.word,
        "reset_cause": uplink.reset_cause,
        "link_failures": uplink.link_failures,
    }


@pytest.mark.parametrize("vector", VECTORS["uplinks"], ids=lambda v: f"{v['device_id']}-{v['counter']}")
def test_the_vectors_open_to_their_fields(vector):
    key = bytes.fromhex(vector["device_key"])
    device = int(vector["device_id"], 16)
    opened = open_it(bytes.fromhex(vector["uplink"]), vector["counter"] - 1, device, key)
    assert fields(opened) == {name: vector[name] for name in fields(opened)}
    assert (opened.device, opened.key_generation) == (device, vector["key_generation"])


@pytest.mark.parametrize("vector", VECTORS["downlinks"], ids=lambda v: f"{v['device_id']}-{v['status']}")
def test_answers_are_sealed_as_in_the_vectors(vector):
    device = int(vector["device_id"], 16)
    key = next(bytes.fromhex(u["device_key"]) for u in VECTORS["uplinks"] if u["device_id"] == vector["device_id"])
    asked = Uplink(device, vector["key_generation"], vector["answers_counter"], Kind.PICKUP, 1, 3000, 20, 4, 0)
    assert (
        seal_downlink(Status(vector["status"]), vector["argument"], answers=asked, key=key).hex() == vector["downlink"]
    )


@given(
    ids,
    counters,
    st.sampled_from(KINDS),
    st.integers(1, 7),
    st.integers(0, 63),
    st.integers(-20, 43),
    st.integers(0, 7),
    st.integers(0, 7),
    st.integers(0, 3),
)
def test_opening_undoes_sealing(device, counter, kind, parcels, battery, temperature, cause, failures, generation):
    battery_mv = 1800 + 50 * battery
    data = seal(
        device=device,
        key=KEY,
        counter=counter,
        kind=kind,
        parcels=parcels,
        battery_mv=battery_mv,
        temperature_c=temperature,
        reset_cause=cause,
        link_failures=failures,
        generation=generation,
    )
    opened = open_it(data, counter - 1, device)
    assert opened == Uplink(
        device,
        generation,
        counter,
        Kind[kind.upper()],
        parcels if kind == "pickup" else 0,
        battery_mv,
        temperature,
        cause,
        failures,
    )


@given(st.integers(0, 95), st.integers(1, 200_000))
def test_any_flipped_bit_is_refused(bit, counter):
    data = bytearray(seal(device=DEVICE, key=KEY, counter=counter))
    data[bit // 8] ^= 0x80 >> bit % 8
    with pytest.raises(Rejected):
        open_it(bytes(data), counter - 1)


@given(st.binary(max_size=40), counters)
def test_noise_is_refused_and_never_crashes(noise, last_counter):
    with pytest.raises(Rejected) as caught:
        open_it(noise, last_counter)
    assert caught.value.result in (Result.MALFORMED, Result.BAD_SEAL)


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF))
def test_the_nearest_successor_comes_first_and_every_candidate_fits(low, last):
    found = candidates(low, last)
    assert all(1 <= counter <= 0xFFFFFFFF and counter & 0xFFFF == low for counter in found)
    ahead = [counter for counter in found if counter > last]
    assert all(counter - last <= 0x10000 for counter in ahead)
    assert all(last - counter < 0x10000 for counter in found if counter <= last)
    assert found[: len(ahead)] == tuple(ahead)


def test_the_counter_rolls_over_into_its_upper_half():
    data = seal(device=DEVICE, key=KEY, counter=65_536)
    assert open_it(data, last_counter=65_535).counter == 65_536


def test_an_overtaken_message_still_opens():
    data = seal(device=DEVICE, key=KEY, counter=65_535)
    assert open_it(data, last_counter=65_536).counter == 65_535


def test_the_last_counter_of_all_still_opens():
    data = seal(device=DEVICE, key=KEY, counter=0xFFFFFFFF)
    assert open_it(data, last_counter=0xFFFFFFFE).counter == 0xFFFFFFFF
    assert open_it(data, last_counter=0xFFFFFFFF).counter == 0xFFFFFFFF


def test_another_buttons_key_or_id_is_a_bad_seal():
    data = seal(device=DEVICE, key=KEY, counter=5)
    for device, key in ((DEVICE + 1, KEY), (DEVICE, bytes(16))):
        with pytest.raises(Rejected) as caught:
            open_it(data, 4, device, key)
        assert caught.value.result is Result.BAD_SEAL


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "0 bytes"),
        (bytes(11), "11 bytes"),
        (bytes(13), "13 bytes"),
        (seal_body(0, device=DEVICE, key=KEY, counter=1, header=0x40), "version 1"),
        (seal_body(0, device=DEVICE, key=KEY, counter=1, header=0x01), "reserved bits 0001"),
        (seal_body(0, device=DEVICE, key=KEY, counter=1), "pickup of 0 parcels"),
        *((seal_body(kind << 21, device=DEVICE, key=KEY, counter=1), f"kind {kind}") for kind in (5, 6, 7)),
    ],
)
def test_what_the_format_forbids_is_malformed_even_when_the_tag_is_right(data, says):
    with pytest.raises(Rejected, match=says) as caught:
        open_it(data)
    assert caught.value.result is Result.MALFORMED
