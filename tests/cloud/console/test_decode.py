"""The frame bench: bytes explained, and tried against a button's keys; the documents beside it."""

import contextlib
import doctest
import json
import re
from html import unescape
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cloud.frames.store
import cloud.pickups.store
from cloud import database
from cloud.accounts.model import Role
from cloud.console import documents, explain
from cloud.console.radio_frame import TYPES, NoFrame, read_frame
from cloud.ingest.uplink import open_uplink
from tests.cloud.console.service import BUTTON, KEYS, Service
from tests.sealing import seal

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "sigfox-frames.json").read_text())
REPLICAS = [(one, at) for one in VECTORS["uplink"] for at in range(3)]


def words(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


def newest(service: Service) -> tuple[bytes, bytes]:
    """The bytes of the newest frame and of its answer."""
    with database.reading(service.engine) as conn:
        frame = cloud.frames.store.newest(conn)[0]
    assert frame.data is not None
    assert frame.downlink is not None
    return frame.data, frame.downlink


@pytest.mark.parametrize(("vector", "at"), REPLICAS)
def test_a_sigfox_frame_is_read_as_its_vector_says(vector, at: int):
    frame = read_frame(bytes.fromhex(vector["frames"][at]))
    assert frame.replica == at + 1
    assert f"{frame.device:08x}" == vector["device_id"]
    assert (frame.seq, frame.asks_downlink) == (vector["seq"], vector["downlink_request"])
    assert (frame.auth.hex(), frame.crc.hex(), frame.length_indicator) == (
        vector["auth"],
        vector["crc16"],
        vector["li"],
    )
    mode = "bytes" if frame.bit is None else f"bit{frame.bit:d}"
    assert (mode, frame.payload.hex()) == (vector["mode"], vector["payload"] or "")


@given(st.sampled_from(REPLICAS), st.integers(0, 26 * 8 - 1))
def test_a_flipped_bit_of_a_frame_is_noticed(replica, flip: int):
    vector, at = replica
    data = bytearray.fromhex(vector["frames"][at])
    data[flip // 8 % len(data)] ^= 1 << flip % 8
    with pytest.raises(NoFrame):
        read_frame(bytes(data))


@given(
    st.one_of(
        st.binary(max_size=40), st.sampled_from(sorted(TYPES)).flatmap(lambda n: st.binary(min_size=n, max_size=n))
    )
)
def test_noise_is_no_frame_or_one_that_can_be_explained(data: bytes):
    try:
        frame = read_frame(data)
    except NoFrame:
        return
    assert explain.explain_radio(frame)


@given(st.text(max_size=200))
def test_whatever_is_pasted_is_read_or_told_to_be_unreadable(text: str):
    with contextlib.suppress(explain.Unreadable):
        assert explain.read_pasted(text).data


@given(st.binary(min_size=12, max_size=12))
def test_the_fields_of_a_message_cover_it_bit_for_bit(data: bytes):
    first, *rest = explain.explain_uplink(data, None)[:3]
    bits = first.raw + "".join(field.raw for field in rest)
    assert int(bits, 2) == data[0]
    counter, body, seal_field = explain.explain_uplink(data, None)[3:]
    assert bytes.fromhex(counter.raw + body.raw + seal_field.raw) == data[1:]


def test_the_fields_of_an_opened_body_are_its_24_bits():
    key = KEYS.device_key(BUTTON, 0)
    data = bytes(seal(device=BUTTON, key=key, counter=7, kind="pickup", parcels=5, battery_mv=2600, temperature_c=-7))
    opened = open_uplink(data, device=BUTTON, key=key, last_counter=0)
    fields = explain.explain_uplink(data, opened)[4:-1]
    assert [str(field.name) for field in fields][:4] == ["Kind", "Parcels", "Battery", "Temperature"]
    assert "".join(field.raw for field in fields)[:18] == f"{0:03b}{5:03b}{16:06b}{13:06b}"
    assert [str(field.meaning) for field in fields][1:4] == ["5", "2600 mV", "−7 °C"]


def test_a_message_that_was_taken_is_opened_and_led_to_its_order(service: Service):
    service.press(3)
    page = service.browser().get("/decode", params={"data": newest(service)[0].hex(), "button": "d1f3a7"})
    assert page.status_code == 200
    assert "opens Accepted at" in words(page.text)
    assert 'href="/pickups/1"' in page.text
    assert "2850 mV" in page.text
    assert 'href="/docs/wire-format#uplink-12-bytes"' in page.text


def test_a_callback_is_read_with_its_device_and_says_what_would_become_of_it(service: Service):
    service.press()
    key = service.keys.device_key(BUTTON, 0)
    said = {"kind": "alive", "parcels": 0, "battery_mv": 3000, "temperature_c": 1}
    data = bytes(seal(device=BUTTON, key=key, counter=2, **said))
    pasted = json.dumps({"device": "D1F3A7", "data": data.hex()})
    page = service.browser().get("/decode", params={"data": pasted})
    assert "Never accepted. It would be taken now: the last is 1." in words(page.text)


@pytest.mark.parametrize("data", ["", "00 01 AF 00 4A 14 19 E2 FC 56 AB C7"])
def test_without_a_button_it_stays_sealed(service: Service, data: str):
    page = words(service.browser().get("/decode", params={"data": data}).text)
    assert ("sealed: kind, parcels" in page) == bool(data)
    assert ("Nothing is sent, counted or changed." in page) == (not data)


def test_an_answer_is_found_by_the_message_that_it_answered(service: Service):
    assert service.press().downlink
    _, answer = newest(service)
    page = words(service.browser().get("/decode", params={"data": answer.hex(), "button": "00D1F3A7"}).text)
    assert "It answered message 1." in page
    assert "unclaimed: no customer has claimed this button" in page
    other = words(service.browser().get("/decode", params={"data": "00" * 8, "button": "00D1F3A7"}).text)
    assert "None of this button’s messages was answered with these bytes." in other


def test_what_cannot_be_read_is_told_at_its_field(service: Service):
    page = service.browser().get("/decode", params={"data": "00zz", "button": "x"})
    assert page.status_code == 422
    assert "“z” is no hex digit" in page.text
    assert "up to 8 hex digits" in page.text


def test_it_speaks_french(service: Service):
    data = "00 01 AF 00 4A 14 19 E2 FC 56 AB C7"
    page = words(service.browser().get("/decode", params={"data": data, "lang": "fr"}).text)
    assert "scellé : nature, colis" in page.replace("\xa0", " ")


def test_the_documents_are_served_with_the_paragraphs_that_are_pointed_to(service: Service):
    browser = service.browser(Role.VIEWER)
    data = bytes(12)
    fields = [*explain.explain_uplink(data, None), *explain.explain_answer(data[:8], None)]
    radio = explain.explain_radio(read_frame(bytes.fromhex(VECTORS["uplink"][0]["frames"][0])))
    for address in {field.paragraph for field in (*fields, *radio)}:
        path, _, anchor = address.partition("#")
        page = browser.get(path)
        assert page.status_code == 200
        assert f'id="{anchor}"' in page.text, address
    assert browser.get("/docs/security").status_code == 404
    assert browser.get("/docs/..%2F..%2Fpyproject").status_code == 404


def test_links_between_documents_lead_to_what_is_here_alone(service: Service):
    page = service.browser().get("/docs/wire-format").text
    assert 'href="/docs/sigfox"' in page
    assert "decisions/" not in page


def test_the_examples_are_true():
    assert doctest.testmod(documents).failed == 0
