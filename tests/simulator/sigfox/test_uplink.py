"""Uplink frames against golden vectors, and laws: each replica reads alone, any flipped bit is noticed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.sigfox import uplink
from simulator.sigfox.frame import Reason, Refused
from simulator.sigfox.uplink import Auth, Uplink
from tests.simulator.sigfox.vectors import DEVICE_ID, KEY, UPLINKS, name_of, uplink_of

keys = st.binary(min_size=16, max_size=16)
uplinks = st.builds(
    Uplink,
    device_id=st.integers(0, 2**32 - 1),
    seq=st.integers(0, 4095),
    payload=st.booleans() | st.binary(max_size=12),
    asks_downlink=st.booleans(),
)
PAYLOADS = [False, True, *(bytes(range(length)) for length in range(13))]


def message(payload: bytes | bool, **fields: Any) -> Uplink:
    return Uplink(DEVICE_ID, 416, payload, **fields)


def framed(replica: int, packet: bytes) -> bytes:
    """`packet` as that replica, with a CRC made right."""
    signed = packet[: -uplink.CRC_BYTES]
    packet = signed + uplink._crc(signed)
    frame_type = uplink.TYPES[len(packet) - uplink.ADDRESS_BYTES - uplink.CRC_BYTES][replica - 1]
    head = (uplink.PREAMBLE << 12 | frame_type).to_bytes(4, "big")
    return head + uplink._convolved(packet, uplink.TAPS[replica - 1])


@pytest.mark.parametrize("vector", UPLINKS, ids=name_of)
def test_every_vector_is_encoded_to_the_bit_and_read_back_from_each_replica(vector: dict[str, Any]) -> None:
    key = bytes.fromhex(vector["key"])
    frames = uplink.encode(uplink_of(vector), key)
    assert [frame.hex() for frame in frames][: len(vector["frames"])] == vector["frames"]
    for number, frame in enumerate(frames, 1):
        received = uplink.decode(frame, key)
        assert (received.uplink, received.replica, received.auth_is) == (uplink_of(vector), number, Auth.RIGHT)
        if "auth" in vector:
            assert (received.auth.hex(), received.crc.hex()) == (vector["auth"], vector["crc16"])
            assert received.packet.hex() == vector["auth_input"] + vector["auth"] + vector["crc16"]
            assert received.uplink.length_indicator == vector["li"]
            assert uplink.airtime_s(frame) == vector["airtime_s_100bps"]


@given(uplinks, keys)
def test_each_replica_alone_tells_all_of_the_message(sent: Uplink, key: bytes) -> None:
    packets = set()
    for number, frame in enumerate(uplink.encode(sent, key), 1):
        received = uplink.decode(frame, key)
        assert (received.uplink, received.replica, received.auth_is) == (sent, number, Auth.RIGHT)
        packets.add(received.packet)
    assert len(packets) == 1


@pytest.mark.parametrize("payload", PAYLOADS, ids=repr)
@pytest.mark.parametrize("replica", [1, 2, 3])
def test_any_flipped_bit_is_noticed(payload: bytes | bool, replica: int) -> None:
    """By the checks of whoever has no key: the CRC is linear, so what holds of one content holds of all."""
    frame = uplink.encode(message(payload), KEY)[replica - 1]
    bits = int.from_bytes(frame, "big")
    for bit in range(8 * len(frame)):
        with pytest.raises(Refused):
            uplink.decode((bits ^ 1 << bit).to_bytes(len(frame), "big"))


def test_a_frame_has_one_of_five_lengths() -> None:
    lengths = [len(uplink.encode(message(payload), KEY)[0]) for payload in PAYLOADS]
    assert lengths == [14, 14, 14, 15, 18, 18, 18, 22, 22, 22, 22, 26, 26, 26, 26]


@given(uplinks, keys, keys)
def test_a_wrong_key_is_noticed_as_far_as_the_auth_reaches(sent: Uplink, key: bytes, other: bytes) -> None:
    for frame in uplink.encode(sent, key):
        assert uplink.decode(frame).auth_is is Auth.UNCHECKED
        received = uplink.decode(frame, other)
        assert received.auth_is is (Auth.RIGHT if uplink.encode(sent, other)[0][4:] == received.packet else Auth.WRONG)


@given(st.binary(max_size=30) | st.sampled_from(sorted(uplink.BODY_BYTES)).flatmap(lambda n: st.binary(min_size=n)))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(Refused):
        uplink.decode(noise)


@given(st.sampled_from(sorted(uplink.BODY_BYTES)).flatmap(lambda n: st.binary(min_size=n - 4, max_size=n - 4)))
def test_noise_under_a_right_crc_is_a_message_or_malformed_the_same_in_each_replica(packet: bytes) -> None:
    found = set()
    for replica in (1, 2, 3):
        try:
            received = uplink.decode(framed(replica, packet), KEY)
            assert framed(replica, received.packet) == framed(replica, packet)
            found.add(received.uplink)
        except Refused as refused:
            found.add(refused.reason)
    assert len(found) == 1
    assert found <= {Reason.MALFORMED} or isinstance(found.pop(), Uplink)


FRAME = uplink.encode(message(b"\xab\xad\x1d\xea"), KEY)[0]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", Reason.WRONG_LENGTH),
        (FRAME[:-1], Reason.WRONG_LENGTH),
        (FRAME + b"\0", Reason.WRONG_LENGTH),
        (b"\0" + FRAME[1:], Reason.NO_PREAMBLE),
        (FRAME[:3] + b"\0" + FRAME[4:], Reason.UNKNOWN_TYPE),
        (FRAME[:-1] + b"\0", Reason.WRONG_CRC),
        (framed(1, bytes.fromhex("11a0db334d00abad1deadc320000")), Reason.MALFORMED),  # the reserved bit
        (framed(1, bytes.fromhex("c1a0db334d00abad1deadc320000")), Reason.MALFORMED),  # LI 3: one byte of payload
        (framed(1, bytes.fromhex("41a0db334d0000b00000")), Reason.MALFORMED),  # LI 1 where a bit would be
        (framed(2, bytes.fromhex("c1a0db334d00ab00b00000")), Reason.MALFORMED),  # LI of a bit, and a byte
    ],
)
def test_what_is_wrong_has_a_name(frame: bytes, reason: Reason) -> None:
    with pytest.raises(Refused, match=f"^{reason}: .") as refused:
        uplink.decode(frame)
    assert refused.value.reason is reason


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"device_id": 2**32}, "32 bits"),
        ({"device_id": -1}, "32 bits"),
        ({"seq": 4096}, "0 to 4095"),
        ({"payload": bytes(13)}, "at most 12 bytes, not 13"),
    ],
)
def test_what_no_device_can_send_is_refused_with_a_reason(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Uplink(**{"device_id": 1, "seq": 1, "payload": b"", **fields})


def test_a_key_of_another_size_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="16 bytes, not 5") as refused:
        uplink.encode(message(b""), b"short")
    assert "short" not in str(refused.value)
