"""The stream at 20, 200 and 1 000 frames a second: what it takes of a browser's main thread, and of the server.

A real server in a process of its own, on a real SQLite file that this process writes frames into; a real Chromium; and
plain clients of the event stream. `python -m tests.benchmarks.console` runs it alone.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count as counting
from pathlib import Path
from tempfile import TemporaryDirectory

import prometheus_client
import uvicorn
from playwright.sync_api import sync_playwright

import cloud.frames.store
from cloud import database, live, pages
from cloud.accounts import guard
from cloud.frames.model import Result
from cloud.web import create_app
from tests.benchmarks import report
from tests.benchmarks.measure import Benchmark, Role, Row, Way, measure
from tests.cloud.console.service import Service, running_service
from tests.stock import VAULT, desk

BUILD = Path(__file__).parents[2] / "build" / "bench"
RATES = (1_000, 200, 20)  # frames/s
CLIENTS = 20
BUTTONS = 200
TICK_S = 0.1  # between two transactions of the feed
SETTLE_S = 3.0  # until the page, or the sampling, has settled at a rate
CHROMIUM = "/usr/bin/chromium"
PLACES = ("35 Rennes", "69 Lyon", "75 Paris", "2A Ajaccio", "974 Saint-Denis")
REFUSED = {7: Result.REPLAYED, 13: Result.BAD_SEAL}  # of twenty frames, which ones


@contextmanager
def prepare_page(folder: Path, count: int) -> Iterator[Sequence[Way]]:
    """A visible page of the stream; `count` is how many seconds it is watched at each rate."""
    with served(folder) as (service, url, _), sync_playwright() as playwright, ExitStack() as ends:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        ends.callback(browser.close)
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.add_cookies([{"name": guard.COOKIE, "value": service.cookie(), "url": url}])
        page = context.new_page()
        page.goto(f"{url}/live")
        page.wait_for_selector("body[data-live=live]")
        devtools = context.new_cdp_session(page)
        # By the thread's own clock: what a busy machine takes from it is not counted.
        devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

        def busy_s() -> float:
            told = {one["name"]: one["value"] for one in devtools.send("Performance.getMetrics")["metrics"]}
            return told["TaskDuration"]

        feed = Feed(service)
        wait = partial(page.wait_for_timeout)
        yield [
            Way(
                Role.PART if rate != RATES[0] else Role.OURS,
                f"{rate} frames/s",
                partial(share, feed, rate, count, busy_s, lambda s: wait(1000 * s)),
            )
            for rate in RATES
        ] + [Way(Role.LIMIT, "no frames", partial(share, feed, 0, count, busy_s, lambda s: wait(1000 * s)))]


@contextmanager
def prepare_server(folder: Path, count: int) -> Iterator[Sequence[Way]]:
    """CLIENTS connections of the stream's page; `count` is how many seconds they are served at each rate."""
    with served(folder) as (service, url, pid):
        feed = Feed(service)
        cookies = [service.cookie() for _ in range(CLIENTS)]
        cpu_s = partial(cpu_of, pid)

        def serve(clients: int, rate: int) -> list[float]:
            with ExitStack() as open_:
                for cookie in cookies[:clients]:
                    open_.enter_context(client(url, cookie))
                return share(feed, rate, count, cpu_s, time.sleep)

        yield [
            Way(Role.PART if rate != RATES[0] else Role.OURS, f"{rate} frames/s", partial(serve, CLIENTS, rate))
            for rate in RATES
        ] + [
            Way(Role.PART, "1 000 frames/s, one client", partial(serve, 1, RATES[0])),
            Way(Role.LIMIT, "1 000 frames/s, no client", partial(serve, 0, RATES[0])),
        ]


BENCHMARKS = (
    Benchmark("live page, its main thread", "% of a core", prepare_page, count=10, short_count=1, rounds=3),
    Benchmark("20 live pages, their server", "% of a core", prepare_server, count=10, short_count=1, rounds=3),
)


def share(
    feed: "Feed", rate: int, seconds: int, busy_s: Callable[[], float], wait: Callable[[float], object]
) -> list[float]:
    """How much of a core was busy while frames came at `rate` for so long, in percent."""
    with feed.at(rate):
        wait(min(SETTLE_S, seconds))
        began, busy = time.perf_counter(), busy_s()
        wait(seconds)
        return [100 * (busy_s() - busy) / (time.perf_counter() - began)]


class Feed:
    """Adds accepted and refused frames to the log, as the ingest does, by the clock."""

    def __init__(self, service: Service) -> None:
        self._engine = service.engine
        self._counters = counting(1)
        for number in range(BUTTONS):
            service.add_button(number, PLACES[number % len(PLACES)])

    @contextmanager
    def at(self, rate: int) -> Iterator[None]:
        ends = threading.Event()
        feeder = threading.Thread(target=self._run, args=(rate, ends))
        feeder.start()
        try:
            yield
        finally:
            ends.set()
            feeder.join()

    def _run(self, rate: int, ends: threading.Event) -> None:
        began, fed = time.perf_counter(), 0
        while not ends.wait(TICK_S):
            due = int(rate * (time.perf_counter() - began)) - fed
            if due > 0:
                self._add([next(self._counters) for _ in range(due)])
                fed += due

    def _add(self, counters: Sequence[int]) -> None:
        at = database.milliseconds(database.now())
        claims, rows = [], []
        for counter in counters:
            device, result = counter % BUTTONS, REFUSED.get(counter % 20, Result.ACCEPTED)
            proven = (0, counter, "alive") if result is not Result.BAD_SEAL else (None, None, None)
            reason = "" if result is Result.ACCEPTED else "as a benchmark has it"
            heard = json.dumps([{"bsId": "1F08", "rssi": -117.0, "nbRep": 3}, {"bsId": "1F11", "rssi": -121.5}])
            if result is Result.ACCEPTED:
                claims.append((device, 0, counter, "alive", 0, 2850, 7, 4, 0, at, counter & 0xFFF, at))
            taken = (at, "mqtt", b"{}", 2, f"{device:08X}", None, None, None, result, reason, device)
            said = (counter.to_bytes(12, "big"), at, counter & 0xFFF, False, "excellent", heard)
            rows.append((*taken, *said, *proven, None, None))
        with self._engine.begin() as conn:
            cloud.frames.store.claim(conn, claims)
            cloud.frames.store.append(conn, rows)


@contextmanager
def served(folder: Path) -> Iterator[tuple[Service, str, int]]:
    """A database with its service, which only this process writes; where a server of it is, and its process id."""
    with running_service(folder) as service:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.console", "--serve", str(folder / "domino.db")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin
        assert process.stdout
        try:
            port = int(process.stdout.readline())
            yield service, f"http://127.0.0.1:{port}", process.pid
        finally:
            process.stdin.close()
            process.wait(60)
            process.stdout.close()


@contextmanager
def client(url: str, cookie: str) -> Iterator[None]:
    """A connection of the stream's page, read as fast as it comes."""
    process = subprocess.Popen(
        ["curl", "-sN", "-b", f"{guard.COOKIE}={cookie}", "-o", "/dev/null", f"{url}/stream?view=rows%3Dwide"],
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def cpu_of(pid: int) -> float:
    """Seconds that a process has run, with all its threads, those that have ended too (clock_getcpuclockid(3))."""
    return time.clock_gettime(~pid << 3 | 2)


def serve(path: str) -> None:
    """The pages of a database that another process writes, until standard input ends; says the port."""
    engine, bell = database.connect(f"sqlite:///{path}"), live.Bell()
    app = create_app(
        engine=engine,
        bell=bell,
        health=dict,
        registry=prometheus_client.CollectorRegistry(),
        vault=VAULT,
        desk=desk(engine),
        vendor=pages.STATIC / "vendor",
    )
    ear = live.Ear(engine, bell.ring)
    hearing = threading.Thread(target=ear.run)
    hearing.start()
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False, lifespan="off"))
    app.state.stopping = lambda: server.should_exit
    running = threading.Thread(target=server.run)
    running.start()
    while not server.started:
        time.sleep(0.01)
    sys.stdout.write(f"{server.servers[0].sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.should_exit = True
    running.join()
    ear.stop()
    hearing.join()
    engine.dispose()


def main() -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    machine = report.machine(BUILD)
    rows: list[Row] = []
    for benchmark in BENCHMARKS:
        with TemporaryDirectory(dir=BUILD) as folder:
            rows += measure(
                benchmark,
                Path(folder),
                count=benchmark.count,
                rounds=benchmark.rounds,
                warm_up=False,
                on_run=lambda way, done, of: sys.stderr.write(f"{way} ({done + 1} of {of})\n"),
            )
    (BUILD / "console.json").write_text(report.as_json(rows, machine))
    sys.stdout.write(report.as_json(rows, machine) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2])
    else:
        main()
