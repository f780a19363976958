"""Correct reads against false accepts: the list budget beside check digits, a fixed radius and Reed-Solomon.

    python -m tests.benchmarks.roc FILE.npz

FILE holds `posteriors`, float32 (n, 8, 32) in the order of the alphabet, and `truth`, n codes. Every scheme reads the
same pictures with the same number of live codes. A scheme's rule need not be written into the pictures: the words that
keep it relative to a picture's true code are a book as good as any other.

Correct reads are counted. False accepts are too rare to count and are expectations: a string that is tried is live with
probability N / 32⁸; one of those that keep a check digit with N / 32⁷; a word of the Reed-Solomon book with N / 32⁵.
`count_false_accepts` checks the first of them where the budget is large enough for counting.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from cloud.stamps.model import ALPHABET, LENGTH

Shares = NDArray[np.floating[Any]]

SPACE = 32**LENGTH  # strings
IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
FEW = 2
MOST = 32**3  # strings looked at: as many hold one word of the Reed-Solomon book on average
ALPHAS = (1e-5, 1e-4, 5e-4, 1e-3)  # false accepts that one may choose
# Colours of light and dark as the pages have them: ink, second text, hairline, blue, red, ground.
THEMES = {
    "light": ("#12171e", "#55606d", "#d9dee4", "#0a56c4", "#b3201b", "#ffffff"),
    "dark": ("#e7ebf0", "#9ca8b6", "#2a323d", "#8cb6ff", "#ff918a", "#0f1319"),
}


@dataclass(frozen=True, slots=True)
class Ranks:
    """For each picture, how many strings are more probable than the true one, MOST where there are more."""

    of_all: NDArray[np.int64]
    with_check_digit: NDArray[np.int64]  # of those that keep the check digit
    in_book: NDArray[np.int64]  # of those that are words of the Reed-Solomon book
    wrong: NDArray[np.int64]  # characters in which the most probable string differs from the true one


def ranks(posteriors: NDArray[np.float32], truth: Sequence[str]) -> Ranks:
    true = np.array([[ALPHABET.index(symbol) for symbol in code] for code in truth])
    scores = np.log(np.maximum(posteriors, 1e-12).astype(np.float64))
    order = np.argsort(-scores, axis=2)
    counts = _count(np.take_along_axis(scores, order, axis=2), order, true, _luhn(), _syndromes())
    return Ranks(counts[:, 0], counts[:, 1], counts[:, 2], (order[:, :, 0] != true).sum(axis=1))


def _luhn() -> NDArray[np.int64]:
    """What a character adds to the sum modulo 32: every second one doubled, its carry added (Luhn, as for cards)."""
    plain = np.arange(32)
    doubled = np.where(2 * plain < 32, 2 * plain, 2 * plain - 31)
    return np.array([doubled if place % 2 else plain for place in range(LENGTH)])


def _syndromes() -> NDArray[np.int64]:
    """What a character adds (exclusive or) to the three checks of Reed-Solomon [8, 5, 4] over GF(32), as 15 bits."""
    power = [1]
    while len(power) < 31:
        power.append(power[-1] << 1 ^ (0b100101 if power[-1] & 16 else 0))  # modulo x⁵ + x² + 1
    table = np.zeros((LENGTH, 32), np.int64)
    for place in range(LENGTH):
        for value in range(1, 32):
            checks = [power[(power.index(value) + place * row) % 31] for row in range(3)]
            table[place, value] = checks[0] | checks[1] << 5 | checks[2] << 10
    return table


@numba.njit(cache=True)
def _count(scores, order, true, luhn, syndromes):  # pragma: no cover  compiled
    """Walks the strings above the true one, the most probable first: every branch it enters holds at least one."""
    counts = np.zeros((len(scores), 3), np.int64)
    at = np.zeros(9, np.int64)
    score, sums, checks = np.zeros(9), np.zeros(9, np.int64), np.zeros(9, np.int64)
    rest = np.zeros(9)
    for n in range(len(scores)):
        wanted, true_sum, true_check = 0.0, 0, 0
        for place in range(8):
            for rank in range(32):
                if order[n, place, rank] == true[n, place]:
                    wanted += scores[n, place, rank]
            true_sum += luhn[place, true[n, place]]
            true_check ^= syndromes[place, true[n, place]]
        wanted += 1e-9  # the true string itself, added up in another order, is not above itself
        for place in range(7, -1, -1):
            rest[place] = rest[place + 1] + scores[n, place, 0]
        depth = 0
        at[0] = 0
        while depth >= 0 and counts[n, 0] < MOST:
            if at[depth] == 32 or score[depth] + scores[n, depth, at[depth]] + rest[depth + 1] <= wanted:
                depth -= 1
                continue
            symbol = order[n, depth, at[depth]]
            score[depth + 1] = score[depth] + scores[n, depth, at[depth]]
            sums[depth + 1] = sums[depth] + luhn[depth, symbol]
            checks[depth + 1] = checks[depth] ^ syndromes[depth, symbol]
            at[depth] += 1
            if depth < 7:
                depth += 1
                at[depth] = 0
                continue
            counts[n, 0] += 1
            counts[n, 1] += (sums[8] - true_sum) % 32 == 0
            counts[n, 2] += checks[8] == true_check
    return counts


@dataclass(frozen=True, slots=True)
class Line:
    """One way to read: correct reads against false accepts, of strings never sold and of strings made by a forger.

    The forger knows all that can be learnt of the scheme from stamps he has seen, and writes clearly.
    """

    name: str
    correct: Shares
    unsold: Shares
    forged: Shares
    spent: NDArray[np.int64]  # strings tried; words, where only those that keep the rule are tried

    @property
    def is_soft(self) -> bool:
        """A curve over what is spent; else points, each another fixed rule."""
        return len(self.spent) > FEW


def lines(found: Ranks, live: int) -> list[Line]:
    p = live / SPACE
    budgets = np.unique([*np.geomspace(1, MOST, 121).astype(np.int64), *(int(alpha / p) or 1 for alpha in ALPHAS)])
    tries = np.array([1, 249])  # within no and one wrong character
    radius = np.array([np.mean(found.wrong <= r) for r in range(len(tries))])
    by_list = np.array([np.mean(found.of_all < budget) for budget in budgets])
    kept = np.unique(np.geomspace(1, MOST / 32, 41).astype(np.int64))
    by_check = np.array([np.mean(found.with_check_digit < count) for count in kept])
    book = np.array([np.mean((found.of_all < budget) & (found.in_book == 0)) for budget in budgets])
    a_word = -np.expm1(budgets * math.log1p(-(32**-3)))  # that so many strings of noise hold a word of the book
    return [
        Line("list budget", by_list, budgets * p, budgets * p, budgets),
        Line("check digit, list", by_check, 32 * kept * p, 32 * kept * p, kept),
        Line("check digit, exact", radius[:1], tries[:1] * p, np.array([32 * p]), tries[:1]),
        Line("random codes, radius 0 and 1", radius, tries * p, tries * p, tries),
        # A forger's word is in the book, and is found at once.
        Line("Reed-Solomon, list", book, a_word * 32**3 * p, np.full(len(budgets), 32**3 * p), budgets),
        Line("Reed-Solomon, radius 1", radius[1:], tries[1:] * p, np.array([32**3 * p]), tries[1:]),
    ]


def count_false_accepts(posteriors: NDArray[np.float32], live: int, budget: int, registers: int) -> int:
    """How many lists of `budget` strings held a live code, over so many registers drawn blindly."""
    rng = np.random.default_rng(7)
    pieces = (posteriors[at : at + 100] for at in range(0, len(posteriors), 100))
    lists = np.concatenate([_most_probable(piece, budget) for piece in pieces])
    return sum(_hit(lists, rng.integers(0, SPACE, live, dtype=np.uint64)) for _ in range(registers))


def _hit(lists: NDArray[np.uint64], codes: NDArray[np.uint64]) -> int:
    """How many of the lists hold one of the codes."""
    codes = np.sort(codes)
    at = np.minimum(np.searchsorted(codes, lists), len(codes) - 1)
    return int((codes[at] == lists).any(axis=1).sum())


def _most_probable(posteriors: NDArray[np.float32], budget: int) -> NDArray[np.uint64]:
    """(n, budget) strings, 40 bits each. A string among the best has a beginning among the best of its length."""
    scores = np.log(np.maximum(posteriors, 1e-12).astype(np.float64))
    codes, best = np.zeros((len(scores), 1), np.uint64), np.zeros((len(scores), 1))
    for place in range(LENGTH):
        longer = (best[:, :, None] + scores[:, place, None, :]).reshape(len(scores), -1)
        keep = np.argpartition(-longer, min(budget, longer.shape[1]) - 1, axis=1)[:, :budget]
        best = np.take_along_axis(longer, keep, axis=1)
        symbol = (keep % 32).astype(np.uint64)
        codes = np.take_along_axis(codes, keep // 32, axis=1) << np.uint64(5) | symbol
    return codes


def draw(all_lines: Sequence[Line], live: int, theme: str, out: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    ink, soft, hair, blue, red, ground = THEMES[theme]
    looks = {
        "list budget": {"color": blue, "linewidth": 2.4, "zorder": 3},
        "check digit, list": {"color": ink, "linestyle": (0, (1, 1.6)), "linewidth": 1.6, "zorder": 4},
        "Reed-Solomon, list": {"color": red, "linestyle": (0, (6, 3)), "linewidth": 1.3, "zorder": 4},
        "check digit, exact": {"color": ink, "marker": "s", "linestyle": "", "markersize": 5, "zorder": 5},
        "random codes, radius 0 and 1": {"color": soft, "marker": "o", "linestyle": "", "markersize": 9, "zorder": 4},
        "Reed-Solomon, radius 1": {"color": red, "marker": "^", "linestyle": "", "markersize": 5, "zorder": 5},
    }
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "roc",
        "font.family": "sans-serif",
        "figure.facecolor": ground,
        "axes.facecolor": ground,
        "axes.edgecolor": soft,
        "axes.labelcolor": ink,
        "text.color": ink,
        "xtick.color": soft,
        "ytick.color": soft,
        "grid.color": hair,
        "legend.facecolor": ground,
        "legend.edgecolor": hair,
    }
    with mpl.rc_context(style):
        figure, sides = plt.subplots(1, 2, sharey=True, figsize=(9.2, 4.9), layout="constrained")
        titles = ("a code that was never sold", "a code made by one who knows the scheme")
        for side, title, pick in zip(sides, titles, ("unsold", "forged"), strict=True):
            for line in all_lines:
                side.plot(getattr(line, pick), line.correct, label=line.name, **looks[line.name])
            side.set(xscale="log", xlim=(1e-6, 1), title=title, xlabel="false accepts of it")
            side.grid(visible=True, linewidth=0.6)
            side.spines[["top", "right"]].set_visible(False)
        low = min(line.correct.min() for line in all_lines)
        sides[0].set(ylabel="correct reads", ylim=(low - 0.01, 1.002))
        figure.legend(*sides[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
        figure.suptitle(f"{live:,} live codes".replace(",", "\N{NO-BREAK SPACE}"), fontsize=10, color=soft)
        figure.savefig(out, metadata={"Date": None, "Title": "Correct reads against false accepts"})
        plt.close(figure)


def table(all_lines: Sequence[Line]) -> str:
    """In Markdown: each scheme at the false accepts that one would choose, or where it stands."""
    rows = [
        "| reading | tries | correct | false accepts, never sold | false accepts, forged |",
        "|---|---|---|---|---|",
    ]
    for line in all_lines:
        wanted = [int(np.searchsorted(line.unsold, alpha * 1.0001, side="right")) - 1 for alpha in ALPHAS]
        shown = sorted({max(at, 0) for at in wanted}) if line.is_soft else range(len(line.correct))
        for at in shown:
            figures = f"{line.spent[at]} | {line.correct[at]:.4f} | {line.unsold[at]:.1e} | {line.forged[at]:.1e}"
            rows.append(f"| {line.name} | {figures} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.roc", description="Draw docs/images/roc-*.svg.")
    parser.add_argument("lattices", type=Path, metavar="FILE.npz", help="posteriors (n, 8, 32) and truth (n)")
    parser.add_argument("--live", type=int, default=5_000_000)
    parser.add_argument("--registers", type=int, default=20, help="drawn to count false accepts; 0 leaves it out")
    parser.add_argument("--out", type=Path, default=IMAGES)
    asked = parser.parse_args()
    with np.load(asked.lattices) as file:
        posteriors, truth = file["posteriors"], [str(code) for code in file["truth"]]
    all_lines = lines(ranks(posteriors, truth), asked.live)
    for theme in THEMES:
        draw(all_lines, asked.live, theme, asked.out / f"roc-{theme}.svg")
    said = [f"{len(truth):,} pictures, {asked.live:,} live codes", table(all_lines)]
    if asked.registers:
        some, budget = posteriors[:10_000], int(1e-3 * SPACE / asked.live)
        expected = len(some) * asked.registers * budget * asked.live / SPACE
        hits = count_false_accepts(some, asked.live, budget, asked.registers)
        said.append(f"false accepts at {budget} strings: {hits} counted, {expected:.0f} ± {expected**0.5:.0f} expected")
    print(*said, sep="\n\n")  # noqa: T201  its output is the table


if __name__ == "__main__":
    main()
