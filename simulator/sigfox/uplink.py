"""Sigfox uplink frames: what a device radiates three times over, each of the three readable alone.

    preamble 20 bits | type 12 | LI 2 | asks 1 | 0 1 | sequence number 12 | device id 32 | payload | auth | CRC 16
                               '------------------------------ the packet ---------------------------------------'

All is big-endian but the device id. The type tells the replica and the length. The length indicator LI tells how much
of what follows the id is payload, or is the payload where that is a single bit. The second and third replica are the
packet through a convolutional code of rate 1: nothing is added, so nothing can be corrected; the replicas only differ.
"""

import binascii
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from simulator.sigfox.frame import Reason, Refused, check_addressing, check_key

MAX_PAYLOAD_BYTES = 12
BIT_RATE = 100  # bits/s, RC1
PREAMBLE = 0xAAAAA
HEAD_BYTES = 4  # preamble and type
ADDRESS_BYTES = 6  # LI, flags, sequence number, device id
CRC_BYTES = 2
SHORTEST_AUTH = 2

# Bytes of payload and auth together: the frame types of the three replicas.
TYPES = {
    2: (0x06B, 0x6E0, 0x034),
    3: (0x08D, 0x0D2, 0x302),
    6: (0x35F, 0x598, 0x5A3),
    10: (0x611, 0x6BF, 0x72C),
    14: (0x94C, 0x971, 0x997),
}
BODY_BYTES = {HEAD_BYTES + ADDRESS_BYTES + body + CRC_BYTES: body for body in TYPES}  # by the length of the frame
TAPS = ((), (1, 2), (2,))  # earlier bits that are added to each bit: plain, octal 7, octal 5

LI_BITS, LI_SHIFT = 0x3, 14
ASKS_DOWNLINK = 1 << 13
RESERVED = 1 << 12
SEQ_BITS = 0xFFF


class Auth(StrEnum):
    RIGHT = "right"
    WRONG = "wrong"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True)
class Uplink:
    """One message; a payload of a single bit is a bool."""

    device_id: int
    seq: int
    payload: bytes | bool
    asks_downlink: bool = False

    def __post_init__(self) -> None:
        check_addressing(self.device_id, self.seq)
        if not isinstance(self.payload, bool) and len(self.payload) > MAX_PAYLOAD_BYTES:
            raise ValueError(f"a payload has at most {MAX_PAYLOAD_BYTES} bytes, not {len(self.payload)}")

    @property
    def length_indicator(self) -> int:
        if isinstance(self.payload, bool):
            return 2 + self.payload
        return -len(self.payload) % 4 if len(self.payload) > 1 else 0

    @property
    def auth_bytes(self) -> int:
        if isinstance(self.payload, bool) or len(self.payload) < 2:
            return SHORTEST_AUTH
        return SHORTEST_AUTH + self.length_indicator


@dataclass(frozen=True, slots=True)
class Received:
    """One replica, read."""

    uplink: Uplink
    replica: int  # 1 to 3
    auth: bytes
    auth_is: Auth
    crc: bytes

    @property
    def signed(self) -> bytes:
        """What the auth is made over: from LI to the end of the payload."""
        return _signed(self.uplink)

    @property
    def packet(self) -> bytes:
        """What the three replicas of one message have in common."""
        return self.signed + self.auth + self.crc


def encode(uplink: Uplink, key: bytes) -> tuple[bytes, bytes, bytes]:
    """The three replicas, preamble included, under the device's network key of 16 bytes."""
    signed = _signed(uplink) + _auth(uplink, key)
    packet = signed + _crc(signed)
    types = TYPES[len(packet) - ADDRESS_BYTES - CRC_BYTES]
    plain, seven, five = (
        (PREAMBLE << 12 | frame_type).to_bytes(HEAD_BYTES, "big") + _convolved(packet, taps)
        for frame_type, taps in zip(types, TAPS, strict=True)
    )
    return plain, seven, five


def decode(frame: bytes, key: bytes | None = None) -> Received:
    """Any one replica; raises Refused. Whether its auth is right is said, not enforced, and only with `key`."""
    body_bytes = BODY_BYTES.get(len(frame))
    if body_bytes is None:
        raise Refused(Reason.WRONG_LENGTH, f"a frame has {_listed(BODY_BYTES)} bytes, not {len(frame)}")
    head = int.from_bytes(frame[:HEAD_BYTES], "big")
    if head >> 12 != PREAMBLE:
        raise Refused(Reason.NO_PREAMBLE, f"a frame begins with {PREAMBLE:X}, not {head >> 12:05X}")
    types = TYPES[body_bytes]
    if head & 0xFFF not in types:
        known = _listed(f"{one:03X}" for one in types)
        raise Refused(Reason.UNKNOWN_TYPE, f"{len(frame)} bytes are {known}, not {head & 0xFFF:03X}")
    replica = types.index(head & 0xFFF)
    packet = _deconvolved(frame[HEAD_BYTES:], TAPS[replica])
    signed, crc = packet[:-CRC_BYTES], packet[-CRC_BYTES:]
    if crc != _crc(signed):
        raise Refused(Reason.WRONG_CRC, f"{crc.hex()}, and the bytes before it give {_crc(signed).hex()}")
    uplink = _read(signed)
    auth = signed[-uplink.auth_bytes :]
    if key is None:
        auth_is = Auth.UNCHECKED
    else:
        auth_is = Auth.RIGHT if hmac.compare_digest(auth, _auth(uplink, key)) else Auth.WRONG
    return Received(uplink, replica + 1, auth, auth_is, crc)


def airtime_s(frame: bytes) -> float:
    """Of one replica, in RC1."""
    return len(frame) * 8 / BIT_RATE


def _signed(uplink: Uplink) -> bytes:
    flags = uplink.length_indicator << LI_SHIFT | uplink.asks_downlink * ASKS_DOWNLINK | uplink.seq
    payload = b"" if isinstance(uplink.payload, bool) else uplink.payload
    return flags.to_bytes(2, "big") + uplink.device_id.to_bytes(4, "little") + payload


def _read(signed: bytes) -> Uplink:
    """The message in a packet whose CRC is right; Refused if no device makes such a one."""
    flags = int.from_bytes(signed[:2], "big")
    li, body = flags >> LI_SHIFT & LI_BITS, signed[ADDRESS_BYTES:]
    # A bit leaves no room for bytes, and one byte none for more auth; everywhere else LI counts the further auth.
    payload = li == 3 if len(body) == SHORTEST_AUTH and li >= 2 else body[: -SHORTEST_AUTH - li]
    uplink = Uplink(
        device_id=int.from_bytes(signed[2:ADDRESS_BYTES], "little"),
        seq=flags & SEQ_BITS,
        payload=payload,
        asks_downlink=bool(flags & ASKS_DOWNLINK),
    )
    if flags & RESERVED:
        raise Refused(Reason.MALFORMED, "the bit between the downlink request and the sequence number is set")
    if _signed(uplink) != signed[: -uplink.auth_bytes]:
        raise Refused(Reason.MALFORMED, f"no payload of a frame of this length has the length indicator {li}")
    return uplink


def _auth(uplink: Uplink, key: bytes) -> bytes:
    """The first bytes of a CBC-MAC whose input is filled up to whole blocks with itself, from its start."""
    check_key(key)
    data = _signed(uplink)
    size = -(-len(data) // 16) * 16
    encryptor = Cipher(AES(key), CBC(bytes(16))).encryptor()
    return encryptor.update((data * 3)[:size])[-16:][: uplink.auth_bytes]  # * 3: the shortest has 6 bytes


def _crc(signed: bytes) -> bytes:
    return (binascii.crc_hqx(signed, 0) ^ 0xFFFF).to_bytes(CRC_BYTES, "big")


def _convolved(packet: bytes, taps: tuple[int, ...]) -> bytes:
    """Each bit plus the earlier ones at `taps`, from a register of zeros: a multiplication by 1 + P."""
    return _times(int.from_bytes(packet, "big"), taps, 1).to_bytes(len(packet), "big")


def _deconvolved(coded: bytes, taps: tuple[int, ...]) -> bytes:
    """(1 + P)⁻¹ is (1 + P)(1 + P²)(1 + P⁴)…, as P shifted everything out is 0; and squaring P doubles its taps."""
    bits, power = int.from_bytes(coded, "big"), 1
    while power < 8 * len(coded):
        bits = _times(bits, taps, power)
        power *= 2
    return bits.to_bytes(len(coded), "big")


def _times(bits: int, taps: tuple[int, ...], power: int) -> int:
    product = bits
    for tap in taps:
        product ^= bits >> tap * power
    return product


def _listed(words: Iterable[object]) -> str:
    *most, last = map(str, words)
    return f"{', '.join(most)} or {last}"
