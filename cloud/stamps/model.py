"""The digital stamp: an eight-character code that a postman writes by hand and a machine reads back, errors and all.

A code has no structure and no key, it is random and kept in a register. Any two codes of the register differ in at
least three places, so that one misread character is still nearest to the right code, and no two swapped neighbours
turn one stamp into another.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import combinations
from operator import ne

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUVWXY"  # without O, I, S and Z, which a hand writes like 0, 1, 5 and 2
LENGTH = 8
MIN_DISTANCE = 3  # places in which any two codes differ

# Two codes that differ in at most two of their eight places agree in at least two of their four pairs.
TWO_OF_FOUR_PAIRS = tuple(combinations(range(4), 2))

_FOLD = str.maketrans("abcdefghijklmnopqrstuvwxyzOISZ", "ABCDEFGH1JKLMN0PQR5TUVWXY20152", "-\N{HYPHEN}\N{EN DASH}")
_SYMBOL_OF_BYTE = bytes(ord(ALPHABET[byte % 32]) for byte in range(256))  # each symbol 8 times: no bias


class State(StrEnum):
    """The life of a stamp."""

    MINTED = "minted"  # in the pool
    RESERVED = "reserved"  # for a pickup that waits for its confirmation
    LIVE = "live"
    REDEEMED = "redeemed"
    VOID = "void"
    EXPIRED = "expired"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.MINTED: frozenset({State.RESERVED}),
    State.RESERVED: frozenset({State.LIVE, State.VOID, State.EXPIRED}),
    State.LIVE: frozenset({State.REDEEMED, State.VOID, State.EXPIRED}),
    State.REDEEMED: frozenset(),
    State.VOID: frozenset(),
    State.EXPIRED: frozenset(),
}


class WrongState(Exception):
    """A move that TRANSITIONS forbids."""


@dataclass(frozen=True, slots=True)
class Stamp:
    code: str
    state: State
    pickup_id: int | None
    minted_at: datetime
    changed_at: datetime


def parse(text: str) -> str:
    """The code that was written, whatever its case, spaces and dashes, and with O, I, S, Z for 0, 1, 5, 2.

    >>> parse("7k 4f-2m 9x")
    '7K4F2M9X'
    """
    code = "".join(text.split()).translate(_FOLD)
    for symbol in code:
        if symbol not in ALPHABET:
            raise ValueError(f"a stamp code is made of {ALPHABET}, not {symbol!r}")
    if len(code) != LENGTH:
        raise ValueError(f"a stamp code has {LENGTH} characters, not {len(code)}")
    return code


def pairs(code: str) -> tuple[str, str, str, str]:
    return code[0:2], code[2:4], code[4:6], code[6:8]


def format_pairs(code: str) -> str:
    """As it is shown and written: '7K 4F 2M 9X'."""
    return " ".join(pairs(code))


def distance(a: str, b: str) -> int:
    """In how many places two codes differ (Hamming)."""
    return sum(map(ne, a, b))


def from_random(noise: bytes) -> list[str]:
    """One code for every eight bytes of `noise`, as uniform as they are."""
    symbols = noise.translate(_SYMBOL_OF_BYTE).decode("ascii")
    return [symbols[at : at + LENGTH] for at in range(0, len(symbols), LENGTH)]


def spaced(candidates: Iterable[str], taken: Iterable[str]) -> list[str]:
    """The candidates, first come first kept, that lie MIN_DISTANCE from each other and from every code of `taken`."""
    filed: defaultdict[tuple[int, str, int, str], list[str]] = defaultdict(list)

    def files(code: str) -> list[list[str]]:
        pair = pairs(code)
        return [filed[i, pair[i], j, pair[j]] for i, j in TWO_OF_FOUR_PAIRS]

    for code in taken:
        for file in files(code):
            file.append(code)
    kept = []
    for code in candidates:
        near = files(code)
        if all(distance(code, other) >= MIN_DISTANCE for file in near for other in file):
            kept.append(code)
            for file in near:
                file.append(code)
    return kept
