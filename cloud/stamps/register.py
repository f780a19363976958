"""All codes that a new one must keep away from, in memory: minting three apart, and finding what was read.

Importing this compiles or loads nothing yet, but it imports numba (half a second): whoever does not mint or read must
not import it. Tables and search: cloud.stamps.kernels.
"""

import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray

from cloud.stamps import kernels
from cloud.stamps.model import ALPHABET, LENGTH

Codes = NDArray[np.uint64]

CODES = 32**LENGTH
FILL = 11  # codes a block of 15: a tenth of the blocks then lead to one more
_DRAW = 1 << 15  # candidates drawn at once
_BITS = range(10, kernels.HALF_BITS + 1)  # fewer, and what is left of a code would not fit its word

_NO_SYMBOL = 255
_VALUE_OF_BYTE = np.full(256, _NO_SYMBOL, np.uint8)
_VALUE_OF_BYTE[list(ALPHABET.encode())] = range(32)
_BYTE_OF_VALUE = np.frombuffer(ALPHABET.encode(), np.uint8)
_SHIFTS = np.arange(5 * LENGTH - 5, -5, -5, dtype=np.uint64)


class Keeping(IntEnum):
    """Why a code is kept."""

    HELD = 1  # minted or reserved: nobody may write it yet
    LIVE = 2
    SPENT = 3  # redeemed, void, expired: in quarantine


ABSENT = 0


def pack(codes: Sequence[str]) -> Codes:
    """Codes as numbers of 40 bits: five a symbol in the order of the alphabet, the first symbol in the highest.

    Raises ValueError where one is not eight symbols of the alphabet; it does not repeat it.
    """
    if not codes:
        return np.empty(0, np.uint64)
    if set(map(len, codes)) != {LENGTH}:
        raise ValueError(f"a stamp code has {LENGTH} characters")
    text = "".join(codes).encode("ascii", "replace")
    values = _VALUE_OF_BYTE[np.frombuffer(text, np.uint8).reshape(-1, LENGTH)]
    if (values == _NO_SYMBOL).any():
        raise ValueError(f"a stamp code is made of {ALPHABET}")
    return np.bitwise_or.reduce(values.astype(np.uint64) << _SHIFTS, axis=1)


def unpack(codes: Codes) -> list[str]:
    """Undoes `pack`."""
    values = (codes[:, None] >> _SHIFTS & np.uint64(31)).astype(np.intp)
    text = _BYTE_OF_VALUE[values].tobytes().decode("ascii")
    return [text[at : at + LENGTH] for at in range(0, len(text), LENGTH)]


def drawn(noise: bytes) -> Codes:
    """One code for every five bytes of `noise`, as uniform as they are."""
    wide = np.zeros((len(noise) // 5, 8), np.uint8)
    wide[:, 3:] = np.frombuffer(noise, np.uint8).reshape(-1, 5)
    return wide.view(">u8").astype(np.uint64)[:, 0]


@dataclass(frozen=True, slots=True)
class _Tables:
    """What a reader takes hold of at once. Replaced when it must grow; its words change in place."""

    heads: NDArray[np.uint32]
    tails: NDArray[np.uint32]
    bits: int
    wide: int
    used: NDArray[np.int64]  # blocks of heads, of tails

    @classmethod
    def empty(cls, room: int, spare: int = 0) -> "_Tables":
        """For `room` codes, with `spare` blocks more than the usual for buckets that run over."""
        blocks = -(-room // FILL)
        bits = min(max((blocks - 1).bit_length(), _BITS[0]), _BITS[-1])
        wide = max(-(-blocks >> bits), 1)
        buckets = wide << bits
        words = (buckets + buckets // 8 + 64 + spare) * kernels.WORDS
        # Zeros that were never written take no memory.
        return cls(np.zeros(words, np.uint32), np.zeros(words, np.uint32), bits, wide, np.array([buckets, buckets]))

    @property
    def room(self) -> int:
        return FILL * self.wide << self.bits

    def with_more_blocks(self) -> "_Tables":
        more = np.zeros(self.heads.size // 4, np.uint32)
        heads, tails = np.concatenate([self.heads, more]), np.concatenate([self.tails, more])
        return _Tables(heads, tails, self.bits, self.wide, self.used)


class Register:
    """Codes and why they are kept.

    Writing takes a lock; reading takes none and may go on meanwhile in other threads. A reader holds on to the tables
    that it found. In them a code is one 32-bit word of each table, written at once and never moved, and a block is led
    to only by what is never taken back. So a reader finds every code that was in before it began and is not taken out,
    with its state from before or after; of what comes or goes meanwhile it sees either. Tables that grow are new ones,
    put in place of the old when complete.
    """

    def __init__(self, room: int = 0) -> None:
        """`room`: how many codes to make room for at once; for more than these the tables are made and filled anew."""
        self._tables = _Tables.empty(room)
        self._counts = np.zeros(4, np.int64)
        self._writing = threading.Lock()

    def __len__(self) -> int:
        return int(self._counts[1:].sum())

    def count(self, state: Keeping) -> int:
        return int(self._counts[state])

    @property
    def nbytes(self) -> int:
        """The memory of the blocks in use."""
        return int(self._tables.used.sum()) * kernels.WORDS * 4

    def add(self, codes: Codes, state: Keeping) -> None:
        """Those that are there already get this state. No distance is asked of them."""
        codes = np.ascontiguousarray(codes, np.uint64)
        done = 0
        with self._writing:
            self._make_room(len(self) + codes.size)
            while done < codes.size:
                tables = self._tables
                done += kernels.put(
                    tables.heads, tables.tails, tables.wide, tables.bits, tables.used, tables.room, self._counts,
                    codes[done:], int(state),
                )  # fmt: skip
                if done < codes.size:
                    self._grow()

    def set_state(self, codes: Codes, state: Keeping) -> int:
        """How many of them were there."""
        return self._mark(codes, state)

    def remove(self, codes: Codes) -> int:
        """How many of them were there."""
        return self._mark(codes, ABSENT)

    def find(self, codes: Codes) -> NDArray[np.uint8]:
        """The state of each, ABSENT of those not there."""
        codes = np.ascontiguousarray(codes, np.uint64)
        states, tables = np.empty(codes.size, np.uint8), self._tables
        kernels.find(tables.heads, tables.wide, tables.bits, codes, states)
        return states

    def heads(self) -> tuple[NDArray[np.uint32], int, int]:
        """What `kernels.read` looks codes up in: the table by first halves, its blocks a bucket, its bits."""
        tables = self._tables
        return tables.heads, tables.wide, tables.bits

    def near(self, codes: Codes) -> tuple[Codes, NDArray[np.uint8]]:
        """For each, the code that is it or differs from it in one symbol, and its state; ABSENT where there is none.

        Two codes three apart cannot both be so near; of codes added nearer to each other, any one is given.
        """
        codes = np.ascontiguousarray(codes, np.uint64)
        found, states, tables = np.empty(codes.size, np.uint64), np.empty(codes.size, np.uint8), self._tables
        kernels.near(tables.heads, tables.tails, tables.wide, tables.bits, codes, found, states)
        return found, states

    def mint(
        self, count: int, state: Keeping = Keeping.HELD, noise: Callable[[int], bytes] = secrets.token_bytes
    ) -> Codes:
        """`count` new codes, each three or more symbols from all others; they are in when this returns.

        `noise(n)` gives n uniform bytes. Each code is uniform over all that keep their distance from those there.
        """
        out, minted = np.empty(count, np.uint64), 0
        with self._writing:
            self._make_room(len(self) + count)
            while minted < count:
                minted = self._file(drawn(noise(5 * min(_DRAW, (count - minted) * 5 // 4 + 8))), state, out, minted)
        return out

    def add_spaced(self, codes: Codes, state: Keeping) -> Codes:
        """Add those of them, first come first kept, three or more symbols from all others, and return these."""
        out = np.empty(len(codes), np.uint64)
        with self._writing:
            self._make_room(len(self) + out.size)
            return out[: self._file(np.ascontiguousarray(codes, np.uint64), state, out, 0)]

    def _file(self, candidates: Codes, state: Keeping, out: Codes, minted: int) -> int:
        """Those that keep their distance are added and stand in `out` from `minted` on. How many stand there then."""
        while candidates.size and minted < out.size:
            tables = self._tables
            seen, minted = kernels.mint(
                tables.heads, tables.tails, tables.wide, tables.bits, tables.used, tables.room, self._counts,
                *_neighbourhood(tables.bits), candidates, int(state), out, minted,
            )  # fmt: skip
            candidates = candidates[seen:]
            if candidates.size and minted < out.size:
                self._grow()
        return minted

    def _mark(self, codes: Codes, state: int) -> int:
        codes = np.ascontiguousarray(codes, np.uint64)
        with self._writing:
            tables = self._tables
            return kernels.mark(tables.heads, tables.tails, tables.wide, tables.bits, self._counts, codes, int(state))

    def _make_room(self, room: int) -> None:
        if room > self._tables.room:
            self._refile(max(room, min(2 * self._tables.room, self._tables.room + (FILL << _BITS[-1]))))

    def _grow(self) -> None:
        if len(self) >= self._tables.room:
            self._make_room(len(self) + 1)
        else:
            self._tables = self._tables.with_more_blocks()

    def _refile(self, room: int) -> None:
        old, spare = self._tables, 0
        while True:
            new = _Tables.empty(room, spare)
            if kernels.move(old.heads, old.wide, old.bits, new.heads, new.tails, new.wide, new.bits, new.used):
                break
            spare = 2 * spare + new.heads.size // kernels.WORDS
        self._tables = new


@cache
def _neighbourhood(bits: int) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """What changes a bucket's number when at most one symbol of its half changes: 0 first, then each flip of its bits.

    With each the symbols that are to be compared within the bucket. A symbol that only partly is in the number is not
    compared where that part of it is flipped: it differs already.
    """
    below = kernels.HALF_BITS - bits  # bits of the half that its number lacks
    whole = (1 << kernels.HALF_BITS + below) - 1
    counted = {0: whole}
    for place in range(0, kernels.HALF_BITS, 5):
        for flip in range(1, 32):
            if (flip << place) >> below:
                partly = 31 << place & (1 << below) - 1
                counted[(flip << place) >> below] = whole & ~(partly << kernels.HALF_BITS)
    return np.array(list(counted), np.int64), np.array(list(counted.values()), np.uint32)
