"""The log of all that was heard, accepted or not, and the press log that decides replays, in SQL."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.compiler import compiles

from cloud import live
from cloud.database import BigId, Instant, Many, metadata, moment
from cloud.fleet.store import buttons
from cloud.frames.link import NUMBERS, Loss, Numbered, loss
from cloud.frames.model import GOLDEN, HEAD_BYTES, Filter, Frame, Result, read_copies, trace_id, trace_parts


class _LogKey(sa.PrimaryKeyConstraint):
    """The id. PostgreSQL wants the time in it as well, by which it parts the table; the ids come of one sequence."""


@compiles(_LogKey, "postgresql")
def _with_the_time(_key: _LogKey, _compiler: Any, **_: Any) -> str:
    return "CONSTRAINT pk_frames PRIMARY KEY (id, received_at)"


# Append-only: the raw truth, and the database holds it so (frames.keeping). Its id is the live pages' event id. On
# PostgreSQL one table a month: see frames.months.
frames = sa.Table(
    "frames",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("received_at", Instant, nullable=False, index=True),
    sa.Column("carrier", sa.Text, nullable=False),  # mqtt, nats, http, air
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
    sa.Column("copies", sa.JSON(none_as_null=True)),  # what the callback said of stations, frames.model.read_copies
    # What the seal opened to, and what came of it.
    sa.Column("key_generation", sa.Integer),
    sa.Column("counter", sa.BigInteger),
    sa.Column("kind", sa.Text),
    sa.Column("pickup_id", BigId, sa.ForeignKey("pickups.id"), index=True),
    sa.Column("downlink", sa.LargeBinary(8)),
    _LogKey("id"),
    sa.Index("ix_frames_device_id", "device", "id"),
    postgresql_partition_by="RANGE (received_at)",
)
# What no month's table takes, as of a clock that jumped, is kept here.
event.listen(
    frames,
    "after_create",
    sa.DDL("CREATE TABLE frames_default PARTITION OF frames DEFAULT").execute_if(dialect="postgresql"),
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


_APPEND_LOCK = 0x4652_414D_4553  # "FRAMES"

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


class Claimed(NamedTuple):
    """What the press log knows of an accepted message."""

    received_at: datetime
    heard_at: datetime | None
    seq_number: int | None
    pickup_id: int | None
    downlink: bytes | None


_CLAIMED = Many(
    """SELECT button_id, key_generation, counter, received_at, heard_at, seq_number, pickup_id, downlink
    FROM {new} CROSS JOIN uplinks
    WHERE button_id = new.button AND key_generation = new.generation AND counter = new.count""",
    "button bigint, generation integer, count bigint",
)


def claimed(conn: sa.Connection, keys: Iterable[Key]) -> dict[Key, Claimed]:
    """Those of `keys` that were accepted before."""
    return {
        row[:3]: Claimed(moment(received_at), None if heard_at is None else moment(heard_at), *rest)
        for row in _CLAIMED.rows(conn, list(keys))
        for received_at, heard_at, *rest in [row[3:]]
    }


_CLAIM = """INSERT INTO uplinks (button_id, key_generation, counter, kind, parcels, battery_mv, temperature_c,
        reset_cause, link_failures, heard_at, seq_number, received_at)
    SELECT new.button, new.generation, new.counter, new.kind, new.parcels, new.battery, new.temperature,
        new.reset_cause, new.failures, new.heard_at, new.seq, new.received_at
    FROM {new} WHERE true ON CONFLICT DO NOTHING"""
_CLAIM_COLUMNS = (
    "button bigint, generation integer, counter bigint, kind text, parcels integer, battery integer,"
    " temperature integer, reset_cause integer, failures integer, heard_at bigint, seq integer, received_at bigint"
)
_CLAIM_ALL = Many(_CLAIM, _CLAIM_COLUMNS)
_CLAIM_NEW = Many(_CLAIM + " RETURNING button_id, key_generation, counter", _CLAIM_COLUMNS)


def claim(conn: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> set[Key]:
    """Enter `rows` into the press log; gives the keys that were new. The table's key decides, not who looked first.

    A row: button, key generation, counter, kind, parcels, battery in mV, temperature in °C, reset cause, link
    failures, heard at (ms), sequence number, received at (ms).
    """
    if conn.dialect.name == "postgresql":
        return set(_CLAIM_NEW.rows(conn, rows))
    before = conn.exec_driver_sql("SELECT coalesce(max(rowid), 0) FROM uplinks").scalar_one()
    if _CLAIM_ALL.run(conn, rows) == len(rows):
        return {row[:3] for row in rows}
    new = "SELECT button_id, key_generation, counter FROM uplinks WHERE rowid > ?"
    return {tuple(row) for row in conn.exec_driver_sql(new, (before,))}


def answered_with(conn: sa.Connection, device: int, answer: bytes) -> Key | None:
    """The message of this button that was answered with these bytes."""
    query = sa.select(uplinks.c.button_id, uplinks.c.key_generation, uplinks.c.counter)
    row = conn.execute(query.where(uplinks.c.button_id == device, uplinks.c.downlink == answer)).first()
    return None if row is None else (row.button_id, row.key_generation, row.counter)


_CONCLUDE = Many(
    """UPDATE uplinks SET pickup_id = new.pickup, downlink = new.answer FROM {new}
    WHERE button_id = new.button AND key_generation = new.generation AND counter = new.count""",
    "button bigint, generation integer, count bigint, pickup bigint, answer bytea",
)


def conclude(conn: sa.Connection, ends: Mapping[Key, tuple[int | None, bytes | None]]) -> None:
    """Write down what came of claimed messages: the pickup and the answer of each that has one."""
    _CONCLUDE.run(conn, [key + end for key, end in ends.items()])


def cancelled_by(conn: sa.Connection, key: Key) -> int | None:
    """The counter of a cancel of the same button that is newer than `key` yet was accepted already."""
    newer = (uplinks.c.button_id == key[0], uplinks.c.key_generation == key[1], uplinks.c.counter > key[2])
    return conn.execute(sa.select(sa.func.min(uplinks.c.counter)).where(*newer, uplinks.c.kind == "cancel")).scalar()


_APPEND = Many(
    """INSERT INTO frames (received_at, carrier, raw, raw_size, topic, renamed, uplinks_per_day, downlinks_per_day,
        result, reason, device, data, heard_at, seq_number, listens, lqi, copies, key_generation, counter, kind,
        pickup_id, downlink)
    SELECT new.received_at, new.carrier, new.raw, new.raw_size, new.topic, new.renamed, new.up_limit, new.down_limit,
        new.result, new.reason, new.device, new.data, new.heard_at, new.seq, new.listens, new.lqi, new.copies,
        new.generation, new.counter, new.kind, new.pickup, new.downlink
    FROM {new}""",
    "received_at bigint, carrier text, raw bytea, raw_size integer, topic text, renamed json, up_limit integer,"
    " down_limit integer, result text, reason text, device bigint, data bytea, heard_at bigint, seq integer,"
    " listens boolean, lqi text, copies json, generation integer, counter bigint, kind text, pickup bigint,"
    " downlink bytea",
)


def append(conn: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add `rows` to the log, the last thing in a transaction; a row has the columns of `frames` without its id.

    Times are in ms, copies as JSON. Until the commit no other process adds any: ids then come to light in their order,
    and a live page that reads on from the last one that it has passes over none. The pages of other processes are rung.
    """
    if conn.dialect.name == "postgresql":  # on SQLite only one writes
        conn.exec_driver_sql("SELECT pg_advisory_xact_lock(%s), pg_notify(%s, '')", (_APPEND_LOCK, live.CHANNEL))
    _APPEND.run(conn, rows)


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


def after(
    conn: sa.Connection,
    id: int,
    limit: int = 200,
    device: int | None = None,
    *,
    until: int | None = None,
    any_of: Collection[Filter] = (),
    step: int = 1,
) -> list[Frame]:
    """Frames with an id above `id`, up to and with `until`, oldest first: what a live page has not shown yet.

    Of a `step` above 1 only those that are `drawn` by it. With `any_of`, only what one of these takes.
    """
    query = _READ.where(frames.c.id > id).order_by(frames.c.id).limit(limit)
    if device is not None:
        query = query.where(frames.c.device == device)
    if until is not None:
        query = query.where(frames.c.id <= until)
    if any_of and all(any_of):
        query = query.where(sa.or_(*(sa.and_(*_taken_by(one)) for one in any_of)))
    if step > 1:
        query = query.where(frames.c.id % 2**31 * GOLDEN % 2**32 < 2**32 // step)
    return [_frame(row) for row in conn.execute(query)]


def search(conn: sa.Connection, wanted: Filter, *, above: int, until: int, limit: int) -> list[Frame]:
    """Frames that `wanted` takes, with an id above `above` up to and with `until`, newest first.

    No more of the log is read than lies between the two, so whoever asks decides what a search in vain costs.
    """
    query = _READ.where(frames.c.id > above, frames.c.id <= until, *_taken_by(wanted))
    return [_frame(row) for row in conn.execute(query.order_by(frames.c.id.desc()).limit(limit))]


def reach(conn: sa.Connection, until: int, span: int, device: int | None = None) -> int:
    """The id above which the newest `span` frames lie of those up to `until`, all or one device's; 0: that is all."""
    if device is None:
        return max(0, until - span)
    query = sa.select(frames.c.id).where(frames.c.device == device, frames.c.id <= until)
    return conn.scalar(query.order_by(frames.c.id.desc()).offset(span).limit(1)) or 0


def count(conn: sa.Connection, wanted: Filter, *, above: int, until: int) -> tuple[int, int]:
    """How many frames between these two ids `wanted` takes, and how many of those were refused; bounded as `search`."""
    refused = sa.func.count().filter(frames.c.result.in_([one for one in Result if one.is_refusal]))
    query = sa.select(sa.func.count(), refused).select_from(frames)
    if wanted.department is not None:
        query = query.outerjoin(buttons, buttons.c.id == frames.c.device)
    heard, of_them = conn.execute(query.where(frames.c.id > above, frames.c.id <= until, *_taken_by(wanted))).one()
    return heard, of_them


def _taken_by(wanted: Filter) -> list[sa.ColumnElement[bool]]:
    """As `Filter.takes`."""
    conditions = {
        frames.c.device: wanted.device,
        frames.c.result: wanted.result,
        frames.c.kind: wanted.kind,
        buttons.c.department: wanted.department,
    }
    return [column == value for column, value in conditions.items() if value is not None]


def of_pickup(conn: sa.Connection, pickup_id: int, limit: int | None = None) -> list[Frame]:
    """The frames that concern one order, oldest first."""
    query = _READ.where(frames.c.pickup_id == pickup_id).order_by(frames.c.id).limit(limit)
    return [_frame(row) for row in conn.execute(query)]


def counters_before(
    conn: sa.Connection, pickup_id: int, limit: int = 100, *, until: datetime | None = None
) -> dict[int, int]:
    """For the accepted frames of one order, by their ids: the counter that its button had accepted before, if any.

    With `until`, of what had been taken in by then.
    """
    lower = [
        uplinks.c.button_id == frames.c.device,
        uplinks.c.key_generation == frames.c.key_generation,
        uplinks.c.counter < frames.c.counter,
    ]
    if until is not None:
        lower.append(uplinks.c.received_at <= until)
    earlier = sa.select(sa.func.max(uplinks.c.counter)).where(*lower).scalar_subquery()
    query = sa.select(frames.c.id, earlier.label("before")).where(
        frames.c.pickup_id == pickup_id, frames.c.result == Result.ACCEPTED
    )
    return {row.id: row.before for row in conn.execute(query.order_by(frames.c.id).limit(limit)) if row.before}


def find(conn: sa.Connection, id: int) -> Frame | None:
    row = conn.execute(_READ.where(frames.c.id == id)).first()
    return _frame(row) if row else None


def of_trace(conn: sa.Connection, trace: str, limit: int = 50) -> list[Frame]:
    """The frames of one radiated message, oldest first; raises ValueError for what is no trace id."""
    device, head = trace_parts(trace)
    shown = sa.func.substr(frames.c.data, 1, HEAD_BYTES, type_=sa.LargeBinary)
    query = _READ.where(frames.c.device == device, shown == head)
    found = [_frame(row) for row in conn.execute(query.order_by(frames.c.id).limit(limit))]
    return [frame for frame in found if frame.trace == trace.lower()]


def traces(conn: sa.Connection, pickup_ids: Collection[int]) -> dict[int, str]:
    """The trace id of the press that made each order, by the order's id."""
    query = sa.select(frames.c.pickup_id, frames.c.device, frames.c.data).order_by(frames.c.id.desc())
    rows = conn.execute(query.where(frames.c.pickup_id.in_(pickup_ids), frames.c.result == Result.ACCEPTED))
    return {row.pickup_id: trace_id(row.device, row.data) for row in rows}


def last_id(conn: sa.Connection) -> int:
    """The newest frame's id, 0 in an empty log."""
    return conn.execute(sa.select(sa.func.coalesce(sa.func.max(frames.c.id), 0))).scalar_one()


def id_at(conn: sa.Connection, moment: datetime) -> int:
    """The frame that was the newest at `moment`, 0 before the first."""
    query = sa.select(frames.c.id).where(frames.c.received_at <= moment)
    return conn.scalar(query.order_by(frames.c.received_at.desc(), frames.c.id.desc()).limit(1)) or 0


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
        copies=read_copies(row.copies or ()),
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


LINK_FRAMES = 500  # of a button, for the figures of its link: they are read by the index in a few milliseconds


def link_loss(conn: sa.Connection, device: int, limit: int = LINK_FRAMES, *, until: int | None = None) -> Loss:
    """What the button's link lost among its newest `limit` frames, of those up to the id `until` where it is given.

    Only frames count whose seal was right.
    """
    of = frames.c
    newest = (
        sa.select(of.id, of.received_at, of.heard_at, of.seq_number, of.downlink, of.counter)
        .where(of.device == device, of.id <= until if until is not None else sa.true())
        .order_by(of.id.desc())
        .limit(limit)
    )
    return loss(
        Numbered(row.heard_at or row.received_at, row.seq_number, row.downlink is not None)
        for row in conn.execute(newest)
        if row.counter is not None and row.seq_number is not None and 0 <= row.seq_number < NUMBERS
    )


def sampled_loss(conn: sa.Connection, *, among: int = 2000, buttons: int = 50, limit: int = 40) -> Loss:
    """That of `buttons` among the newest `among` frames, each by its newest `limit`: a sample of the fleet's."""
    newest = sa.select(frames.c.device, frames.c.counter).order_by(frames.c.id.desc()).limit(among)
    devices = dict.fromkeys(row.device for row in conn.execute(newest) if row.counter is not None)
    found = [link_loss(conn, device, limit) for device in list(devices)[:buttons]]
    since = min((one.since for one in found if one.since is not None), default=None)
    return Loss(sum(one.expected for one in found), sum(one.missed for one in found), since)
