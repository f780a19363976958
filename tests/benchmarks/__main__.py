"""Runs the benchmarks, as `make bench` does: all of them, or those named on the command line."""

import argparse
import logging
import os
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog
from rich.console import Console
from rich.progress import Progress

from tests.benchmarks import (
    callbacks,
    console,
    drain,
    firmware,
    fleets,
    ingest,
    jetstream,
    latency,
    mqtt,
    page,
    radio,
    read,
    register,
    report,
    scale,
    stamps,
    trail,
)
from tests.benchmarks.measure import Benchmark, Row, measure
from tests.benchmarks.traffic import first_presses, week

BUILD = Path(__file__).parents[2] / "build" / "bench"
P99 = (0.5, 0.99)
LIVE = 10_000_000  # stamps, the design point
UPLINK_BY_MQTT = partial(firmware.prepare_uplink_heap, link="mqtt", bare="bare socket")
UPLINK_BY_MODEM = partial(firmware.prepare_uplink_heap, link="wisol", bare="bare uart")


def drained(name: str, prepare: Any, **ways: Any) -> Benchmark:
    return Benchmark(name, "messages/s", partial(prepare, **ways), count=18_000, short_count=3, rounds=3)


def answered(name: str, opened: fleets.Opened) -> Benchmark:
    prepare = partial(latency.prepare, opened=opened)
    return Benchmark(name, "ms", prepare, count=10_000, short_count=3, rounds=3, quantiles=P99)


def posted(name: str, opened: fleets.Opened) -> Benchmark:
    prepare = partial(callbacks.prepare, traffic=week, opened=opened)
    return Benchmark(name, "callbacks/s", prepare, count=54_000, short_count=180, rounds=3)


BENCHMARKS = (
    Benchmark("ingest", "messages/s", ingest.prepare, count=3000, short_count=3, rounds=7),
    Benchmark("ingest over MQTT", "messages/s", mqtt.prepare, count=6000, short_count=3, rounds=7),
    Benchmark("ingest from JetStream", "messages/s", jetstream.prepare, count=6000, short_count=3, rounds=7),
    drained("Mosquitto into SQLite, a week", drain.prepare, traffic=week, opened=fleets.sqlite),
    drained("Mosquitto into SQLite, first presses", drain.prepare, traffic=first_presses, opened=fleets.sqlite),
    drained("Mosquitto into PostgreSQL, a week", drain.prepare, traffic=week, opened=fleets.postgresql),
    drained("Mosquitto into PostgreSQL, first presses", drain.prepare, traffic=first_presses, opened=fleets.postgresql),
    drained("two workers", drain.prepare_workers, traffic=week, opened=fleets.postgresql),
    Benchmark("a large fleet", "µs/message", scale.prepare, count=200_000, short_count=30, rounds=3),
    answered("answered from SQLite", fleets.sqlite),
    answered("answered from PostgreSQL", fleets.postgresql),
    posted("callbacks into SQLite", fleets.sqlite),
    posted("callbacks into PostgreSQL", fleets.postgresql),
    Benchmark("radio model", "messages/s", radio.prepare, count=20_000, short_count=20, rounds=7),
    Benchmark("minting stamps", "codes/s", stamps.prepare, count=100_000, short_count=100, rounds=7),
    Benchmark("minting in memory", "codes/s", register.prepare_minting, count=LIVE, short_count=2000, rounds=3),
    Benchmark("finding a code", "codes/s", register.prepare_finding, count=LIVE, short_count=2000, rounds=3),
    Benchmark("codes within one", "codes/s", register.prepare_near, count=LIVE, short_count=2000, rounds=3),
    Benchmark("reading by list", "reads/s", register.prepare_reading, count=LIVE, short_count=2000, rounds=3),
    Benchmark("register's memory", "bytes/code", register.prepare_memory, count=LIVE, short_count=2000, rounds=1),
    Benchmark("a stamp over HTTP", "ms", read.prepare, count=100, short_count=3, rounds=5, quantiles=P99),
    Benchmark("redeemed by eight", "stamps/s", trail.prepare, count=800, short_count=8, rounds=3),
    Benchmark("seal", "µs", firmware.prepare_seal, count=5000, short_count=100, rounds=15),
    Benchmark("press", "ms", firmware.prepare_press, count=1, short_count=1, rounds=7),
    Benchmark("press, its link", "ms", firmware.prepare_link, count=1, short_count=1, rounds=7),
    Benchmark("press, its memory", "KiB", firmware.prepare_heap, count=1, short_count=1, rounds=3),
    Benchmark("press by modem, its memory", "KiB", firmware.prepare_modem_heap, count=1, short_count=1, rounds=3),
    Benchmark("uplink by MQTT, its heap", "KiB", UPLINK_BY_MQTT, count=1, short_count=1, rounds=3),
    Benchmark("uplink by modem, its heap", "KiB", UPLINK_BY_MODEM, count=1, short_count=1, rounds=3),
    Benchmark("firmware, its size", "KiB", firmware.prepare_size, count=1, short_count=1, rounds=1),
    Benchmark("live page, calm", "ms", page.prepare_calm, count=50, short_count=2, rounds=6, quantiles=P99),
    Benchmark("live page, busy", "ms", page.prepare_busy, count=50, short_count=2, rounds=4, quantiles=P99),
    *console.BENCHMARKS,
)


def main() -> None:
    names = [benchmark.name for benchmark in BENCHMARKS]
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="; ".join(names))
    asked = parser.parse_args().names or names
    if unknown := set(asked) - set(names):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are: {'; '.join(names)}")

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    BUILD.mkdir(parents=True, exist_ok=True)
    machine = report.machine(BUILD)
    with Progress(console=Console(stderr=True)) as progress:
        rows = [row for benchmark in BENCHMARKS if benchmark.name in asked for row in run(benchmark, progress)]
    machine["load_at_end"] = round(os.getloadavg()[0], 1)
    results = BUILD / "results.json"
    results.write_text(report.as_json(rows, machine))
    Console(width=None if sys.stdout.isatty() else 120).print(
        report.as_table(rows, machine), f"The same in {results}", sep="\n"
    )


def run(benchmark: Benchmark, progress: Progress) -> list[Row]:
    task = progress.add_task(f"{benchmark.name}: preparing", total=None)

    def show(way: str, done: int, of: int) -> None:
        progress.update(task, description=f"{benchmark.name}: {way}", completed=done, total=of)

    # On the disk of this folder: /tmp may be memory, where a commit costs nothing.
    with TemporaryDirectory(dir=BUILD) as folder:
        rows = measure(
            benchmark, Path(folder), count=benchmark.count, rounds=benchmark.rounds, warm_up=True, on_run=show
        )
    progress.update(task, description=benchmark.name, total=1, completed=1)
    return rows


if __name__ == "__main__":
    main()
