import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from cloud import database
from cloud.console.bits import drawing
from cloud.fleet.model import parse_id
from cloud.frames.model import Frame, Result
from cloud.ingest.uplink import UP, nonce
from tests.sealing import VECTORS


def a_frame(data: bytes | None, **proven: object) -> Frame:
    known: dict[str, object] = dict.fromkeys(Frame.__slots__) | {
        "id": 1, "received_at": database.now(), "carrier": "mqtt", "result": Result.ACCEPTED, "reason": "",
        "listens": True, "copies": (), "data": data,
    }  # fmt: skip
    return Frame(**known | proven)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("vector", VECTORS["uplinks"], ids=lambda vector: vector["uplink"])
def test_the_drawn_body_is_the_body_that_was_sealed(vector):
    data = bytes.fromhex(vector["uplink"])
    key, nonce_ = bytes.fromhex(vector["device_key"]), nonce(UP, parse_id(vector["device_id"]), vector["counter"])
    body = AESCCM(key, tag_length=6).decrypt(nonce_, data[3:], data[:1])
    names = ("counter", "kind", "parcels", "battery_mv", "temperature_c", "reset_cause", "link_failures")

    drawn = drawing(a_frame(data, **{name: vector[name] for name in names}))

    assert drawn is not None
    assert "".join(cell.bit for cell in drawn.body) == f"{int.from_bytes(body):024b}"
    assert "".join(cell.bit for cell in (*drawn.head, *drawn.seal)) == f"{int.from_bytes(data):096b}"
    assert str(drawn.fields[0].meaning) == vector["kind"]
    assert drawn.hex.replace(" ", "").lower() == vector["uplink"]


def test_a_frame_whose_seal_was_wrong_shows_its_bytes_and_no_body():
    drawn = drawing(a_frame(bytes.fromhex("0000027e5d76ad50a56eb797"), result=Result.BAD_SEAL))

    assert drawn is not None
    assert drawn.body == drawn.fields == ()
    assert [str(brace.text) for brace in drawn.braces][-1] == "sealed"


@pytest.mark.parametrize("data", [None, b"", bytes(11), bytes(13)])
def test_what_has_not_twelve_bytes_is_not_drawn(data):
    assert drawing(a_frame(data)) is None
