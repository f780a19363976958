"""Bytes explained: what somebody pasted, read as an uplink, an answer or a Sigfox frame, each field with its meaning.

What is sealed is explained as far as it is opened: see cloud/ingest/unseal.py.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cloud.console.bits import WOKEN_BY
from cloud.console.radio_frame import CRC_BYTES, HEAD_BYTES, NoFrame, RadioFrame, read_frame
from cloud.fleet.model import format_id, parse_id
from cloud.ingest.downlink import Status
from cloud.ingest.uplink import SIZE, Kind, Uplink, read_header
from cloud.words import N_, Said, words_of

MOST_TEXT = 2000  # characters
ANSWER_SIZE = 8  # bytes
WIRE, SIGFOX = "/docs/wire-format", "/docs/sigfox"

KINDS = {
    Kind.PICKUP: N_("so many parcels wait in my letterbox"),
    Kind.CANCEL: N_("take my open request back"),
    Kind.ALIVE: N_("the daily heartbeat"),
    Kind.BOOT: N_("power came back"),
    Kind.ASK: N_("what became of my request?"),
}
STATUSES = {
    Status.ACCEPTED: N_("the request is an order; minutes until the pickup is expected, 0: not known"),
    Status.UNCLAIMED: N_("no customer has claimed this button"),
    Status.CANCELLED: N_("the open request was taken back"),
    Status.REFUSED: N_("no pickup from here; a reason code"),
    Status.CONFIGURE: N_("a new heartbeat period, in hours"),
    Status.STATE: N_(
        "the answer to ask: 0 nothing open, 1 waits, 2 confirmed, 3 on the round, 4 collected, 5 not collected"
    ),
}


class Unreadable(ValueError):
    """What was pasted is no bytes; `said` tells why and what would be."""

    def __init__(self, said: Said) -> None:
        super().__init__(str(said))
        self.said = said


@dataclass(frozen=True, slots=True)
class Field:
    """`where` are bits or bytes as the wire format counts them, `raw` what stands there."""

    name: Said
    where: str
    raw: str
    meaning: Said | str
    paragraph: str  # of the wire format, by its address here


@dataclass(frozen=True, slots=True)
class Pasted:
    """The bytes, and the device that came with them where a callback or a frame names one."""

    data: bytes
    device: int | None = None
    radio: RadioFrame | None = None
    not_radio: Said | str = ""  # why it is no Sigfox frame, where that was tried


def read_pasted(text: str) -> Pasted:
    """Hex with any spaces between, or a callback's JSON; a Sigfox frame gives its payload. Raises `Unreadable`."""
    if len(text) > MOST_TEXT:
        raise Unreadable(N_("Longer than %(most)s characters: paste one message.", most=MOST_TEXT))
    device = None
    if text.lstrip().startswith("{"):
        text, device = _of_callback(text)
    digits = re.sub(r"0x|[\s:,_-]", "", text.lower())
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        odd = next((sign for sign in digits if sign not in "0123456789abcdef"), None)
        raise Unreadable(
            N_("“%(sign)s” is no hex digit: paste bytes such as 00 01 AF 00 4A 14 …", sign=odd)
            if odd
            else N_("An odd number of hex digits, %(count)s: one is missing or too many.", count=len(digits))
        ) from None
    if not data:
        raise Unreadable(N_("Nothing to read: paste the 12 bytes of a message, 8 of an answer, or a Sigfox frame."))
    if len(data) in (SIZE, ANSWER_SIZE):
        return Pasted(data, device)
    try:
        radio = read_frame(data)
    except NoFrame as reason:
        return Pasted(data, device, not_radio=words_of(reason))
    return Pasted(radio.payload, radio.device, radio)


def _of_callback(text: str) -> tuple[str, int | None]:
    try:
        said = json.loads(text)
        data = said["data"] if "data" in said else said["downlinkData"]
        return str(data), parse_id(str(said["device"])) if "device" in said else None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Unreadable(N_("It begins as JSON, but is no callback with “device” and “data”.")) from None


def explain_radio(frame: RadioFrame) -> list[Field]:
    """Every part of a Sigfox frame, in its order on the air."""
    up = f"{SIGFOX}#up"
    auth_at = 10 + len(frame.payload)
    crc_at = auth_at + len(frame.auth)
    flags = f"{frame.length_indicator << 14 | frame.asks_downlink << 13 | frame.seq:016b}"
    payload: Said | str = N_("%(count)s bytes, explained below", count=len(frame.payload))
    if frame.bit is not None:
        payload = N_("the single bit %(bit)s, told by the length indicator", bit=int(frame.bit))
    replica = N_(
        "replica %(replica)s of 3, a frame of %(count)s bytes", replica=frame.replica, count=crc_at + CRC_BYTES
    )
    asks = N_("the button listens for an answer") if frame.asks_downlink else N_("no answer is asked for")
    return [
        Field(N_("Preamble"), _bytes(0, 2) + ".5", "AAAAA", N_("ones and zeros, for the receiver to lock on"), up),
        Field(N_("Type"), f"2.5–{HEAD_BYTES - 1}", f"{frame.frame_type:03X}", replica, up),
        Field(N_("Length indicator"), "4", flags[:2], N_("says how much of what follows is payload"), up),
        Field(N_("Asks"), "4", flags[2], asks, up),
        Field(N_("Always 0"), "4", flags[3], "", up),
        Field(N_("Sequence number"), "4–5", flags[4:], N_("the network’s own count: %(seq)s", seq=frame.seq), up),
        Field(N_("Device"), "6–9", frame.device.to_bytes(4, "little").hex(" ").upper(), format_id(frame.device), up),
        Field(N_("Payload"), _bytes(10, len(frame.payload)), frame.payload.hex(" ").upper(), payload, up),
        Field(
            N_("Auth"),
            _bytes(auth_at, len(frame.auth)),
            frame.auth.hex(" ").upper(),
            N_("by the network’s key, which only the network has"),
            up,
        ),
        Field(N_("CRC"), _bytes(crc_at, CRC_BYTES), frame.crc.hex(" ").upper(), N_("right"), up),
    ]


def explain_uplink(data: bytes, opened: Uplink | None) -> list[Field]:
    """Every field of twelve bytes; those of the body where the seal was opened."""
    header = read_header(data)
    bits = f"{data[0]:08b}"
    low: Said = N_("low 16 bits: %(low)s", low=header.low_counter)
    if opened:
        low = N_("low 16 bits of %(counter)s", counter=opened.counter)
    fields = [
        Field(N_("Version"), "0, 7–6", bits[:2], _version(header.version), f"{WIRE}#header"),
        Field(N_("Key generation"), "0, 5–4", bits[2:4], str(header.key_generation), f"{WIRE}#header"),
        Field(N_("Reserved"), "0, 3–0", bits[4:], _reserved(header.reserved), f"{WIRE}#header"),
        Field(N_("Counter"), "1–2", data[1:3].hex(" ").upper(), low, f"{WIRE}#counter"),
    ]
    if opened is None:
        sealed = N_("sealed: kind, parcels, battery, temperature, reset cause, link failures")
        fields.append(Field(N_("Body"), "3–5", data[3:6].hex(" ").upper(), sealed, f"{WIRE}#uplink-12-bytes"))
    else:
        fields += _body(opened)
    told = N_("right, under counter %(counter)s", counter=opened.counter) if opened else N_("not checked")
    return [*fields, Field(N_("Seal"), "6–11", data[6:].hex(" ").upper(), told, f"{WIRE}#seal")]


def _body(opened: Uplink) -> list[Field]:
    body = f"{WIRE}#uplink-12-bytes"
    kind = N_("%(kind)s: %(meaning)s", kind=opened.kind.word, meaning=KINDS[opened.kind])
    failures = N_("%(count)s since the last success", count=opened.link_failures)
    temperature = f"{opened.temperature_c} °C".replace("-", "−")
    values: Sequence[tuple[Said, int, int, Said | str]] = (
        (N_("Kind"), 3, opened.kind, kind),
        (N_("Parcels"), 3, opened.parcels, str(opened.parcels)),
        (N_("Battery"), 6, (opened.battery_mv - 1800) // 50, f"{opened.battery_mv} mV"),
        (N_("Temperature"), 6, opened.temperature_c + 20, temperature),
        (N_("Reset cause"), 3, opened.reset_cause, WOKEN_BY.get(opened.reset_cause, N_("not known"))),
        (N_("Link failures"), 3, opened.link_failures, failures),
    )
    fields, top = [], 23
    for name, size, value, meaning in values:
        fields.append(Field(name, f"3–5, {top}–{top - size + 1}", f"{value:0{size}b}", meaning, body))
        top -= size
    return fields


def explain_answer(data: bytes, opened: tuple[Status, int] | None) -> list[Field]:
    """Every field of eight bytes."""
    bits, down = f"{data[0]:08b}", f"{WIRE}#downlink-8-bytes"
    fields = [
        Field(N_("Version"), "0, 7–6", bits[:2], _version(data[0] >> 6), f"{WIRE}#header"),
        Field(N_("Key generation"), "0, 5–4", bits[2:4], str(data[0] >> 4 & 3), f"{WIRE}#header"),
        Field(N_("Reserved"), "0, 3–0", bits[4:], _reserved(data[0] & 15), f"{WIRE}#header"),
    ]
    if opened is None:
        fields.append(Field(N_("Body"), "1–3", data[1:4].hex(" ").upper(), N_("sealed: status, argument"), down))
    else:
        status, argument = opened
        said = N_("%(kind)s: %(meaning)s", kind=status.word, meaning=STATUSES[status])
        fields.append(Field(N_("Status"), "1", f"{status:02X}", said, down))
        fields.append(Field(N_("Argument"), "2–3", f"{argument:04X}", str(argument), down))
    told = N_("right, under the counter of the message that it answers") if opened else N_("not checked")
    return [*fields, Field(N_("Seal"), "4–7", data[4:].hex(" ").upper(), told, f"{WIRE}#seal")]


def _version(version: int) -> Said | str:
    return str(version) if version == 0 else N_("%(version)s: this format is version 0", version=version)


def _reserved(bits: int) -> Said:
    return N_("has to be 0: malformed") if bits else N_("zeros")


def _bytes(start: int, count: int) -> str:
    return f"{start}–{start + count - 1}" if count > 1 else f"{start}" if count else "—"
