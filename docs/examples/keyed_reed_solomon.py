"""How a secret Reed-Solomon book falls: read a few hundred stamps, and forge as many as you like.

    python docs/examples/keyed_reed_solomon.py

The book is what one would design first. Codes of eight characters are the words of Reed-Solomon [8, 5, 4] over
GF(32), so any two differ in four places by construction. To hide them, the post keeps secret which element of GF(32)
each character means (another alphabet in each place, 32! of them), which multiplier each place has, and the order of
the places. That key has more than 900 bits, and none of them matters.

Why it falls. A word is in the book when three sums over GF(32) vanish. The trace of a multiple of such a sum is one
bit, so 15 independent sums of bits vanish: f₁(c₁) + f₂(c₂) + … + f₈(c₈) = 0, where fᵢ is some unknown table of 32
bits, into which alphabet, multiplier and order have all gone. Unknown tables are 8 · 32 = 256 unknown bits, and a
stamp seen is one linear equation on them: the sum of the eight entries that it selects is 0. Gaussian elimination
over GF(2) does the rest. The equations cannot tell apart the 15 true sums and the 7 trivial ones (constant tables that
cancel), so their rank ends at 256 − 15 − 7 = 234. From there on a word is in the book if, and only if, its equation
follows from those seen. The attacker needs no idea of the field or the key, only that the book is a group in disguise.
"""

import argparse
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PLACES, DATA, FIELD = 8, 5, 32
BOOK = FIELD**DATA  # words of the book: 33 554 432
UNKNOWNS = PLACES * FIELD  # 256 bits, one for each character in each place
RANK = UNKNOWNS - 5 * (PLACES - DATA) - (PLACES - 1)  # 234
LIVE = 5_000_000  # stamps sold and not yet used

Words = NDArray[np.uint8]  # (n, 8), characters 0 to 31


def _powers() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Powers of x modulo x⁵ + x² + 1, and their logarithms."""
    power, log = np.zeros(2 * 31, np.int64), np.zeros(FIELD, np.int64)
    value = 1
    for exponent in range(31):
        power[exponent] = power[exponent + 31] = value
        log[value] = exponent
        value = value << 1 ^ (0b100101 if value & 16 else 0)
    return power, log


POWER, LOG = _powers()


def times(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """In GF(32), element by element."""
    return np.where((a == 0) | (b == 0), 0, POWER[LOG[a] + LOG[b]])


@dataclass(frozen=True)
class Book:
    """The post's secret, and what it can do with it."""

    order: NDArray[np.int64]
    multipliers: NDArray[np.int64]
    alphabets: NDArray[np.uint8]  # (8, 32): the character that stands for an element, place by place

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Book":
        alphabets = np.array([rng.permutation(FIELD) for _ in range(PLACES)], np.uint8)
        return cls(rng.permutation(PLACES), rng.integers(1, FIELD, PLACES), alphabets)

    def issue(self, count: int, rng: np.random.Generator) -> Words:
        """Random words of the book: polynomials of degree below 5, at eight points."""
        coefficients = rng.integers(0, FIELD, (count, DATA))
        points = np.arange(1, PLACES + 1)
        value = np.zeros((count, PLACES), np.int64)
        for column in range(DATA):  # Horner
            value = times(value, np.broadcast_to(points, value.shape)) ^ coefficients[:, column : column + 1]
        value = times(value, np.broadcast_to(self.multipliers, value.shape))[:, self.order]
        return self.alphabets[np.arange(PLACES), value]

    def holds(self, words: Words) -> NDArray[np.bool_]:
        """Whether the sorting machine takes them for stamps."""
        element = np.argsort(self.alphabets, axis=1)[np.arange(PLACES), words]
        value = np.zeros_like(element)
        value[:, self.order] = element
        value = times(value, POWER[31 - LOG[self.multipliers]])  # divided by the multipliers
        checks = _checks()
        sums = [np.bitwise_xor.reduce(times(value, np.broadcast_to(row, value.shape)), axis=1) for row in checks]
        return ~np.any(sums, axis=0)


def _checks() -> NDArray[np.int64]:
    """Three rows that every word is orthogonal to: powers of the points, over the product of their differences."""
    points = np.arange(1, PLACES + 1)
    weights = []
    for point in points:
        logarithm = LOG[point ^ points[points != point]].sum()
        weights.append(POWER[-logarithm % 31])
    rows = [np.array(weights)]
    for _ in range(PLACES - DATA - 1):
        rows.append(times(rows[-1], points))
    return np.array(rows)


class Attacker:
    """Sees stamps, and nothing else."""

    def __init__(self) -> None:
        self.pivots: dict[int, int] = {}  # equations seen, as 256-bit numbers, by their highest bit

    def see(self, word: Words) -> bool:
        """Whether it taught anything."""
        left = self._reduce(equation(word))
        if left:
            self.pivots[left.bit_length()] = left
        return left != 0

    def _reduce(self, bits: int) -> int:
        while bits and (pivot := self.pivots.get(bits.bit_length())):
            bits ^= pivot
        return bits

    def expects(self, word: Words) -> bool:
        """Whether the word is a stamp, as far as the stamps seen tell."""
        return self._reduce(equation(word)) == 0

    def tables(self) -> NDArray[np.uint8]:
        """All tables that fit every stamp seen: (22, 8, 32) bits when the book has fallen."""
        reduced: dict[int, int] = {}  # each equation free of the others' highest bits
        for top in sorted(self.pivots):
            bits = self.pivots[top]
            for other, row in reduced.items():
                if bits >> (other - 1) & 1:
                    bits ^= row
            reduced[top] = bits
        found = []
        for free in set(range(1, UNKNOWNS + 1)) - set(reduced):
            solution = 1 << (free - 1)
            for top, row in reduced.items():
                if row >> (free - 1) & 1:
                    solution |= 1 << (top - 1)
            found.append([solution >> bit & 1 for bit in range(UNKNOWNS)])
        return np.array(found, np.uint8).reshape(-1, PLACES, FIELD)

    def forge(self, count: int, rng: np.random.Generator) -> Iterator[Words]:
        """Words that nobody issued: five characters at will, the other three looked up so that every sum vanishes."""
        tables = self.tables().transpose(1, 2, 0)  # place, character, bit
        weights = 1 << np.arange(tables.shape[2], dtype=np.int64)
        value = tables @ weights  # (8, 32): all bits of a character in its place, as one number
        last = value[5][:, None, None] ^ value[6][None, :, None] ^ value[7][None, None, :]
        index = {int(sum_): at for at, sum_ in enumerate(last.ravel())}
        for _ in range(count):
            free = rng.integers(0, FIELD, DATA)
            wanted = int(np.bitwise_xor.reduce(value[np.arange(DATA), free]))
            at = index[wanted]
            yield np.array([*free, at >> 10, at >> 5 & 31, at & 31], np.uint8)


def equation(word: Words) -> int:
    """The eight of the 256 unknown bits that a stamp adds up."""
    return sum(1 << (FIELD * place + int(character)) for place, character in enumerate(word))


SEEN = (200, 220, 230, 235, 240, 260)  # after so many stamps the attacker is asked about the next


@dataclass(frozen=True)
class Fall:
    needed: int  # stamps seen until nothing more is to be learnt
    foretold: list[float]  # after each of SEEN, the share of the post's next stamps that the attacker expects
    forged: float  # share of forgeries that are words of the book
    mistaken: float  # share of random words that the attacker takes for stamps and the book does not, or the reverse


def attack(seed: int, tried: int = 200) -> Fall:
    rng = np.random.default_rng(seed)
    book, attacker = Book.draw(rng), Attacker()
    needed, foretold, seen = 0, [], 0
    while len(attacker.pivots) < RANK or seen < SEEN[-1]:
        seen += 1
        if attacker.see(book.issue(1, rng)[0]):
            needed = seen
        if seen in SEEN:
            foretold.append(float(np.mean([attacker.expects(word) for word in book.issue(tried // 4, rng)])))
    forged = np.mean(book.holds(np.array(list(attacker.forge(tried, rng)))))
    noise = rng.integers(0, FIELD, (tried, PLACES)).astype(np.uint8)
    mistaken = np.mean(np.array([attacker.expects(word) for word in noise]) != book.holds(noise))
    return Fall(needed, foretold, float(forged), float(mistaken))


def main() -> None:
    parser = argparse.ArgumentParser(description="Break keyed Reed-Solomon books by the stamps they issue.")
    parser.add_argument("--keys", type=int, default=60, help="how many books, each with its own key")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    falls = [attack(asked.seed + key) for key in range(asked.keys)]
    needed = [fall.needed for fall in falls]
    print(f"books broken                       {len(falls)}")
    print(f"stamps seen until the book falls   median {statistics.median(needed):g}, {min(needed)} to {max(needed)}")
    for at, seen in enumerate(SEEN):
        share = statistics.mean(fall.foretold[at] for fall in falls)
        print(f"next stamps foretold after {seen}     {share:.1%}")
    print(f"forgeries that are in the book     {statistics.mean(fall.forged for fall in falls):.1%}")
    print(f"random words taken wrongly         {statistics.mean(fall.mistaken for fall in falls):.1%}")
    print(f"a forgery is live, {LIVE:,} are      {LIVE / BOOK:.1%}")
    print(f"a guess without structure is       {LIVE / FIELD**PLACES:.1e}")


if __name__ == "__main__":
    main()
