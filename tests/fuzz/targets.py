"""What is fuzzed: every parser of what comes from outside, and what must hold of all that it lets through.

A target takes any bytes. What the parser refuses in the way that it says is no finding; any other exception is, and so
is a result that breaks what the parser promises. `tests.fuzz.__main__` runs the targets for hours under atheris,
`test_targets` for seconds under Hypothesis.
"""

import io
import json
import logging
import random
import socket
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import cast

import pydantic
import sqlalchemy as sa
from PIL import Image

import cloud.fleet.store as fleet
from cloud import database
from cloud.fleet.model import check_place, format_id, parse_id
from cloud.frames.model import Result
from cloud.ingest.callbacks import BODY_LIMIT, MOST_AT_ONCE, split
from cloud.ingest.callbacks import Refused as NotTaken
from cloud.ingest.keys import Keys
from cloud.ingest.line import Line, publish_packet
from cloud.ingest.mqtt import _device
from cloud.ingest.receive import Limits, Message, receive
from cloud.ingest.sigfox import FIELDS, SIZE_LIMIT, read_callback
from cloud.ingest.uplink import MAX_COUNTER, Kind, Rejected, open_uplink, read_header
from cloud.places.model import LINE_LENGTH, Address, AddressError
from cloud.rawlog.model import Damaged, from_line, to_line
from cloud.settings import Settings
from cloud.stamps import item, model, s10
from cloud.stamps.lease import Lease
from cloud.stamps.reader.picture import LONGEST, Unreadable, open_picture
from cloud.tables import cloud as _tables  # noqa: F401  all tables, before they are made
from simulator.keys import read_keys
from simulator.modem import Chip, Counter, Fault, HungUp, Modem, NoBroker
from simulator.radio import model as radio
from simulator.radio.core import Core
from simulator.sigfox import downlink, frame, uplink
from tests.sealing import callback, seal, seal_body

DEVICE, KEYS, NETWORK_KEY = 0x0012AB34, Keys(bytes(range(32))), bytes(range(16))
KEY = KEYS.device_key(DEVICE, 0)
RENAMED = {"device": "id", "time": "ts", "data": "d"}
SECRET = "not-to-be-told-0123456789"


@dataclass(frozen=True, slots=True)
class Target:
    """`share` is of a hundred inputs of a long run; `seeds` are what good input looks like."""

    name: str
    run: Callable[[bytes], None]
    share: float
    seeds: Sequence[bytes]
    longest: int = 1024  # bytes of an input


def _callback(data: bytes) -> None:
    """A callback's body, with and without a topic and a field map, as the first byte says."""
    how, payload = data[0] if data else 0, data[1:]
    topic = ("0012AB34", "12ab34", "no id", "")[how >> 1 & 3] if how & 8 else None
    try:
        reception = read_callback(payload, topic, RENAMED if how & 1 else {})
    except Rejected as rejected:
        assert rejected.result is Result.MALFORMED
        assert len(rejected.reason) < 200
        return
    assert 0 <= reception.device < 2**32
    assert len(reception.data) <= SIZE_LIMIT
    assert reception.heard_at is None or 2000 <= reception.heard_at.year <= 2200
    assert reception.seq_number is None or 0 <= reception.seq_number <= 0xFFFF
    assert [c.rssi for c in reception.copies] == sorted((c.rssi for c in reception.copies), reverse=True)


def _batch(data: bytes) -> None:
    """An HTTP body as it comes: one callback, a list or lines of them, a form, a query string."""
    try:
        messages = split(data[:BODY_LIMIT])
    except NotTaken as refused:
        assert refused.status == 413
        return
    assert 1 <= len(messages) <= MOST_AT_ONCE
    for message in messages:
        _callback(b"\0" + message)


def _mqtt(data: bytes) -> None:
    """A topic, a zero byte, a payload: as they come off the line, to what ingest makes of them."""
    topic, _, payload = data.partition(b"\0")
    try:
        read_callback(payload, _device(topic))
    except Rejected as rejected:
        assert rejected.result is Result.MALFORMED


class _Pieces:
    """A socket that has `data`, a piece at a time, and ends."""

    def __init__(self, data: bytes) -> None:
        size = 1 + (data[0] if data else 0)
        self._left = [data[at : at + size] for at in range(0, len(data), size)]

    def recv(self, _most: int) -> bytes:
        return self._left.pop(0) if self._left else b""


def _line(data: bytes) -> None:
    """Whatever a broker sends: every byte comes out once and in its place, to paho or in a message."""
    line, rest = Line(cast(socket.socket, _Pieces(data))), data
    while True:
        for _, *said in line.take(3):
            for part in said:
                rest = rest[rest.index(part) + len(part) :]
        if line.is_theirs:
            theirs = line.recv(5)
            if not theirs:
                return
            rest = rest[rest.index(theirs) + len(theirs) :]
        else:
            line.fill()


def _uplink(data: bytes) -> None:
    """Twelve bytes or not; or, where the first byte is odd, any body and header under a right seal."""
    if len(data) > 8 and data[0] & 1:
        counter = int.from_bytes(data[1:5], "big") or 1
        bits = int.from_bytes(data[5:8], "big")
        sealed = seal_body(bits, device=DEVICE, key=KEY, counter=counter, header=data[8])
        last = counter - 1
    else:
        sealed, last, counter = data[1:], 41, None
    try:
        read_header(sealed)
        opened = open_uplink(sealed, device=DEVICE, key=KEY, last_counter=last)
    except Rejected as rejected:
        assert rejected.result in (Result.MALFORMED, Result.BAD_SEAL)
        return
    assert counter in (None, opened.counter)
    assert 1 <= opened.counter <= MAX_COUNTER
    assert opened.kind in Kind
    assert 0 <= opened.parcels <= 7
    assert opened.kind is not Kind.PICKUP or opened.parcels


def _id(data: bytes) -> None:
    text = _text(data)
    try:
        device = parse_id(text)
    except ValueError as error:
        assert len(str(error)) < 500
        return
    assert parse_id(format_id(device)) == device < 2**32


def _stamp(data: bytes) -> None:
    """What a person typed or a scanner read of a parcel."""
    text = _text(data)
    try:
        code = model.parse(text)
    except ValueError:
        pass
    else:
        assert model.parse(model.format_pairs(code)) == code == model.code_of(model.number_of(code))
    try:
        number = s10.parse(text)
    except ValueError:
        pass
    else:
        assert s10.parse(number.grouped) == s10.parse(str(number)) == number
    try:
        marks = item.read_marks(text)
    except ValueError:
        return
    assert marks.code is not None or marks.pickup_id is not None
    if marks.pickup_id is not None:
        assert item.pickup_of(item.parcel_number(marks.pickup_id)) == marks.pickup_id


def _address(data: bytes) -> None:
    """Six typed lines; one that is accepted is accepted again as it stands."""
    lines = _text(data).split("\n")
    if data[:1] != b"\n":
        lines = (lines + [""] * 6)[:6]  # else hardly anything would have six
    try:
        address = Address.of(lines)
    except AddressError as error:
        assert error.errors
        return
    assert len(address.lines) == 6
    assert all(len(line) <= LINE_LENGTH and line.isprintable() for line in address.lines)
    assert Address.of(address.lines) == address


def _place(data: bytes) -> None:
    try:
        place = check_place(_text(data))
    except ValueError:
        return
    assert check_place(place) == place
    assert place.isprintable()


def _settings(data: bytes) -> None:
    """Settings by name as TOML and the environment give them; whatever is wrong with them, a secret is not told.

    Each line is the number of a setting, as a byte, and its value, JSON or plain text.
    """
    names = sorted(set(Settings.model_fields) - {"data_dir"})
    given: dict[str, object] = {}
    for line in data.split(b"\n")[:4]:
        text = _text(line[1:])
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        if line:
            given[names[line[0] % len(names)]] = value
    given |= {"callback_secret": SECRET, "database_url": SECRET}
    try:
        chosen = Settings(**given)  # pyright: ignore[reportArgumentType]  pydantic checks them
    except (pydantic.ValidationError, ValueError) as error:
        assert SECRET not in str(error)
        return
    assert SECRET not in repr(chosen)
    assert chosen.host
    assert not set(chosen.callback_fields) - set(FIELDS)


class _Sink:
    """An air on which every message is answered by the bytes at hand, or by none."""

    def __init__(self, answers: Sequence[bytes]) -> None:
        self._answers = list(answers)

    def radiate(self, replicas: bytes) -> None:
        if not self._answers:
            raise NoBroker

    def hear(self, patience_s: float) -> bytes | None:
        return self._answers.pop() if self._answers else None


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="domino-fuzz-")


def _modem(data: bytes) -> None:
    """Bytes on its UART: the first chooses the fault, and what is after the last zero byte is heard on the air."""
    how, typed, heard = data[0] if data else 0, *data[1:].rpartition(b"\0")[::2]
    ticks = map(float, count())
    modem = Modem(
        Chip(DEVICE, NETWORK_KEY),
        Counter(Path(_folder().name, "modem.counter")),
        _Sink([heard[start : start + 15] for start in range(0, len(heard), 15)][:4]),
        scale=0,
        rx_form=("plain", "plus", "begin-end", "bare")[how & 3],
        fault=list(Fault)[how >> 2 & 7],
        sleep=lambda seconds: None,
        now=ticks.__next__,
    )
    try:
        for byte in typed:
            for said in modem.take(bytes([byte])):
                assert said
    except HungUp:
        assert modem.fault is Fault.CUT_OFF


@cache
def _core() -> Core:
    logging.getLogger("simulator").setLevel(logging.CRITICAL)
    nothing = radio.Impairments()
    return Core(seed=1, stations=5, impairments=nothing, listen_s=30, keys={format_id(DEVICE): NETWORK_KEY})


def _air(data: bytes) -> None:
    """A message on `air/` or an answer from the cloud, for a device that is named or not."""
    how, payload = data[0] if data else 0, data[1:]
    name, _, rest = payload.partition(b"/")
    device = format_id(DEVICE) if how & 4 else _text(name)
    if how & 4:
        rest = payload
    core = _core()
    try:
        match how & 3:
            case 0:
                said = core.uplink(device, rest, monotonic_s=1.0, unix_s=1.0)
            case 1:
                said = core.frames(device, rest, came_before=bool(how & 8), monotonic_s=1.0, unix_s=1.0)
            case _:
                answer = core.downlink(device, rest, monotonic_s=1.0)
                assert answer is None or len(answer) in (8, 15)
                return
    except radio.Refused:
        return
    finally:
        for other in [one for one in core._devices if one != format_id(DEVICE)]:
            del core._devices[other]  # the fleet of a real network is not made of noise
    assert all(read_callback(one.body).data is not None for one in said)


def _frame(data: bytes) -> None:
    """Either half of Sigfox's own framing; a frame that is read is the one that its content makes."""
    try:
        received = uplink.decode(data, NETWORK_KEY)
    except frame.Refused:
        pass
    else:
        made = uplink.encode(received.uplink, NETWORK_KEY)[received.replica - 1]
        assert received.auth_is is uplink.Auth.WRONG or made == data
    try:
        answer = downlink.decode(data, device_id=DEVICE, seq=7, key=NETWORK_KEY)
    except frame.Refused:
        return
    assert len(answer.payload) == 8


def _network_keys(data: bytes) -> None:
    path = Path(_folder().name, "keys.json")
    path.write_bytes(data)
    try:
        keys = read_keys(path)
    except ValueError:
        return
    assert all(len(key) == 16 and len(device) == 8 for device, key in keys.items())


def _log_line(data: bytes) -> None:
    """A line of a shipped log; what is read is written the same."""
    try:
        entry = from_line(_text(data))
    except Damaged:
        return
    assert from_line(to_line(entry)) == entry


def _picture(data: bytes) -> None:
    try:
        colours = open_picture(data)
    except Unreadable as error:
        assert len(str(error)) < 200
        return
    assert colours.ndim == 3
    assert max(colours.shape[:2]) <= LONGEST


@cache
def _fleet() -> sa.Engine:
    engine = database.connect("sqlite://")
    database.metadata.create_all(engine)
    with engine.begin() as conn:
        fleet.add(conn, id=DEVICE, place=None, claim_code="code", now=database.now())
    return engine


def _receive(data: bytes) -> None:
    """The whole way of a batch, on a real database: lines are messages, and every one ends with a named result."""
    batch = [Message("mqtt", format_id(DEVICE) if n & 1 else None, line) for n, line in enumerate(data.split(b"\n"))]
    with _fleet().connect() as conn, conn.begin() as transaction:
        outcomes = receive(conn, batch[:20], keys=KEYS, limits=Limits(), lease=Lease(), now=database.now())
        assert all(outcome.result in Result for outcome in outcomes)
        transaction.rollback()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _images() -> list[bytes]:
    drawn = Image.effect_noise((60, 40), 40)
    made = []
    for form, mode in (("PNG", "L"), ("PNG", "P"), ("PNG", "RGBA"), ("JPEG", "RGB"), ("WEBP", "RGB")):
        file = io.BytesIO()
        drawn.convert(mode).save(file, form)
        made.append(file.getvalue())
    return made


def _seeds() -> dict[str, list[bytes]]:
    rng = random.Random(1)
    sealed = [seal(device=DEVICE, key=KEY, counter=n, kind=kind) for n in (1, 42, 70_000) for kind in ("pickup", "ask")]
    told = [callback(DEVICE, one) for one in sealed[:3]]
    form = b"id=12ab34&time=1700000000&data=" + sealed[0].hex().encode() + b"&seqNumber=7&ack=true&lqi=2"
    renamed = json.dumps({"id": "12AB34", "ts": "1700000000", "d": sealed[0].hex()}).encode()
    up = uplink.encode(uplink.Uplink(DEVICE, 7, bytes(12), True), NETWORK_KEY)
    down = downlink.encode(bytes(range(8)), device_id=DEVICE, seq=7, key=NETWORK_KEY)
    answer = json.dumps({"device": "0012AB34", "downlinkData": "0011223344556677"}).encode()
    address = "Mme Claire Morvan\n\n\n12 rue de l'Église\n\n35400 Saint-Malo"
    return {
        "callback": [b"\0" + told[0], b"\x08" + told[1], b"\0" + form, b"\1" + renamed],
        "batch": [b"[" + b",".join(told) + b"]", b"\n".join(told), form, form + b"\n" + form, told[0]],
        "mqtt": [b"sigfox/0012AB34/up\0" + told[0], b"sigfox/0012AB34/up\0" + form],
        "line": [
            b"\x90\x03\0\1\1" + publish_packet(b"sigfox/0012AB34/up", told[0], 1) + b"\x40\2\x80\0\xd0\0",
            b"\x20\2\0\0" + publish_packet(b"a", b"b", 2) * 3 + publish_packet(b"", bytes(300), 65535),
        ],
        "uplink": [b"\0" + one for one in sealed] + [b"\1" + rng.randbytes(8) for _ in range(4)],
        "id": [b"0012AB34", b"12ab34", b" 1 "],
        "stamp": [b"7K 4F 2M 9X", b"CD 0060 4127 2 FR", b"7K4F2M9XCD006041272FR", b"oisz-oisz"],
        "address": [address.encode()],
        "place": [b"35 Rennes PIC", "Saint-Étienne".encode()],
        "settings": [
            bytes([number]) + value
            for number in range(len(Settings.model_fields) - 1)
            for value in (b"8710", b"mqtt://user:pw@host:1883", b'{"device": "id"}', b'["185.110.96.0/22"]', b"json")
        ],
        "modem": [b"\0AT\rAT$I=10\rAT$SF=00112233,1\r\0" + down, b"\x04AT$SB=1\r\0" + down, b"\0AT$P=1\r\0"],
        "air": [b"\4" + sealed[0], b"\5" + b"".join(up), b"\6" + answer, b"\x000012AB34/" + sealed[1]],
        "frame": [*up, down, *uplink.encode(uplink.Uplink(DEVICE, 8, True), NETWORK_KEY)],
        "network-keys": [json.dumps({"0012AB34": NETWORK_KEY.hex()}).encode()],
        "log-line": [
            b'{"frame":7,"after":6,"at":1796029200000,"carrier":"mqtt","topic":"0012AB34","raw":"{}","limits":[140,4],'
            b'"result":"accepted","device":1223476,"generation":0,"counter":1,"kind":"pickup","pickup":5,'
            b'"answer":"0011223344556677"}',
            b'{"move":12,"at":1796029200000,"pickup":5,"event":"confirmed","actor":"staff","addressee":["","","",""]}',
            b'{"stamp":"00112233445566778899aabbccddeeff","pickup":5,"state":"live","minted":1,"changed":2,"piece":"P"}',
        ],
        "picture": _images(),
        "receive": [told[0], b"\n".join(told), told[0] + b"\n" + told[0]],
    }


SHARES: dict[str, tuple[Callable[[bytes], None], float]] = {
    "callback": (_callback, 19),
    "batch": (_batch, 10),
    "mqtt": (_mqtt, 5),
    "line": (_line, 5),
    "uplink": (_uplink, 16),
    "id": (_id, 5),
    "stamp": (_stamp, 12),
    "address": (_address, 9),
    "place": (_place, 3),
    "settings": (_settings, 2),
    "modem": (_modem, 3),
    "air": (_air, 3.5),
    "frame": (_frame, 6),
    "network-keys": (_network_keys, 1),
    "log-line": (_log_line, 1),
    "picture": (_picture, 0.2),
    "receive": (_receive, 0.3),
}


@cache
def targets() -> dict[str, Target]:
    """All, by name."""
    seeds = _seeds()
    longer = {"picture": 8192, "batch": 4096, "receive": 2048}
    return {
        name: Target(name, run, share, seeds[name], longer.get(name, 1024)) for name, (run, share) in SHARES.items()
    }


def shares(total: int) -> dict[str, int]:
    """How many inputs of `total` each target gets."""
    whole = sum(share for _, share in SHARES.values())
    return {name: max(1, round(total * share / whole)) for name, (_, share) in SHARES.items()}
