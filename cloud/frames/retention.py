"""How long the log is kept: old frames go, by whole months on PostgreSQL, a few at a time on SQLite.

Only `frames` is touched. What decides whether a message is a replay is the press log, `uplinks`, which stays for ever,
and so do the orders with their history: an order's page only loses what was heard of it on the radio.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from cloud.database import reading
from cloud.frames import months
from cloud.frames.keeping import let_go
from cloud.frames.months import Month
from cloud.frames.store import frames

AT_ONCE = 1_000  # rows a transaction: a few milliseconds, so that no press waits longer for SQLite's one writer
PAUSE_S = 0.02  # between transactions: SQLite's waiting writers look again every few milliseconds, in no order


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was let go of: rows, and the months among them that went whole."""

    frames: int = 0
    months: tuple[Month, ...] = ()


def prune(engine: sa.Engine, before: datetime, stopping: Callable[[], bool] = lambda: False) -> Pruned:
    """Let go of frames received before then; on PostgreSQL of whole months alone, so some are kept up to a month more.

    The newest frame of all stays on SQLite, which would else give its id out again. Raises `OperationalError` when a
    lock is not had in time; what is gone by then is gone, and the rest goes when it is called again.
    """
    if engine.dialect.name != "postgresql":
        newest = sa.select(sa.func.max(frames.c.id)).scalar_subquery()
        return Pruned(_by_rows(engine, frames, before, stopping, frames.c.id < newest))
    gone: list[Month] = []
    count = 0
    with reading(engine) as conn:
        old = [month for month in months.made(conn) if month.next.start <= before]
    for month in old:
        if stopping():
            break
        with engine.begin() as conn:
            if not months.begin_change(conn) or month not in months.made(conn):
                break  # another process is at it
            count += months.drop(conn, month)
        gone.append(month)
    return Pruned(count + _by_rows(engine, months.without_month(), before, stopping), tuple(gone))


def _by_rows(
    engine: sa.Engine,
    table: sa.FromClause,
    before: datetime,
    stopping: Callable[[], bool],
    *which: sa.ColumnElement[bool],
) -> int:
    assert isinstance(table, sa.TableClause)
    old = sa.select(table.c.id).where(table.c.received_at < before, *which).order_by(table.c.received_at).limit(AT_ONCE)
    count = 0
    while not stopping():
        with engine.begin() as conn:
            let_go(conn, before)
            deleted = conn.execute(sa.delete(table).where(table.c.id.in_(old))).rowcount
        count += deleted
        if deleted < AT_ONCE:
            break
        time.sleep(PAUSE_S)
    return count
