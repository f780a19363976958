"""The log in counts: each frame once whoever counts and whatever breaks, and never anything later than is asked for."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

import cloud.frames.store as frames
from cloud import database
from cloud.console.keeper import count_on
from cloud.frames import tally
from cloud.frames.model import Result
from cloud.frames.tally import DAY, HOUR, KEPT_IN, MINUTE, Counts, Heard, What, facts
from tests.cloud.ingest.test_receive import DEVICE, OTHER, make_engine

NOW = datetime(2026, 11, 22, 9, 0, 30, tzinfo=UTC)
SHARED = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Line(NamedTuple):
    """A frame to be: so long before NOW it was received, and so long before that it was heard."""

    ago: timedelta
    result: Result = Result.ACCEPTED
    kind: str = "alive"
    device: int | None = DEVICE
    lqi: str | None = "good"
    lag: timedelta | None = timedelta(milliseconds=120)

    @property
    def row(self) -> tuple[Any, ...]:
        at, is_ours = NOW - self.ago, self.result in (Result.ACCEPTED, Result.DUPLICATE)
        heard_at = None if self.lag is None else database.milliseconds(at - self.lag)
        return (
            *(database.milliseconds(at), "mqtt", b"", 0, *[None] * 4, self.result.value, "", self.device, bytes(12)),
            *(heard_at, None, False, self.lqi, None, 0, None, self.kind if is_ours else None, None, None),
        )


def log_of(*agos: timedelta, **said: Any) -> list[Line]:
    return [Line(ago, **said) for ago in agos]


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def engine(request: pytest.FixtureRequest, tmp_path) -> Iterator[sa.Engine]:
    url = f"sqlite:///{tmp_path / 'd.db'}" if request.param == "SQLite" else request.getfixturevalue("postgres_url")
    engine = with_places(make_engine(url))
    yield engine
    engine.dispose()


def with_places(engine: sa.Engine) -> sa.Engine:
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE buttons SET department = '35' WHERE id = :id"), {"id": DEVICE})
    return engine


def hear(engine: sa.Engine, lines: Sequence[Line]) -> None:
    with engine.begin() as conn:
        frames.append(conn, [line.row for line in lines])


def count_all(engine: sa.Engine, at_once: int = tally.AT_ONCE) -> None:
    while count_on(engine, at_once):
        pass


def plainly(conn: sa.Connection) -> list[Heard]:
    """The whole log, read the slow way."""
    return [Heard(*row) for row in conn.execute(tally._HEARD)]


def kept(conn: sa.Connection) -> Counter[tuple[str, int, datetime, str]]:
    rows = conn.execute(sa.select(tally.frame_counts))
    return Counter({(row.what, row.span, row.at, row.which): row.frames for row in rows})


def expected(conn: sa.Connection) -> Counter[tuple[str, int, datetime, str]]:
    return Counter(
        (fact.what.value, span.seconds, span.start(fact.at), fact.which)
        for frame in plainly(conn)
        for fact in facts(frame)
        for span in KEPT_IN[fact.what]
    )


agos = st.one_of(
    st.integers(0, 200_000).map(lambda ms: timedelta(milliseconds=ms)),
    st.integers(0, 3 * 86_400).map(lambda s: timedelta(seconds=s)),
)
lines = st.builds(
    Line,
    ago=agos,
    result=st.sampled_from(Result),
    kind=st.sampled_from(["pickup", "alive", "ask"]),
    device=st.sampled_from([DEVICE, OTHER, 0xFE03D1A0, None]),
    lqi=st.sampled_from(["limit", "Good", None]),
    lag=st.sampled_from([None, timedelta(milliseconds=-30), timedelta(milliseconds=120), timedelta(seconds=3)]),
)

# What may happen: frames come, one of two processes looks, writes what it saw, or dies in the middle of writing.
steps = st.lists(
    st.one_of(
        st.tuples(st.just("hear"), st.lists(lines, min_size=1, max_size=5)),
        st.tuples(st.sampled_from(["look", "write", "die"]), st.integers(0, 1)),
    ),
    max_size=30,
)


class Died(Exception):
    pass


@SHARED
@given(steps=steps, at_once=st.integers(1, 4))
def test_each_frame_is_counted_once_whoever_dies_and_whoever_was_quicker(engine, steps, at_once):
    seen: dict[int, tally.Batch | None] = {0: None, 1: None}
    for step, what in steps:
        if step == "hear":
            hear(engine, what)
        elif step == "look":
            with database.reading(engine) as conn:
                seen[what] = tally.look(conn, at_once)
        elif (batch := seen[what]) is not None:
            seen[what] = None
            try:
                with engine.begin() as conn:
                    tally.write(conn, batch)
                    if step == "die":
                        raise Died
            except Died:
                pass
    count_all(engine, at_once=3)
    with database.reading(engine) as conn:
        assert kept(conn) == expected(conn)
        assert tally.position(conn).through == frames.last_id(conn)


def test_processes_that_count_at_the_same_time_count_each_frame_once(engine):
    hear(engine, [Line(timedelta(seconds=n % 500), Result.ACCEPTED, "pickup") for n in range(400)])
    start = threading.Barrier(3)
    errors: list[Exception] = []

    def count() -> None:
        try:
            start.wait()
            count_all(engine, at_once=7)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    with database.reading(engine) as conn:
        assert kept(conn) == expected(conn)


def test_of_two_who_saw_the_same_frames_one_is_told_that_it_came_late(engine):
    hear(engine, log_of(timedelta(0)))
    with database.reading(engine) as conn:
        mine, theirs = tally.look(conn), tally.look(conn)
    assert mine is not None
    assert theirs is not None
    with engine.begin() as conn:
        assert tally.write(conn, mine)
    with engine.begin() as conn:
        assert not tally.write(conn, theirs)


moments = st.one_of(agos, st.sampled_from([timedelta(0), timedelta(seconds=30), timedelta(seconds=90)]))


@SHARED
@given(
    counted=st.lists(lines, max_size=12),
    tail=st.lists(lines, max_size=4),
    ago=moments,
    back=st.integers(0, 3 * 1440).map(lambda minutes: timedelta(minutes=minutes)),
)
def test_the_figures_are_those_of_a_plain_count_at_any_moment(counted, tail, ago, back):
    engine = with_places(make_engine())
    hear(engine, counted)
    count_all(engine)
    hear(engine, tail)
    now = NOW - ago
    with database.reading(engine) as conn:
        counts = Counts(conn, now)
        heard = [frame for frame in plainly(conn) if frame.received_at <= now]
        told = [fact for frame in heard for fact in facts(frame)]
        since = MINUTE.start(now - back)
        for what in What:
            if what is What.KIND:
                continue  # it is kept by the hour alone
            recent = [fact for fact in told if fact.what is what and fact.at >= since]
            assert counts.since(what, since) == Counter(fact.which for fact in recent)
            assert counts.each_minute(what, since) == each_minute(recent)
        assert counts.in_last_minute() == sum(frame.received_at > now - timedelta(minutes=1) for frame in heard)
        hours = [HOUR.start(now) - n * HOUR.length for n in (1, 2, 24)]
        assert counts.in_hours(What.RESULT, hours) == {
            hour: Counter(
                fact.which for fact in told if fact.what is What.RESULT and hour <= fact.at < hour + HOUR.length
            )
            for hour in hours
        }
    engine.dispose()


def each_minute(told: Sequence[tally.Fact]) -> dict[datetime, Counter[str]]:
    minutes: dict[datetime, Counter[str]] = {}
    for fact in told:
        minutes.setdefault(MINUTE.start(fact.at), Counter())[fact.which] += 1
    return minutes


def figures_at(conn: sa.Connection, now: datetime) -> list[Any]:
    counts = Counts(conn, now)
    since = MINUTE.start(now - 2 * DAY.length)
    whats = [what for what in What if what is not What.KIND]
    return [counts.in_last_minute(), *((what, counts.since(what, since)) for what in whats)]


@SHARED
@given(earlier=st.lists(lines, max_size=8), later=st.lists(lines, max_size=8), ago=moments, at_once=st.integers(1, 5))
def test_what_comes_later_changes_nothing_of_a_moment_in_the_past(earlier, later, ago, at_once):
    engine = with_places(make_engine())
    now = NOW - ago
    hear(engine, [line for line in earlier if NOW - line.ago <= now])
    with database.reading(engine) as conn:
        before = figures_at(conn, now)
    hear(engine, [line for line in later if NOW - line.ago > now])
    with database.reading(engine) as conn:
        assert figures_at(conn, now) == before
    count_on(engine, at_once)
    with database.reading(engine) as conn:
        assert figures_at(conn, now) == before
    count_all(engine)
    with database.reading(engine) as conn:
        assert figures_at(conn, now) == before
    engine.dispose()


def test_both_databases_tell_the_same_figures(engine):
    hear(engine, log_of(timedelta(hours=30), timedelta(minutes=70), timedelta(seconds=61), kind="pickup"))
    count_all(engine)
    hear(engine, log_of(timedelta(seconds=59), timedelta(seconds=1), device=OTHER, lag=timedelta(seconds=0.5)))
    with database.reading(engine) as conn:
        counts = Counts(conn, NOW)
        assert counts.in_last_minute() == 2
        assert counts.since(What.RESULT, MINUTE.start(NOW - DAY.length)) == {"accepted": 4}
        assert counts.since(What.PRESS, MINUTE.start(NOW - 2 * DAY.length)) == {"35": 3}
        assert counts.since(What.LINK, MINUTE.start(NOW - HOUR.length)) == {"35 good": 1, " good": 2}
        past = Counts(conn, NOW - timedelta(seconds=40))
        assert past.in_last_minute() == 2
        assert past.since(What.RESULT, MINUTE.start(NOW - 2 * DAY.length)) == {"accepted": 4}


def test_who_is_far_behind_says_so_and_of_when_the_counts_are(engine):
    hear(engine, log_of(*(timedelta(seconds=seconds) for seconds in (50, 40, 30, 20, 10))))
    with database.reading(engine) as conn:
        counts = Counts(conn, NOW, tail=3)
        assert (counts.is_behind, counts.as_of) == (True, NOW - timedelta(seconds=20))
    count_all(engine)
    with database.reading(engine) as conn:
        assert not Counts(conn, NOW, tail=3).is_behind


def test_the_shortest_counts_go_and_the_days_stay(engine):
    hear(engine, log_of(timedelta(days=3), timedelta(days=1), timedelta(0)))
    count_all(engine)
    with engine.begin() as conn:
        while tally.prune(conn, MINUTE, NOW - timedelta(hours=1)):
            pass
    with database.reading(engine) as conn:
        left = kept(conn)
    assert {at for _, span, at, _ in left if span == MINUTE.seconds} == {MINUTE.start(NOW)}
    assert len({at for _, span, at, _ in left if span == DAY.seconds}) == 3


@pytest.mark.parametrize("lag", [timedelta(milliseconds=ms) for ms in (1, 7, 38, 214, 5000, 86_400_000)])
def test_a_latency_is_told_to_a_tenth(lag):
    told = tally.lag(Counter({str(tally.lag_class(lag)): 5}), Counter())
    assert told is not None
    assert abs(told.p50 / lag - 1) <= 0.1
    assert told.p50 == told.p99
    assert not told.to_the_second


def test_half_of_all_took_no_longer_than_the_median_and_one_in_a_hundred_longer_than_the_p99():
    took = [timedelta(milliseconds=10)] * 60 + [timedelta(milliseconds=100)] * 39 + [timedelta(seconds=9)]
    told = tally.lag(Counter(), Counter(str(tally.lag_class(one)) for one in took))
    assert told is not None
    assert told.p50 < timedelta(milliseconds=12)
    assert timedelta(milliseconds=90) < told.p99 < timedelta(milliseconds=111)
    assert told.to_the_second


def test_nothing_that_was_accepted_has_no_latency():
    assert tally.lag(Counter(), Counter()) is None


def test_no_figure_scans_the_log(engine):
    """Of a log that is large enough for the planner to care, each statement of the figures takes an index."""
    hear(engine, [Line(timedelta(seconds=n)) for n in range(5000)])
    count_all(engine)
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as conn:
        conn.exec_driver_sql("ANALYZE")
    for now in (NOW, NOW - timedelta(minutes=30)):
        asked: list[tuple[str, Any]] = []

        def note(_conn, _cursor, statement, parameters, _context, _many, asked=asked) -> None:
            asked.append((statement, parameters))

        event.listen(engine, "before_cursor_execute", note)
        with database.reading(engine) as conn:
            figures_at(conn, now)
        event.remove(engine, "before_cursor_execute", note)
        about = [one for one in asked if "frames" in one[0] and one[0].startswith("SELECT")]
        assert len(about) > 5
        for statement, parameters in about:
            with database.reading(engine) as conn:
                assert scanned(conn, statement, parameters) == [], statement


def scanned(conn: sa.Connection, statement: str, parameters: Any) -> list[str]:
    """What of the plan reads a whole table of the log or its counts."""
    if conn.dialect.name == "postgresql":
        plan = conn.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars().all()
        return [line for line in plan if "Seq Scan on frame" in line and "frame_tally" not in line]
    plan = [row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    return [line for line in plan if line.startswith("SCAN") and "frame_tally" not in line]
