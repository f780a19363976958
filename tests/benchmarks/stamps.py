"""Minting stamp codes three apart, with many in the table already."""

import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

import cloud.stamps.store as stamps
from cloud import database
from cloud.__main__ import MINTED_AT_ONCE
from cloud.stamps.model import ALPHABET, LENGTH, MIN_DISTANCE, State, from_random
from cloud.tables import cloud as _tables  # noqa: F401  all tables, before they are made
from tests.benchmarks.ingest import opened
from tests.benchmarks.measure import Role, Way, rate

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
MINTED = 4 * MINTED_AT_ONCE
SCANNED = 10  # a scan takes so long that few must do

# How many of eight characters agree, asked of every row.
_AGREE = " + ".join(f"(substr(code, {i}, 1) = substr(:new, {i}, 1))" for i in range(1, LENGTH + 1))
SCAN = f"SELECT EXISTS (SELECT 1 FROM stamps WHERE {_AGREE} > {LENGTH - MIN_DISTANCE})"  # noqa: S608
INSERT = "INSERT INTO stamps (code, state, minted_at, changed_at) VALUES (?, ?, 0, 0)"


@contextmanager
def prepare(folder: Path, count: int) -> Iterator[Sequence[Way]]:
    """`count` is how many codes are there already."""
    template, copy = folder / "template.db", folder / "stamps.db"
    engine = database.connect(f"sqlite:///{template}")
    database.metadata.create_all(engine)
    with engine.begin() as conn:
        stamps.mint(conn, count, NOW)
        there = set(conn.scalars(sa.select(stamps.stamps.c.code)))
    engine.dispose()

    def minting(mint: Callable[[sa.Engine], object], wanted: int) -> list[float]:
        shutil.copy(template, copy)
        engine = database.connect(f"sqlite:///{copy}")
        engine.connect().close()
        try:
            return rate(wanted, lambda: mint(engine))
        finally:
            engine.dispose()

    def probing() -> list[float]:
        codes = set(there)
        return rate(MINTED, lambda: probe(codes, MINTED))

    yield (
        Way(Role.OURS, "mint: six indexes, distance 3", lambda: minting(mint, MINTED)),
        Way(Role.PEER, "scan of the table, distance 3", lambda: minting(scan, SCANNED)),
        Way(Role.PEER, "set in memory, distance 2 only", probing),
        Way(Role.LIMIT, "the same inserts, nothing checked", lambda: minting(insert, MINTED)),
    )


def mint(engine: sa.Engine) -> None:
    for _ in range(MINTED // MINTED_AT_ONCE):
        with engine.begin() as conn:
            assert stamps.mint(conn, MINTED_AT_ONCE, NOW) == MINTED_AT_ONCE


def scan(engine: sa.Engine) -> None:
    disk = opened(engine)
    disk.execute("BEGIN IMMEDIATE")
    minted = 0
    while minted < SCANNED:
        (new,) = draw(1)
        if disk.execute(SCAN, {"new": new}).fetchone() == (0,):
            disk.execute(INSERT, (new, State.MINTED))
            minted += 1
    disk.execute("COMMIT")


def probe(codes: set[str], wanted: int) -> None:
    """Keep each new code of which neither it nor any code one character away is there."""
    while wanted:
        (new,) = draw(1)
        around = (new[:i] + symbol + new[i + 1 :] for i in range(LENGTH) for symbol in ALPHABET)
        if codes.isdisjoint(around):
            codes.add(new)
            wanted -= 1


def insert(engine: sa.Engine) -> None:
    disk = opened(engine)
    for _ in range(MINTED // MINTED_AT_ONCE):
        disk.execute("BEGIN IMMEDIATE")
        disk.executemany(INSERT, [(code, State.MINTED) for code in draw(MINTED_AT_ONCE)])
        disk.execute("COMMIT")


def draw(count: int) -> list[str]:
    return from_random(secrets.token_bytes(LENGTH * count))
