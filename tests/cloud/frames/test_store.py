"""The log, filled by ingest itself and read as pages and scripts read it."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

import cloud.frames.store as frames
from cloud import database
from cloud.frames.model import Copy, Result
from tests.cloud.ingest.test_receive import DEVICE, NOW, OTHER, engine, message, press, take

__all__ = ["engine"]


@pytest.fixture
def conn(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Six frames over three minutes: two presses of one button, a copy, another button's, noise, an unknown button."""
    take(engine, press(1), press(1), now=NOW)
    take(engine, press(2), press(1, OTHER), now=NOW + timedelta(seconds=59))
    take(engine, message(DEVICE, b"noise"), press(1, 0xFE03D1A0), now=NOW + timedelta(minutes=2))
    with database.reading(engine) as conn:
        yield conn


def test_the_newest_come_first_and_pages_meet_without_gap_or_overlap(conn):
    first = frames.newest(conn, limit=4)
    second = frames.newest(conn, limit=4, before=first[-1].id)
    assert [frame.id for frame in first + second] == [6, 5, 4, 3, 2, 1]


def test_a_stream_reads_on_from_where_it_was(conn):
    assert [frame.id for frame in frames.after(conn, 0, limit=2)] == [1, 2]
    assert [frame.id for frame in frames.after(conn, 2)] == [3, 4, 5, 6]
    assert frames.after(conn, 6) == []
    assert frames.last_id(conn) == 6


def test_frames_are_found_by_button_and_by_result(conn):
    assert [frame.id for frame in frames.newest(conn, device=OTHER)] == [4]
    assert [frame.id for frame in frames.after(conn, 1, device=DEVICE)] == [2, 3, 5]
    assert [frame.id for frame in frames.newest(conn, result=Result.DUPLICATE)] == [2]


def test_a_frame_tells_all_that_is_known_of_it(conn):
    frame = frames.find(conn, 1)
    assert frame is not None
    assert (frame.device, frame.counter, frame.kind, frame.parcels, frame.battery_mv) == (DEVICE, 1, "pickup", 1, 3000)
    assert frame.copies == (Copy("1F08", -117.0, 3), Copy("1F11", -121.5, 2))
    assert [f.id for f in frames.of_pickup(conn, frame.pickup_id or 0)] == [1, 2, 3]
    assert frames.find(conn, 99) is None


def test_a_frame_that_could_not_be_read_claims_no_more_than_its_topic(conn):
    frame = frames.find(conn, 5)
    assert frame is not None
    assert (frame.result, frame.device, frame.counter, frame.pickup_id) == (Result.MALFORMED, DEVICE, None, None)


def test_frames_are_counted_by_minute_and_result(conn):
    counted = frames.per_minute(conn, NOW, NOW + timedelta(minutes=3))
    minute = timedelta(minutes=1)
    assert sorted(counted) == [
        (NOW, Result.ACCEPTED, 3),
        (NOW, Result.DUPLICATE, 1),
        (NOW + 2 * minute, Result.MALFORMED, 1),
        (NOW + 2 * minute, Result.UNKNOWN_BUTTON, 1),
    ]
    assert frames.per_minute(conn, NOW + 3 * minute, NOW + 9 * minute) == []


def test_an_empty_log_has_no_newest_id(engine: sa.Engine):
    with database.reading(engine) as conn:
        assert frames.last_id(conn) == 0
        assert conn.execute(sa.select(frames.frames)).all() == []
