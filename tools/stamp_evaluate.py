"""`domino stamp evaluate`: how well codes are read, and how often one is accepted that nobody gave out."""

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from tools.terminal import AsJson, Failure, console, print_json

if TYPE_CHECKING:
    import numpy as np

    from cloud.stamps.register import Codes

AT_ONCE = 100_000  # codes minted, lattices read between two steps of the progress bar


def evaluate(
    live: Annotated[int, typer.Option(help="How many codes are live.", min=1, max=100_000_000)],
    lattices: Annotated[
        Path,
        typer.Option(help="An .npz file: `posteriors` float32 (n, 8, 32) in alphabet order, `truth` n strings of 8."),
    ],
    alpha: Annotated[float, typer.Option(help="What share of pictures without a live code may be accepted.")] = 1e-4,
    seed: Annotated[int, typer.Option(help="Chooses the half of the pictures whose codes are live.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Mint LIVE codes, those of half the pictures among them, read all pictures, count the verdicts. No database."""
    if not 0 < alpha < 1:
        raise typer.BadParameter(f"alpha is between 0 and 1, not {alpha}")
    posteriors, truth = load(lattices)
    fields = figures(live, posteriors, truth, alpha, seed)
    if as_json:
        print_json(fields)
        return
    for name, value in fields.items():
        said = ", ".join(f"{part} {number}" for part, number in value.items()) if isinstance(value, dict) else value
        console.print(f"[dim]{name:29}[/]{said}", soft_wrap=True)


def load(path: Path) -> "tuple[np.ndarray, Codes]":
    """The posteriors and the codes that were written. Raises Failure that says what is wrong with the file."""
    import numpy as np

    from cloud.stamps.register import pack

    try:
        with np.load(path, allow_pickle=False) as file:
            posteriors, truth = file["posteriors"], file["truth"]
    except KeyError as error:
        raise Failure(f"{path} lacks an array: {error.args[0]}") from None
    except FileNotFoundError:
        raise Failure(f"there is no file {path}") from None
    except (OSError, ValueError, EOFError, AttributeError, TypeError):  # AttributeError, TypeError: an .npy file
        raise Failure(f"{path} is no .npz file with `posteriors` and `truth`") from None
    if posteriors.ndim != 3 or posteriors.shape[1:] != (8, 32) or truth.shape != posteriors.shape[:1] or not truth.size:
        raise Failure(f"{path}: posteriors {posteriors.shape} and truth {truth.shape} are not (n, 8, 32) and (n,)")
    if posteriors.dtype.kind != "f":
        raise Failure(f"{path}: posteriors are numbers of kind {posteriors.dtype}, not float32")
    texts = truth.astype("U").tolist()
    try:
        return posteriors.astype(np.float32, copy=False), pack(texts)
    except ValueError as error:
        raise Failure(f"{path}, truth: {error}") from None


def figures(live: int, posteriors: "np.ndarray", truth: "Codes", alpha: float, seed: int) -> dict[str, Any]:
    import numpy as np

    from cloud.stamps import reading
    from cloud.stamps.reading import Kind
    from cloud.stamps.register import CODES, Keeping, Register

    half = np.unique(truth[np.random.default_rng(seed).permutation(truth.size)[: truth.size // 2]])
    if half.size > live:
        raise Failure(f"half the pictures hold {half.size} codes, more than the {live} that shall be live")
    register = Register(live)
    # First those of the pictures: the others are minted around them. Which of two that are too near stays is chance.
    half = np.random.default_rng(seed).permutation(half)
    placed = register.add_spaced(half, Keeping.LIVE)
    # What is compiled and loaded at first use is no part of the figures.
    reading.read(posteriors[:1], Register(), 1)

    budget = reading.budget(alpha, live)
    with Progress(console=Console(stderr=True)) as progress:
        minting = progress.add_task("minting", total=live, completed=len(register))
        to_mint, mint_time = live - len(register), Stopwatch()
        while len(register) < live:
            with mint_time:
                register.mint(min(AT_ONCE, live - len(register)), Keeping.LIVE)
            progress.update(minting, completed=len(register))
        task = progress.add_task("reading", total=truth.size)
        verdicts, read_time = [], Stopwatch()
        for at in range(0, truth.size, AT_ONCE):
            with read_time:
                verdicts.append(reading.read(posteriors[at : at + AT_ONCE], register, budget))
            progress.update(task, completed=min(at + AT_ONCE, truth.size))

    kind = np.concatenate([verdict.kind for verdict in verdicts])
    hit = np.concatenate([verdict.hits[:, 0] for verdict in verdicts])
    listed = np.concatenate([verdict.listed for verdict in verdicts])
    best = np.concatenate([verdict.best for verdict in verdicts])
    is_live = register.find(truth) == Keeping.LIVE
    accepted = kind == Kind.ACCEPTED
    expected = float(live * listed[~is_live].sum() / CODES)
    false_accepts = int((accepted & ~is_live).sum())

    def count(which: "np.ndarray") -> dict[str, int]:
        return {
            "pictures": int(which.sum()),
            "accepted": int((which & accepted).sum()),
            **{one.name.lower(): int((which & (kind == one)).sum()) for one in Kind if one is not Kind.ACCEPTED},
        }

    return {
        "live": live,
        "alpha": alpha,
        "budget": budget,
        "pictures": int(truth.size),
        "live_pictures": int(is_live.sum()),
        "too_near_to_be_live": int(half.size - placed.size),
        "best_string_right": int((best == truth).sum()),
        "correct": int((accepted & is_live & (hit == truth)).sum()),
        "correct_share": round(float((accepted & is_live & (hit == truth)).sum() / max(is_live.sum(), 1)), 5),
        "wrong": int((accepted & is_live & (hit != truth)).sum()),
        "ambiguous": int((kind == Kind.AMBIGUOUS).sum()),
        "already_used": int((kind == Kind.ALREADY_USED).sum()),
        "unknown_clear": int((kind == Kind.UNKNOWN_CLEAR).sum()),
        "illegible": int((kind == Kind.ILLEGIBLE).sum()),
        "of_live": count(is_live),
        "of_others": count(~is_live),
        "list_mean": round(float(listed.mean()), 3),
        "list_mean_of_others": round(float(listed[~is_live].mean()), 3) if not is_live.all() else 0.0,
        "list_max": int(listed.max()),
        "false_accepts": false_accepts,
        "false_accepts_expected": round(expected, 4),  # at most: N·E[list]/32⁸ for each picture that is not live
        "false_accepts_3_sigma": round(3 * math.sqrt(expected), 4),
        "false_accepts_within_3_sigma": abs(false_accepts - expected) <= 3 * math.sqrt(expected),
        "reads_per_s": round(truth.size / read_time.seconds),
        "reads_per_core_s": round(truth.size / read_time.core_seconds),
        "mint_per_s": round(to_mint / mint_time.seconds) if to_mint else None,
        "mint_per_core_s": round(to_mint / mint_time.core_seconds) if to_mint else None,
        "bytes_per_code": round(register.nbytes / len(register), 2),
    }


class Stopwatch:
    """The time within its `with` blocks: by the clock, and what this thread had of a core."""

    seconds = core_seconds = 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter(), time.thread_time()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._began[0]
        self.core_seconds += time.thread_time() - self._began[1]
