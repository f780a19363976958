"""What the rules count by, kept as the log goes on: small tables, filled from the log by its ids and never by a scan.

The log is read on from the last id, a batch at a time: read and counted in a transaction that keeps no writer waiting,
then written in a short one, in which the mark of how far moves by a compare-and-set. Whatever processes do at once, a
frame is counted once. Who was away for long begins MOST_BEHIND frames
back; what the rules ask for is minutes, not hours.

Stations. Of each it is kept how often it heard what its neighbours heard: `heard` of `chances`, both halved in
HALF_LIFE_S. A chance is an accepted frame that the station or one of its neighbours heard; neighbours are those that it
shared most frames with. What the neighbours heard since it was heard last, times that share, is what it should have
heard itself: at night, when nobody presses, nothing, and a button that hangs beside one station only counts once a
batch.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
import sqlalchemy as sa

from cloud.database import Instant, Many, insert, metadata, milliseconds, moment, plan_by_index
from cloud.frames.model import Result
from cloud.frames.store import frames
from cloud.stamps.ledger import readings
from cloud.stamps.model import Kind

BATCH = 2500  # frames a transaction
MOST_A_ROUND = 40  # batches
MOST_BEHIND = 300_000  # frames
SUBJECTS = 200  # of one series that a batch counts; what comes from more than these is seen in the whole
KEPT = timedelta(days=3)  # minutes
HOURS_KEPT = timedelta(days=15)
LATE = timedelta(seconds=10)  # a reading's id may come to light after a higher one, but not so late
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
JUMP_FROM = 17  # counters left out that are noted: a power cut leaves out a block of 16 (docs/wire-format.md)

# How many of what came from whom in a minute. `most` is the greatest single one, `last_id` the frame that came last.
alert_tallies = sa.Table(
    "alert_tallies",
    metadata,
    sa.Column("series", sa.Text, primary_key=True),
    sa.Column("minute", Instant, primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("most", sa.BigInteger, nullable=False),
    sa.Column("last_id", sa.BigInteger, nullable=False),
)

alert_hours = sa.Table(
    "alert_hours",
    metadata,
    sa.Column("hour", Instant, primary_key=True),
    sa.Column("heard", sa.BigInteger, nullable=False),
    sa.Column("refused", sa.BigInteger, nullable=False),
)

alert_stations = sa.Table(
    "alert_stations",
    metadata,
    sa.Column("station", sa.Text, primary_key=True),
    sa.Column("last_at", Instant, nullable=False),
    sa.Column("last_id", sa.BigInteger, nullable=False),
    sa.Column("heard", sa.Float, nullable=False),
    sa.Column("chances", sa.Float, nullable=False),
    sa.Column("faded_at", Instant, nullable=False),  # up to when the two are halved
    sa.Column("missed", sa.Integer, nullable=False),  # that its neighbours heard since
    sa.Column("missed_from", sa.JSON, nullable=False),  # buttons, at most MOST_BUTTONS
    sa.Column("neighbours", sa.JSON, nullable=False),  # names, with how many frames they shared
)

alert_marks = sa.Table(
    "alert_marks",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("last_id", sa.BigInteger, nullable=False),
)

# Series of the minutes' table.
REPLAYED, BAD_SEAL, UNKNOWN = Result.REPLAYED.value, Result.BAD_SEAL.value, Result.UNKNOWN_BUTTON.value
HEARD, REFUSED, TIMED, LATE_FRAMES, JUMP, USED = "heard", "refused", "timed", "late", "jump", "used"
OF_BUTTONS = {Result.REPLAYED, Result.BAD_SEAL, Result.UNKNOWN_BUTTON}
TAKEN = {Result.ACCEPTED, Result.DUPLICATE}


@dataclass(frozen=True, slots=True)
class Tally:
    """So many of a subject within a window."""

    subject: str
    count: int
    most: int
    last_id: int


@dataclass
class _Counts:
    """What one batch adds: by series, minute and subject the count, the greatest and the last id."""

    rows: dict[tuple[str, int, str], list[int]] = field(default_factory=dict)
    hours: dict[int, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))

    def add(self, series: str, at_ms: int, subject: str, id: int, size: int = 1) -> None:
        key = series, at_ms // MINUTE_MS * MINUTE_MS, subject
        row = self.rows.setdefault(key, [0, 0, 0])
        row[0] += 1
        row[1] = max(row[1], size)
        row[2] = max(row[2], id)

    def kept(self) -> list[tuple[str, int, str, int, int, int]]:
        """Of each series and minute no more than SUBJECTS subjects, those with the most."""
        by: dict[tuple[str, int], list[tuple[str, int, str, int, int, int]]] = defaultdict(list)
        for (series, minute, subject), row in self.rows.items():
            by[series, minute].append((series, minute, subject, *row))  # type: ignore[arg-type]  a row has three
        return [one for rows in by.values() for one in sorted(rows, key=lambda one: -one[3])[:SUBJECTS]]


# The log of frames

_NEXT = sa.select(
    frames.c.id,
    sa.type_coerce(frames.c.received_at, sa.BigInteger).label("at_ms"),  # as it lies: datetimes cost more than the rest
    sa.type_coerce(frames.c.heard_at, sa.BigInteger).label("heard_ms"),
    frames.c.result,
    frames.c.device,
    frames.c.key_generation,
    frames.c.counter,
    sa.cast(frames.c.copies, sa.Text).label("copies"),
).order_by(frames.c.id)

_BEFORE = Many(
    """SELECT new.button, new.count, (SELECT counter FROM uplinks WHERE button_id = new.button
        AND key_generation = new.generation AND counter < new.count ORDER BY counter DESC LIMIT 1), new.id
    FROM {new}""",
    "button bigint, generation integer, count bigint, id bigint",
)


@dataclass(frozen=True, slots=True)
class Batch:
    """What was read and counted, to be written; `before` is where the mark has to stand for that, None: nowhere yet."""

    mark: str
    before: int | None
    last_id: int
    size: int
    counts: _Counts
    stations: "Sequence[Station]" = ()


def next_frames(conn: sa.Connection, late_after: timedelta) -> Batch | None:
    """The next batch of the log; None: there is nothing new. `late_after`: kept later after it was heard is late."""
    plan_by_index(conn)
    before = _mark(conn, "frames")
    if before is None:  # the first time: from now on
        return Batch("frames", None, _newest(conn, frames), 0, _Counts())
    start = max(before, _newest(conn, frames) - MOST_BEHIND)
    rows = conn.execute(_NEXT.where(frames.c.id > start).limit(BATCH)).all()
    if not rows:
        return None
    counts, late_ms = _Counts(), int(late_after.total_seconds() * 1000)
    for row in rows:
        _count(counts, row, late_ms)
    accepted = [row for row in rows if row.result == Result.ACCEPTED]
    at_ms = {row.id: row.at_ms for row in accepted}
    asked = [(row.device, row.key_generation, row.counter, row.id) for row in accepted]
    for button, counter, earlier, id in _BEFORE.rows(conn, asked):
        if earlier is not None and counter - earlier > JUMP_FROM:
            counts.add(JUMP, at_ms[id], f"button {button:08X}", id, counter - earlier - 1)
    heard = _hear(conn, [row for row in accepted if row.copies])
    return Batch("frames", before, rows[-1].id, len(rows), counts, heard)


def keep(conn: sa.Connection, batch: Batch) -> bool:
    """Write it down; False where another process was quicker, which then has counted the same."""
    if batch.before is None:
        new = insert(conn, alert_marks).values(name=batch.mark, last_id=batch.last_id)
        conn.execute(new.on_conflict_do_nothing())
        return True
    of = alert_marks.c
    moved = alert_marks.update().where(of.name == batch.mark, of.last_id == batch.before)
    if conn.execute(moved.values(last_id=batch.last_id)).rowcount != 1:
        return False
    _ADD.run(conn, batch.counts.kept())
    _ADD_HOURS.run(conn, [(hour, *heard) for hour, heard in batch.counts.hours.items()])
    _keep(conn, batch.stations)
    return True


def _count(counts: _Counts, row: Any, late_ms: int) -> None:
    is_refused = row.result not in TAKEN
    hour = counts.hours[row.at_ms // HOUR_MS * HOUR_MS]
    hour[0] += 1
    hour[1] += is_refused
    counts.add(HEARD, row.at_ms, "", row.id)
    if is_refused:
        counts.add(REFUSED, row.at_ms, row.result, row.id)
    if row.result in OF_BUTTONS and row.device is not None:
        counts.add(row.result, row.at_ms, f"button {row.device:08X}", row.id)
    if row.result == Result.ACCEPTED and row.heard_ms is not None:
        counts.add(TIMED, row.at_ms, "", row.id)
        if row.at_ms - row.heard_ms > late_ms:
            counts.add(LATE_FRAMES, row.at_ms, "", row.id)


def _newest(conn: sa.Connection, table: sa.Table) -> int:
    return conn.scalar(sa.select(sa.func.coalesce(sa.func.max(table.c.id), 0))) or 0


def _mark(conn: sa.Connection, name: str) -> int | None:
    """How far has been read."""
    return conn.scalar(sa.select(alert_marks.c.last_id).where(alert_marks.c.name == name))


_ADD = Many(
    """INSERT INTO alert_tallies (series, minute, subject, count, most, last_id)
    SELECT new.series, new.minute, new.subject, new.count, new.most, new.last FROM {new} WHERE true
    ON CONFLICT (series, minute, subject) DO UPDATE SET count = alert_tallies.count + excluded.count,
        most = CASE WHEN excluded.most > alert_tallies.most THEN excluded.most ELSE alert_tallies.most END,
        last_id = CASE WHEN excluded.last_id > alert_tallies.last_id THEN excluded.last_id
            ELSE alert_tallies.last_id END""",
    "series text, minute bigint, subject text, count integer, most bigint, last bigint",
)
_ADD_HOURS = Many(
    """INSERT INTO alert_hours (hour, heard, refused) SELECT new.hour, new.heard, new.refused FROM {new} WHERE true
    ON CONFLICT (hour) DO UPDATE SET heard = alert_hours.heard + excluded.heard,
        refused = alert_hours.refused + excluded.refused""",
    "hour bigint, heard bigint, refused bigint",
)


# Readings of stamps


def next_readings(conn: sa.Connection, now: datetime) -> Batch | None:
    """As `next_frames`, for the readings of used stamps, by place."""
    before = _mark(conn, "readings")
    if before is None:
        return Batch("readings", None, _newest(conn, readings), 0, _Counts())
    start = max(before, _newest(conn, readings) - MOST_BEHIND)
    of = readings.c
    query = sa.select(of.id, of.at, of.place, of.kind).where(of.id > start).order_by(of.id).limit(BATCH)
    rows = conn.execute(query).all()
    is_new = next((place for place, row in enumerate(rows) if row.at > now - LATE), len(rows))
    rows = rows[:is_new]
    if not rows:
        return None
    counts = _Counts()
    for row in rows:
        if row.kind == Kind.ALREADY_USED:
            counts.add(USED, milliseconds(row.at) or 0, f"place {row.place}", row.id)
    return Batch("readings", before, rows[-1].id, len(rows), counts)


# Stations

MOST_STATIONS = 2000
MOST_NEIGHBOURS = 8
MOST_BUTTONS = 16
HALF_LIFE_S = 3 * 86_400
LEAST_HEARD = 20.0  # frames, before a station is one that is normally heard
FORGOTTEN = timedelta(days=14)  # a station that is heard no more is then no station of ours
_NAME = re.compile(r"[0-9A-Za-z_.-]{1,32}")


@dataclass
class Station:
    """One station, as its row has it."""

    station: str
    last_at: datetime
    last_id: int
    heard: float
    chances: float
    faded_at: datetime
    missed: int
    missed_from: list[int]
    neighbours: dict[str, float]

    @property
    def expected(self) -> float:
        """Frames that it should have heard since it was heard last; 0 for one that is not normally heard."""
        return self.missed * self.heard / self.chances if self.heard >= LEAST_HEARD and self.chances else 0.0

    def fade(self, now: datetime) -> None:
        span_s = (now - self.faded_at).total_seconds()
        if span_s <= 0:
            return
        left = 0.5 ** (span_s / HALF_LIFE_S)
        self.heard, self.chances, self.faded_at = self.heard * left, self.chances * left, now
        self.neighbours = {name: shared * left for name, shared in self.neighbours.items()}


def stations(conn: sa.Connection) -> list[Station]:
    query = sa.select(alert_stations).order_by(alert_stations.c.last_at.desc()).limit(MOST_STATIONS)
    return [Station(**row._mapping) for row in conn.execute(query)]


def _hear(conn: sa.Connection, rows: Sequence[Any]) -> list[Station]:
    """The stations that a batch of accepted frames says something of, as they are then."""
    known = {one.station: one for one in stations(conn)}
    beside: dict[str, set[str]] = defaultdict(set)  # whose neighbour it is
    for one in known.values():
        for name in one.neighbours:
            beside[name].add(one.station)
    changed: set[str] = set()
    silent_for: set[tuple[str, int]] = set()
    for row in rows:
        heard, at = _heard_by(row.copies), moment(row.at_ms)
        for name in heard:
            if name not in known and len(known) < MOST_STATIONS:
                known[name] = Station(name, at, row.id, 0.0, 0.0, at, 0, [], {})
        heard = [name for name in heard if name in known]
        for name in heard:
            one = known[name]
            if name not in changed:
                one.fade(at)
            one.last_at, one.last_id, one.missed, one.missed_from = at, row.id, 0, []
            one.heard, one.chances = one.heard + 1, one.chances + 1
            _meet(one, [other for other in heard if other != name], beside)
        for name in {name for other in heard for name in beside[other]} - set(heard):
            if (name, row.device) in silent_for:  # one button counts once a batch
                continue
            silent_for.add((name, row.device))
            one = known[name]
            one.chances, one.missed = one.chances + 1, one.missed + 1
            if len(one.missed_from) < MOST_BUTTONS and row.device not in one.missed_from:
                one.missed_from = [*one.missed_from, row.device]
            changed.add(name)
        changed.update(heard)
    return [known[name] for name in sorted(changed)]


def _heard_by(copies: str) -> list[str]:
    """The stations in a frame's list of copies."""
    names = (one.get("bsId", one.get("station")) for one in orjson.loads(copies)[:32] if isinstance(one, dict))
    return list(dict.fromkeys(name for name in names if isinstance(name, str) and _NAME.fullmatch(name)))


def _meet(one: Station, others: Iterable[str], beside: Mapping[str, set[str]]) -> None:
    """Count what it shared with others, of whom it remembers those with the most (Metwally's space-saving counters)."""
    for other in others:
        shared = one.neighbours.get(other)
        if shared is None and len(one.neighbours) >= MOST_NEIGHBOURS:
            rarest = min(one.neighbours, key=one.neighbours.__getitem__)
            shared = one.neighbours.pop(rarest)
            beside[rarest].discard(one.station)
        one.neighbours[other] = (shared or 0.0) + 1
        beside[other].add(one.station)


def _keep(conn: sa.Connection, changed: Sequence[Station]) -> None:
    if not changed:
        return
    new = insert(conn, alert_stations)
    names = [column.name for column in alert_stations.c if column.name != "station"]
    kept = new.on_conflict_do_update(index_elements=["station"], set_={name: new.excluded[name] for name in names})
    conn.execute(kept, [vars(one) for one in changed])


# What the rules ask


def within(
    conn: sa.Connection, series: str, since: datetime, least: int = 1, most: int = 0, limit: int = SUBJECTS
) -> list[Tally]:
    """The subjects of a series with `least` or more since then (a minute more or less), those with the most first.

    `most`: and with a single one of this size.
    """
    of = alert_tallies.c
    count = sa.func.sum(of.count)
    query = (
        sa.select(of.subject, count, sa.func.max(of.most), sa.func.max(of.last_id))
        .where(of.series == series, of.minute >= since - timedelta(minutes=1))
        .group_by(of.subject)
        .having(count >= least, sa.func.max(of.most) >= most)
        .order_by(count.desc(), of.subject)
        .limit(limit)
    )
    return [Tally(row[0], int(row[1]), int(row[2]), int(row[3])) for row in conn.execute(query)]


def total(conn: sa.Connection, series: str, since: datetime) -> int:
    of = alert_tallies.c
    query = sa.select(sa.func.sum(of.count)).where(of.series == series, of.minute >= since - timedelta(minutes=1))
    return int(conn.scalar(query) or 0)


@dataclass(frozen=True, slots=True)
class Usual:
    """What the past has at this hour of the day: frames and refused ones, in so many hours that had been watched."""

    heard: int
    refused: int
    hours: int


def usual(conn: sa.Connection, now: datetime, days: int = 14) -> Usual:
    """Of the same hour of the last `days` days, and the hour before and after; days before the watch began are none."""
    of = alert_hours.c
    first = conn.scalar(sa.select(sa.func.min(of.hour)))
    hour = now.replace(minute=0, second=0, microsecond=0)
    wanted = [hour - timedelta(days=day) + timedelta(hours=side) for day in range(1, days + 1) for side in (-1, 0, 1)]
    wanted = [one for one in wanted if first is not None and one > first]
    if not wanted:
        return Usual(0, 0, 0)
    row = conn.execute(sa.select(sa.func.sum(of.heard), sa.func.sum(of.refused)).where(of.hour.in_(wanted))).one()
    return Usual(int(row[0] or 0), int(row[1] or 0), len(wanted))


def forget(conn: sa.Connection, now: datetime) -> None:
    """Let go of what no rule asks for any more."""
    conn.execute(alert_tallies.delete().where(alert_tallies.c.series.in_(_all_series()), _is_old(now)))
    conn.execute(alert_hours.delete().where(alert_hours.c.hour < now - HOURS_KEPT))
    conn.execute(alert_stations.delete().where(alert_stations.c.last_at < now - FORGOTTEN))


def _is_old(now: datetime) -> sa.ColumnElement[bool]:
    return alert_tallies.c.minute < now - KEPT


def _all_series() -> Collection[str]:
    return (REPLAYED, BAD_SEAL, UNKNOWN, HEARD, REFUSED, TIMED, LATE_FRAMES, JUMP, USED)
