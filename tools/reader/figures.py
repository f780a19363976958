"""How well the reader reads, on glyphs and fonts that it was neither trained nor calibrated on.

Two things are told apart: the network's own figures (one symbol, eight symbols, calibration), and how often the right
code is among the strings that a decoder may try. A decoder accepts at most B strings a picture, most probable first;
with random live codes some other one is among them with probability B·N/32⁸, which is what its false-accept budget is.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cloud.stamps.model import ALPHABET, LENGTH
from cloud.stamps.reader.glyphs import normalise
from cloud.stamps.reader.network import SYMBOLS, Floats, Network
from cloud.stamps.reader.read import Picture, likeliest, read_picture
from tools.reader.data import FOLDED, Emnist, Part, cut
from tools.reader.pictures import Kind, draw_code, half_way, make, pick

BUDGETS = (1, 22, 110)  # strings a picture: the best alone; α = 10⁻⁴ and 5·10⁻⁴ at 5 million live codes
BINS = 15  # of the expected calibration error

# How two hands' strokes meet: pairs that differ by little.
NEAR = ("0D", "0Q", "1L", "17", "27", "38", "3B", "49", "4Y", "5J", "56", "6G", "8B", "9Q", "AR", "AH", "CG", "CE")
NEAR += ("DP", "EF", "FP", "HN", "KX", "KR", "MN", "MW", "PR", "QR", "TY", "TJ", "UV", "VY", "UW", "NW")


@dataclass(frozen=True)
class Lattices:
    posteriors: Floats  # (n, 8, 32)
    truth: tuple[str, ...]


def calibrate(network: Network, glyphs: Floats, wanted: Any) -> Network:
    """With the temperature of the least negative log-likelihood, each symbol weighing as much as another."""
    logits = network.logits(glyphs)[:, :SYMBOLS]
    weight = (1 / np.bincount(wanted))[wanted] / SYMBOLS

    def nll(temperature: float) -> float:
        scaled = logits / temperature
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        true = scaled[np.arange(len(wanted)), wanted] - np.log(np.exp(scaled).sum(axis=1))
        return float(-(weight * true).sum())

    best = min(np.geomspace(0.4, 3, 120), key=nll)
    return Network(network.weights, network.biases, float(best))


def draw_lattices(network: Network, emnist: Emnist, part: Part, count: int, random: Generator) -> Lattices:
    """Random codes written with glyphs of a part, each read by itself."""
    glyphs, wanted = cut(emnist, part)
    rows, _ = network.posteriors(glyphs)
    of = [np.flatnonzero(wanted == symbol) for symbol in range(SYMBOLS)]
    codes = random.integers(SYMBOLS, size=(count, LENGTH))
    chosen = np.array([[of[symbol][random.integers(len(of[symbol]))] for symbol in code] for code in codes])
    truth = tuple("".join(ALPHABET[symbol] for symbol in code) for code in codes)
    return Lattices(rows[chosen], truth)


def ranks(lattices: Lattices, most: int) -> NDArray[np.int64]:
    """(n,) the truth's place among the likeliest strings from 1; `most` + 1 where it is not among that many."""
    found = []
    for posterior, truth in zip(lattices.posteriors, lattices.truth, strict=True):
        if "".join(ALPHABET[symbol] for symbol in posterior.argmax(axis=1)) == truth:
            found.append(1)  # most are: no list is needed
            continue
        strings = [string for string, _ in likeliest(posterior, most)]
        found.append(strings.index(truth) + 1 if truth in strings else most + 1)
    return np.array(found)


def of_glyphs(network: Network, emnist: Emnist) -> dict[str, float]:
    """Of single symbols, each weighing as much as another: accuracy, likelihood, calibration."""
    glyphs, wanted = cut(emnist, Part.FIGURES)
    rows, _ = network.posteriors(glyphs)
    weight = (1 / np.bincount(wanted))[wanted] / SYMBOLS
    right, sure = rows.argmax(axis=1) == wanted, rows.max(axis=1)
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    gaps = [abs(float((weight * (right - sure))[bins == one].sum())) for one in range(BINS)]
    pools = emnist.part(Part.FIGURES)
    folded = [_accuracy(network, pools[letter], symbol) for symbol, letter in FOLDED.items()]
    return {
        "glyphs": len(wanted),
        "accuracy": float((weight * right).sum()),
        "nll": float(-(weight * np.log(np.maximum(rows[np.arange(len(wanted)), wanted], 1e-12))).sum()),
        "ece": float(sum(gaps)),
        "accuracy of O, I, S, Z as 0, 1, 5, 2": float(np.mean(folded)),
    }


def _accuracy(network: Network, images: NDArray[Any], symbol: str) -> float:
    frames = np.stack([normalise(image.astype(np.float32) / 255) for image in images])
    return float((network.posteriors(frames)[0].argmax(axis=1) == ALPHABET.index(symbol)).mean())


def of_codes(lattices: Lattices) -> dict[str, float]:
    """Of eight glyphs that nobody had to cut out."""
    places = ranks(lattices, max(BUDGETS))
    return {"codes": len(places)} | {f"within {budget}": float((places <= budget).mean()) for budget in BUDGETS}


def of_pictures(pools: Mapping[str, Any], kinds: Sequence[Kind], each: int, seed: int) -> dict[str, dict[str, float]]:
    """Of whole pictures by kind: found (eight places), exact, and right within each budget."""

    def one(number: int) -> tuple[Kind, bool, int]:
        random = np.random.default_rng((seed, number))
        kind, code = kinds[number % len(kinds)], draw_code(random)
        seen = read_picture(make(code, pick(pools, code, random), kind, random).picture)
        if seen.lattice is None:
            return kind, False, max(BUDGETS) + 1
        return kind, True, int(ranks(Lattices(seen.lattice[None], (code,)), max(BUDGETS))[0])

    with ThreadPoolExecutor(2) as pool:
        read = list(pool.map(one, range(each * len(kinds))))
    table = {}
    for kind in (*kinds, None):
        of = [(found, place) for which, found, place in read if kind is None or which is kind]
        row = {"pictures": float(len(of)), "found": float(np.mean([found for found, _ in of]))}
        row |= {f"within {budget}": float(np.mean([place <= budget for _, place in of])) for budget in BUDGETS}
        table[str(kind or "all")] = row
    return table


def of_half_way(pools: Mapping[str, Any], count: int, blended: int, seed: int) -> dict[str, float]:
    """Of forged pictures, `blended` of whose symbols lie half-way between two: how much the best B strings hold.

    A forger wins where a live code lies among the strings tried. The codes are random, so what he gets is their number.
    """

    def one(number: int) -> Picture:
        random = np.random.default_rng((seed, number))
        code = draw_code(random)
        glyphs = pick(pools, code, random)
        for place in random.choice(LENGTH, blended, replace=False):
            pair = NEAR[random.integers(len(NEAR))]
            glyphs[place] = half_way(*pick(pools, pair, random))
        return read_picture(make(code, glyphs, Kind.SCAN, random).picture)

    with ThreadPoolExecutor(2) as pool:
        seen = [picture.lattice for picture in pool.map(one, range(count))]
    mass = [sum(p for _, p in likeliest(lattice, 22)) for lattice in seen if lattice is not None]
    return {
        "pictures": count,
        "found": len(mass) / count,
        "median share of the best 22": float(np.median(mass)) if mass else 0.0,
    }
