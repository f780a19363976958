"""Where the secrets of webhooks lie: sealed under a key of their own that comes from the master key, never in plain.

Each is sealed by AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits, bound to the route that it belongs to: a
row's block put into another row does not open. Before it stands the number of its master key: while a fleet changes to
a new one, blocks under the older open as well, until `domino key reseal` has sealed them anew.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
NUMBER_BYTES = 2


class WrongKey(ValueError):
    """The block was sealed under another master key, for another route, or is damaged."""

    def __init__(self) -> None:
        super().__init__("a webhook's secret does not open: it was sealed under another master key than those here")


@dataclass(frozen=True, slots=True)
class Safe:
    """Seals secrets and opens them again; never shows its keys. `number` is that of the master key behind `key`."""

    key: bytes = field(repr=False)
    number: int = 1
    older: Mapping[int, bytes] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    def __post_init__(self) -> None:
        for key in (self.key, *self.older.values()):
            if len(key) != KEY_BYTES:
                raise ValueError(f"a safe's key has {KEY_BYTES} bytes, not {len(key)}")

    def seal(self, secret: bytes, route_id: int) -> bytes:
        number, nonce = self.number.to_bytes(NUMBER_BYTES, "big"), secrets.token_bytes(NONCE_BYTES)
        return number + nonce + AESGCM(self.key).encrypt(nonce, secret, _bound(number, route_id))

    def open(self, block: bytes, route_id: int) -> bytes:
        """Raises `WrongKey`."""
        number, nonce = block[:NUMBER_BYTES], block[NUMBER_BYTES : NUMBER_BYTES + NONCE_BYTES]
        key = {self.number: self.key, **self.older}.get(number_of(block))
        if key is None:
            raise WrongKey
        try:
            return AESGCM(key).decrypt(nonce, block[NUMBER_BYTES + NONCE_BYTES :], _bound(number, route_id))
        except (InvalidTag, ValueError):
            raise WrongKey from None


def number_of(block: bytes) -> int:
    """Of the master key that it lies under."""
    return int.from_bytes(block[:NUMBER_BYTES], "big")


def _bound(number: bytes, route_id: int) -> bytes:
    return b"domino alert route" + number + route_id.to_bytes(8, "big")
