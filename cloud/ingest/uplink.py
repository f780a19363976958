"""An uplink: twelve sealed bytes, opened and read as docs/wire-format.md says.

Whoever holds an `Uplink` holds a message whose seal was right: it came from the button, under that counter.
"""

from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from cloud.frames.model import Result

SIZE = 12
TAG_SIZE = 6
UP = 0  # first byte of the nonce: the direction
LOW_COUNTERS = 0x10000  # 16 of the counter's 32 bits travel
MAX_COUNTER = 0xFFFFFFFF
WINDOW_BEHIND = 1024  # counters; a week at the full daily budget of 140, longer than a kept press is retried


class Kind(IntEnum):
    PICKUP = 0
    CANCEL = 1
    ALIVE = 2
    BOOT = 3
    ASK = 4

    @property
    def word(self) -> str:
        return _WORDS[self]


_KINDS = tuple(Kind)
_WORDS = tuple(kind.name.lower() for kind in Kind)


class Rejected(Exception):
    """A message ends here, with a named result and the reason in words."""

    def __init__(self, result: Result, reason: str) -> None:
        super().__init__(f"{result}: {reason}")
        self.result = result
        self.reason = reason


class Header(NamedTuple):
    """The three bytes that travel in clear."""

    version: int
    key_generation: int
    reserved: int
    low_counter: int


class Uplink(NamedTuple):
    """A verified message of a button; its first three fields, `key`, name it among all."""

    device: int
    key_generation: int
    counter: int
    kind: Kind
    parcels: int
    battery_mv: int
    temperature_c: int
    reset_cause: int
    link_failures: int

    @property
    def key(self) -> tuple[int, int, int]:
        return self[:3]


def read_header(data: bytes) -> Header:
    """The clear part of twelve bytes; raises `Rejected` (malformed) for another size."""
    if len(data) != SIZE:
        raise Rejected(Result.MALFORMED, f"{len(data)} bytes; an uplink has {SIZE}")
    first, high, low = data[:3]
    return Header(first >> 6, first >> 4 & 3, first & 15, high << 8 | low)


def candidates(low_counter: int, last_counter: int) -> tuple[int, ...]:
    """The 32-bit counters that end in `low_counter` and lie nearest to `last_counter`: ahead of it, then not ahead.

    The nearest successor is the one LoRaWAN takes for its FCnt; the one behind is for a message that was overtaken.
    Counters start at 1.

    >>> candidates(2, last_counter=0), candidates(0, last_counter=65535), candidates(65535, last_counter=65536)
    ((2,), (65536,), (131071, 65535))
    """
    ahead = last_counter + 1 + (low_counter - last_counter - 1) % LOW_COUNTERS
    behind = ahead - LOW_COUNTERS
    if behind < 1:
        return (ahead,)  # of a button's first 65 535
    return (ahead, behind) if ahead <= MAX_COUNTER else (behind,)


def open_uplink(data: bytes, *, device: int, key: bytes, last_counter: int) -> Uplink:
    """Open and read twelve bytes of `device`, whose highest accepted counter is `last_counter` (0: never heard).

    Raises `Rejected`: malformed (size, version, reserved bits, kind, a pickup of nothing) or bad seal.
    """
    version, generation, reserved, low_counter = read_header(data)
    if version != 0:
        raise Rejected(Result.MALFORMED, f"version {version}; this format is version 0")
    if reserved:
        raise Rejected(Result.MALFORMED, f"reserved bits {reserved:04b} are set")
    seal = AESCCM(key, tag_length=TAG_SIZE)
    for counter in candidates(low_counter, last_counter):
        try:
            body = seal.decrypt(nonce(UP, device, counter), data[3:], data[:1])
        except InvalidTag:
            continue
        return _read_body(int.from_bytes(body, "big"), device, generation, counter)
    raise Rejected(Result.BAD_SEAL, "tag wrong: not sealed by this button's key under a counter near its last")


def _read_body(bits: int, device: int, key_generation: int, counter: int) -> Uplink:
    kind, parcels = bits >> 21, bits >> 18 & 7
    if kind >= len(_KINDS):
        raise Rejected(Result.MALFORMED, f"kind {kind} does not exist")
    if kind == Kind.PICKUP and not parcels:
        raise Rejected(Result.MALFORMED, "a pickup of 0 parcels")
    return Uplink(
        device,
        key_generation,
        counter,
        _KINDS[kind],
        parcels,
        1800 + 50 * (bits >> 12 & 63),  # battery, mV
        (bits >> 6 & 63) - 20,  # temperature, °C
        bits >> 3 & 7,  # reset cause
        bits & 7,  # link failures
    )


_NONCE = Struct(">BII4x")


def nonce(direction: int, device: int, counter: int) -> bytes:
    """The 13 bytes of the CCM nonce: direction, device, full counter, zeros."""
    return _NONCE.pack(direction, device, counter)
