"""Minting stamp codes three apart into the pool, with many there already."""

import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import sqlalchemy as sa

import cloud.stamps.store as stamps
from cloud import database
from cloud.stamps.keeper import AT_ONCE
from cloud.stamps.model import BITS_OF_SYMBOL, CODE_BITS, LENGTH
from cloud.stamps.register import Keeping, Register
from tests.benchmarks.measure import Role, Way, rate
from tests.stock import VAULT, stock

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
MINTED = 4 * AT_ONCE


@contextmanager
def prepare(folder: Path, count: int) -> Iterator[Sequence[Way]]:
    """`count` is how many codes are there already."""
    template, copy = folder / "template.db", folder / "stamps.db"
    engine = database.connect(f"sqlite:///{template}")
    database.metadata.create_all(engine)
    register = Register()
    with engine.begin() as conn:
        stock(conn, count)
        there = VAULT.open_many(b"".join(conn.scalars(sa.select(stamps.stamps.c.sealed))))
    register.add(there, Keeping.HELD)
    engine.dispose()

    def putting(mint: Callable[[], np.ndarray]) -> list[float]:
        shutil.copy(template, copy)
        engine = database.connect(f"sqlite:///{copy}")
        engine.connect().close()
        try:
            return rate(MINTED, lambda: put(engine, mint))
        finally:
            engine.dispose()

    def probing() -> list[float]:
        codes = set(there.tolist())
        return rate(MINTED, lambda: probe(codes, MINTED))

    yield (
        Way(Role.OURS, "mint, seal and insert, distance 3", lambda: putting(lambda: register.mint(AT_ONCE))),
        Way(Role.PEER, "set in memory, distance 2 only", probing),
        Way(Role.LIMIT, "the same inserts, nothing checked", lambda: putting(draw)),
    )


def put(engine: sa.Engine, mint: Callable[[], np.ndarray]) -> None:
    for _ in range(MINTED // AT_ONCE):
        with engine.begin() as conn:
            stamps.put(conn, VAULT.seal_many(mint()), 1, NOW)


def probe(codes: set[int], wanted: int) -> None:
    """Keep each new code of which neither it nor any code one character away is there."""
    while wanted:
        new = secrets.randbits(CODE_BITS)
        around = (new ^ other << BITS_OF_SYMBOL * place for place in range(LENGTH) for other in range(32))
        if codes.isdisjoint(around):
            codes.add(new)
            wanted -= 1


def draw() -> np.ndarray:
    return np.array([secrets.randbits(CODE_BITS) for _ in range(AT_ONCE)], np.uint64)
