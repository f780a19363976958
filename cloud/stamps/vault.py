"""How codes lie at rest: each as one AES block under their own key, so that a stolen database is no stack of stamps.

A code's 40 bits, padded with zeros to a block, are enciphered with AES-256 alone (one block of ECB: no more than a
keyed permutation of blocks). So equal codes have equal blocks and others never: the block is unique, is searched by,
and opens in bulk. 88 bits of padding that are not zero tell another key, or what was no block of ours. numpy is
imported by the bulk functions alone: the way of a press and the start of the pages do without it.

While a fleet changes to a new master key, blocks under the older one lie there too: they open, and are searched for,
until `stamps.resealing` has sealed them anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB

from cloud.stamps.model import CODE_BITS, code_of, number_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KEY_BYTES = 32
BLOCK = 16  # bytes
CODE_BYTES = CODE_BITS // 8
PADDING = bytes(BLOCK - CODE_BYTES)


class WrongKey(ValueError):
    """A block opens to what is no code: it was sealed under another master key, or is damaged."""

    def __init__(self) -> None:
        super().__init__("the stamps in the database were sealed under another master key than this one")


@dataclass(frozen=True, slots=True)
class Vault:
    """Seals codes and opens them again; never shows its keys. Threads may share it.

    `number` is that of the master key that `key` comes from; it opens what was sealed under one of `older`, too.
    """

    key: bytes = field(repr=False)
    number: int = field(default=1, repr=False)
    older: Mapping[int, bytes] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    def __post_init__(self) -> None:
        for key in self._keys:
            if len(key) != KEY_BYTES:
                raise ValueError(f"a vault's key has {KEY_BYTES} bytes, not {len(key)}")

    @property
    def _keys(self) -> tuple[bytes, ...]:
        return self.key, *self.older.values()

    def seal(self, code: str) -> bytes:
        """The block of `code`, which is written as `model.parse` gives it."""
        return self.seals(code)[0]

    def seals(self, code: str) -> list[bytes]:
        """Every block that `code` may lie as, the newest key's first."""
        plain = number_of(code).to_bytes(CODE_BYTES, "big") + PADDING
        return [_encipher(key, plain) for key in self._keys]

    def open(self, block: bytes) -> str:
        """The code in `block`; raises `WrongKey`."""
        for key in self._keys:
            plain = _decipher(key, block)
            if plain[CODE_BYTES:] == PADDING:
                return code_of(int.from_bytes(plain[:CODE_BYTES], "big"))
        raise WrongKey

    def key_number_of(self, block: bytes) -> int:
        """Of the master key that it lies under; raises `WrongKey`."""
        for number, key in ((self.number, self.key), *self.older.items()):
            if _decipher(key, block)[CODE_BYTES:] == PADDING:
                return number
        raise WrongKey

    def seal_many(self, numbers: "NDArray[np.uint64]") -> list[bytes]:
        """The blocks of codes given as their 40 bits, uint64[n]."""
        import numpy as np

        plain = np.zeros((len(numbers), 2), ">u8")
        plain[:, 0] = numbers << np.uint64(64 - CODE_BITS)
        return np.frombuffer(_encipher(self.key, plain.tobytes()), f"V{BLOCK}").tolist()

    def open_many(self, blocks: bytes) -> "NDArray[np.uint64]":
        """The codes in n `blocks`, one after the other, as their 40 bits, uint64[n]; raises `WrongKey`."""
        import numpy as np

        plain = np.frombuffer(_decipher(self.key, blocks), ">u8").reshape(-1, 2)
        is_padding = np.uint64(2 ** (64 - CODE_BITS) - 1)
        numbers = plain[:, 0].astype(np.uint64)
        is_ours = (plain[:, 1] == 0) & (numbers & is_padding == 0)
        for key in self.older.values():
            if is_ours.all():
                break
            other = np.flatnonzero(~is_ours)
            sealed = np.frombuffer(blocks, f"V{BLOCK}")[other].tobytes()
            plain = np.frombuffer(_decipher(key, sealed), ">u8").reshape(-1, 2)
            numbers[other] = plain[:, 0]
            is_ours[other] = (plain[:, 1] == 0) & (numbers[other] & is_padding == 0)
        if not is_ours.all():
            raise WrongKey
        return numbers >> np.uint64(64 - CODE_BITS)


# A cipher context is for one thread at a time and costs a microsecond: one a call.
def _encipher(key: bytes, plain: bytes) -> bytes:
    return Cipher(AES256(key), ECB()).encryptor().update(plain)  # noqa: S305  one block a code: a keyed permutation


def _decipher(key: bytes, sealed: bytes) -> bytes:
    return Cipher(AES256(key), ECB()).decryptor().update(sealed)  # noqa: S305  as above
