"""The inner loops of the register and of reading, compiled by numba.

A code is 40 bits, five a symbol. Each of two tables files it under 20 of them: `heads` under its first four symbols,
`tails` under its last four. A bucket is found by the topmost `bits` (10 to 20) of that half, so that what is left of
the code, at most 30 bits, and its state share one 32-bit word: `left << 2 | state`. Sixteen words are a block, one
cache line. A bucket is `wide` blocks, and its last word is kept for the number of one more block, `block << 2`, which
has no state; that block's last word leads on in the same way. So 0 is a free word, and no word ever moves.

Two codes that differ in at most two symbols differ in at most one of the first four, or in none of the last four. So
all codes nearer than three are in the `heads` buckets of the 125 halves that differ from the first half in at most
one symbol, or in one `tails` bucket. Two codes that differ in one symbol share a bucket of one of the tables.

No kernel keeps the interpreter's lock.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import int64, uint32, uint64

WORDS = 16  # a block, 64 bytes: a cache line
HALF_BITS = 20
_HALF = (1 << HALF_BITS) - 1
_0, _1, _2, _3, _4 = map(np.uint32, range(5))
_GROUPS = np.uint32(0x2108421)  # the lowest bit of each of six symbols

# What the list of most probable strings ends with.
NO_HIT, HIT, TIED, UNUSABLE = range(4)


def _kernel(function: Callable[..., Any]) -> Any:
    """Compiled at the first call, and kept beside this file or, where that is read-only, in the user's cache."""
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy", boundscheck=False)(function)
    except RuntimeError:  # neither can be written, so every process compiles for itself
        return numba.njit(nogil=True, error_model="numpy", boundscheck=False)(function)


def _inlined(function: Callable[..., Any]) -> Any:
    return numba.njit(inline="always", error_model="numpy", boundscheck=False)(function)


@_inlined
def _turned(code):
    """The last half first: how `tails` sees a code."""
    return (code >> uint64(HALF_BITS)) | ((code & uint64(_HALF)) << uint64(HALF_BITS))


@_kernel
def _word(table, wide, bits, code):
    """Where `code` stands in its table, or -1."""
    shift = uint64(2 * HALF_BITS - bits)
    left = uint32(code & ((uint64(1) << shift) - uint64(1)))
    at, size = int64(code >> shift) * wide * WORDS, wide * WORDS
    while True:
        for i in range(at, at + size):
            if table[i] >> _2 == left and table[i] & _3:
                return i
        link = table[at + size - 1]
        if link == 0:
            return -1
        at, size = int64(link >> _2) * WORDS, WORDS


@_kernel
def _put(table, wide, bits, used, code, state):
    """File a code that is not there; `used` is how many blocks are, and there must be one more. How many are, then."""
    shift = uint64(2 * HALF_BITS - bits)
    left = uint32(code & ((uint64(1) << shift) - uint64(1)))
    word = uint32(left << _2 | uint32(state))
    at, size = int64(code >> shift) * wide * WORDS, wide * WORDS
    while True:
        last = at + size - 1
        for i in range(at, last):
            if table[i] == 0:
                table[i] = word
                return used
        if table[last] == 0:
            table[used * WORDS] = word
            table[last] = uint32(used << 2)
            return used + 1
        at, size = int64(table[last] >> _2) * WORDS, WORDS


@_kernel
def _nearest_of_block(table, at, left, mask, two):
    """The highest word with a state in the block at `at` that differs from `left` in at most one symbol of `mask`
    (`two` = 0), or two (1); 0 if there is none. Each step is cast to 32 bits: so it becomes vector instructions."""
    block = table[at : at + WORDS]
    nearest = _0
    for i in range(WORDS):
        word = block[i]
        x = uint32(uint32(uint32(word >> _2) ^ left) & mask)
        y = uint32(x | uint32(x >> _2))
        differ = uint32(uint32(uint32(y | uint32(y >> _1)) | uint32(x >> _4)) & _GROUPS)
        but_one = uint32(differ & uint32(differ - _1))
        over = uint32(but_one & uint32(but_one - two))
        is_near = uint32(uint32(over == _0) & uint32(uint32(word & _3) != _0))
        nearest = max(nearest, uint32(word * is_near))
    return nearest


@_kernel
def _nearest(table, wide, bucket, left, mask, two):
    """As `_nearest_of_block`, of a whole bucket."""
    at = bucket * wide * WORDS
    end = at + wide * WORDS
    while True:
        while at < end:
            word = _nearest_of_block(table, at, left, mask, two)
            if word:
                return word
            at += WORDS
        link = table[end - 1]
        if link == 0:
            return _0
        at = int64(link >> _2) * WORDS
        end = at + WORDS


@_kernel
def _crowded(heads, tails, wide, bits, code, flips, counted):
    """Whether a code is there that differs from this one in less than three symbols. See `register` for the flips."""
    shift = uint64(2 * HALF_BITS - bits)
    low = (uint64(1) << shift) - uint64(1)
    turned = _turned(code)
    if _nearest(tails, wide, int64(turned >> shift), uint32(turned & low), counted[0], _1):
        return True
    bucket, left = int64(code >> shift), uint32(code & low)
    if _nearest(heads, wide, bucket, left, counted[0], _1):
        return True
    for j in range(1, flips.size):  # noqa: SIM110  numba knows no any()
        if _nearest(heads, wide, bucket ^ flips[j], left, counted[j], _0):
            return True
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
    counts[heads[at] & _3] -= 1
    counts[state] += 1
    also = _word(tails, wide, bits, _turned(code))
    if state:
        heads[at] = uint32(heads[at] & ~_3 | uint32(state))
        tails[also] = uint32(tails[also] & ~_3 | uint32(state))
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
def mint(heads, tails, wide, bits, used, room, counts, flips, counted, candidates, state, out, minted):
    """File those candidates that are three or more from every code there, until `out` is full from `minted` on.

    Returns how many candidates were looked at, and how many codes stand in `out`."""
    for n in range(candidates.size):
        if minted == out.size or counts[1] + counts[2] + counts[3] >= room:
            return n, minted
        if _free_blocks(heads, used[0]) == 0 or _free_blocks(tails, used[1]) == 0:
            return n, minted
        code = candidates[n]
        if _crowded(heads, tails, wide, bits, code, flips, counted):
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
    shift = uint64(2 * HALF_BITS - old_bits)
    for bucket in range(1 << old_bits):
        at, size = bucket * old_wide * WORDS, old_wide * WORDS
        while True:
            for i in range(at, at + size - 1):
                state = old[i] & _3
                if state:
                    if _free_blocks(heads, used[0]) == 0 or _free_blocks(tails, used[1]) == 0:
                        return False
                    code = uint64(bucket) << shift | uint64(old[i] >> _2)
                    used[0] = _put(heads, wide, bits, used[0], code, state)
                    used[1] = _put(tails, wide, bits, used[1], _turned(code), state)
            link = old[at + size - 1]
            if link == 0:
                break
            at, size = int64(link >> _2) * WORDS, WORDS
    return True


@_kernel
def _state_in_block(table, at, left):
    block = table[at : at + WORDS]
    found = _0
    for i in range(WORDS):
        word = block[i]
        is_it = uint32(uint32(uint32(word >> _2) == left) & uint32(uint32(word & _3) != _0))
        found = max(found, uint32(word * is_it))
    return found & _3


@_kernel
def _state(heads, wide, bits, code):
    """The state of a code, 0 if it is not there."""
    shift = uint64(2 * HALF_BITS - bits)
    left = uint32(code & ((uint64(1) << shift) - uint64(1)))
    at = int64(code >> shift) * wide * WORDS
    end = at + wide * WORDS
    while True:
        while at < end:
            state = _state_in_block(heads, at, left)
            if state:
                return state
            at += WORDS
        link = heads[end - 1]
        if link == 0:
            return _0
        at = int64(link >> _2) * WORDS
        end = at + WORDS


@_kernel
def find(heads, wide, bits, codes, states):
    for n in range(codes.size):
        states[n] = _state(heads, wide, bits, codes[n])


@_kernel
def _within_one(table, wide, bits, code):
    """The code of `code`'s bucket that differs from it in at most one symbol, and its state; 0 if there is none."""
    shift = uint64(2 * HALF_BITS - bits)
    low = (uint64(1) << shift) - uint64(1)
    word = _nearest(table, wide, int64(code >> shift), uint32(code & low), uint32(low), _0)
    return (code & ~low) | uint64(word >> _2), word & _3


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
        code = uint64(0)
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
                nats[place, at], symbols[place, at] = p, uint64(symbol)
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
            code |= symbols[place, 0] << uint64(35 - 5 * place)
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
        cost, key = 0.0, code << uint64(8)
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
            code = key >> uint64(8)
            listed[n] += 1
            state = _state(heads, wide, bits, code)
            if hittable[state]:
                if found < hits.shape[1]:
                    hits[n, found], hit_states[n, found], hit_costs[n, found] = code, state, cost
                if found == 0:
                    limit = cost + rival_nats
                found += 1

            last, rank = int64(key >> uint64(5) & uint64(7)), int64(key & uint64(31))
            if rank == 0:
                place = order[0]
                if nats[place, 1] < np.inf:
                    flip = (symbols[place, 0] ^ symbols[place, 1]) << uint64(35 - 5 * place)
                    costs[size], keys[size] = nats[place, 1], (code ^ flip) << uint64(8) | uint64(1)
                    size += 1
            else:
                place = order[last]
                if rank < 31 and nats[place, rank + 1] < np.inf:
                    flip = (symbols[place, rank] ^ symbols[place, rank + 1]) << uint64(35 - 5 * place)
                    costs[size] = cost + (nats[place, rank + 1] - nats[place, rank])
                    keys[size] = (code ^ flip) << uint64(8) | uint64(last << 5 | rank + 1)
                    size += 1
                    _sift_up(costs, keys, size - 1)
                if last < 7 and nats[order[last + 1], 1] < np.inf:
                    after = order[last + 1]
                    flip = (symbols[after, 0] ^ symbols[after, 1]) << uint64(35 - 5 * after)
                    costs[size] = cost + nats[after, 1]
                    keys[size] = (code ^ flip) << uint64(8) | uint64((last + 1) << 5 | 1)
                    size += 1
                    _sift_up(costs, keys, size - 1)
                    if rank == 1:
                        flip ^= (symbols[place, 0] ^ symbols[place, 1]) << uint64(35 - 5 * place)
                        costs[size] = cost + (nats[after, 1] - nats[place, 1])
                        keys[size] = (code ^ flip) << uint64(8) | uint64((last + 1) << 5 | 1)
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
