"""The log's tables by month, on a real PostgreSQL, and what is let go of on both databases."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import alembic.command
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

import cloud.frames.store as frames
import cloud.pickups.store as pickups
from cloud import database
from cloud.frames import months, retention
from cloud.frames.keeper import LogKeeper
from cloud.frames.model import Result
from cloud.frames.months import Month
from tests.cloud.ingest.test_receive import DEVICE, NOW, make_engine, message, press, take
from tests.postgres import Cluster

DAY = timedelta(days=1)


@pytest.fixture
def postgresql(postgres_url: str) -> Iterator[sa.Engine]:
    engine = make_engine(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def engine(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    engine = make_engine("sqlite://" if request.param == "SQLite" else request.getfixturevalue("postgres_url"))
    yield engine
    engine.dispose()


def tables(engine: sa.Engine) -> dict[str, int]:
    """How many rows lie in which table of the log."""
    with database.reading(engine) as conn:
        rows = conn.execute(
            sa.select(sa.literal_column("tableoid::regclass::text"), sa.func.count())
            .select_from(frames.frames)
            .group_by(sa.text("1"))
        )
        return {row[0]: row[1] for row in rows}


def make(engine: sa.Engine, *wanted: Month) -> None:
    for month in wanted:
        with engine.begin() as conn:
            assert months.begin_change(conn)
            months.make(conn, month)


def hear(engine: sa.Engine, *moments: datetime) -> None:
    for moment in moments:
        take(engine, message(DEVICE, b"noise"), now=moment)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2900, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  it wants so
def test_a_moment_lies_in_its_month_and_in_no_other(moment):
    month = Month.of(moment)
    start, end = month.bounds_ms
    at = database.milliseconds(moment)
    assert at is not None
    assert start <= at < end
    assert month.next.bounds_ms[0] == end
    assert month < month.next


def test_the_keeper_makes_this_month_and_the_next_two_once(postgresql: sa.Engine):
    keeper = LogKeeper(postgresql, 0)
    keeper.tend()
    keeper.tend()
    this = Month.of(database.now())
    with database.reading(postgresql) as conn:
        assert months.made(conn) == [this, this.next, this.next.next]
    hear(postgresql, database.now())
    assert tables(postgresql) == {this.table: 1}


def test_a_clock_that_jumped_loses_no_row_and_what_has_no_month_moves_when_that_is_made(postgresql: sa.Engine):
    far = datetime(2031, 5, 3, tzinfo=UTC)
    make(postgresql, Month(2026, 11))
    hear(postgresql, NOW, far, datetime(1970, 1, 2, tzinfo=UTC), far + 40 * DAY)
    assert tables(postgresql) == {"frames_2026_11": 1, "frames_default": 3}
    with database.reading(postgresql) as conn:
        before = frames.newest(conn)
    make(postgresql, Month(2031, 5))
    assert tables(postgresql) == {"frames_2026_11": 1, "frames_default": 2, "frames_2031_05": 1}
    with database.reading(postgresql) as conn:
        assert frames.newest(conn) == before


def test_a_month_is_made_while_presses_come_and_none_is_lost(postgresql: sa.Engine):
    makers = [threading.Thread(target=make, args=(postgresql, month)) for month in (Month(2026, 11), Month(2026, 12))]
    results = []
    for counter in range(1, 41):
        if counter in (10, 20):
            makers[counter // 20].start()
        results += take(postgresql, press(counter))
    for maker in makers:
        maker.join()
    results += take(postgresql, press(41))
    assert [outcome.result for outcome in results] == [Result.ACCEPTED] * 41
    assert tables(postgresql) == {"frames_2026_11": 41}


def test_a_change_that_cannot_have_its_locks_gives_up_and_disturbs_nobody(postgresql: sa.Engine, monkeypatch):
    monkeypatch.setattr(months, "LOCK_MS", 50)
    with postgresql.begin() as conn:
        conn.execute(sa.select(frames.frames)).all()  # a reader that takes its time
        with pytest.raises(OperationalError):
            make(postgresql, Month(2026, 11))
    make(postgresql, Month(2026, 11))


def test_of_two_keepers_one_makes_the_months(postgresql: sa.Engine):
    with postgresql.begin() as first, postgresql.begin() as second:
        assert months.begin_change(first)
        assert not months.begin_change(second)


def test_what_is_kept_long_enough_goes_and_replays_are_known_for_ever(engine: sa.Engine):
    """By whole months on PostgreSQL, where the first of November is kept with the rest of its month."""
    is_by_month = engine.dialect.name == "postgresql"
    old, first, new = NOW - 60 * DAY, datetime(2026, 11, 1, tzinfo=UTC), NOW
    if is_by_month:
        make(engine, Month(2026, 9), Month(2026, 10), Month(2026, 11))
    (pressed,) = take(engine, press(1), now=old)
    hear(engine, old, first, new)
    pruned = retention.prune(engine, NOW - 10 * DAY)
    with database.reading(engine) as conn:
        left = [frame.received_at for frame in frames.after(conn, 0)]
        assert frames.of_pickup(conn, pressed.pickup_id or 0) == []
        assert pickups.find(conn, pressed.pickup_id or 0) is not None
    assert left == ([first, new] if is_by_month else [new])
    assert pruned.frames == (2 if is_by_month else 3)
    assert pruned.months == ((Month(2026, 9), Month(2026, 10)) if is_by_month else ())
    (again,) = take(engine, press(1), now=new)
    assert (again.result, again.pickup_id) == (Result.DUPLICATE, pressed.pickup_id)  # its very callback, sent again
    (replayed,) = take(engine, press(1, seq=77), now=new)
    assert replayed.result is Result.REPLAYED


def test_what_lies_in_no_month_goes_row_by_row(postgresql: sa.Engine):
    hear(postgresql, *(NOW - 60 * DAY for _ in range(3)), NOW)
    assert retention.prune(postgresql, NOW - DAY) == retention.Pruned(3)
    assert tables(postgresql) == {"frames_default": 1}


def test_many_frames_go_in_many_small_transactions(monkeypatch):
    monkeypatch.setattr(retention, "AT_ONCE", 10)
    engine = make_engine()
    hear(engine, *(NOW - 60 * DAY for _ in range(35)))
    assert retention.prune(engine, NOW).frames == 34


def test_no_id_is_given_out_again_though_all_frames_are_old(engine: sa.Engine):
    hear(engine, NOW - 60 * DAY, NOW - 60 * DAY)
    retention.prune(engine, NOW)
    hear(engine, NOW)
    with database.reading(engine) as conn:
        assert frames.last_id(conn) == 3


def test_the_keeper_lets_go_of_what_is_older_than_the_setting_says_and_by_default_of_nothing(engine: sa.Engine):
    hear(engine, database.now() - 100 * DAY, database.now() - 50 * DAY, database.now())
    LogKeeper(engine, 0).tend()
    with database.reading(engine) as conn:
        assert len(frames.newest(conn)) == 3
    LogKeeper(engine, 90).tend()
    with database.reading(engine) as conn:
        assert len(frames.newest(conn)) == 2


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def before_months(request: pytest.FixtureRequest, tmp_path) -> Iterator[str]:
    """The URL of a database as the version before had it, with frames of four months and of a clock that jumped."""
    if request.param == "SQLite":
        yield _old(f"sqlite:///{tmp_path}/domino.db")
        return
    postgres: Cluster = request.getfixturevalue("postgres")
    with postgres.database(template="template1") as url:
        yield _old(url)


AT = [NOW - 90 * DAY, NOW - 60 * DAY, NOW - 60 * DAY, NOW, datetime(2098, 1, 1, tzinfo=UTC)]


def _old(url: str) -> str:
    alembic.command.upgrade(database.alembic_config(url), "0004")
    engine = database.connect(url)
    with engine.begin() as conn:
        rows = [
            {"received_at": at, "carrier": "mqtt", "raw": b"x", "raw_size": i, "result": "malformed", "listens": False}
            for i, at in enumerate(AT)
        ]
        conn.execute(sa.insert(frames.frames), rows)
    engine.dispose()
    return url


def rows_of(engine: sa.Engine) -> list[tuple[int, datetime, int]]:
    log = frames.frames.c
    with database.reading(engine) as conn:
        return [tuple(row) for row in conn.execute(sa.select(log.id, log.received_at, log.raw_size).order_by(log.id))]


def test_a_log_of_the_version_before_is_parted_with_all_its_rows_and_can_be_put_back(before_months: str):
    engine = database.connect(before_months)
    before = rows_of(engine)
    database.migrate(before_months)
    alembic.command.check(database.alembic_config(before_months))
    assert rows_of(engine) == before
    if engine.dialect.name == "postgresql":
        assert tables(engine) == {
            "frames_2026_08": 1,
            "frames_2026_09": 2,
            "frames_2026_11": 1,
            "frames_default": 1,
        }
        this = Month.of(database.now())
        with database.reading(engine) as conn:
            assert {this, this.next, this.next.next} <= set(months.made(conn))
    with engine.begin() as conn:
        row = {"received_at": NOW, "carrier": "mqtt", "raw": b"x", "raw_size": 9, "result": "malformed"}
        conn.execute(sa.insert(frames.frames), [row])
    assert rows_of(engine) == [*before, (6, NOW, 9)]
    engine.dispose()
    alembic.command.downgrade(database.alembic_config(before_months), "0004")
    assert rows_of(database.connect(before_months)) == [*before, (6, NOW, 9)]
    database.migrate(before_months)
    alembic.command.downgrade(database.alembic_config(before_months), "base")


@pytest.mark.parametrize("kind", ["SQLite", "PostgreSQL"])
def test_several_processes_that_start_at_once_bring_a_database_up_to_date_together(kind, request, tmp_path):
    in_file = f"sqlite:///{tmp_path}/domino.db"
    url = in_file if kind == "SQLite" else request.getfixturevalue("postgres_empty_url")
    migrate = f"from cloud import database; database.migrate({url!r})"
    starts = [subprocess.Popen([sys.executable, "-c", migrate], stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [start.wait() for start in starts] == [0, 0, 0]
    alembic.command.check(database.alembic_config(url))


def append_without_turns(conn: sa.Connection, at: datetime) -> None:
    row = {"received_at": at, "carrier": "mqtt", "raw": b"", "raw_size": 0, "result": "malformed", "listens": False}
    conn.execute(sa.insert(frames.frames), [row])


def seen(engine: sa.Engine, after: int) -> list[int]:
    with database.reading(engine) as conn:
        return [frame.id for frame in frames.after(conn, after)]


def test_without_turns_a_stream_passes_over_a_frame_that_is_committed_late(postgresql: sa.Engine):
    """The problem that `append` solves: two workers, of whom the one with the smaller id commits last."""
    with postgresql.connect() as slow, postgresql.connect() as quick:
        append_without_turns(slow, NOW)
        append_without_turns(quick, NOW)
        quick.commit()
        stream = seen(postgresql, 0)
        slow.commit()
        stream += seen(postgresql, stream[-1])
    assert stream == [2]
    assert seen(postgresql, 0) == [1, 2]


def test_with_turns_ids_become_visible_in_their_order(postgresql: sa.Engine):
    row = (database.milliseconds(NOW), "mqtt", b"", 0, *[None] * 4, "malformed", "", *[None] * 4, False, *[None] * 7)
    slow = postgresql.connect()
    frames.append(slow, [row])

    def append_quickly() -> None:
        with postgresql.begin() as quick:
            frames.append(quick, [row])

    quick = threading.Thread(target=append_quickly)
    quick.start()
    waiting = sa.text("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'")
    with postgresql.connect().execution_options(isolation_level="AUTOCOMMIT") as watcher:
        while not watcher.scalar(waiting):
            assert quick.is_alive(), "it did not wait for its turn"
    stream = seen(postgresql, 0)
    assert stream == []
    slow.commit()
    quick.join()
    slow.close()
    assert seen(postgresql, 0) == [1, 2]
