"""The register of codes in memory: minting, finding, reading, and what it weighs."""

import heapq
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import Hamming

from cloud.stamps import reading
from cloud.stamps.model import ALPHABET, LENGTH, MIN_DISTANCE
from cloud.stamps.register import Codes, Keeping, Register, drawn, unpack
from tests.benchmarks.lattices import handwritten
from tests.benchmarks.measure import Role, Way, rate

BUDGET = 22
_SYMBOLS = np.uint64(0x0842108421)  # the lowest bit of each of eight symbols


@cache
def crowd(count: int) -> tuple[Register, Codes, list[str], set[str]]:
    """`count` live codes, in the register, as an array, as a list and as a set of text."""
    register = Register(count)
    codes = register.mint(count, Keeping.LIVE)
    texts = unpack(codes)
    return register, codes, texts, set(texts)


def asked(codes: Codes, count: int) -> Codes:
    """Half of them live, of which each has one symbol changed; the others are random."""
    rng = np.random.default_rng(1)
    some = rng.integers(0, 1 << 40, count, np.uint64)
    places = 5 * rng.integers(0, LENGTH, some[::2].size, np.uint64)
    some[::2] = rng.choice(codes, some[::2].size) ^ (rng.integers(1, 32, some[::2].size, np.uint64) << places)
    return some


def each(some: Sequence[Any] | np.ndarray, work: Callable[[Any], object]) -> list[float]:
    return rate(len(some), lambda: [work(one) for one in some])


@contextmanager
def prepare_minting(folder: Path, count: int) -> Iterator[Sequence[Way]]:
    register, codes, _, texts = crowd(count)
    ours, theirs, scanned = max(count // 50, 50), max(count // 500, 50), 5

    def mint() -> list[float]:
        minted: list[Codes] = []
        figure = rate(ours, lambda: minted.append(register.mint(ours)))
        register.remove(minted[0])
        return figure

    def probe() -> None:
        kept: list[str] = []
        while len(kept) < theirs:
            new = unpack(drawn(np.random.bytes(5)))[0]
            if texts.isdisjoint(around(new)):
                texts.add(new)
                kept.append(new)
        texts.difference_update(kept)

    def scan() -> None:
        kept = 0
        while kept < scanned:
            kept += bool((differing(codes, drawn(np.random.bytes(5))[0]) >= MIN_DISTANCE).all())

    yield (
        Way(Role.OURS, "Register.mint, distance 3", mint),
        Way(Role.PEER, "Python set, 249 look-ups, distance 2 only", lambda: rate(theirs, probe)),
        Way(Role.PEER, "NumPy, all compared, distance 3", lambda: rate(scanned, scan)),
    )


@contextmanager
def prepare_finding(folder: Path, count: int) -> Iterator[Sequence[Way]]:
    register, codes, _, texts = crowd(count)
    many = np.random.default_rng(2).permuted(np.concatenate([asked(codes, count // 10), codes[: count // 10]]))
    words, ordered = unpack(many[: max(count // 50, 10)]), np.sort(codes)

    def search() -> None:
        at = np.searchsorted(ordered, many).clip(max=ordered.size - 1)
        assert (ordered[at] == many).any()

    yield (
        Way(Role.OURS, "Register.find", lambda: rate(many.size, lambda: register.find(many))),
        Way(Role.PEER, "Python set", lambda: each(words, texts.__contains__)),
        Way(Role.PEER, "NumPy, binary search", lambda: rate(many.size, search)),
    )


@contextmanager
def prepare_near(folder: Path, count: int) -> Iterator[Sequence[Way]]:
    register, codes, listed, texts = crowd(count)
    many = asked(codes, max(count // 10, 20))
    words = unpack(many[:2000])

    def fuzzy(word: str) -> object:
        return process.extractOne(word, listed, scorer=Hamming.distance, score_cutoff=1)

    yield (
        Way(Role.OURS, "Register.near", lambda: rate(many.size, lambda: register.near(many))),
        Way(Role.PEER, "Python set, 249 look-ups", lambda: each(words, lambda word: texts.intersection(around(word)))),
        Way(Role.PEER, "RapidFuzz, nearest of all", lambda: each(words[:3], fuzzy)),
        Way(Role.PEER, "NumPy, all compared", lambda: each(many[:3], lambda code: differing(codes, code).min())),
    )


@contextmanager
def prepare_reading(folder: Path, count: int) -> Iterator[Sequence[Way]]:
    register, _, listed, texts = crowd(count)
    lattices, written = handwritten(min(count, 20_000), np.random.default_rng(3))
    # Half of the pictures are of live codes.
    live = register.add_spaced(written[::2], Keeping.LIVE)
    best = [reading.read(one[None], register, 1).best for one in lattices[:3]]

    def fuzzy(string: Codes) -> object:
        return process.extractOne(unpack(string)[0], listed, scorer=Hamming.distance, score_cutoff=1)

    yield (
        Way(
            Role.OURS,
            f"read, {BUDGET} most probable strings",
            lambda: rate(len(lattices), lambda: reading.read(lattices, register, BUDGET)),
        ),
        Way(
            Role.PEER,
            "heapq and a Python set, the same strings",
            lambda: each(lattices[:500], lambda one: [string for string in most_probable(one) if string in texts]),
        ),
        Way(Role.PEER, "RapidFuzz, nearest of all to the best string", lambda: each(best, fuzzy)),
    )
    register.remove(live)


@contextmanager
def prepare_memory(folder: Path, count: int) -> Iterator[Sequence[Way]]:
    register, _, listed, texts = crowd(count)
    a_text = sys.getsizeof(listed[0])
    yield (
        Way(Role.OURS, "Register: minting, finding, near, states", lambda: [register.nbytes / len(register)]),
        Way(Role.PEER, "Python set of text: finding only", lambda: [sys.getsizeof(texts) / len(texts) + a_text]),
        Way(Role.LIMIT, "the codes alone, 40 bits each", lambda: [5.0]),
    )


def around(word: str) -> list[str]:
    return [word[:at] + symbol + word[at + 1 :] for at in range(LENGTH) for symbol in ALPHABET]


def differing(codes: Codes, code: np.uint64) -> np.ndarray:
    """In how many symbols each differs from `code`."""
    x = codes ^ code
    folded = x | x >> np.uint64(1) | x >> np.uint64(2) | x >> np.uint64(3) | x >> np.uint64(4)
    return np.bitwise_count(folded & _SYMBOLS)


def most_probable(lattice: np.ndarray) -> Iterator[str]:
    """What one would write first: best-first over ranks, with a set of those seen."""
    ranked = [
        sorted(((-math.log(max(p, 1e-30)), s) for p, s in zip(row, ALPHABET, strict=True))) for row in lattice.tolist()
    ]
    start: tuple[int, ...] = (0,) * LENGTH
    heap: list[tuple[float, tuple[int, ...]]] = [(math.fsum(row[0][0] for row in ranked), start)]
    seen: set[tuple[int, ...]] = {start}
    for _ in range(BUDGET):
        cost, ranks = heapq.heappop(heap)
        yield "".join(row[rank][1] for row, rank in zip(ranked, ranks, strict=True))
        for at, rank in enumerate(ranks):
            after = (*ranks[:at], rank + 1, *ranks[at + 1 :])
            if rank < 31 and after not in seen:
                seen.add(after)
                heapq.heappush(heap, (cost - ranked[at][rank][0] + ranked[at][rank + 1][0], after))
