"""What a reader saw, against the register: how many strings may be tried is a budget, and nobody guesses beyond it.

A lattice says for each of the eight places how probable each symbol of the alphabet is. Live codes are random, secret
and independent of any picture, so a list of B strings holds one of N live codes by chance with a probability of at most
N·B / 32⁸, whatever was drawn. B follows from the false-accept budget α and from N as it is now; the strings are the B
most probable ones.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cloud.stamps import kernels
from cloud.stamps.model import ALPHABET, LENGTH, parse
from cloud.stamps.register import ABSENT, CODES, Codes, Keeping, Register, pack, unpack

Lattices = NDArray[np.float32]

MOST_LISTED = 255  # one less than 2⁸: eight glyphs, each half-way between two symbols, never fit, however few are live
RIVAL_NATS = 3.0  # a second code this near to the first leaves it open which was meant
# A string beyond the list that is this near to the best one: what was listed is then an accident of noise.
LEVEL_NATS = 2.0
TIE_NATS = 1e-3  # a string beyond the list this near to the hit: only rounding put it behind
DOMINANT = 0.5  # more probable than all other strings together: it was read clearly
CANDIDATES = 4  # codes named to staff

_UNSEEN = 2e-4  # share of a misreading that 31 000 glyphs did not show: a tenth of a glyph of one symbol's 900 and some
_ROUNDING = 0.01  # by which probabilities may exceed 1 in sum
_DASHES = "-\N{HYPHEN}\N{EN DASH}"
_FOLDED = {"O": "0", "I": "1", "S": "5", "Z": "2"}
_HITTABLE = np.array([False, False, True, True])  # by Keeping: what is held was given to nobody


class Kind(IntEnum):
    ACCEPTED = 0
    AMBIGUOUS = 1  # several codes could be meant: to a person
    ALREADY_USED = 2
    UNKNOWN_CLEAR = 3  # well legible, and no code: a sign of fraud
    ILLEGIBLE = 4


@dataclass(frozen=True, slots=True)
class Verdict:
    kind: Kind
    code: str | None  # accepted, already used
    candidates: tuple[str, ...]  # for staff alone: all codes that were hit, the likeliest first, at most CANDIDATES
    listed: int  # strings looked up
    budget: int
    posterior: float  # how probable the picture makes the first hit, or where there is none, the best string; 0 to 1


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Of n pictures; row by row what a Verdict says."""

    kind: NDArray[np.uint8]
    hits: Codes  # (n, CANDIDATES), the likeliest first
    hit_states: NDArray[np.uint8]  # (n, CANDIDATES), Keeping or ABSENT
    listed: NDArray[np.int64]
    best: Codes  # the most probable string
    posterior: NDArray[np.float64]
    budget: int

    def __getitem__(self, row: int) -> Verdict:
        kind, hits = Kind(self.kind[row]), unpack(self.hits[row][self.hit_states[row] != ABSENT])
        sure = kind in (Kind.ACCEPTED, Kind.ALREADY_USED)
        return Verdict(
            kind, hits[0] if sure else None, tuple(hits), int(self.listed[row]), self.budget, float(self.posterior[row])
        )


def budget(alpha: float, live: int) -> int:
    """How many strings may be tried while `live` codes are live, so that at most a share `alpha` of all pictures hits
    one by chance: ⌊α·32⁸/N⌋, at most MOST_LISTED, and 0 where even one is too many."""
    if not 0 < alpha < 1:
        raise ValueError(f"the share of false accepts is between 0 and 1, not {alpha}")
    return min(math.floor(alpha * CODES / max(live, 1)), MOST_LISTED)


def read(lattices: Lattices, register: Register, budget: int) -> Verdicts:
    """(n, 8, 32), in the order of the alphabet. Each place's values are weights: their sum need not be 1.

    A lattice with a negative value, one that is no finite number, or a place of zeros is illegible: nothing is listed.
    """
    lattices = np.ascontiguousarray(lattices, np.float32)
    if lattices.ndim != 3 or lattices.shape[1:] != (LENGTH, len(ALPHABET)):
        raise ValueError(f"lattices have the shape (n, {LENGTH}, {len(ALPHABET)}), not {lattices.shape}")
    if not 0 <= budget <= MOST_LISTED:
        raise ValueError(f"a budget is 0 to {MOST_LISTED} strings, not {budget}")
    n = len(lattices)
    hits, states, costs = (
        np.zeros((n, CANDIDATES), np.uint64),
        np.zeros((n, CANDIDATES), np.uint8),
        np.zeros((n, CANDIDATES)),
    )
    listed, best, best_cost = np.zeros(n, np.int64), np.zeros(n, np.uint64), np.zeros(n)
    ended = np.zeros(n, np.uint8)
    kernels.read(
        lattices, *register.heads(), _HITTABLE, budget, RIVAL_NATS, LEVEL_NATS, TIE_NATS,
        hits, states, costs, listed, best, best_cost, ended,
    )  # fmt: skip
    return Verdicts(
        _kinds(states, ended, best_cost), hits, states, listed, best, np.exp(-(best_cost + costs[:, 0])), budget
    )


def _kinds(states: NDArray[np.uint8], ended: NDArray[np.uint8], best_cost: NDArray[np.float64]) -> NDArray[np.uint8]:
    live, spent = (states == Keeping.LIVE).sum(axis=1), (states == Keeping.SPENT).any(axis=1)
    return np.select(
        [
            ended == kernels.HIT,
            (ended == kernels.NO_HIT) & (best_cost <= -math.log(DOMINANT)),
        ],
        [
            np.select([live == 0, (live == 1) & ~spent], [Kind.ALREADY_USED, Kind.ACCEPTED], Kind.AMBIGUOUS),
            Kind.UNKNOWN_CLEAR,
        ],
        Kind.ILLEGIBLE,
    ).astype(np.uint8)


def read_one(lattice: NDArray[np.float32], register: Register, budget: int) -> Verdict:
    """(8, 32). As `read`."""
    return read(lattice[None], register, budget)[0]


def read_text(text: str, register: Register, budget: int) -> Verdict:
    """What was typed, or read as text: that string, then those that differ from it in one character, the likeliest slip
    first, within the budget. Codes are three apart, so one of them at most is a stamp, and one slip never leads to
    another. With a character too few or too many all strings that it may be are looked up, if they are within the
    budget, and what is hit goes to staff: nothing is accepted.

    Raises ValueError where a character is none of the alphabet.
    """
    symbols = _symbols(text)
    if len(symbols) == LENGTH:
        return _read_typed(symbols, register, budget)
    if len(symbols) == LENGTH + 1:
        strings = {symbols[:at] + symbols[at + 1 :] for at in range(LENGTH + 1)}
    elif len(symbols) == LENGTH - 1:
        strings = {symbols[:at] + symbol + symbols[at:] for at in range(LENGTH) for symbol in ALPHABET}
    else:
        strings = set[str]()
    if not strings or len(strings) > budget:
        return Verdict(Kind.ILLEGIBLE, None, (), 0, budget, 0.0)
    listed = sorted(strings)
    hit = _HITTABLE[register.find(pack(listed))]
    candidates = tuple(code for code, there in zip(listed, hit, strict=True) if there)
    kind = Kind.AMBIGUOUS if candidates else Kind.ILLEGIBLE
    return Verdict(kind, None, candidates[:CANDIDATES], len(listed), budget, 0.0)


def _read_typed(typed: str, register: Register, budget: int) -> Verdict:
    lattice = lattice_of_text(typed)
    as_typed = (np.arange(LENGTH), [ALPHABET.index(symbol) for symbol in typed])
    odds = lattice / lattice[as_typed][:, None]
    odds[as_typed] = 0
    likeliest = np.argsort(-odds, axis=None, kind="stable")[: max(budget - 1, 0)]
    slips = [(at, ALPHABET[symbol]) for at, symbol in zip(*np.unravel_index(likeliest, odds.shape), strict=True)]
    listed = [typed, *(typed[:at] + symbol + typed[at + 1 :] for at, symbol in slips)][:budget]
    states = register.find(pack(listed))
    hit = next((at for at in range(len(listed)) if _HITTABLE[states[at]]), None)
    certain = float(np.prod(lattice[as_typed]))
    if hit is None:
        return Verdict(Kind.UNKNOWN_CLEAR, None, (), len(listed), budget, certain)
    kind = Kind.ACCEPTED if states[hit] == Keeping.LIVE else Kind.ALREADY_USED
    posterior = certain * float(odds.flat[likeliest[hit - 1]]) if hit else certain
    return Verdict(kind, listed[hit], (listed[hit],), len(listed), budget, posterior)


def read_strings(strings: Sequence[tuple[str, float]], register: Register, budget: int) -> Verdict:
    """The n best readings of a reader, each with its probability; the most probable `budget` of them are looked up.

    Readings that fold to one code count as one. Of those of another length nothing is guessed.
    Raises ValueError where a probability is none, or a character none of the alphabet.
    """
    weights: dict[str, float] = {}
    for text, probability in strings:
        if not 0 <= probability <= 1:
            raise ValueError(f"a probability is 0 to 1, not {probability}")
        symbols = _symbols(text)
        weights[symbols] = weights.get(symbols, 0.0) + probability
    total = math.fsum(weights.values())
    if total > 1 + _ROUNDING:
        raise ValueError(f"the strings' probabilities sum to {total:.3g}, more than 1")
    ranked = sorted(
        ((text, weight) for text, weight in weights.items() if len(text) == LENGTH and weight > 0),
        key=lambda one: (-one[1], one[0]),
    )
    listed, beyond = ranked[:budget], ranked[budget:]
    if not listed:
        return Verdict(Kind.ILLEGIBLE, None, (), 0, budget, 0.0)
    costs = [math.log(ranked[0][1] / weight) for _, weight in ranked]
    states = register.find(pack([text for text, _ in listed]))
    all_hits = [at for at in range(len(listed)) if _HITTABLE[states[at]]]
    hits = [at for at in all_hits if costs[at] <= costs[all_hits[0]] + RIVAL_NATS][:CANDIDATES]
    padded = np.zeros((1, CANDIDATES), np.uint8)
    padded[0, : len(hits)] = states[hits]
    ended = kernels.HIT if hits else kernels.NO_HIT
    if beyond and (costs[budget] < LEVEL_NATS or (hits and costs[budget] < costs[hits[0]] + TIE_NATS)):
        ended = kernels.TIED
    cost = -math.log(min(ranked[0][1], 1.0))
    kind = Kind(_kinds(padded, np.array([ended]), np.array([cost]))[0])
    candidates = tuple(listed[at][0] for at in hits)
    sure = kind in (Kind.ACCEPTED, Kind.ALREADY_USED)
    return Verdict(
        kind, candidates[0] if sure else None, candidates, len(listed), budget, listed[hits[0] if hits else 0][1]
    )


def lattice_of_text(text: str) -> NDArray[np.float32]:
    """What was probably written where these eight characters were read, by the measured confusions. ValueError as
    `model.parse`."""
    confusions = _written_given_read()
    return np.stack([confusions[ALPHABET.index(symbol)] for symbol in parse(text)])


def lattice_of_probabilities(places: Sequence[Mapping[str, float] | Sequence[float]]) -> NDArray[np.float32]:
    """Eight places, each {symbol: probability}, or 32 probabilities in the order of the alphabet.

    O, I, S, Z add to 0, 1, 5, 2, small letters to capitals. What a place lacks to 1 is spread over all symbols alike,
    as for a reader that names its best few. Raises ValueError that names the place, counted from 1.
    """
    if len(places) != LENGTH:
        raise ValueError(f"a stamp code has {LENGTH} places, not {len(places)}")
    return np.stack([_place(place, number) for number, place in enumerate(places, 1)])


def _place(place: Mapping[str, float] | Sequence[float], number: int) -> NDArray[np.float32]:
    row = np.zeros(len(ALPHABET))
    if isinstance(place, Mapping):
        for symbol, probability in place.items():
            folded = _FOLDED.get(symbol.upper(), symbol.upper())
            if len(folded) != 1 or folded not in ALPHABET:
                raise ValueError(f"place {number}: {symbol!r} is no character of {ALPHABET}")
            _check(probability, number)
            row[ALPHABET.index(folded)] += probability
    else:
        if len(place) != len(ALPHABET):
            raise ValueError(f"place {number}: {len(ALPHABET)} probabilities are needed, not {len(place)}")
        for probability in place:
            _check(probability, number)
        row += place
    total = row.sum()
    if total == 0:
        raise ValueError(f"place {number}: every probability is 0")
    if total > 1 + _ROUNDING:
        raise ValueError(f"place {number}: the probabilities sum to {total:.3g}, more than 1")
    row += max(1 - total, 0) / len(ALPHABET) if total < 1 - _ROUNDING else 0
    return (row / row.sum()).astype(np.float32)


def _check(probability: float, number: int) -> None:
    if not 0 <= probability <= 1:  # nor is NaN
        raise ValueError(f"place {number}: a probability is 0 to 1, not {probability}")


def _symbols(text: str) -> str:
    """As `model.parse`, of any length."""
    try:
        return "".join(parse(symbol * LENGTH)[0] for symbol in "".join(text.split()) if symbol not in _DASHES)
    except ValueError:
        raise ValueError(f"a stamp code is made of {ALPHABET}") from None


@cache
def _written_given_read() -> NDArray[np.float32]:
    """(32, 32): row by row the probability of each written symbol, given the one that was read (folded)."""
    measured = json.loads(Path(__file__).with_name("confusions.json").read_text())
    shares = np.array(measured["shares"])
    folded = np.zeros((len(ALPHABET), len(ALPHABET)))
    for written in range(len(measured["alphabet"])):
        if (symbol := measured["alphabet"][written]) in ALPHABET:
            for read, share in zip(measured["alphabet"], shares[written], strict=True):
                folded[ALPHABET.index(_FOLDED.get(read) or read), ALPHABET.index(symbol)] += share
    folded += _UNSEEN
    return (folded / folded.sum(axis=1, keepdims=True)).astype(np.float32)
