"""The overview's figures: what is usual, what is old, which day the funnel is of, what the map shows."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

import cloud.frames.store as frames
from cloud import database, gauges, pages
from cloud.alerts.store import open_by_department
from cloud.console import figures
from cloud.console.departments import By, Row, Scale, scale, survey
from cloud.console.figures import Usual
from cloud.console.france import france
from cloud.console.keeper import GAUGES, SILENCE, STAMPS, FigureKeeper, count_on, sample
from cloud.frames.model import Result
from cloud.frames.tally import HOUR, Counts, position
from tests.cloud.alerts.house import open_alert
from tests.cloud.frames.test_tally import NOW, Line, hear
from tests.cloud.ingest.test_receive import DEVICE, OTHER, make_engine, press, take
from tests.cloud.pickups.test_past import Life, enter

DAY = timedelta(days=1)


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def engine(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    engine = make_engine("sqlite://" if request.param == "SQLite" else request.getfixturevalue("postgres_url"))
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE buttons SET department = '35' WHERE id = :id"), {"id": DEVICE})
    yield engine
    engine.dispose()


def strip(engine: sa.Engine, now: datetime = NOW) -> figures.Strip:
    with database.reading(engine) as conn:
        return figures.strip(conn, Counts(conn, now))


def test_the_usual_is_the_range_at_this_hour_on_the_days_before(engine):
    ago = {n: n * DAY + timedelta(minutes=30) for n in range(1, 5)}
    hear(engine, [Line(ago[n]) for n in ago for _ in range(60 * n)])
    hear(engine, [Line(ago[n], Result.REPLAYED) for n in ago for _ in range(n)])
    while count_on(engine):
        pass
    hear(engine, [Line(timedelta(seconds=1), Result.REPLAYED)] * 20)

    told = strip(engine)
    assert told.usual_minute == Usual(1, 5)
    assert told.usual_refused == Usual(1, 4)
    assert Usual(1, 4).says(told.refused) == "high"
    assert (told.last_minute, told.heard, told.refused, told.accepted) == (20, 20, 20, 0)


def test_nothing_is_usual_after_two_days(engine):
    hear(engine, [Line(n * DAY) for n in (1, 2)])
    assert strip(engine).usual_minute is None


@pytest.mark.parametrize(
    ("now", "hours"),
    [
        ("2026-11-22T09:00:30+00:00", 8),  # the hour that most of the last sixty minutes lie in
        ("2026-11-22T09:40:00+00:00", 9),
        ("2026-10-26T08:40:00+00:00", 7),  # summer time ended the day before: 09:40 in Paris is 07:40 UTC on the 24th
    ],
)
def test_the_hour_is_that_of_a_clock_in_paris(now, hours):
    found = figures.usual_hours(datetime.fromisoformat(now))
    assert len(found) == figures.USUAL_DAYS
    assert found[1].hour == hours
    assert all(HOUR.start(hour) == hour for hour in found)


def test_a_gauge_is_old_when_it_should_have_been_counted_twice_since(engine):
    assert strip(engine).pool == figures.Gauge()
    with engine.begin() as conn:
        gauges.put(conn, STAMPS, NOW - timedelta(minutes=3), {"live": 4, "minted": 5})
    with database.reading(engine) as conn:
        assert gauges.newest(conn, STAMPS, NOW - timedelta(minutes=4)) is None
    assert strip(engine).pool == figures.Gauge(5, NOW - timedelta(minutes=3), is_stale=True)
    assert strip(engine, NOW - timedelta(minutes=2)).stamps_live == figures.Gauge(4, NOW - timedelta(minutes=3))


def test_a_round_of_the_keeper_counts_and_samples_and_a_second_one_finds_nothing_due(engine):
    take(engine, press(1), press(2), now=database.now())
    keeper = FigureKeeper(engine, 0, CollectorRegistry())
    keeper.tend()
    keeper.tend()

    now = database.now()
    with database.reading(engine) as conn:
        assert position(conn).through == frames.last_id(conn) == 2
        stamps, silence = gauges.newest(conn, STAMPS, now), gauges.newest(conn, SILENCE, now)
        assert conn.scalar(sa.select(sa.func.count(sa.distinct(gauges.gauges.c.at)))) == 2
    assert stamps is not None
    assert silence is not None
    assert stamps.values == {"live": 0, "minted": 4}
    assert silence.values["buttons 35"] == 1


def test_silent_is_who_was_heard_before_but_missed_three_heartbeats(engine):
    with engine.begin() as conn:
        heard = sa.text("UPDATE buttons SET last_seen_at = :at WHERE id = :id")
        conn.execute(heard, {"id": DEVICE, "at": database.milliseconds(NOW - timedelta(hours=80))})
        conn.execute(heard, {"id": OTHER, "at": database.milliseconds(NOW - timedelta(hours=47))})
    with database.reading(engine) as conn:
        counted = GAUGES[SILENCE].count(conn, NOW)
    assert counted == {"buttons": 3, "silent": 1, "buttons 35": 1, "silent 35": 1, "buttons ": 2, "silent ": 0}


def test_a_sample_is_not_younger_than_what_it_counts(engine):
    now = database.now()
    sample(engine, SILENCE, now)
    with database.reading(engine) as conn:
        at = gauges.newest_at(conn, SILENCE, now + DAY)
    assert at is not None
    assert at >= now


def test_old_samples_go(engine):
    with engine.begin() as conn:
        for days in (9, 8, 1):
            gauges.put(conn, STAMPS, NOW - days * DAY, {"live": days})
        while gauges.prune(conn, STAMPS, NOW - 2 * DAY):
            pass
        assert conn.scalars(sa.select(gauges.gauges.c.value)).all() == [1]


# The funnel


@pytest.mark.parametrize(
    ("ages_h", "day"),
    [
        ([40, 20], date(2026, 11, 20)),  # there were presses the day before yesterday
        ([20], date(2026, 11, 21)),
        ([1], date(2026, 11, 22)),
        ([], date(2026, 11, 22)),
        ([90], date(2026, 11, 22)),
    ],
)
def test_the_funnel_is_of_the_day_before_yesterday_or_of_the_next_that_had_presses(engine, ages_h, day):
    with engine.begin() as conn:
        conn.execute(sa.text("DELETE FROM buttons"))
        enter(conn, [Life((("pressed", age),)) for age in ages_h])
    with database.reading(engine) as conn:
        told = figures.funnel(conn, NOW)
    assert told.day == day
    assert (told.after is None) == (day == date(2026, 11, 22))


def test_each_step_has_its_share_of_the_step_before(engine):
    with engine.begin() as conn:
        conn.execute(sa.text("DELETE FROM buttons"))
        ways = [("pressed",), ("pressed", "confirmed"), ("pressed", "confirmed"), ("pressed", "confirmed", "collected")]
        enter(conn, [Life(tuple((event, 40 - n) for n, event in enumerate(way))) for way in ways])
    with database.reading(engine) as conn:
        told = figures.funnel(conn, NOW, date(2026, 11, 20))
    assert [(step.count, step.share) for step in told.steps] == [
        (4, None),
        (3, 0.75),
        (1, 1 / 3),
        (0, 0.0),
        (0, None),
    ]
    assert told.goes_on


def test_a_day_begins_at_midnight_in_paris():
    assert figures.start_of(date(2026, 11, 22)) == datetime(2026, 11, 21, 23, tzinfo=UTC)
    assert figures.start_of(date(2026, 7, 22)) == datetime(2026, 7, 21, 22, tzinfo=UTC)


# The map


def row(number: str = "35", **said: int) -> Row:
    return Row(number, "", **{**dict.fromkeys(("presses", "buttons", "silent", "heard", "weak", "alerts"), 0), **said})


def test_a_survey_tells_presses_silence_links_and_alerts_of_every_department(engine):
    hear(engine, [Line(timedelta(hours=1), kind="pickup")] * 3)
    hear(engine, [Line(timedelta(hours=12), kind="pickup", lqi="limit")])
    hear(engine, [Line(timedelta(hours=30), lqi="limit"), Line(timedelta(hours=2), kind="pickup", device=OTHER)])
    with engine.begin() as conn:
        for _ in range(2):
            open_alert(conn, "23", NOW)
        gauges.put(conn, SILENCE, NOW - timedelta(minutes=5), {"buttons 35": 7, "silent 35": 2, "silent": 2})
        told = survey(conn, Counts(conn, NOW), france(), open_by_department(conn, NOW))
    by_number = {one.number: one for one in told.rows}
    assert by_number["35"] == Row("35", "Ille-et-Vilaine", presses=3, buttons=7, silent=2, heard=4, weak=1, alerts=0)
    assert by_number["23"].alerts == 2
    assert (by_number[""].presses, told.rows[-1].number) == (1, "")
    assert len(told.rows) == 96 + 6 + 1
    assert not told.silence_is_stale


def test_where_nothing_is_known_nothing_is_told():
    assert [row().value(by) for by in By] == [None, None, None]
    assert [row(buttons=1).value(by) for by in By] == [0, 0, None]
    assert row(heard=3, weak=2).value(By.LINK) == 66


@given(values=st.lists(st.integers(0, 100_000), max_size=20), by=st.sampled_from(By))
def test_each_value_lies_in_the_step_whose_words_say_so(values, by):
    rows = [row(presses=value, buttons=1, silent=value, heard=100, weak=min(value, 100)) for value in values]
    chosen = scale(rows, by)
    words = dict(chosen.legend)
    assert sorted(words) == [0, 1, 2, 3, 4]
    for one in rows:
        value = one.value(by)
        assert value is not None
        said = str(words[chosen.step(value)]).replace(pages.NBSP, "").replace("%", "")
        assert says(said, value), (said, value)


def says(words: str, value: int) -> bool:
    if words == "none":
        return value == 0
    if words.startswith("under "):
        return value < int(words.removeprefix("under "))
    if words.endswith("and more"):
        return value >= int(words.removesuffix("and more"))
    low, high = words.split("to")
    return int(low) <= value <= int(high)


def test_a_small_fleet_is_not_all_pale():
    assert scale([row(presses=9), row("44", presses=3)], By.PRESSES) == Scale((2, 5, 10, 20))
    assert scale([row(presses=900)], By.PRESSES).begins == (100, 300, 800, 2000)
