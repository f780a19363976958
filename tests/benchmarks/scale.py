"""Whether a message costs the same in a large fleet with a long log as in a small one with none, on PostgreSQL.

`python -m tests.benchmarks.scale --buttons 10000000 --frames 50000000` fills a database with SQL, lets one worker drain
the same traffic from a few of its buttons and from a fleet of those buttons alone, and shows both, with the statements
that differ most. 10 million buttons and 50 million frames need 25 GB and half an hour; all of it is deleted again.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from math import gcd
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from cloud import database
from tests import postgres
from tests.benchmarks import process, report
from tests.benchmarks.drain import at_work, full_broker
from tests.benchmarks.fleets import Fleet
from tests.benchmarks.measure import Benchmark, Role, Samples, Way, measure
from tests.benchmarks.traffic import weeks
from tests.stock import stock

BUILD = Path(__file__).parents[2] / "build" / "bench"
SMALL = 1000  # buttons
SENDING = 1000  # of a fleet of whatever size, in each round others
WEEKS = 1  # of each: 7 heartbeats, 2 presses
COUNTED = 999  # by every button before
SHOWN = 16  # statements
# Nothing need be on disk: what is compared is what is looked up and computed.
SETTINGS = {
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track_planning": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
}

# What a fleet of {buttons} leaves behind: a log of {frames} messages, of the newest of them a row in the press log, and
# of some of those orders that were carried out. The raw message is cut short, as it lies aside of what is looked up.
FILL = """
SET LOCAL session_replication_role = replica;
INSERT INTO accounts (id, name, display_name, role, password_hash, created_at) VALUES (1, 'c', 'C', 'customer', '-', 0);
INSERT INTO buttons (id, state, place, owner_id, created_at, claimed_at, last_seen_at, last_counter, battery_mv,
                     temperature_c, budget_day)
SELECT i, 'active', '35 Rennes', 1, 0, 0, 1763942400000, {counted}, 3000, 12, DATE '2025-11-24'
FROM generate_series(1::bigint, {buttons}) AS i;
INSERT INTO pickups (button_id, state, parcels, requested_at, changed_at)
SELECT 1 + (i * 7919) % {buttons}, 'collected', 1, 1763942400000 + i, 1763942400000 + i
FROM generate_series(1::bigint, {orders}) AS i;
INSERT INTO pickup_events (pickup_id, at, event, state, actor)
SELECT id, requested_at, 'pressed', 'requested', 'button' FROM pickups;
INSERT INTO stamps (sealed, state, pickup_id, minted_at, changed_at)
SELECT decode(md5(id::text), 'hex'), 'redeemed', id, requested_at, requested_at FROM pickups;
INSERT INTO uplinks (button_id, key_generation, counter, received_at, heard_at, seq_number, kind, parcels, battery_mv,
                     temperature_c, reset_cause, link_failures)
SELECT 1 + i % {buttons}, 0, 1 + i / {buttons}, 1763942400000 + i, 1763942400000 + i, i % 4096, 'alive', 0, 3000, 12,
       4, 0
FROM generate_series(0::bigint, {kept} - 1) AS i;
INSERT INTO frames (received_at, carrier, raw, raw_size, result, reason, device, data, heard_at, seq_number, listens,
                    lqi, key_generation, counter, kind)
SELECT 1763942400000 + i, 'mqtt', '\\x7b7d', 400, 'accepted', '', 1 + i % {buttons}, '\\x000001020304050607080910',
       1763942400000 + i, i % 4096, false, 'Good', 0, 1 + i / {buttons}, 'alive'
FROM generate_series(0::bigint, {frames} - 1) AS i;
"""
MOST_KEPT = 20_000_000
ORDERED = 4  # of so many in the press log one made an order


@dataclass(frozen=True, slots=True)
class Size:
    buttons: int
    frames: int

    @property
    def name(self) -> str:
        return f"{self.buttons:_} buttons, {self.frames:_} frames".replace("_", " ")


@dataclass(frozen=True, slots=True)
class Statement:
    """What one statement of the worker cost, by pg_stat_statements."""

    text: str
    calls: int
    us: float  # planned and executed, a message
    blocks: float  # of 8 KiB, touched by a message


OnDrain = Callable[[Size, Sequence[Statement]], object]


@dataclass
class Filled:
    """A database of a size, and in it buttons that have not sent yet."""

    cluster: postgres.Cluster
    engine: sa.Engine
    size: Size
    unheard: Iterator[int]  # buttons that lie anywhere in it

    def drain(self, folder: Path) -> tuple[dict[str, list[float]], list[Statement]]:
        """The same traffic each time, from other buttons."""
        sent = weeks(list(islice(self.unheard, SENDING)), WEEKS, COUNTED)
        count = len(sent.messages)
        with self.engine.begin() as conn:
            fleet = Fleet(self.engine, [stock(conn, sent.presses).id])
            conn.execute(sa.text("SELECT pg_stat_statements_reset()"))
        with full_broker(folder, sent, ["worker"]) as broker, at_work(broker, fleet) as one:
            before_s = server_cpu_s(self.cluster)
            taken = process.drain([one], count)
            server_us = (server_cpu_s(self.cluster) - before_s) / count * 1e6
        worker_us = 1e6 / taken["messages/CPU-s"][0]
        told = {
            "µs/message": [worker_us + server_us],
            "µs/message, the worker": [worker_us],
            "µs/message, PostgreSQL": [server_us],
            "µs/message, by the clock": [1e6 / taken["messages/s"][0]],
            "MiB": taken["MiB"],
        }
        return told, self._statements(count)

    def _statements(self, count: int) -> list[Statement]:
        query = """
            SELECT query, sum(calls)::int AS calls, sum(total_plan_time + total_exec_time) AS ms,
                   sum(shared_blks_hit + shared_blks_read)::int AS blocks
            FROM pg_stat_statements JOIN pg_database ON oid = dbid AND datname = current_database() GROUP BY query
        """
        with database.reading(self.engine) as conn:
            rows = conn.execute(sa.text(query)).all()
        return [
            Statement(" ".join(row.query.split()), row.calls, row.ms / count * 1000, row.blocks / count) for row in rows
        ]


@contextmanager
def filled(cluster: postgres.Cluster, size: Size) -> Iterator[Filled]:
    with cluster.database() as url:
        engine = database.connect(url)
        kept = min(size.frames, MOST_KEPT)
        numbers = {"buttons": size.buttons, "frames": size.frames, "kept": kept, "orders": kept // ORDERED}
        with engine.begin() as conn:
            for statement in FILL.format(**numbers, counted=COUNTED).split(";\n"):
                conn.execute(sa.text(statement))
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as conn:
            conn.exec_driver_sql("CREATE EXTENSION pg_stat_statements")
            conn.exec_driver_sql("VACUUM ANALYZE")
            conn.exec_driver_sql("CHECKPOINT")
        try:
            yield Filled(cluster, engine, size, anywhere(size.buttons))
        finally:
            engine.dispose()


def anywhere(buttons: int) -> Iterator[int]:
    """All ids from 1 to `buttons`, each once, in no order, without a list of them."""
    step = next(odd for odd in range(int(buttons * 0.618) | 1, 3 * buttons + 3, 2) if gcd(odd, buttons) == 1)
    return (1 + at * step % buttons for at in range(buttons))


def server_cpu_s(cluster: postgres.Cluster) -> float:
    """What those of PostgreSQL's processes have computed that run now: a session has one, with one thread."""
    postmaster = (cluster.home.data / "postmaster.pid").read_text().split()[0]
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return sum(int(Path(f"/proc/{child}/schedstat").read_text().split()[0]) for child in children) / 1e9


@contextmanager
def prepare(
    folder: Path, count: int, *, frames: int | None = None, on_drain: OnDrain = lambda *_: None
) -> Iterator[Sequence[Way]]:
    """A fleet of `count` buttons with `frames` in its log, by default five a button, and a small one with none."""
    large = Size(count, 5 * count if frames is None else frames)
    small = Size(min(SMALL, count), 0)  # of which each round has a new one
    with postgres.cluster(SETTINGS, on_disk=True) as cluster, filled(cluster, large) as at_large:

        def drain(at: Filled) -> Samples:
            told, statements = at.drain(folder)
            on_drain(at.size, statements)
            return told

        def drain_small() -> Samples:
            with filled(cluster, small) as at_small:
                return drain(at_small)

        yield (
            Way(Role.OURS, large.name, lambda: drain(at_large)),
            Way(Role.PEER, small.name, drain_small),
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    parser.add_argument("--buttons", type=int, default=10_000_000)
    parser.add_argument("--frames", type=int, default=50_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    machine = report.machine(BUILD)
    last: dict[Size, Sequence[Statement]] = {}
    with TemporaryDirectory(dir=BUILD) as folder:
        benchmark = Benchmark(
            "a large fleet",
            "µs/message",
            partial(prepare, frames=asked.frames, on_drain=last.__setitem__),
            count=asked.buttons,
            short_count=SMALL,
            rounds=asked.rounds,
        )
        rows = measure(
            benchmark,
            Path(folder).resolve(),
            count=asked.buttons,
            rounds=asked.rounds,
            warm_up=True,
            on_run=lambda *said: print(*said, file=sys.stderr),  # noqa: T201
        )
    told = json.loads(report.as_json(rows, machine))
    told["statements"] = {size.name: [asdict(one) for one in statements] for size, statements in last.items()}
    (BUILD / "scale.json").write_text(json.dumps(told, indent=2))
    Console(width=None if sys.stdout.isatty() else 140).print(
        report.as_table(rows, machine), by_statement(*last.values())
    )


def by_statement(one: Sequence[Statement], other: Sequence[Statement]) -> Table:
    """Those statements that cost most, in both fleets."""
    table = Table(title="µs a message, and blocks, in the one fleet and the other")
    for heading in ("statement", "calls", "µs", "blocks", "calls", "µs", "blocks"):
        table.add_column(heading)
    others = {statement.text: statement for statement in other}
    for statement in sorted(one, key=lambda statement: -statement.us)[:SHOWN]:
        cells = [
            cell
            for found in (statement, others.get(statement.text))
            for cell in ((f"{found.calls}", f"{found.us:.1f}", f"{found.blocks:.1f}") if found else ("", "", ""))
        ]
        table.add_row(statement.text[:70], *cells)
    return table


if __name__ == "__main__":
    main()
