"""The console's pages over HTTP, with a large fleet and a long log and with a small one, on SQLite and PostgreSQL.

`python -m tests.benchmarks.desk_pages` fills both with SQL and counts their logs, asks for the list of buttons under
typical filters and orders and for the other pages, one after another on one connection, and writes
build/bench/desk_pages.json; 100 000 buttons and 5 million frames need 3 GB on the disk, all of it deleted again, and
half an hour.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import prometheus_client
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from cloud import database
from cloud.accounts import guard
from cloud.console.desk import ROWS
from cloud.console.keeper import FigureKeeper
from cloud.fleet import filters, listing
from cloud.frames.store import last_id
from tests import postgres
from tests.benchmarks import asker, report
from tests.benchmarks.measure import nearest_rank
from tests.cloud.console.service import Service, running_service, serving

BUILD = Path(__file__).parents[2] / "build" / "bench"
SMALL = 1000  # buttons
TURNS = 2
STEP = 40_000  # between ids, which so lie anywhere in their 32 bits
SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
}

# What is asked for, and whether of a page in the middle of what is found.
Cases = Mapping[str, tuple[str, bool]]
LIST: Cases = {
    "all, last heard first": ("", False),
    "all, in the middle": ("", True),
    "longest silent first": ("sort=heard", False),
    "by id": ("sort=id", False),
    "by place, in the middle": ("sort=place", True),
    "by place, downwards": ("sort=-place", False),
    "by label": ("sort=label", False),
    "lowest battery first": ("sort=battery", False),
    "lowest battery, in the middle": ("sort=battery", True),
    "id begins with": ("id=00A", False),
    "a place": ("place=ville+77", False),
    "a place that is nowhere": ("place=nowhere", False),
    "a department": ("department=35", False),
    "a department, by place": ("department=35&sort=place", True),
    "a label": ("label=lot+7", False),
    "revoked": ("state=revoked", False),
    "not claimed": ("claimed=no", False),
    "silent for a week": ("silent=7d", False),
    "silent, by place": ("silent=7d&sort=place", True),
    "heard in the last day": ("since=24h", False),
    "battery below": ("battery=2300", False),
    "old key, revoked, by id": ("key=2&state=revoked&sort=id", False),
}
# Other pages by their addresses, of the first button and the newest frame; and what they show.
PAGES = {
    "overview": ("/", 'id="kpis"'),
    "stream": ("/live", 'id="frames"'),
    "silent buttons": ("/silent", "<main"),
    "orders": ("/pickups", "<main"),
    "alerts": ("/alerts", "<main"),
    "a button": (f"/buttons/{STEP:08X}", "<main"),
    "a frame": ("/frames/{newest}", "<main"),
}
CASES = (*LIST, *PAGES)

BUTTONS = """
INSERT INTO buttons (id, key_generation, state, place, department, place_key, label, owner_id, created_at, last_seen_at,
                     last_counter, battery_mv, temperature_c)
SELECT i * {step}, CASE WHEN i % 40 = 0 THEN 2 ELSE 0 END, CASE WHEN i % 50 = 0 THEN 'revoked' ELSE 'active' END,
       (10 + i * 7 % 85) || ' Ville ' || (i % 1000), '' || (10 + i * 7 % 85),
       (10 + i * 7 % 85) || ' VILLE ' || (i % 1000),
       CASE WHEN i % 3 = 0 THEN '' ELSE 'lot ' || (i % 50) END, CASE WHEN i % 5 = 0 THEN NULL ELSE 1 END, {now},
       CASE WHEN i % 20 = 0 THEN NULL ELSE {now} - (i * 7919 % 1300000) * 1000 END, 1 + i % 900,
       CASE WHEN i % 20 = 0 THEN NULL ELSE 2200 + i * 31 % 1100 END, 7
FROM {series}
"""
FRAMES = """
INSERT INTO frames (received_at, carrier, raw, raw_size, result, reason, device, data, heard_at, listens, kind)
SELECT {now} - ({frames} - i) * 100, 'mqtt', {bytes}, 400, 'accepted', '', (1 + i % {buttons}) * {step}, {bytes},
       {now} - ({frames} - i) * 100, {false}, 'alive'
FROM {series}
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """Milliseconds of one page, from the request's first byte to the answer's last."""

    database: str
    case: str
    buttons: int
    frames: int
    p50: float
    p95: float
    times_small: float  # p50 over that of the small fleet


def fill(engine: sa.Engine, buttons: int, frames: int) -> None:
    is_postgresql = engine.dialect.name == "postgresql"
    now = database.milliseconds(database.now())
    said = {
        "step": STEP, "now": now, "buttons": buttons, "frames": frames,
        "bytes": "'\\x7b7d'::bytea" if is_postgresql else "x'7b7d'", "false": "false" if is_postgresql else "0",
    }  # fmt: skip
    with engine.begin() as conn:
        conn.exec_driver_sql(
            "INSERT INTO accounts (name, display_name, role, password_hash, created_at) "
            "VALUES ('claire', 'Claire Morvan', 'customer', '-', 0)"
        )
        for statement, count in ((BUTTONS, buttons), (FRAMES, frames)):
            series = f"generate_series(1::bigint, {count}) AS i" if is_postgresql else "g"
            text = statement.format(series=series, **said)
            if not is_postgresql:
                ones = f"WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < {count})"  # noqa: S608  our own
                text = text.replace("SELECT", f"{ones} SELECT", 1)
            conn.exec_driver_sql(text.replace("%", "%%") if is_postgresql else text)
    if is_postgresql:  # as its autovacuum does by and by
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as conn:
            conn.exec_driver_sql("VACUUM ANALYZE")


@contextmanager
def services(folder: Path, sizes: Mapping[str, tuple[int, int]]) -> Iterator[dict[tuple[str, str], Service]]:
    """A service for each database and size, by their names."""
    with ExitStack() as end:
        cluster = end.enter_context(postgres.cluster(SETTINGS, on_disk=True))
        found = {}
        for size, (buttons, frames) in sizes.items():
            for kind in ("SQLite", "PostgreSQL"):
                home = folder / f"{kind}-{size}"
                home.mkdir()
                url = end.enter_context(cluster.database()) if kind == "PostgreSQL" else None
                service = end.enter_context(running_service(home, url))
                fill(service.engine, buttons, frames)
                began = time.monotonic()
                FigureKeeper(service.engine, 0, prometheus_client.CollectorRegistry()).tend()
                counted = f"counted in {time.monotonic() - began:.0f} s"
                print(f"{kind}: {buttons} buttons, {frames} frames, {counted}", file=sys.stderr)  # noqa: T201
                found[kind, size] = service
        yield found


def address(service: Service, case: str) -> str:
    if case in PAGES:
        with database.reading(service.engine) as conn:
            return PAGES[case][0].format(newest=last_id(conn))
    query, middle = LIST[case]
    if not middle:
        return f"/buttons?{query}".rstrip("?")
    asked, now = filters.parse(query), database.now()
    with database.reading(service.engine) as conn:
        half = min(listing.count(conn, asked.filter, now, 10**9) // 2, 200_000)
        rows = conn.execute(listing.query(asked.filter, asked.order, now).offset(half).limit(1)).all()
    after = listing.Position(rows[0].key, rows[0].id)
    return f"/buttons?{asked.address(after=str(after))}"


def run(folder: Path, *, buttons: int, frames: int, times: int, cases: Sequence[str] = CASES) -> list[Figure]:
    small = min(SMALL, buttons)
    sizes = {"large": (buttons, frames), "small": (small, min(frames, small))}
    figures = []
    with services(folder, sizes) as found:
        for kind in ("SQLite", "PostgreSQL"):
            taken: dict[tuple[str, str], list[float]] = {(size, case): [] for size in sizes for case in cases}
            # The two take turns, so that whatever else the machine does disturbs both.
            with serving(found[kind, "small"].app) as small_url, serving(found[kind, "large"].app) as large_url:
                cookies = {size: f"{guard.COOKIE}={found[kind, size].cookie()}" for size in sizes}
                for case, _ in product(cases, range(TURNS)):
                    for size, url in (("small", small_url), ("large", large_url)):
                        taken[size, case] += asker.ask(
                            address=urlsplit(url).netloc,
                            headers={"cookie": cookies[size]},
                            times=max(1, times // TURNS),
                            method="GET",
                            path=address(found[kind, size], case),
                            body=None,
                            expects=PAGES[case][1] if case in PAGES else 'id="list"',
                        )
            for size, (count, log) in sizes.items():
                for case in cases:
                    p50, p95 = (nearest_rank(taken[size, case], quantile) for quantile in (0.5, 0.95))
                    ratio = p50 / nearest_rank(taken["small", case], 0.5)
                    figures.append(Figure(kind, case, count, log, p50, p95, ratio))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.desk_pages", description=__doc__)
    parser.add_argument("--buttons", type=int, default=100_000)
    parser.add_argument("--frames", type=int, default=5_000_000)
    parser.add_argument("--times", type=int, default=40)
    asked = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    machine = report.machine(BUILD)
    with TemporaryDirectory(dir=BUILD) as folder:
        figures = run(Path(folder), buttons=asked.buttons, frames=asked.frames, times=asked.times)
    told = {"machine": machine, "rows_a_page": ROWS, "figures": [asdict(figure) for figure in figures]}
    (BUILD / "desk_pages.json").write_text(json.dumps(told, indent=2))
    table = Table(title="GET, ms", caption=f"load {machine['load']}, {machine['cores']} cores")
    for heading in ("what", "buttons", "SQLite p50", "p95", "× small", "PostgreSQL p50", "p95", "× small"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    by = {(figure.database, figure.case, figure.buttons): figure for figure in figures}
    for case in CASES:
        both = [by[kind, case, asked.buttons] for kind in ("SQLite", "PostgreSQL")]
        cells = [f"{value:.1f}" for figure in both for value in (figure.p50, figure.p95, figure.times_small)]
        table.add_row(case, str(asked.buttons), *cells)
    Console(width=None if sys.stdout.isatty() else 140).print(table)


if __name__ == "__main__":
    main()
