"""What a button's page reads of its past, from what ingest took in."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cloud.fleet.store as fleet
from cloud import database
from cloud.fleet import silence
from cloud.fleet.claims import new_claim_code
from cloud.fleet.rhythm import Verdict
from cloud.frames import history, table
from cloud.frames.history import Gaps, LinkDay, Said, gaps
from cloud.frames.patience import Scales, weigh
from cloud.ingest.keys import Keys
from cloud.ingest.receive import Limits, Message, receive
from cloud.stamps.lease import Lease
from cloud.tables import cloud as _tables  # noqa: F401  all tables
from tests.sealing import seal

NOW = datetime(2026, 11, 20, 9, 42, tzinfo=UTC)
DAY = timedelta(days=1)
BUTTON = 0x12AB34
KEYS = Keys(bytes(range(32)))


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[database.sa.Engine]:
    sqlite = f"sqlite:///{tmp_path / 'domino.db'}"
    engine = database.connect(sqlite if request.param == "SQLite" else request.getfixturevalue("postgres_url"))
    database.metadata.create_all(engine)
    with engine.begin() as conn:
        fleet.add(conn, id=BUTTON, place="35 Rennes", claim_code=new_claim_code(), now=NOW - 60 * DAY)
    yield engine
    engine.dispose()


def hear(engine, counter: int, at: datetime, *, kind: str = "alive", stations=(("1F08", -117.0),), **other) -> None:
    key = KEYS.device_key(BUTTON, 0)
    said = {
        "device": f"{BUTTON:08X}",
        "time": int(at.timestamp()),
        "data": seal(device=BUTTON, key=key, counter=counter, kind=kind, **other).hex(),
        "seqNumber": counter,
        "lqi": "good",
        "duplicates": [{"bsId": name, "rssi": rssi, "nbRep": 2} for name, rssi in stations],
    }
    with engine.begin() as conn:
        receive(
            conn, [Message("mqtt", f"{BUTTON:08X}", json.dumps(said).encode())], keys=KEYS, limits=Limits(0),
            lease=Lease(), now=at,
        )  # fmt: skip


def test_words_come_oldest_first_and_no_more_than_asked_for(engine):
    for n in range(1, 6):
        hear(engine, n, NOW - (6 - n) * DAY, battery_mv=3000 - 50 * n, temperature_c=n)
    with database.reading(engine) as conn:
        told = history.words(conn, BUTTON, limit=3)
        assert history.words(conn, 0x99) == []
    assert [(one.counter, one.battery_mv, one.temperature_c, one.at) for one in told] == [
        (n, 3000 - 50 * n, n, NOW - (6 - n) * DAY) for n in (3, 4, 5)
    ]


def test_a_day_of_the_link_is_its_best_signal(engine):
    hear(engine, 1, NOW - 2 * DAY, stations=[("1F08", -130.0)])
    hear(engine, 2, NOW - 2 * DAY + timedelta(hours=3), stations=[("1F08", -120.5), ("1F11", -118.0)])
    hear(engine, 3, NOW - DAY, stations=[])
    hear(engine, 4, NOW, stations=[("1F08", -140.0)])
    with database.reading(engine) as conn:
        days = history.link_days(conn, BUTTON, UTC)
    assert days == [
        LinkDay((NOW - 2 * DAY).date(), -118.0, 2, "good", "1F11"),
        LinkDay(NOW.date(), -140.0, 1, "good", "1F08"),
    ]
    assert history.usual_stations(days) == ["1F08", "1F11"]


def said(*counters: int, boots: tuple[int, ...] = ()) -> list[Said]:
    return [
        Said(NOW, "boot" if one in boots else "alive", 0, one, 3000, 20, 0, None, False)
        for one in (*counters, *boots)
    ]  # fmt: skip


@given(st.sets(st.integers(1, 60), min_size=2))
def test_every_counter_is_heard_or_missing_or_passed_over(heard):
    found = gaps(said(*heard), 0)
    between = max(heard) - min(heard) + 1 - len(heard)
    assert found.since == min(heard)
    assert found.count <= between
    assert found.cuts or found.count == between
    assert not set(found.shown) & heard


def test_a_counter_that_a_power_cut_passed_over_is_not_called_lost():
    assert gaps(said(3, 4, 6, boots=(17,)), 0) == Gaps(1, (5,), 3, 1)
    assert gaps(said(3, 40), 0) == Gaps(0, (), 3, 1)
    assert gaps([], 0) == Gaps()
    assert gaps(said(1, 2), 1) == Gaps()


def test_a_poor_link_is_waited_for_and_a_good_one_is_not(engine):
    for n in range(1, 41):  # every second number is missing
        hear(engine, 2 * n, NOW - (44 - n) * DAY)
    then = NOW - 4 * DAY
    with database.reading(engine) as conn:
        assert silence.count(conn, NOW) == 1, "by what is assumed of any link"
    assert weigh(engine, NOW) == 1
    assert weigh(engine, NOW) == 0
    with database.reading(engine) as conn:
        assert silence.count(conn, NOW) == 0
        assert [one.id for one in silence.quiet(conn, NOW, verdict=Verdict.LATE)] == [BUTTON]
        assert silence.count(conn, then + 11 * DAY) == 1


def test_a_round_of_the_scales_weighs_whoever_is_due(engine):
    hear(engine, 1, database.now() - 9 * DAY)
    Scales(engine).tend()
    with database.reading(engine) as conn:
        assert silence.unweighed(conn, database.now(), 10) == []


def read(engine) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(table.lines(engine, BUTTON)))))


def test_the_table_has_a_line_a_frame_newest_first_whatever_was_sent(engine):
    hear(engine, 1, NOW - DAY, kind="boot", battery_mv=2950, temperature_c=-3)
    hear(engine, 2, NOW, stations=[("1F08", -117.0), ("=cmd", -1.0)])
    with engine.begin() as conn:
        receive(
            conn, [Message("mqtt", f"{BUTTON:08X}", b"=no json")], keys=KEYS, limits=Limits(0), lease=Lease(), now=NOW
        )
    bad, newest, oldest = read(engine)
    assert bad["result"] == "malformed"
    assert not bad["reason"].startswith("=")
    assert (newest["counter"], newest["kind"], newest["stations"]) == ("2", "alive", "1F08:-117.0:2")
    assert (oldest["battery_mv"], oldest["temperature_c"], oldest["button"]) == ("2950", "-3", "0012AB34")
    assert oldest["received_at"] == (NOW - DAY).isoformat(timespec="milliseconds")


def test_the_table_is_read_some_at_a_time(engine):
    for n in range(1, 8):
        hear(engine, n, NOW - (8 - n) * DAY)
    parts = list(table.lines(engine, BUTTON, at_once=3))
    assert [part.count("\n") for part in parts] == [1, 3, 3, 1]
    assert [line["counter"] for line in read(engine)] == ["7", "6", "5", "4", "3", "2", "1"]
