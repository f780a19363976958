"""The log's tables by month on PostgreSQL: made ahead, filled from the default one, dropped whole.

`frames` is partitioned by range of `received_at`. A month is one of UTC. The default partition takes what has no month,
so a clock that jumped, or a month that nobody made, loses no row; what lies there moves when its month is made. Every
step here waits a little for its locks and no longer, since all ingest waits behind it: whoever calls tries again later.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import sqlalchemy as sa

from cloud.database import BigId, Instant

AHEAD = 2  # months made ahead beside the present one: a housekeeper that was ill for a month has lost nothing
LOCK_MS = 3_000  # how long all ingest may stand behind a change of the tables

_DEFAULT = "frames_default"
_HOUSE_LOCK = 0x4D4F_4E54_4853  # "MONTHS"


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A month of UTC.

    >>> Month(2026, 12).next
    Month(year=2027, month=1)
    >>> Month(2026, 12).table
    'frames_2026_12'
    """

    year: int
    month: int

    @classmethod
    def of(cls, moment: datetime) -> Self:
        moment = moment.astimezone(UTC)
        return cls(moment.year, moment.month)

    @property
    def next(self) -> "Month":
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def start(self) -> datetime:
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def table(self) -> str:
        return f"frames_{self.year:04d}_{self.month:02d}"

    @property
    def bounds_ms(self) -> tuple[int, int]:
        """[first, last) millisecond since 1970, as `received_at` counts."""
        return _ms(self.start), _ms(self.next.start)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000  # whole seconds: a month's start


def made(conn: sa.Connection) -> list[Month]:
    """The months that have their own table, oldest first; none on SQLite, which keeps one for all."""
    if conn.dialect.name != "postgresql":
        return []
    names = conn.scalars(
        sa.text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = CAST('frames' AS regclass)")
    )
    found = (re.fullmatch(r"frames_(\d{4})_(\d\d)", name) for name in names)
    return sorted(Month(int(one[1]), int(one[2])) for one in found if one)


def begin_change(conn: sa.Connection) -> bool:
    """Before `make` and `drop`, first in the transaction: bounds its waits. False where another process is at it."""
    conn.exec_driver_sql(f"SET LOCAL lock_timeout = {LOCK_MS}")
    return bool(conn.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(_HOUSE_LOCK))))


def missing(conn: sa.Connection, now: datetime) -> Iterator[Month]:
    """This month and the next AHEAD that have no table yet."""
    there, month = made(conn), Month.of(now)
    for _ in range(1 + AHEAD):
        if month not in there:
            yield month
        month = month.next


def make(conn: sa.Connection, month: Month) -> int:
    """Give the month its own table; how many rows moved there from the default one."""
    start, end = month.bounds_ms
    # In the order in which ingest takes them, so that the two wait for each other and never in a ring.
    conn.exec_driver_sql("LOCK TABLE pickups IN SHARE ROW EXCLUSIVE MODE")  # for the foreign key that ATTACH makes
    conn.exec_driver_sql(f"LOCK TABLE {_DEFAULT} IN ACCESS EXCLUSIVE MODE")
    conn.exec_driver_sql(
        f"CREATE TABLE {month.table} (LIKE frames INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)"
    )
    conn.exec_driver_sql("SET LOCAL domino.moves_frames = 'on'")  # see frames.keeping: they only change their table
    moved = conn.exec_driver_sql(  # a month's name and its bounds are numbers of ours
        f"WITH moved AS (DELETE FROM {_DEFAULT} WHERE received_at >= {start} AND received_at < {end} RETURNING *)"  # noqa: S608
        f" INSERT INTO {month.table} SELECT * FROM moved"
    ).rowcount
    # ATTACH, because CREATE … PARTITION OF would hold up every reader of the whole log as well.
    conn.exec_driver_sql(f"ALTER TABLE frames ATTACH PARTITION {month.table} FOR VALUES FROM ({start}) TO ({end})")
    return moved


def drop(conn: sa.Connection, month: Month) -> int:
    """Let go of the month's table with all its rows, some moments whatever it holds; how many they were."""
    count = conn.exec_driver_sql(f"SELECT count(*) FROM {month.table}").scalar_one()  # noqa: S608
    conn.exec_driver_sql(f"DROP TABLE {month.table}")
    return count


def without_month() -> sa.TableClause:
    """The default partition, for what has to be let go of row by row."""
    return sa.table(_DEFAULT, sa.column("id", BigId), sa.column("received_at", Instant))
