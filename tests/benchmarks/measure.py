"""How it is measured: the ways of doing one thing take turns on the same machine, and their medians are compared."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from pathlib import Path

Samples = list[float] | Mapping[str, list[float]]  # in the benchmark's unit, or of several by unit, the first its own
Run = Callable[[], Samples]
MORE_IS_BETTER = ("/s", "/CPU-s")  # how such units end
OnRun = Callable[[str, int, int], object]  # a way's name, how many runs are done, of how many


class Role(StrEnum):
    OURS = "Domino"
    PEER = "peer"  # another way of reaching the same
    LIMIT = "limit"  # what no way could beat: the work that is left when ours is taken away
    PART = "part"  # of ours


@dataclass(frozen=True, slots=True)
class Way:
    """One way of doing what a benchmark measures. `run` does it once and gives its samples, in the benchmark's unit."""

    role: Role
    name: str
    run: Run


@dataclass(frozen=True, slots=True)
class Benchmark:
    """`prepare(folder, count)` gives the ways, ours first, each to be run any number of times on `count` things."""

    name: str
    unit: str  # "messages/s" and "messages/CPU-s": more is better; "ms": less is
    prepare: Callable[[Path, int], AbstractContextManager[Sequence[Way]]]
    count: int
    short_count: int  # enough to see that it works
    rounds: int
    quantiles: tuple[float, ...] = (0.5,)


@dataclass(frozen=True, slots=True)
class Row:
    benchmark: str
    unit: str
    role: Role
    way: str
    quantile: float
    figure: float
    lowest: float
    highest: float
    samples: int
    ratio: float  # how many times as good ours is, by this quantile; of a part: its share of ours


def measure(benchmark: Benchmark, folder: Path, *, count: int, rounds: int, warm_up: bool, on_run: OnRun) -> list[Row]:
    """One row for each way, unit and quantile. A warm-up is one round that is thrown away: imports, caches, keys."""
    with benchmark.prepare(folder, count) as ways:
        samples: list[dict[str, list[float]]] = [defaultdict(list) for _ in ways]
        turns = range(-warm_up, rounds)
        for done, (turn, at) in enumerate(product(turns, range(len(ways)))):
            on_run(ways[at].name, done, len(turns) * len(ways))
            measured = ways[at].run()
            for unit, taken in (measured if isinstance(measured, Mapping) else {benchmark.unit: measured}).items():
                samples[at][unit] += taken if turn >= 0 else []
    return [
        _row(benchmark.name, unit, way, quantile, taken[unit], samples[0][unit])
        for unit in samples[0]
        for quantile in benchmark.quantiles
        for way, taken in zip(ways, samples, strict=True)
        if unit in taken
    ]


def rate(count: int, work: Callable[[], object]) -> list[float]:
    """How many a second, when `work` does `count` of them."""
    return [count / seconds(work)]


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def nearest_rank(samples: Sequence[float], quantile: float) -> float:
    """The smallest sample that at least this share of the samples does not exceed."""
    return sorted(samples)[max(math.ceil(quantile * len(samples)), 1) - 1]


def _row(name: str, unit: str, way: Way, quantile: float, taken: Sequence[float], ours: Sequence[float]) -> Row:
    figure, our_figure = nearest_rank(taken, quantile), nearest_rank(ours, quantile)
    ratio = our_figure / figure if unit.endswith(MORE_IS_BETTER) else figure / our_figure
    return Row(name, unit, way.role, way.name, quantile, figure, min(taken), max(taken), len(taken), ratio)
