import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.frames.model import Copy, Result
from cloud.ingest.sigfox import read_callback
from cloud.ingest.uplink import Rejected
from tests.sealing import callback

DATA = bytes(range(12))


def read(said: object, device: str = "0012AB34"):
    return read_callback(said if isinstance(said, bytes) else json.dumps(said).encode(), device)


def test_a_callback_is_read():
    heard = read(callback(0x12AB34, DATA, seq=7))
    assert (heard.device, heard.data, heard.seq_number, heard.listens, heard.lqi) == (
        0x12AB34,
        DATA,
        7,
        True,
        "excellent",
    )
    assert heard.heard_at == datetime.fromtimestamp(1_700_000_000, UTC)
    assert heard.copies == (Copy("1F08", -117.0, 3), Copy("1F11", -121.5, 2))


def test_ids_come_in_any_case_and_without_their_zeros():
    assert read({"device": "12ab34", "data": DATA.hex()}).device == 0x12AB34


def test_numbers_and_truth_come_as_strings():
    heard = read(
        {"data": DATA.hex(), "time": "1700000000", "seqNumber": "486", "ack": "true", "rssi": "-97", "station": "A"}
    )
    assert (heard.seq_number, heard.listens, heard.copies) == (486, True, (Copy("A", -97.0, 1),))
    assert not read({"data": DATA.hex(), "ack": "false"}).listens


def test_a_message_without_side_fields_is_still_a_message():
    heard = read({"data": DATA.hex()})
    assert (heard.heard_at, heard.seq_number, heard.listens, heard.lqi, heard.copies) == (None, None, False, None, ())


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (b"\xff\xfe{", "not JSON"),
        (b"{", "not JSON"),
        (b"[" * 100_000, "bytes; a callback"),
        (b"[" * 50_000, "not JSON"),
        (b"1" * 5_000, "not JSON|int instead"),
        (b"[1]", "list instead of an object"),
        ({}, "no data"),
        (b"data=00&device=xyz", "not an id"),
        (b"a=1&" * 300, "neither JSON nor a form"),
        ("device=\xe9".encode(), "neither JSON nor a form"),
        ({"data": 12}, "not a string"),
        ({"data": "zz" * 12}, "not hex"),
        ({"data": "0"}, "not hex"),
        ({"data": "00", "device": "0012AB35"}, "topic of 0012AB34, device"),
        ({"data": "00", "device": "not an id"}, "not an id"),
        (b"x" * 1_000_000, "1000000 bytes"),
    ],
)
def test_what_is_wrong_is_said(said, says):
    with pytest.raises(Rejected, match=says) as caught:
        read(said)
    assert caught.value.result is Result.MALFORMED


def test_a_topic_without_a_device_is_malformed():
    with pytest.raises(Rejected, match="not an id"):
        read({"data": DATA.hex()}, device="hello")


@pytest.mark.parametrize(
    "text",
    [
        b"id=153FF&data=%b&time=1700000000&seq=486&ack=1&station=1F08&rssi=-117.5",
        b"device=000153ff&payload=%b&timestamp=1700000000000&seqNumber=486&ack=true&bsId=1F08&rssi=-117.5",
        b'duplicates=[{"bsId":"1F08","rssi":-117.5}]&deviceId=153ff&data=%b&time=1700000000&seqNumber=486&ack=true',
    ],
)
def test_forms_and_query_strings_are_read_by_their_usual_names(text):
    heard = read_callback(text % DATA.hex().encode())
    assert (heard.device, heard.data, heard.seq_number, heard.listens) == (0x153FF, DATA, 486, True)
    assert heard.heard_at == datetime.fromtimestamp(1_700_000_000, UTC)
    assert heard.copies == (Copy("1F08", -117.5, 1),)


def test_an_answer_bears_the_name_that_the_network_used():
    said = json.dumps({"device": "153FF", "data": DATA.hex()})
    assert read_callback(said.encode()).named == "153FF"


def test_a_field_map_says_what_other_names_mean():
    said = {"qui": "12ab34", "quoi": DATA.hex(), "numero": "7", "device": "nobody", "seqNumber": 9}
    heard = read_callback(json.dumps(said).encode(), renamed={"device": "qui", "data": "quoi", "seqNumber": "numero"})
    assert (heard.device, heard.data, heard.seq_number) == (0x12AB34, DATA, 7)


@pytest.mark.parametrize(
    ("said", "quality"),
    [
        ({"lqi": "Good"}, "good"),
        ({"lqi": 3}, "excellent"),
        ({"linkQuality": "0"}, "limit"),
        ({"lqi": 4}, None),  # not available, and nobody says who heard it
        ({"lqi": "NA", "station": "A", "rssi": -121}, "good"),
        ({"station": "A", "rssi": -136}, "limit"),
        ({"station": "A", "rssi": -130}, "average"),
        ({"duplicates": [{"bsId": s, "rssi": -130} for s in "ABC"]}, "good"),
        ({"duplicates": [{"bsId": s, "rssi": -121.9} for s in "ABC"]}, "excellent"),
        ({"duplicates": [{"bsId": s, "rssi": -122} for s in "ABC"]}, "good"),
    ],
)
def test_link_quality_comes_as_a_word_a_number_or_not_at_all(said, quality):
    assert read(said | {"data": DATA.hex()}).lqi == quality


side = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
names = st.sampled_from(["time", "seqNumber", "station", "rssi", "lqi", "ack", "duplicates", "other"])


@given(st.dictionaries(names, side))
def test_no_side_field_costs_a_press(fields):
    heard = read(json.dumps(fields | {"data": DATA.hex()}).encode())
    assert heard.data == DATA
    assert all(-200 <= copy.rssi <= 50 and copy.station.isascii() for copy in heard.copies)


@given(st.binary(max_size=300))
def test_noise_never_crashes(noise):
    with pytest.raises(Rejected):
        read(noise + b"\x00")
