"""What stands in no log and is slow to count: counted now and then by one part of the service, kept with its time.

A figure at a moment is the newest sample from before it, so a page costs one look-up, says how old its figure is, and
shows of a past moment what it would have shown then.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from cloud.database import BigId, Instant, metadata

gauges = sa.Table(
    "gauges",
    metadata,
    sa.Column("what", sa.Text, primary_key=True),
    sa.Column("at", Instant, primary_key=True, autoincrement=False),
    sa.Column("which", sa.Text, primary_key=True),
    sa.Column("value", BigId, nullable=False),
    sqlite_with_rowid=False,
)


@dataclass(frozen=True, slots=True)
class Sample:
    at: datetime
    values: Mapping[str, int]


def newest_at(conn: sa.Connection, what: str, now: datetime) -> datetime | None:
    query = sa.select(sa.func.max(gauges.c.at)).where(gauges.c.what == what, gauges.c.at <= now)
    return conn.scalar(query)


def newest(conn: sa.Connection, what: str, now: datetime) -> Sample | None:
    """The newest sample that was taken up to `now`."""
    at = newest_at(conn, what, now)
    if at is None:
        return None
    rows = conn.execute(sa.select(gauges.c.which, gauges.c.value).where(gauges.c.what == what, gauges.c.at == at))
    return Sample(at, {row.which: row.value for row in rows})


def put(conn: sa.Connection, what: str, at: datetime, values: Mapping[str, int]) -> None:
    """Keep a sample of at least one value. `at` is when it had been counted: nothing in it is younger."""
    conn.execute(gauges.insert(), [{"what": what, "at": at, "which": name, "value": n} for name, n in values.items()])


def prune(conn: sa.Connection, what: str, before: datetime, at_once: timedelta = timedelta(hours=6)) -> int:
    """Let go of samples from before then, those of `at_once` at most; how many rows."""
    oldest = conn.scalar(sa.select(sa.func.min(gauges.c.at)).where(gauges.c.what == what))
    if oldest is None or oldest >= before:
        return 0
    gone = gauges.c.at < min(before, oldest + at_once)
    return conn.execute(sa.delete(gauges).where(gauges.c.what == what, gone)).rowcount
