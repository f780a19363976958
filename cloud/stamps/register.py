"""Every code that new ones must keep away from, in memory, in plain Python: some twenty thousand codes a second.

Two codes that differ in at most two of their eight places agree in at least two of their four pairs of symbols. So each
code is filed under each two of its pairs, and its neighbours are among those that share a file with it.
"""

import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from cloud.stamps.model import CODE_BITS, LENGTH, MIN_DISTANCE

HELD, LIVE, SPENT = 1, 2, 3  # minted or reserved; live; redeemed, void, expired and in quarantine

Codes = NDArray[np.uint64]  # 40 bits each, see model.number_of

_TWO_OF_FOUR_PAIRS = [(10 * i, 10 * j, index) for index, (i, j) in enumerate(combinations(range(4), 2))]


class Register:
    """For one writer thread; readers may look on meanwhile."""

    def __init__(self, room: int = 0) -> None:
        self._states: dict[int, int] = {}
        self._files: defaultdict[tuple[int, int, int], set[int]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._states)

    def count(self, state: int) -> int:
        return list(self._states.values()).count(state)

    def add(self, codes: Codes, state: int) -> None:
        for code in codes.tolist():
            self._states[code] = state
            for key in _keys(code):
                self._files[key].add(code)

    def set_state(self, codes: Codes, state: int) -> None:
        for code in codes.tolist():
            if code in self._states:
                self._states[code] = state

    def remove(self, codes: Codes) -> None:
        for code in codes.tolist():
            if self._states.pop(code, None) is not None:
                for key in _keys(code):
                    self._files[key].discard(code)

    def find(self, codes: Codes) -> NDArray[np.uint8]:
        """The state of each; 0 where it is not there."""
        return np.array([self._states.get(code, 0) for code in codes.tolist()], np.uint8)

    def mint(self, count: int, state: int = HELD, noise: Callable[[int], bytes] = secrets.token_bytes) -> Codes:
        """New codes from the operating system's randomness, three from all there and from each other."""
        minted: list[int] = []
        while len(minted) < count:
            code = int.from_bytes(noise(CODE_BITS // 8), "big")
            near = (other for key in _keys(code) for other in self._files[key])
            if all(_distance(code, other) >= MIN_DISTANCE for other in near):
                minted.append(code)
                self.add(np.array([code], np.uint64), state)
        return np.array(minted, np.uint64)


def _keys(code: int) -> Iterable[tuple[int, int, int]]:
    return ((index, code >> i & 1023, code >> j & 1023) for i, j, index in _TWO_OF_FOUR_PAIRS)


def _distance(a: int, b: int) -> int:
    return sum((a ^ b) >> 5 * place & 31 != 0 for place in range(LENGTH))
