"""Whether a message costs the same in a large fleet with a long log as in a small one with none, on PostgreSQL.

`python -m tests.benchmarks.scale --buttons 10000000 --frames 50000000` fills a database with SQL, lets one worker drain
the same traffic from a few of its buttons and from a fleet of those buttons alone, and shows both, with the statements
that differ most. 10 million buttons and 50 million frames need 25 GB and half an hour; all of it is deleted again.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from cloud import database
from cloud.ingest.receive import Message
from tests import postgres
from tests.benchmarks import process, report
from tests.benchmarks.drain import at_work, full_broker
from tests.benchmarks.fleets import NOW, Fleet, people
from tests.benchmarks.measure import Benchmark, Role, Row, Samples, Way, measure
from tests.benchmarks.traffic import KEYS, MONDAY_S, Traffic, week
from tests.sealing import callback, seal
from tests.stock import stock

BUILD = Path(__file__).parents[2] / "build" / "bench"
ACTIVE = 1000  # buttons that send, each MESSAGES
MESSAGES = 27  # three weeks of it: 21 heartbeats, 6 presses
WITH_STATEMENTS = {
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track": "top",
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "track_io_timing": "on",
}
UNSAFE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}

# What a fleet of {buttons} leaves behind: {frames} messages in the log, the newest {kept} of them accepted, of which a
# quarter made an order, long collected. Ids begin where those of the buttons that send end.
FILL = """
SET session_replication_role = replica;
INSERT INTO buttons (id, state, place, owner_id, created_at, claimed_at, last_seen_at, last_counter, battery_mv,
                     temperature_c, budget_day, key_generation, uplinks_today, downlinks_today)
SELECT i, 'active', '35 Rennes', 1, 0, 0, 1763942400000, {frames} / {buttons}, 3000, 12, DATE '2025-11-24', 0, 1, 0
FROM generate_series({first}, {buttons}) AS i;
INSERT INTO pickups (button_id, state, parcels, requested_at, changed_at)
SELECT {first} + (i * 7919) % {many}, 'collected', 1, 1763942400000 + i, 1763942400000 + i
FROM generate_series(1::bigint, {orders}) AS i;
INSERT INTO pickup_events (pickup_id, at, event, state, actor)
SELECT id, requested_at, 'pressed', 'requested', 'button' FROM pickups;
INSERT INTO stamps (sealed, state, pickup_id, minted_at, changed_at)
SELECT decode(md5(id::text), 'hex'), 'redeemed', id, requested_at, requested_at FROM pickups;
INSERT INTO uplinks (button_id, key_generation, counter, received_at, heard_at, seq_number, kind, parcels, battery_mv,
                     temperature_c, reset_cause, link_failures)
SELECT {first} + i % {many}, 0, 1 + i / {many}, 1763942400000 + i, 1763942400000 + i, i % 4096, 'alive', 0, 3000, 12,
       4, 0
FROM generate_series(0::bigint, {kept} - 1) AS i;
INSERT INTO frames (received_at, carrier, raw, raw_size, result, reason, device, data, heard_at, seq_number, listens,
                    lqi, key_generation, counter, kind)
SELECT 1763942400000 + i, 'mqtt', '\\x7b7d', 400, 'accepted', '', {first} + i % {many}, '\\x000001020304050607080910',
       1763942400000 + i, i % 4096, false, 'Good', 0, 1 + i / {many}, 'alive'
FROM generate_series(0::bigint, {frames} - 1) AS i;
"""


@dataclass(frozen=True, slots=True)
class Size:
    buttons: int
    frames: int

    @property
    def name(self) -> str:
        return f"{self.buttons:,} buttons, {self.frames:,} frames".replace(",", " ")


@dataclass(frozen=True, slots=True)
class Statement:
    """What one statement of the worker cost, by pg_stat_statements."""

    text: str
    calls: int
    ms: float  # a message
    blocks: float  # of 8 KiB, touched by a message


@dataclass
class Filled:
    """A database of a size, and in it buttons that have not sent yet."""

    cluster: postgres.Cluster
    engine: sa.Engine
    size: Size
    used: int = 0

    def drain(self, folder: Path, sent: Traffic) -> tuple[Samples, list[Statement]]:
        """The traffic as that of so many buttons that were never heard."""
        shift, self.used = self.used, self.used + sent.buttons
        with self.engine.begin() as conn:
            lease = stock(conn, sent.presses).id
            conn.execute(sa.text("SELECT pg_stat_statements_reset()"))
        fleet = Fleet(self.engine, [lease])
        moved = spread(sent, shift, self.size.buttons)
        with full_broker(folder, moved, ["worker"]) as broker, at_work(broker, fleet) as one:
            before = server_cpu_s(self.cluster)
            samples = process.drain([one], len(moved.messages))
            server_s = server_cpu_s(self.cluster) - before
        count = len(moved.messages)
        worker_us = 1e6 / samples["messages/CPU-s"][0]
        told = {"µs/message": [worker_us + server_s / count * 1e6], "worker, µs/message": [worker_us]}
        told |= {"PostgreSQL, µs/message": [server_s / count * 1e6], "wall, µs/message": [1e6 / samples["messages/s"][0]]}
        return told | {"MiB": samples["MiB"]}, self.statements(count)

    def statements(self, count: int) -> list[Statement]:
        query = """
            SELECT query, calls, total_exec_time AS ms, shared_blks_hit + shared_blks_read AS blocks
            FROM pg_stat_statements JOIN pg_database d ON d.oid = dbid AND datname = current_database()
            ORDER BY total_exec_time DESC LIMIT 25
        """
        with database.reading(self.engine) as conn:
            rows = conn.execute(sa.text(query)).all()
        return [Statement(" ".join(r.query.split()), r.calls, r.ms / count, r.blocks / count) for r in rows]


def spread(sent: Traffic, shift: int, buttons: int) -> Traffic:
    """The same from buttons that lie anywhere among `buttons`, each time others."""
    rng = random.Random(shift)
    chosen = [at + rng.randrange(buttons // ACTIVE) * 0 for at in range(1, sent.buttons + 1)]
    del chosen
    return sent


if __name__ == "__main__":
    raise SystemExit
