"""The log of all that was heard, accepted or not, and the press log that decides replays, in SQL."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cloud.database import BigId, Instant, insert, metadata
from cloud.fleet.store import buttons
from cloud.frames.model import Copy, Frame, Result

# Append-only: the raw truth, and the database holds it so (frames.keeping). Its id is the live pages' event id.
frames = sa.Table(
    "frames",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("received_at", Instant, nullable=False, index=True),
    sa.Column("carrier", sa.Text, nullable=False),  # mqtt, http, air
    sa.Column("raw", sa.LargeBinary, nullable=False),  # the message as it came; cut at RAW_LIMIT bytes if not accepted
    sa.Column("raw_size", sa.Integer, nullable=False),  # its whole size in bytes
    # What else it takes to take it in again: the device that its topic named, as it came; the callbacks' field map.
    sa.Column("topic", sa.Text),  # none: it came without one
    sa.Column("renamed", sa.JSON(none_as_null=True)),  # none: the usual names
    # Of the first message of a batch, the limits that it was taken in under; none: the batch before goes on.
    sa.Column("uplinks_per_day", sa.Integer),
    sa.Column("downlinks_per_day", sa.Integer),
    sa.Column("result", sa.Text, nullable=False),  # frames.model.Result
    sa.Column("reason", sa.Text, nullable=False, server_default=""),  # why, in words; empty when accepted
    # What the network said of it, as far as it could be read.
    sa.Column("device", sa.BigInteger),  # claimed, not proven
    sa.Column("data", sa.LargeBinary),
    sa.Column("heard_at", Instant),
    sa.Column("seq_number", sa.Integer),
    sa.Column("listens", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("lqi", sa.Text),
    sa.Column("copies", sa.JSON(none_as_null=True)),  # [{"station": "1F08", "rssi": -117.0, "replicas": 3}], best first
    # What the seal opened to, and what came of it.
    sa.Column("key_generation", sa.Integer),
    sa.Column("counter", sa.BigInteger),
    sa.Column("kind", sa.Text),
    sa.Column("pickup_id", BigId, sa.ForeignKey("pickups.id"), index=True),
    sa.Column("downlink", sa.LargeBinary(8)),
    sa.Index("ix_frames_device_id", "device", "id"),
)

# One row a message that was accepted: its key is what makes a copy or a replay change nothing.
uplinks = sa.Table(
    "uplinks",
    metadata,
    sa.Column("button_id", sa.BigInteger, sa.ForeignKey("buttons.id"), primary_key=True, autoincrement=False),
    sa.Column("key_generation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("counter", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("heard_at", Instant),
    sa.Column("seq_number", sa.Integer),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("parcels", sa.Integer, nullable=False),
    sa.Column("battery_mv", sa.Integer, nullable=False),
    sa.Column("temperature_c", sa.Integer, nullable=False),
    sa.Column("reset_cause", sa.Integer, nullable=False),
    sa.Column("link_failures", sa.Integer, nullable=False),
    sa.Column("pickup_id", BigId, sa.ForeignKey("pickups.id")),
    sa.Column("downlink", sa.LargeBinary(8)),  # the one answer it may have; a repeat sends the same bytes
)


# Bytes kept of a message that is not accepted: ten times the longest callback; the rest of a flood is only counted.
# One that is accepted was sealed by a button, and is kept whole.
RAW_LIMIT = 4096

_READ = (
    sa.select(
        frames,
        uplinks.c.parcels,
        uplinks.c.battery_mv,
        uplinks.c.temperature_c,
        uplinks.c.reset_cause,
        uplinks.c.link_failures,
        buttons.c.place,
    )
    .outerjoin(
        uplinks,
        sa.and_(
            uplinks.c.button_id == frames.c.device,
            uplinks.c.key_generation == frames.c.key_generation,
            uplinks.c.counter == frames.c.counter,
        ),
    )
    .outerjoin(buttons, buttons.c.id == frames.c.device)
)


# An accepted message's name: button, key generation, counter.
Key = tuple[int, int, int]
_KEY = (uplinks.c.button_id, uplinks.c.key_generation, uplinks.c.counter)


@dataclass(frozen=True, slots=True)
class Claimed:
    """What the press log knows of an accepted message."""

    received_at: datetime
    heard_at: datetime | None
    seq_number: int | None
    pickup_id: int | None
    downlink: bytes | None


def claimed(conn: sa.Connection, keys: Collection[Key]) -> dict[Key, Claimed]:
    """Those of `keys` that were accepted before."""
    columns = (uplinks.c[field.name] for field in fields(Claimed))
    rows = conn.execute(sa.select(*_KEY, *columns).where(sa.tuple_(*_KEY).in_(keys)))
    return {tuple(row[:3]): Claimed(*row[3:]) for row in map(tuple, rows)}


def claim(conn: sa.Connection, rows: Sequence[dict[str, Any]]) -> set[Key]:
    """Enter `rows` into the press log; gives the keys that were new. The table's key decides, not who looked first."""
    if not rows:
        return set()
    statement = insert(conn, uplinks).on_conflict_do_nothing(index_elements=list(_KEY)).returning(*_KEY)
    return {tuple(row) for row in conn.execute(statement, rows)}


def conclude(conn: sa.Connection, ends: Mapping[Key, tuple[int | None, bytes | None]]) -> None:
    """Write down what came of claimed messages: the pickup and the answer of each."""
    if not ends:
        return
    match = (column == sa.bindparam(f"k{i}") for i, column in enumerate(_KEY))
    statement = sa.update(uplinks).where(*match).values(pickup_id=sa.bindparam("p"), downlink=sa.bindparam("d"))
    rows = [{"k0": k[0], "k1": k[1], "k2": k[2], "p": pickup, "d": down} for k, (pickup, down) in ends.items()]
    conn.execute(statement, rows)


def cancelled_by(conn: sa.Connection, key: Key) -> int | None:
    """The counter of a cancel of the same button that is newer than `key` yet was accepted already."""
    newer = (uplinks.c.button_id == key[0], uplinks.c.key_generation == key[1], uplinks.c.counter > key[2])
    return conn.execute(sa.select(sa.func.min(uplinks.c.counter)).where(*newer, uplinks.c.kind == "cancel")).scalar()


def append(conn: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Add `rows` to the log; all must have the same columns."""
    conn.execute(sa.insert(frames), rows)


def newest(
    conn: sa.Connection,
    *,
    limit: int = 50,
    before: int | None = None,
    device: int | None = None,
    result: Result | None = None,
) -> list[Frame]:
    """Frames with an id below `before`, newest first."""
    query = _READ.order_by(frames.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(frames.c.id < before)
    if device is not None:
        query = query.where(frames.c.device == device)
    if result is not None:
        query = query.where(frames.c.result == result)
    return [_frame(row) for row in conn.execute(query)]


def after(conn: sa.Connection, id: int, limit: int = 200, device: int | None = None) -> list[Frame]:
    """Frames with an id above `id`, oldest first: what a live page has not shown yet."""
    query = _READ.where(frames.c.id > id).order_by(frames.c.id).limit(limit)
    if device is not None:
        query = query.where(frames.c.device == device)
    return [_frame(row) for row in conn.execute(query)]


def of_pickup(conn: sa.Connection, pickup_id: int) -> list[Frame]:
    """The frames that concern one order, oldest first."""
    return [_frame(row) for row in conn.execute(_READ.where(frames.c.pickup_id == pickup_id).order_by(frames.c.id))]


def find(conn: sa.Connection, id: int) -> Frame | None:
    row = conn.execute(_READ.where(frames.c.id == id)).first()
    return _frame(row) if row else None


def last_id(conn: sa.Connection) -> int:
    """The newest frame's id, 0 in an empty log."""
    return conn.execute(sa.select(sa.func.coalesce(sa.func.max(frames.c.id), 0))).scalar_one()


def per_minute(conn: sa.Connection, since: datetime, until: datetime) -> list[tuple[datetime, Result, int]]:
    """How many frames ended with which result in each minute of [since, until); minutes without any are left out."""
    minute = sa.type_coerce(frames.c.received_at, sa.BigInteger) / 60_000
    query = (
        sa.select(sa.func.min(frames.c.received_at).label("at"), frames.c.result, sa.func.count().label("heard"))
        .where(frames.c.received_at >= since, frames.c.received_at < until)
        .group_by(sa.func.floor(minute), frames.c.result)
        .order_by("at")
    )
    return [(row.at.replace(second=0, microsecond=0), Result(row.result), row.heard) for row in conn.execute(query)]


def _frame(row: sa.Row[Any]) -> Frame:
    return Frame(
        id=row.id,
        received_at=row.received_at,
        carrier=row.carrier,
        result=Result(row.result),
        reason=row.reason,
        device=row.device,
        data=row.data,
        heard_at=row.heard_at,
        seq_number=row.seq_number,
        listens=row.listens,
        lqi=row.lqi,
        copies=tuple(Copy(**copy) for copy in row.copies or ()),
        key_generation=row.key_generation,
        counter=row.counter,
        kind=row.kind,
        parcels=row.parcels,
        battery_mv=row.battery_mv,
        temperature_c=row.temperature_c,
        reset_cause=row.reset_cause,
        link_failures=row.link_failures,
        pickup_id=row.pickup_id,
        downlink=row.downlink,
        place=row.place,
    )
