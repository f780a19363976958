"""What the core remembers of a device: where it stands, its numbers, until when it listens."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.radio import model
from simulator.radio.core import Core
from simulator.sigfox.downlink import decode as decode_downlink
from simulator.sigfox.uplink import Uplink, encode

A, B = "0012AB34", "FFFFFFFF"
KEY = bytes(range(16))
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


def in_frames(
    core: Core, seq: int, payload: bytes | bool = b"\1\2", *, key: bytes = KEY, replicas: Any = slice(None), **how: Any
) -> list[dict[str, Any]]:
    """What comes of a message that a modem radiates in frames."""
    sent = Uplink(int(A, 16), seq, payload, how.pop("asks_downlink", False))
    radiated = b"".join(encode(sent, key)[replicas])
    when = {"came_before": False, "monotonic_s": 100, "unix_s": 1_800_000_000.9} | how
    return [json.loads(delivery.body) for delivery in core.frames(A, radiated, **when)]


def make_framed_core(**options: float) -> Core:
    return Core(
        seed=1,
        stations=5,
        impairments=model.Impairments(loss=options.pop("loss", 0)),
        listen_s=25,
        keys={A: KEY, B: bytes(16)},
    )


def test_frames_are_delivered_under_their_own_number_and_with_what_they_ask() -> None:
    core = make_framed_core()
    [quiet], [asks] = in_frames(core, 416), in_frames(core, 417, asks_downlink=True)
    assert [quiet["seqNumber"], quiet["data"], quiet["ack"], quiet["device"]] == [416, "0102", False, A]
    assert [asks["seqNumber"], asks["data"], asks["ack"]] == [417, "0102", True]
    assert {copy["nbRep"] for copy in quiet["duplicates"]} == {3}
    assert in_frames(core, 418, True)[0]["data"] == "01"
    assert in_frames(core, 419, b"")[0]["data"] == ""


@pytest.mark.parametrize("replica", [0, 1, 2])
def test_any_one_replica_is_enough(replica: int) -> None:
    [body] = in_frames(make_framed_core(), 1, replicas=slice(replica, replica + 1))
    assert body["data"] == "0102"
    assert {copy["nbRep"] for copy in body["duplicates"]} == {1}


def test_damaged_replicas_are_counted_and_the_rest_is_heard() -> None:
    core = make_framed_core()
    radiated = bytearray(b"".join(encode(Uplink(int(A, 16), 7, b"\1"), KEY)))
    radiated[5] ^= 1
    radiated[15] ^= 1
    [delivery] = core.frames(A, bytes(radiated), came_before=False, monotonic_s=0, unix_s=0)
    assert json.loads(delivery.body)["duplicates"][0]["nbRep"] == 1
    assert core.counters["unreadable"] == 2


def test_frames_that_no_network_would_take_are_refused_by_name() -> None:
    core = make_framed_core()
    mine, other = (encode(Uplink(int(A, 16), seq, b"\1"), KEY) for seq in (1, 2))
    of_b = encode(Uplink(int(B, 16), 1, b"\1"), KEY)
    for device, radiated, said in (
        (A, b"", "0 bytes are not one to 3 frames"),
        (A, bytes(15), "radiates no frame: no preamble"),
        (A, mine[0][:-1] + b"\0", "radiates no frame: wrong CRC"),
        (A, mine[0] + other[1], "frames of different messages"),
        (A, of_b[0], "0012AB34 radiates frames of FFFFFFFF"),
        (B, of_b[0], "FFFFFFFF #1: wrong auth"),
        ("00000001", mine[0], "no network key of 00000001 is known"),
        ("+", mine[0], "8 upper-case hex digits"),
    ):
        with pytest.raises(model.Refused, match=said):
            core.frames(device, radiated, came_before=False, monotonic_s=0, unix_s=0)


@given(st.binary(max_size=80))
def test_noise_in_place_of_frames_is_refused(noise: bytes) -> None:
    with pytest.raises(model.Refused):
        make_framed_core().frames(A, noise, came_before=False, monotonic_s=0, unix_s=0)


def test_a_message_in_frames_is_taken_once_unless_the_broker_repeats_it() -> None:
    core = make_framed_core()
    assert len(in_frames(core, 5)) == len(in_frames(core, 6)) == 1
    for old in (5, 6):
        with pytest.raises(model.Refused, match=f"sequence number {old}"):
            in_frames(core, old)
        assert len(in_frames(core, old, came_before=True)) == 1
    assert len(in_frames(core, 7)) == 1


def test_a_counter_that_was_reset_silences_a_device_until_enough_days_went_by() -> None:
    core, day = make_framed_core(), 86_400
    in_frames(core, 3000, unix_s=0)
    with pytest.raises(model.Refused, match="out of sequence: 1097 above 3000, and 420 is the most"):
        in_frames(core, 1, unix_s=day)
    with pytest.raises(model.Refused, match="and 900 is the most"):
        in_frames(core, 1, unix_s=3 * day)
    assert len(in_frames(core, 1, unix_s=4 * day)) == 1


def test_a_message_in_frames_is_answered_in_a_frame_while_its_device_listens() -> None:
    core = make_framed_core()
    in_frames(core, 9)
    assert core.downlink(A, ANSWER, monotonic_s=100) is None  # it did not ask
    in_frames(core, 10, asks_downlink=True)
    answer = core.downlink(A, ANSWER, monotonic_s=125)
    assert answer is not None
    assert core.listens_for_frames(A)
    read = decode_downlink(answer, device_id=int(A, 16), seq=10, key=KEY)
    assert read.payload.hex() == "0011223344556677"
    assert core.downlink(A, ANSWER, monotonic_s=125.1) is None
    uplink(core, A, monotonic_s=200)
    assert core.downlink(A, ANSWER, monotonic_s=200) == bytes.fromhex("0011223344556677")
    assert not core.listens_for_frames(A)


@pytest.mark.parametrize(
    ("last", "heard", "days", "taken"),
    [
        (0, 1, 0, True),
        (0, 420, 0, True),
        (0, 421, 0, False),
        (4095, 0, 0, True),
        (4095, 419, 1, True),
        (4095, 420, 1, False),
        (5, 5, 100, False),
        (5, 4, 0, False),
        (5, 4, 14, True),
        (0, 900, 3, True),
        (0, 901, 3, False),
    ],
)
def test_the_window_of_sequence_numbers_is_sigfoxs(last: int, heard: int, days: int, taken: bool) -> None:
    if taken:
        model.check_sequence(last, heard, days * 86_400)
    else:
        with pytest.raises(model.Refused, match=f"sequence number {heard}"):
            model.check_sequence(last, heard, days * 86_400)
