"""A downlink: the eight sealed bytes that answer one uplink, under that uplink's own counter (docs/wire-format.md)."""

from enum import IntEnum

from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from cloud.ingest.uplink import Uplink, nonce

TAG_SIZE = 4
DOWN = 1  # first byte of the nonce: the direction


class Status(IntEnum):
    ACCEPTED = 1
    UNCLAIMED = 2
    CANCELLED = 3
    REFUSED = 4
    CONFIGURE = 5
    STATE = 6

    @property
    def word(self) -> str:
        return self.name.lower()


def seal_downlink(status: Status, argument: int, *, answers: Uplink, key: bytes) -> bytes:
    """The one answer that `answers` may have. `argument` is clamped to 16 bits."""
    header = bytes([answers.key_generation << 4])
    body = bytes([status]) + min(max(argument, 0), 0xFFFF).to_bytes(2, "big")
    return header + AESCCM(key, tag_length=TAG_SIZE).encrypt(nonce(DOWN, answers.device, answers.counter), body, header)
