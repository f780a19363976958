"""The 12 bytes up and the 8 down of docs/wire-format.md, sealed and opened; the golden vectors hold this too."""

from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

KINDS = ("pickup", "cancel", "alive", "boot", "ask")  # in the order of their numbers
STATUSES = ("", "accepted", "unclaimed", "cancelled", "refused", "configure", "state")
UP, DOWN = 0, 1
UP_TAG, DOWN_TAG = 6, 4  # bytes of CCM tag
UP_PARTS = (("header", 1), ("counter", 2), ("body", 3), ("seal", UP_TAG))
DOWN_PARTS = (("header", 1), ("body", 3), ("seal", DOWN_TAG))


@dataclass(frozen=True, slots=True)
class Identity:
    """A button as provisioning made it; `counter` is the last one that it has used."""

    device: int
    generation: int
    key: bytes = field(repr=False)
    counter: int = 0

    @property
    def name(self) -> str:
        return f"{self.device:08X}"


@dataclass(frozen=True, slots=True)
class Uplink:
    """What a button says; see the wire format for what each field may be."""

    kind: str
    parcels: int = 0
    battery_mv: int = 3000
    temperature_c: int = 20
    reset_cause: int = 4
    link_failures: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    status: str
    argument: int


def seal(button: Identity, counter: int, said: Uplink) -> bytes:
    body = 0
    for value, bits in (
        (KINDS.index(said.kind), 3),
        (said.parcels, 3),
        ((said.battery_mv - 1800 + 25) // 50, 6),
        (said.temperature_c + 20, 6),
        (said.reset_cause, 3),
        (said.link_failures, 3),
    ):
        body = body << bits | max(0, min(value, (1 << bits) - 1))
    header = bytes([button.generation << 4])
    sealed = AESCCM(button.key, UP_TAG).encrypt(_nonce(UP, button, counter), body.to_bytes(3, "big"), header)
    return header + (counter & 0xFFFF).to_bytes(2, "big") + sealed


def open_uplink(button: Identity, counter: int, data: bytes) -> Uplink | None:
    """What message `counter` says; None where this button has not sealed it."""
    body = _open(button, counter, data, 3, UP, UP_TAG)
    if body is None or body >> 21 >= len(KINDS):
        return None
    return Uplink(
        KINDS[body >> 21],
        body >> 18 & 7,
        (body >> 12 & 63) * 50 + 1800,
        (body >> 6 & 63) - 20,
        body >> 3 & 7,
        body & 7,
    )


def open_answer(button: Identity, counter: int, data: bytes) -> Answer | None:
    """The answer to message `counter`; None where it is not one."""
    body = _open(button, counter, data, 1, DOWN, DOWN_TAG)
    if body is None or not 0 < body >> 16 < len(STATUSES):
        return None
    return Answer(STATUSES[body >> 16], body & 0xFFFF)


def parts(data: bytes) -> list[tuple[str, str]]:
    """The bytes as they are drawn, part by part: name and hex.

    >>> parts(bytes.fromhex("0000027e5d76ad50a56eb797"))
    [('header', '00'), ('counter', '00 02'), ('body', '7E 5D 76'), ('seal', 'AD 50 A5 6E B7 97')]
    """
    drawn, at = [], 0
    for name, size in UP_PARTS if len(data) > sum(size for _, size in DOWN_PARTS) else DOWN_PARTS:
        drawn.append((name, data[at : at + size].hex(" ").upper()))
        at += size
    return drawn


def _open(button: Identity, counter: int, data: bytes, start: int, direction: int, tag: int) -> int | None:
    if len(data) != start + 3 + tag or data[0] != button.generation << 4:
        return None
    try:
        body = AESCCM(button.key, tag).decrypt(_nonce(direction, button, counter), data[start:], data[:1])
    except InvalidTag:
        return None
    return int.from_bytes(body, "big")


def _nonce(direction: int, button: Identity, counter: int) -> bytes:
    return bytes([direction]) + button.device.to_bytes(4, "big") + counter.to_bytes(4, "big") + bytes(4)
