"""`python -m tests.benchmarks.reading FILE.npz`: the trials of reading, and their table in docs/benchmarks.md.

FILE.npz as `domino stamp evaluate` takes it. Some three minutes, and 0.5 GB.
"""

import sys
from pathlib import Path

import numpy as np
from rich.progress import track

from cloud.stamps import reading
from cloud.stamps.register import Keeping, Register
from tests.benchmarks.lattices import halfway
from tools.stamp_evaluate import AT_ONCE, figures, load

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
FIRST, LAST = "<!-- trials: written by `python -m tests.benchmarks.reading` -->\n", "<!-- end of trials -->\n"
TRIALS = [(5_000_000, 1e-4), (5_000_000, 5e-4), (10_000_000, 1e-4), (10_000_000, 5e-4)]
PICTURES = 20_000  # half-way, of each kind
NOISES = (0.0, 0.02, 0.1, 0.3)  # in the log-odds


def trials(file: Path) -> str:
    posteriors, truth = load(file)
    told = [figures(live, posteriors, truth, alpha, seed=0) for live, alpha in track(TRIALS, "trials", transient=True)]
    rows = [
        f"| {one['live'] / 1e6:.0f} million | {one['alpha']:g} | {one['budget']} | {one['correct_share']:.2%} "
        f"| {one['wrong']} | {one['ambiguous']} | {one['of_live']['illegible']} | {one['of_live']['unknown_clear']} "
        f"| {one['false_accepts']} of {one['of_others']['pictures']} "
        f"| {one['false_accepts_expected']:.1f} ± {one['false_accepts_3_sigma']:.1f} |"
        for one in told
    ]
    best = told[0]["best_string_right"] / told[0]["pictures"]
    return "\n".join(
        [
            f"{len(truth)} pictures, the best string right in {best:.1%}:",
            "",
            "| live | α | B | correct | wrong | ambiguous | live, illegible | live, unknown | false accepts "
            "| at most, N·E[list]/32⁸ ± 3 σ |",
            "|---|---|---|---|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def forgeries(live: int, budgets: list[int]) -> str:
    """Glyphs half-way between k symbols, with that many live: how many are accepted."""
    register = Register(live)
    for _ in track(range(live // AT_ONCE), "minting", transient=True):
        register.mint(AT_ONCE, Keeping.LIVE)
    rows = []
    for k in (2, 3, 4):
        pictures = np.concatenate([halfway(PICTURES // 4, k, noise, np.random.default_rng(k)) for noise in NOISES])
        kinds = [reading.read(pictures, register, budget).kind for budget in budgets]
        accepted = [int((kind == reading.Kind.ACCEPTED).sum()) for kind in kinds]
        rows.append(f"| {k} | {' | '.join(map(str, accepted))} |")
    return "\n".join(
        [
            f"Of {PICTURES} pictures whose eight glyphs are half-way between k symbols (noise of {NOISES[0]} to "
            f"{NOISES[-1]} in the log-odds), with {live / 1e6:.0f} million live codes, are accepted:",
            "",
            f"| k | {' | '.join(f'B = {budget}' for budget in budgets)} |",
            "|---" * (len(budgets) + 1) + "|",
            *rows,
            "",
        ]
    )


def main() -> None:
    live = max(live for live, _ in TRIALS)
    budgets = sorted({reading.budget(alpha, live) for live, alpha in TRIALS})
    written = f"{trials(Path(sys.argv[1]))}\n{forgeries(live, budgets)}"
    before, _, rest = DOCUMENT.read_text().partition(FIRST)
    _, _, after = rest.partition(LAST)
    assert after, f"{DOCUMENT} has lost the marks between which this writes"
    DOCUMENT.write_text(before + FIRST + written + LAST + after)
    sys.stdout.write(written)


if __name__ == "__main__":
    main()
