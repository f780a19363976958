"""The long run: so many inputs over all targets, one target after the other, each in a process of its own.

    python -m tests.fuzz --inputs 10000000 [TARGET …]

The target `api` sends --requests to each operation of the API of a running service (tests.fuzz.api).
What was found interesting is kept in build/fuzz/corpus and built upon by the next run; what broke a target lies in
build/fuzz/found, and a report in build/fuzz/report.json. A target ends with its first finding, with an input that
takes longer than TIMEOUT_S, or with more memory than RSS_MB. Exit code 1: there are findings.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.fuzz import api
from tests.fuzz.targets import Target, shares, targets

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "fuzz"
TIMEOUT_S = 20  # an input, on a machine that has other work too
RSS_MB = 700  # numpy, OpenCV, SQLAlchemy and atheris themselves take 300
FINISHED = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
PEAK = re.compile(r"stat::peak_rss_mb:\s+(\d+)")
STEP = re.compile(r"#(\d+)\s")
COVERED = re.compile(r"\bcov: (\d+)")
LAST_LINES = 40
API = "api"


@dataclass
class Run:
    target: str
    inputs: int = 0
    seconds: float = 0.0
    peak_rss_mb: int = 0
    covered: int = 0  # edges of our code
    found: str | None = None  # the end of what was said

    @property
    def per_s(self) -> int:
        return round(self.inputs / self.seconds) if self.seconds else 0


def fuzz(target: Target, inputs: int, progress: Progress) -> Run:
    corpus, seeds, found = (BUILD / kind / target.name for kind in ("corpus", "seeds", "found"))
    for folder in (corpus, seeds, found):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (seeds / f"{number}").write_bytes(seed)
    options = {
        "runs": inputs,
        "max_len": target.longest,
        "timeout": TIMEOUT_S,
        "rss_limit_mb": RSS_MB,
        "artifact_prefix": f"{found}/",
        "print_final_stats": 1,
        "seed": 1,
    }
    command = [sys.executable, "-m", "tests.fuzz.one", target.name]
    command += [f"-{name}={value}" for name, value in options.items()] + [str(corpus), str(seeds)]
    run, started, said = Run(target.name), time.monotonic(), []
    task = progress.add_task(target.name, total=inputs)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  the modem syncs its counter to disk
    with tempfile.TemporaryDirectory(prefix="domino-fuzz-", dir=memory) as scratch:
        environment = {**os.environ, "TMPDIR": scratch}
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        for line in process.stdout:
            said = [*said[1 - LAST_LINES :], line]
            if step := STEP.match(line):
                run.inputs = int(step[1])
                progress.update(task, completed=run.inputs)
            if covered := COVERED.search(line):
                run.covered = int(covered[1])
            if finished := FINISHED.search(line):
                run.inputs = int(finished[1])
            if peak := PEAK.search(line):
                run.peak_rss_mb = int(peak[1])
        if process.wait():
            run.found = "".join(said)
    run.seconds = round(time.monotonic() - started, 1)
    progress.update(task, completed=run.inputs)
    return run


def ask_api(requests: int) -> Run:
    run, started = Run(API), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="domino-fuzz-") as folder, api.service(Path(folder) / "data") as running:
        asked = api.ask(*running, requests)
    run.seconds = round(time.monotonic() - started, 1)
    run.inputs = asked.statuses.total()
    run.found = "\n".join(asked.errors[:LAST_LINES]) or None
    return run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz every parser.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join([*targets(), API])}; default: all")
    parser.add_argument("--inputs", type=int, default=10_000_000, help="over all targets")
    parser.add_argument("--requests", type=int, default=1000, help="to each operation of the API")
    given = parser.parse_args()
    if unknown := set(given.targets) - {*targets(), API}:
        parser.error(f"no target {', '.join(sorted(unknown))}")
    chosen = {name: n for name, n in shares(given.inputs).items() if not given.targets or name in given.targets}
    columns = (TextColumn("{task.description:14}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    runs = []
    console = Console(highlight=False, soft_wrap=True)
    with Progress(*columns, console=console) as progress:
        for name, inputs in chosen.items():
            runs.append(fuzz(targets()[name], inputs, progress))
            report = [asdict(run) | {"per_s": run.per_s} for run in runs]
            (BUILD / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    if not given.targets or API in given.targets:
        runs.append(ask_api(given.requests))
    for run in runs:
        end = "FOUND SOMETHING" if run.found else "nothing found"
        console.print(f"{run.target:14} {run.inputs:>9} inputs  {run.per_s:>6}/s  {run.peak_rss_mb:>4} MB  {end}")
        if run.found:
            console.print(run.found, markup=False)
    console.print(f"{'all':14} {sum(run.inputs for run in runs):>9} inputs")
    sys.exit(any(run.found for run in runs))


if __name__ == "__main__":
    main()
