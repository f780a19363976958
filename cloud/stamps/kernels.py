"""The inner loops of the register and of reading, compiled by numba.

A code is 40 bits, five a symbol. Each of two tables files it under 20 of them: `heads` under its first four symbols,
`tails` under its last four. A bucket is found by the topmost `bits` (10 to 20) of that half, so that what is left of
the code, at most 30 bits, and its state share one 32-bit word: `left << 2 | state`. Sixteen words are a block, one cache
line; a bucket is `wide` blocks, and where they are full its last word leads to one more block: `block << 2`, which
has no state. So 0 is a free word, and no word ever moves.

Two codes that differ in at most two symbols differ in at most one of the first four, or in none of the last four. So
all codes nearer than three are in the `heads` buckets of the 125 halves that differ from the first half in at most
one symbol, or in one `tails` bucket. Two codes that differ in one symbol share a bucket of one of the tables.

No kernel keeps the interpreter's lock.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

WORDS = 16  # a block, 64 bytes: a cache line
HALF_BITS = 20
_HALF = (1 << HALF_BITS) - 1
_GROUPS = np.uint32(0x2108421)  # the lowest bit of each of six symbols

# What the list of most probable strings ends with.
NO_HIT, HIT, TIED, UNUSABLE = range(4)


def _kernel(function: Callable[..., Any]) -> Any:
    """Compiled at the first call, and kept on disk beside this file or, where that is read-only, in the user's cache."""
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy", boundscheck=False)(function)
    except RuntimeError:  # neither can be written, so every process compiles for itself
        return numba.njit(nogil=True, error_model="numpy", boundscheck=False)(function)


def _inlined(function: Callable[..., Any]) -> Any:
    return numba.njit(inline="always", error_model="numpy", boundscheck=False)(function)


@_inlined
def _turned(code):
    """The last half first: how `tails` sees a code."""
    return (code >> np.uint64(HALF_BITS)) | ((code & np.uint64(_HALF)) << np.uint64(HALF_BITS))


@_kernel
def _word(table, wide, bits, code):
    """Where `code` stands in its table, or -1."""
    shift = np.uint64(2 * HALF_BITS - bits)
    left = np.uint32(code & ((np.uint64(1) << shift) - np.uint64(1)))
    at, size = np.int64(code >> shift) * wide * WORDS, wide * WORDS
    while True:
        for i in range(at, at + size):
            if table[i] >> np.uint32(2) == left and table[i] & np.uint32(3):
                return i
        link = table[at + size - 1]
        if link & np.uint32(3) or link == 0:
            return -1
        at, size = np.int64(link >> np.uint32(2)) * WORDS, WORDS


@_kernel
def _put(table, wide, bits, used, code, state):
    """File a code that is not there; `used` is how many blocks are, and there must be one more. How many are, then."""
    shift = np.uint64(2 * HALF_BITS - bits)
    left = np.uint32(code & ((np.uint64(1) << shift) - np.uint64(1)))
    word = np.uint32(left << np.uint32(2) | np.uint32(state))
    at, size = np.int64(code >> shift) * wide * WORDS, wide * WORDS
    while True:
        last = at + size - 1
        for i in range(at, last):
            if table[i] == 0:
                table[i] = word
                return used
        if table[last] == 0:
            table[used * WORDS] = word
            table[last] = np.uint32(used << 2)
            return used + 1
        at, size = np.int64(table[last] >> np.uint32(2)) * WORDS, WORDS


@_kernel
def _crowded(table, wide, bits, code, flips, counted, allowed):
    """Whether a code of `table` differs in at most `allowed[j]` of the symbols `counted[j]` that it is not filed under,
    in the bucket that `flips[j]` leads to, for any j. See `neighbourhood`."""
    shift = np.uint64(2 * HALF_BITS - bits)
    left = np.uint32(code & ((np.uint64(1) << shift) - np.uint64(1)))
    bucket = np.int64(code >> shift)
    for j in range(flips.size):
        at, size = (bucket ^ flips[j]) * wide * WORDS, wide * WORDS
        mask, two = counted[j], np.uint32(allowed[j] == 2)
        while True:
            near = np.uint32(0)
            for i in range(at, at + size):
                word = table[i]
                x = np.uint32(((word >> np.uint32(2)) ^ left) & mask)
                differ = np.uint32((x | x >> np.uint32(1) | x >> np.uint32(2) | x >> np.uint32(3) | x >> np.uint32(4)))
                differ = np.uint32(differ & _GROUPS)
                rest = np.uint32(differ & np.uint32(differ - np.uint32(1)))
                less = np.uint32(rest & np.uint32(rest - np.uint32(1)))
                over = less if two else rest
                near |= np.uint32((over == 0) & ((word & np.uint32(3)) != 0))
            if near:
                return True
            link = table[at + size - 1]
            if link & np.uint32(3) or link == 0:
                break
            at, size = np.int64(link >> np.uint32(2)) * WORDS, WORDS
    return False


@_kernel
def _free_blocks(table, used):
    return table.size // WORDS - used


@_kernel
def put(heads, tails, wide, bits, used, room, counts, codes, state):
    """Give `codes` this state, filing those that are new. How many were done before the tables want to grow.

    `used` is how many blocks of either table are; `counts` how many codes have each state; both are kept up to date."""
    for n in range(codes.size):
        code = codes[n]
        at = _word(heads, wide, bits, code)
        if at >= 0:
            _mark(heads, tails, wide, bits, counts, code, at, state)
            continue
        if counts[1] + counts[2] + counts[3] >= room:
            return n
        if _free_blocks(heads, used[0]) == 0 or _free_blocks(tails, used[1]) == 0:
            return n
        used[0] = _put(heads, wide, bits, used[0], code, state)
        used[1] = _put(tails, wide, bits, used[1], _turned(code), state)
        counts[state] += 1
    return codes.size


@_kernel
def _mark(heads, tails, wide, bits, counts, code, at, state):
    counts[heads[at] & np.uint32(3)] -= 1
    counts[state] += 1
    also = _word(tails, wide, bits, _turned(code))
    if state:
        heads[at] = np.uint32(heads[at] & ~np.uint32(3) | np.uint32(state))
        tails[also] = np.uint32(tails[also] & ~np.uint32(3) | np.uint32(state))
    else:
        heads[at] = 0
        tails[also] = 0


@_kernel
def mark(heads, tails, wide, bits, counts, codes, state):
    """Give those of `codes` that are there this state, or take them out if it is 0. How many were there."""
    there = 0
    for n in range(codes.size):
        at = _word(heads, wide, bits, codes[n])
        if at >= 0:
            _mark(heads, tails, wide, bits, counts, codes[n], at, state)
            there += 1
    return there


@_kernel
def mint(heads, tails, wide, bits, used, room, counts, flips, counted, allowed, candidates, state, out, minted):
    """File those candidates that are three or more from every code there, until `out` is full from `minted` on.

    Returns how many candidates were looked at, and how many codes stand in `out`."""
    for n in range(candidates.size):
        if minted == out.size or counts[1] + counts[2] + counts[3] >= room:
            return n, minted
        if _free_blocks(heads, used[0]) == 0 or _free_blocks(tails, used[1]) == 0:
            return n, minted
        code = candidates[n]
        if _crowded(tails, wide, bits, _turned(code), flips[:1], counted[:1], allowed[:1]):
            continue
        if _crowded(heads, wide, bits, code, flips, counted, allowed):
            continue
        used[0] = _put(heads, wide, bits, used[0], code, state)
        used[1] = _put(tails, wide, bits, used[1], _turned(code), state)
        counts[state] += 1
        out[minted] = code
        minted += 1
    return candidates.size, minted


@_kernel
def move(old, old_wide, old_bits, heads, tails, wide, bits, used):
    """File what stands in the old `heads` into new, empty tables. False if their blocks ran out."""
    shift = np.uint64(2 * HALF_BITS - old_bits)
    for bucket in range(1 << old_bits):
        at, size = bucket * old_wide * WORDS, old_wide * WORDS
        while True:
            for i in range(at, at + size - 1):
                state = old[i] & np.uint32(3)
                if state:
                    if _free_blocks(heads, used[0]) == 0 or _free_blocks(tails, used[1]) == 0:
                        return False
                    code = np.uint64(bucket) << shift | np.uint64(old[i] >> np.uint32(2))
                    used[0] = _put(heads, wide, bits, used[0], code, state)
                    used[1] = _put(tails, wide, bits, used[1], _turned(code), state)
            link = old[at + size - 1]
            if link == 0:
                break
            at, size = np.int64(link >> np.uint32(2)) * WORDS, WORDS
    return True


@_kernel
def _state(heads, wide, bits, code):
    """The state of a code, 0 if it is not there: `_word` without leaving early, which is quicker over one cache line."""
    shift = np.uint64(2 * HALF_BITS - bits)
    left = np.uint32(code & ((np.uint64(1) << shift) - np.uint64(1)))
    at, size = np.int64(code >> shift) * wide * WORDS, wide * WORDS
    while True:
        state = np.uint32(0)
        for i in range(at, at + size):
            word = heads[i]
            state |= np.uint32(word & np.uint32(3)) if word >> np.uint32(2) == left else np.uint32(0)
        link = heads[at + size - 1]
        if state or link == 0:
            return state
        at, size = np.int64(link >> np.uint32(2)) * WORDS, WORDS


@_kernel
def find(heads, wide, bits, codes, states):
    for n in range(codes.size):
        states[n] = _state(heads, wide, bits, codes[n])


@_kernel
def _within_one(table, wide, bits, code):
    """The word's worth of a code in `code`'s bucket that differs from it in at most one symbol: the code and its state."""
    shift = np.uint64(2 * HALF_BITS - bits)
    low = (np.uint64(1) << shift) - np.uint64(1)
    left = np.uint32(code & low)
    at, size = np.int64(code >> shift) * wide * WORDS, wide * WORDS
    while True:
        there = np.int64(-1)
        for i in range(at, at + size):
            word = table[i]
            x = np.uint32((word >> np.uint32(2)) ^ left)
            differ = np.uint32(
                (x | x >> np.uint32(1) | x >> np.uint32(2) | x >> np.uint32(3) | x >> np.uint32(4)) & _GROUPS
            )
            rest = np.uint32(differ & np.uint32(differ - np.uint32(1)))
            if (rest == 0) & ((word & np.uint32(3)) != 0):
                there = i
        if there >= 0:
            word = table[there]
            return (code & ~low) | np.uint64(word >> np.uint32(2)), word & np.uint32(3)
        link = table[at + size - 1]
        if link == 0:
            return np.uint64(0), np.uint32(0)
        at, size = np.int64(link >> np.uint32(2)) * WORDS, WORDS


@_kernel
def near(heads, tails, wide, bits, codes, found, states):
    for n in range(codes.size):
        one, state = _within_one(heads, wide, bits, codes[n])
        if state == 0:
            one, state = _within_one(tails, wide, bits, _turned(codes[n]))
            one = _turned(one)
        found[n], states[n] = one, state


@_kernel
def _sift_up(costs, keys, at):
    cost, key = costs[at], keys[at]
    while at > 0:
        above = (at - 1) >> 1
        if costs[above] < cost or (costs[above] == cost and keys[above] <= key):
            break
        costs[at], keys[at] = costs[above], keys[above]
        at = above
    costs[at], keys[at] = cost, key


@_kernel
def _sift_down(costs, keys, size):
    cost, key = costs[0], keys[0]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        if below + 1 < size and (
            costs[below + 1] < costs[below] or (costs[below + 1] == costs[below] and keys[below + 1] < keys[below])
        ):
            below += 1
        if cost < costs[below] or (cost == costs[below] and key <= keys[below]):
            break
        costs[at], keys[at] = costs[below], keys[below]
        at = below
    costs[at], keys[at] = cost, key


@_kernel
def read(
    lattices, heads, wide, bits, hittable, budget, rival_nats, level_nats, tie_nats,
    hits, hit_states, hit_costs, listed, best, best_cost, ended,
):  # fmt: skip
    """Look up the most probable strings of each lattice, the most probable first, until `budget` is spent.

    A string's cost is how many nats it is less probable than the best. A place's symbols are ranked, and the places are
    taken in the order of what their second symbol costs more than their first. Then every string but the best has just
    one parent that costs no more: its last changed place one rank better, or, at rank one, that change taken back if
    the place before it is changed too, else moved to the place before. So three pushes a string keep a heap that gives
    all strings in their order, each once, and neither a set of those seen nor the ranks of a string are needed.
    """
    symbols = np.empty((8, 32), np.uint64)
    nats = np.empty((8, 32), np.float64)
    gaps = np.empty(8, np.float64)
    order = np.empty(8, np.int64)
    costs = np.empty(2 * budget + 4, np.float64)
    keys = np.empty(2 * budget + 4, np.uint64)
    for n in range(lattices.shape[0]):
        listed[n], best[n], best_cost[n], ended[n] = 0, 0, np.inf, NO_HIT
        hit_states[n, :] = 0
        total = 0.0
        usable = True
        code = np.uint64(0)
        for place in range(8):
            weight = 0.0
            for symbol in range(32):
                p = np.float64(lattices[n, place, symbol])
                if not (p >= 0.0 and p < np.inf):
                    usable = False
                weight += p
                at = symbol
                while at > 0 and nats[place, at - 1] < p:
                    nats[place, at], symbols[place, at] = nats[place, at - 1], symbols[place, at - 1]
                    at -= 1
                nats[place, at], symbols[place, at] = p, np.uint64(symbol)
            if not (usable and weight > 0.0):
                usable = False
                break
            likeliest = np.log(nats[place, 0])
            total += np.log(weight) - likeliest
            nats[place, 0] = 0.0
            for rank in range(1, 32):
                if rank > budget:
                    nats[place, rank] = np.inf
                else:
                    p = nats[place, rank]
                    nats[place, rank] = likeliest - np.log(p) if p > 0.0 else np.inf
            gaps[place] = nats[place, 1]
            code |= symbols[place, 0] << np.uint64(35 - 5 * place)
            at = place
            while at > 0 and gaps[order[at - 1]] > gaps[place]:
                order[at] = order[at - 1]
                at -= 1
            order[at] = place
        if not usable:
            ended[n] = UNUSABLE
            continue
        best[n], best_cost[n] = code, total

        found = 0
        size = 0
        cost, key = 0.0, code << np.uint64(8)
        limit = np.inf  # past this cost no string can be a rival of the hit
        while True:
            if listed[n] == budget:
                if cost < level_nats or (found and cost < hit_costs[n, 0] + tie_nats):
                    ended[n] = TIED
                elif found:
                    ended[n] = HIT
                break
            if cost > limit:
                ended[n] = HIT
                break
            code = key >> np.uint64(8)
            listed[n] += 1
            state = _state(heads, wide, bits, code)
            if hittable[state]:
                if found < hits.shape[1]:
                    hits[n, found], hit_states[n, found], hit_costs[n, found] = code, state, cost
                if found == 0:
                    limit = cost + rival_nats
                found += 1

            last, rank = np.int64(key >> np.uint64(5) & np.uint64(7)), np.int64(key & np.uint64(31))
            if rank == 0:
                place = order[0]
                if nats[place, 1] < np.inf:
                    flip = (symbols[place, 0] ^ symbols[place, 1]) << np.uint64(35 - 5 * place)
                    costs[size], keys[size] = nats[place, 1], (code ^ flip) << np.uint64(8) | np.uint64(1)
                    size += 1
            else:
                place = order[last]
                if rank < 31 and nats[place, rank + 1] < np.inf:
                    flip = (symbols[place, rank] ^ symbols[place, rank + 1]) << np.uint64(35 - 5 * place)
                    costs[size] = cost + (nats[place, rank + 1] - nats[place, rank])
                    keys[size] = (code ^ flip) << np.uint64(8) | np.uint64(last << 5 | rank + 1)
                    size += 1
                    _sift_up(costs, keys, size - 1)
                if last < 7 and nats[order[last + 1], 1] < np.inf:
                    after = order[last + 1]
                    flip = (symbols[after, 0] ^ symbols[after, 1]) << np.uint64(35 - 5 * after)
                    costs[size] = cost + nats[after, 1]
                    keys[size] = (code ^ flip) << np.uint64(8) | np.uint64((last + 1) << 5 | 1)
                    size += 1
                    _sift_up(costs, keys, size - 1)
                    if rank == 1:
                        flip ^= (symbols[place, 0] ^ symbols[place, 1]) << np.uint64(35 - 5 * place)
                        costs[size] = cost + (nats[after, 1] - nats[place, 1])
                        keys[size] = (code ^ flip) << np.uint64(8) | np.uint64((last + 1) << 5 | 1)
                        size += 1
                        _sift_up(costs, keys, size - 1)
            if size == 0:
                if found:
                    ended[n] = HIT
                break
            cost, key = costs[0], keys[0]
            size -= 1
            costs[0], keys[0] = costs[size], keys[size]
            if size > 1:
                _sift_down(costs, keys, size)
