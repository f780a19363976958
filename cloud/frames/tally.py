"""The log in counts: what was heard in each minute, hour and day, so that no page ever reads the log to count it.

One part of the service reads the log on from the last id that it has counted, a bounded batch at a time, and adds the
counts and moves its position in one transaction. The position is moved by compare-and-set, and first: of any number of
processes that counted the same batch one has its counts taken, and a crash before the commit leaves both as they were.
So every frame is counted once. Ids come to light in their order (`frames.store.append`), so none is passed over.

Who reads (`Counts`) adds what is not counted yet, which is the log after the position, and reads nothing that came
later than its `now`: the counts at a moment stay what they are, whatever happens afterwards.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import log2
from typing import NamedTuple

import sqlalchemy as sa

from cloud.database import BigId, Instant, Many, insert, metadata, milliseconds, moment
from cloud.fleet.store import buttons
from cloud.frames.model import Result
from cloud.frames.store import frames

AT_ONCE = 2_000  # frames a transaction: some 30 ms of reading, then a few of writing
TAIL = 20_000  # frames that a reader counts itself, a tenth of a second; beyond them it tells that it is behind


class What(StrEnum):
    """What is counted, and by what."""

    RESULT = "result"  # every frame, by frames.model.Result
    KIND = "kind"  # accepted ones by their kind
    PRESS = "press"  # accepted presses by the button's department; "" where its place names none
    LINK = "link"  # accepted ones by department and the network's class of link: "35 good", " limit"
    LAG = "lag"  # accepted ones by `lag_class`, of times that the network tells to the millisecond
    LAG_S = "lag s"  # the same, of times that are whole seconds, as Sigfox has them


class Span(NamedTuple):
    """How long a count lasts; all spans begin with 1970 in UTC."""

    seconds: int

    @property
    def length(self) -> timedelta:
        return timedelta(seconds=self.seconds)

    def start(self, at: datetime) -> datetime:
        """Of the span that holds `at`."""
        ms = milliseconds(at)
        assert ms is not None
        return moment(ms - ms % (self.seconds * 1000))


INSTANT, MINUTE, HOUR, DAY = SPANS = Span(10), Span(60), Span(3600), Span(86400)
# The shortest ones serve the rate of the last sixty seconds alone, so they count results only and are soon let go of.
INSTANTS_KEPT = timedelta(hours=1)
KEPT_IN: dict[What, tuple[Span, ...]] = {
    What.RESULT: SPANS,
    What.KIND: (HOUR, DAY),
    What.PRESS: (MINUTE, HOUR, DAY),
    What.LINK: (MINUTE, HOUR, DAY),
    What.LAG: (MINUTE, HOUR, DAY),
    What.LAG_S: (MINUTE, HOUR, DAY),
}

frame_counts = sa.Table(
    "frame_counts",
    metadata,
    sa.Column("what", sa.Text, primary_key=True),  # What
    sa.Column("span", sa.Integer, primary_key=True, autoincrement=False),  # seconds
    sa.Column("at", Instant, primary_key=True, autoincrement=False),  # when the span began
    sa.Column("which", sa.Text, primary_key=True),
    sa.Column("frames", BigId, nullable=False),
    sqlite_with_rowid=False,
)

# One row, once anything was counted.
frame_tally = sa.Table(
    "frame_tally",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("through", BigId, nullable=False),  # the last frame that is counted
    sa.Column("newest", Instant, nullable=False),  # the latest time that a counted frame was received at
    sa.CheckConstraint("id = 1", name="one_row"),
)


# What one frame counts for


class Fact(NamedTuple):
    """A frame counts one of `which` at `at`."""

    what: What
    at: datetime
    which: str


class Heard(NamedTuple):
    """What of a frame is counted."""

    id: int
    received_at: datetime
    result: str
    kind: str | None
    lqi: str | None
    heard_at: datetime | None
    department: str | None


def facts(frame: Heard) -> Iterator[Fact]:
    at = frame.received_at
    yield Fact(What.RESULT, at, frame.result)
    if frame.result != Result.ACCEPTED:
        return  # nothing else is proven
    if frame.kind:
        yield Fact(What.KIND, at, frame.kind)
    department = frame.department or ""
    if frame.kind == "pickup":
        yield Fact(What.PRESS, at, department)
    if frame.lqi:
        yield Fact(What.LINK, at, f"{department} {frame.lqi.lower()}")
    if frame.heard_at is not None:
        what = What.LAG if frame.heard_at.microsecond else What.LAG_S
        yield Fact(what, at, str(lag_class(at - frame.heard_at)))


# From heard to kept: from the network's own time of the message to the beginning of the transaction that kept it. The
# classes are a quarter of an octave wide, so a figure read from them is right to a tenth (HdrHistogram's idea).
_PER_OCTAVE = 4
_LAST_CLASS = 120  # 2³⁰ ms, twelve days: and whatever is longer


def lag_class(lag: timedelta) -> int:
    """The class of the histogram; 0 is less than a millisecond, or a network whose clock is ahead.

    >>> [lag_class(timedelta(milliseconds=ms)) for ms in (-5, 0, 1, 2, 1000, 10**12)]
    [0, 0, 1, 5, 40, 120]
    """
    ms = lag / timedelta(milliseconds=1)
    return 0 if ms < 1 else min(1 + int(_PER_OCTAVE * log2(ms)), _LAST_CLASS)


def lag_of(number: int) -> timedelta:
    """The middle of a class, as ratios have it."""
    return timedelta(0) if number == 0 else timedelta(milliseconds=2 ** ((number - 0.5) / _PER_OCTAVE))


@dataclass(frozen=True, slots=True)
class Lag:
    """How long messages took from heard to kept. `to_the_second`: the network tells no more, so neither do these."""

    p50: timedelta
    p99: timedelta
    to_the_second: bool


def lag(fine: Counter[str], whole: Counter[str]) -> Lag | None:
    """Of the counts by class of What.LAG and What.LAG_S."""
    classes = Counter({int(which): count for which, count in (fine + whole).items()})
    if not classes:
        return None
    return Lag(_quantile(classes, 0.5), _quantile(classes, 0.99), whole.total() > fine.total())


def _quantile(classes: Counter[int], share: float) -> timedelta:
    """The class below which, itself included, `share` of all lie."""
    wanted, seen = share * classes.total(), 0
    for number in sorted(classes):
        seen += classes[number]
        if seen >= wanted:
            return lag_of(number)
    raise AssertionError


# Counting

_HEARD = (
    sa.select(
        frames.c.id,
        frames.c.received_at,
        frames.c.result,
        frames.c.kind,
        frames.c.lqi,
        frames.c.heard_at,
        buttons.c.department,
    )
    .select_from(frames)
    .outerjoin(buttons, buttons.c.id == frames.c.device)
)
_ADD = Many(
    """INSERT INTO frame_counts (what, span, at, which, frames)
    SELECT new.what, new.span, new.at, new.which, new.heard FROM {new} WHERE true
    ON CONFLICT (what, span, at, which) DO UPDATE SET frames = frame_counts.frames + excluded.frames""",
    "what text, span integer, at bigint, which text, heard bigint",
)


@dataclass(frozen=True, slots=True)
class Position:
    through: int  # the last frame that is counted
    newest: datetime  # no counted frame was received later


NOWHERE = Position(0, moment(0))


def position(conn: sa.Connection) -> Position:
    row = conn.execute(sa.select(frame_tally)).one_or_none()
    return NOWHERE if row is None else Position(row.through, row.newest)


@dataclass(frozen=True, slots=True)
class Batch:
    """The frames after `before`, counted but not yet written down."""

    before: Position
    after: Position
    size: int
    counts: Counter[tuple[What, Span, datetime, str]]


def look(conn: sa.Connection, at_once: int = AT_ONCE) -> Batch | None:
    """Count what comes after the position, in a transaction that only reads; None: everything is counted."""
    before = position(conn)
    heard = _after(conn, before.through, at_once)
    if not heard:
        return None
    newest = max(before.newest, *(frame.received_at for frame in heard))
    # By the shortest span first: of many frames few counts are left to add up to longer ones.
    shortest: Counter[tuple[What, datetime, str]] = Counter()
    for frame in heard:
        at = INSTANT.start(frame.received_at)
        shortest.update((what, at, which) for what, _, which in facts(frame))
    counts: Counter[tuple[What, Span, datetime, str]] = Counter()
    for (what, at, which), count in shortest.items():
        for span in KEPT_IN[what]:
            counts[what, span, span.start(at), which] += count
    return Batch(before, Position(heard[-1].id, newest), len(heard), counts)


def write(conn: sa.Connection, batch: Batch) -> bool:
    """Write the batch down, in a transaction of its own; False where another process was quicker with these frames."""
    if not _move(conn, batch.before, batch.after):
        return False
    # In one order, so that two who write wait for each other and never in a ring.
    _ADD.run(
        conn,
        sorted(
            (what.value, span.seconds, milliseconds(at), which, count)
            for (what, span, at, which), count in batch.counts.items()
        ),
    )
    return True


def _move(conn: sa.Connection, before: Position, after: Position) -> bool:
    if before == NOWHERE:
        conn.execute(insert(conn, frame_tally).values(id=1, through=0, newest=moment(0)).on_conflict_do_nothing())
    moved = sa.update(frame_tally).where(frame_tally.c.id == 1, frame_tally.c.through == before.through)
    return conn.execute(moved.values(through=after.through, newest=after.newest)).rowcount == 1


def _after(conn: sa.Connection, id: int, limit: int) -> list[Heard]:
    return _heard(conn, _HEARD.where(frames.c.id > id).order_by(frames.c.id).limit(limit))


def _heard(conn: sa.Connection, query: sa.Select) -> list[Heard]:
    return [Heard(*row) for row in conn.execute(query)]


def prune(conn: sa.Connection, span: Span, before: datetime) -> int:
    """Let go of counts of that span from before then, those of an hour of them at most for each; how many."""
    gone = 0
    for what, spans in KEPT_IN.items():
        if span not in spans:
            continue
        of = (frame_counts.c.what == what, frame_counts.c.span == span.seconds)
        oldest = conn.scalar(sa.select(sa.func.min(frame_counts.c.at)).where(*of))
        if oldest is not None and oldest < before:
            until = min(before, oldest + HOUR.length)
            gone += conn.execute(sa.delete(frame_counts).where(*of, frame_counts.c.at < until)).rowcount
    return gone


# Reading


class Counts:
    """What the log holds that was received up to `now`, in counts; made within one transaction that reads.

    It costs the same whatever the log's length: rows of counts by their key, and of the log itself no more than what
    is not counted yet, and where `now` lies in the past, what was heard in its own minute.
    """

    def __init__(self, conn: sa.Connection, now: datetime, tail: int = TAIL) -> None:
        self.now = now
        self._conn = conn
        self._position = position(conn)
        uncounted = _after(conn, self._position.through, tail + 1)
        # More of them than are read here: then these are the counts as of `as_of`.
        self.is_behind = len(uncounted) > tail and uncounted[-1].received_at < now
        self.as_of = uncounted[-1].received_at if self.is_behind else now
        # Where something later than `now` is counted, the minute that `now` lies in is read from the log itself.
        self._is_cut = self._position.newest > now
        self._whole_until = MINUTE.start(now) + (timedelta(0) if self._is_cut else MINUTE.length)
        loose = [frame for frame in uncounted if frame.received_at <= now]
        self._uncounted_at = [frame.received_at for frame in loose]
        if self._is_cut:
            loose += self._counted(self._whole_until, now, until_is_in=True)
        self._loose = [fact for frame in loose for fact in facts(frame)]

    def _counted(self, since: datetime, until: datetime, *, until_is_in: bool = False) -> list[Heard]:
        """Counted frames of a stretch that is no longer than a minute, from the log."""
        received_at = frames.c.received_at
        ends = received_at <= until if until_is_in else received_at < until
        return _heard(self._conn, _HEARD.where(received_at >= since, ends, frames.c.id <= self._position.through))

    def in_last_minute(self) -> int:
        """How many were received in the sixty seconds up to `now`, of whatever result."""
        since = self.now - timedelta(minutes=1)  # itself left out
        received_at, counted = frames.c.received_at, frames.c.id <= self._position.through
        ends = self.now if self._is_cut else INSTANT.start(since) + INSTANT.length
        edge = sa.select(sa.func.count()).where(received_at > since, counted)
        edge = edge.where(received_at <= ends if self._is_cut else received_at < ends)
        whole = 0 if self._is_cut else self._sum(What.RESULT, INSTANT, ends, self._whole_until).total()
        return (self._conn.scalar(edge) or 0) + whole + sum(at > since for at in self._uncounted_at)

    def since(self, what: What, since: datetime) -> Counter[str]:
        """How many of each from `since`, which begins a minute, until `now`."""
        assert MINUTE.start(since) == since, "counts begin with a minute"
        total: Counter[str] = Counter()
        for span, start, end in _cover(since, self._whole_until, KEPT_IN[what]):
            total += self._sum(what, span, start, end)
        total.update(fact.which for fact in self._loose if fact.what is what and fact.at >= since)
        return total

    def each_minute(self, what: What, since: datetime) -> dict[datetime, Counter[str]]:
        """How many of each in each minute from `since` until `now`; minutes without any are left out."""
        minutes: dict[datetime, Counter[str]] = {}
        for at, which, count in self._rows(what, MINUTE, since, self._whole_until):
            minutes.setdefault(at, Counter())[which] += count
        for fact in self._loose:
            if fact.what is what and fact.at >= since:
                minutes.setdefault(MINUTE.start(fact.at), Counter())[fact.which] += 1
        return minutes

    def in_hours(self, what: What, hours: Sequence[datetime]) -> dict[datetime, Counter[str]]:
        """How many of each in whole hours that ended before `now`, by when they began; those without any too."""
        assert all(hour + HOUR.length <= self.now for hour in hours)
        found: dict[datetime, Counter[str]] = {hour: Counter() for hour in hours}
        of = frame_counts.c
        query = sa.select(of.at, of.which, of.frames).where(
            of.what == what, of.span == HOUR.seconds, of.at.in_(list(hours))
        )
        for at, which, count in self._conn.execute(query):
            found[at][which] += count
        for fact in self._loose:
            if fact.what is what and (hour := HOUR.start(fact.at)) in found:
                found[hour][fact.which] += 1
        return found

    def _sum(self, what: What, span: Span, since: datetime, until: datetime) -> Counter[str]:
        of = frame_counts.c
        query = sa.select(of.which, sa.cast(sa.func.sum(of.frames), sa.BigInteger)).where(
            of.what == what, of.span == span.seconds, of.at >= since, of.at < until
        )
        total: Counter[str] = Counter()
        for name, count in self._conn.execute(query.group_by(of.which)):
            total[name] = count
        return total

    def _rows(self, what: What, span: Span, since: datetime, until: datetime) -> Iterable[tuple[datetime, str, int]]:
        of = frame_counts.c
        query = sa.select(of.at, of.which, of.frames).where(
            of.what == what, of.span == span.seconds, of.at >= since, of.at < until
        )
        return ((at, which, count) for at, which, count in self._conn.execute(query))


def _cover(since: datetime, until: datetime, spans: Sequence[Span]) -> Iterator[tuple[Span, datetime, datetime]]:
    """The stretch from `since` to `until`, minutes both, in as few counts as there are: minutes, hours, days and back.

    >>> from datetime import UTC
    >>> at = lambda day, hour, minute: datetime(2026, 11, day, hour, minute, tzinfo=UTC)
    >>> for span, start, end in _cover(at(20, 22, 58), at(22, 1, 2), (MINUTE, HOUR, DAY)):
    ...     print(span.seconds, f"{start:%d %H:%M}", f"{end:%d %H:%M}")
    60 20 22:58 20 23:00
    3600 20 23:00 21 00:00
    86400 21 00:00 22 00:00
    3600 22 00:00 22 01:00
    60 22 01:00 22 01:02
    """
    if since >= until:
        return
    *shorter, longest = spans
    start = longest.start(since + longest.length - timedelta(milliseconds=1))  # the first that begins in it
    end = longest.start(until)
    if not shorter:
        yield longest, since, until
    elif start >= end:
        yield from _cover(since, until, shorter)
    else:
        yield from _cover(since, start, shorter)
        yield longest, start, end
        yield from _cover(end, until, shorter)
