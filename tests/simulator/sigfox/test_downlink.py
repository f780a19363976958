"""Downlink frames against golden vectors, and laws: one bad byte is repaired, more is noticed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.sigfox import downlink
from simulator.sigfox.frame import Reason, Refused
from tests.simulator.sigfox.vectors import DEVICE_ID, DOWNLINKS, HARD_DOWNLINKS, KEY, PUBLISHED_DOWNLINKS, name_of

ADDRESS = {"device_id": DEVICE_ID, "seq": 417, "key": KEY}
FRAME = bytes.fromhex("3516816cc7ce125ef60d5b6d78c1c1")
PAYLOAD = bytes.fromhex("deadbeef02468ace")
addresses = st.fixed_dictionaries(
    {
        "device_id": st.integers(0, 2**32 - 1),
        "seq": st.integers(0, 4095),
        "key": st.binary(min_size=16, max_size=16),
    }
)
payloads = st.binary(min_size=8, max_size=8)


def address_of(vector: dict[str, Any]) -> dict[str, Any]:
    seq = vector.get("uplink_seq", vector.get("seq"))
    return {"device_id": int(vector["device_id"], 16), "seq": seq, "key": bytes.fromhex(vector["key"])}


@pytest.mark.parametrize("vector", DOWNLINKS, ids=name_of)
def test_every_vector_is_encoded_to_the_bit_and_read_back(vector: dict[str, Any]) -> None:
    address = address_of(vector)
    frame = downlink.encode(bytes.fromhex(vector["payload"]), **address)
    assert frame.hex() == vector["frame"]
    assert downlink.SYNC.hex() == vector["sync"]
    plain = downlink.whitened(frame, address["device_id"], address["seq"])
    assert plain.hex() == vector["unscrambled_frame"]
    read = downlink.decode(frame, **address)
    assert (read.payload.hex(), read.auth.hex(), read.crc.hex(), read.corrected_bits) == (
        *(vector["payload"], vector["auth"], vector["crc8"]),
        0,
    )


@pytest.mark.parametrize("vector", PUBLISHED_DOWNLINKS, ids=name_of)
def test_published_frames_are_read_and_repaired(vector: dict[str, Any]) -> None:
    frame = bytes.fromhex(vector["frame"])
    original = bytes.fromhex(vector.get("original", vector["frame"]))
    read = downlink.decode(frame, **address_of(vector))
    assert read.payload.hex() == vector["downlink"]
    assert read.corrected_bits == (int.from_bytes(frame, "big") ^ int.from_bytes(original, "big")).bit_count()
    assert downlink.encode(read.payload, **address_of(vector)) == original


@pytest.mark.parametrize("vector", HARD_DOWNLINKS, ids=lambda v: f"{v['case']}-{v['uplink_seq']}")
def test_what_the_official_device_takes_is_taken_and_nothing_else(vector: dict[str, Any]) -> None:
    frame = bytes.fromhex(vector["frame"])
    if vector["official_valid"]:
        assert downlink.decode(frame, **address_of(vector)).payload.hex() == vector["payload"]
    else:
        with pytest.raises(Refused):
            downlink.decode(frame, **address_of(vector))


@given(payloads, addresses, st.integers(0, 14), st.integers(0, 255))
def test_any_one_bad_byte_is_repaired(payload: bytes, address: dict[str, Any], at: int, error: int) -> None:
    frame = bytearray(downlink.encode(payload, **address))
    frame[at] ^= error
    read = downlink.decode(bytes(frame), **address)
    assert (read.payload, read.corrected_bits) == (payload, error.bit_count())


@given(payloads, addresses, st.lists(st.integers(0, 14), min_size=8, max_size=8))
def test_one_error_in_each_bit_column_is_repaired_wherever_they_are(
    payload: bytes, address: dict[str, Any], rows: list[int]
) -> None:
    frame = bytearray(downlink.encode(payload, **address))
    for column, row in enumerate(rows):
        frame[row] ^= 1 << column
    read = downlink.decode(bytes(frame), **address)
    assert (read.payload, read.corrected_bits) == (payload, 8)


def test_no_two_errors_in_one_column_pass_for_the_message() -> None:
    """A Hamming code takes two errors for a third one; the CRC and the auth are there for that."""
    for column in range(8):
        for first in range(15):
            for second in range(first):
                frame = bytearray(FRAME)
                frame[first] ^= 1 << column
                frame[second] ^= 1 << column
                with pytest.raises(Refused):
                    downlink.decode(bytes(frame), **ADDRESS)


@given(st.binary(min_size=15, max_size=15), addresses)
def test_noise_is_refused_or_carries_the_right_seal(noise: bytes, address: dict[str, Any]) -> None:
    try:
        read = downlink.decode(noise, **address)
    except Refused:
        return
    difference = int.from_bytes(noise, "big") ^ int.from_bytes(downlink.encode(read.payload, **address), "big")
    assert difference.bit_count() == read.corrected_bits


def test_a_frame_for_another_device_is_refused_by_name() -> None:
    assert downlink.decode(FRAME, **ADDRESS).payload == PAYLOAD
    with pytest.raises(Refused) as refused:
        downlink.decode(FRAME, device_id=DEVICE_ID, seq=417, key=bytes(16))
    assert refused.value.reason is Reason.WRONG_AUTH
    for frame in (b"", FRAME[:-1], FRAME + b"\0"):
        with pytest.raises(Refused, match="wrong length: a downlink frame has 15 bytes") as refused:
            downlink.decode(frame, **ADDRESS)
        assert refused.value.reason is Reason.WRONG_LENGTH


@pytest.mark.parametrize(
    ("change", "said"),
    [({"device_id": 2**32}, "32 bits"), ({"seq": -1}, "0 to 4095"), ({"key": b"short"}, "16 bytes, not 5")],
)
def test_what_cannot_be_sent_is_refused_with_a_reason(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        downlink.encode(PAYLOAD, **ADDRESS | change)
    with pytest.raises(ValueError, match=said):
        downlink.decode(FRAME, **ADDRESS | change)
    with pytest.raises(ValueError, match="8 bytes, not 7"):
        downlink.encode(PAYLOAD[1:], **ADDRESS)
