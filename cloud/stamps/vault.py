"""How codes lie at rest: each as one AES block under their own key, so that a stolen database is no stack of stamps.

A code's 40 bits, padded with zeros to a block, are enciphered with AES-256 alone (one block of ECB: no more than a
keyed permutation of blocks). So equal codes have equal blocks and others never: the block is unique, is searched by,
and opens in bulk. 88 bits of padding that are not zero tell another key, or what was no block of ours. numpy is
imported by the bulk functions alone: the way of a press and the start of the pages do without it.
"""

from dataclasses import dataclass, field
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
    """Seals codes and opens them again; never shows its key. Threads may share it."""

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES:
            raise ValueError(f"a vault's key has {KEY_BYTES} bytes, not {len(self.key)}")

    def seal(self, code: str) -> bytes:
        """The block of `code`, which is written as `model.parse` gives it."""
        return self._encipher(number_of(code).to_bytes(CODE_BYTES, "big") + PADDING)

    def open(self, block: bytes) -> str:
        """The code in `block`; raises `WrongKey`."""
        plain = self._decipher(block)
        if plain[CODE_BYTES:] != PADDING:
            raise WrongKey
        return code_of(int.from_bytes(plain[:CODE_BYTES], "big"))

    def seal_many(self, numbers: "NDArray[np.uint64]") -> list[bytes]:
        """The blocks of codes given as their 40 bits, uint64[n]."""
        import numpy as np

        plain = np.zeros((len(numbers), 2), ">u8")
        plain[:, 0] = numbers << np.uint64(64 - CODE_BITS)
        return np.frombuffer(self._encipher(plain.tobytes()), f"V{BLOCK}").tolist()

    def open_many(self, blocks: bytes) -> "NDArray[np.uint64]":
        """The codes in n `blocks`, one after the other, as their 40 bits, uint64[n]; raises `WrongKey`."""
        import numpy as np

        plain = np.frombuffer(self._decipher(blocks), ">u8").reshape(-1, 2)
        numbers = plain[:, 0].astype(np.uint64)
        if plain[:, 1].any() or (numbers & np.uint64(2 ** (64 - CODE_BITS) - 1)).any():
            raise WrongKey
        return numbers >> np.uint64(64 - CODE_BITS)

    # A cipher context is for one thread at a time and costs a microsecond: one a call.
    def _encipher(self, plain: bytes) -> bytes:
        return Cipher(AES256(self.key), ECB()).encryptor().update(plain)  # noqa: S305  one block a code: a permutation

    def _decipher(self, sealed: bytes) -> bytes:
        return Cipher(AES256(self.key), ECB()).decryptor().update(sealed)  # noqa: S305  as above
