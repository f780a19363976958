"""A message's name: from the bytes alone, the same for each copy, and back to its frames on both databases."""

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

import cloud.frames.store as frames
from cloud import database
from cloud.frames.model import trace_id, trace_parts
from tests.cloud.ingest.test_receive import make_engine

DEVICES, MESSAGES = st.integers(0, 0xFFFFFFFF), st.binary(min_size=12, max_size=12)


@given(DEVICES, MESSAGES, DEVICES, MESSAGES)
def test_two_messages_have_two_names(device: int, data: bytes, other_device: int, other_data: bytes):
    same = (device, data) == (other_device, other_data)
    assert (trace_id(device, data) == trace_id(other_device, other_data)) == same
    assert trace_parts(trace_id(device, data)) == (device, data[:3])


@given(DEVICES, MESSAGES)
def test_a_name_is_a_trace_id_and_does_not_hold_what_is_sealed(device: int, data: bytes):
    name = trace_id(device, data)
    assert len(bytes.fromhex(name)) == 16
    assert int(name, 16) != 0
    assert data[3:].hex() not in name


@pytest.mark.parametrize("text", ["", "00", "zz" * 16, "00" * 17])
def test_what_is_no_name_is_refused(text: str):
    with pytest.raises(ValueError, match="hex"):
        trace_parts(text)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path):
    url = f"sqlite:///{tmp_path / 'f.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    engine = make_engine(url)
    yield engine
    engine.dispose()


def row(device: int | None, data: bytes | None) -> tuple[object, ...]:
    heard_at = database.milliseconds(datetime(2026, 11, 23, tzinfo=UTC))
    return heard_at, "mqtt", b"", 0, *[None] * 4, "bad seal", "", device, data, None, None, False, *[None] * 7


def test_a_name_leads_to_every_copy_of_its_message_and_to_no_other(engine: sa.Engine):
    data, other = bytes(range(12)), bytes(range(11)) + b"x"
    rows = [row(0x12AB34, data), row(0x12AB34, other), row(0x12AB35, data), row(None, None), row(0x12AB34, data)]
    with engine.begin() as conn:
        frames.append(conn, rows)
    with database.reading(engine) as conn:
        found = frames.of_trace(conn, trace_id(0x12AB34, data).upper())
        assert [(frame.device, frame.data) for frame in found] == [(0x12AB34, data)] * 2
        assert frames.of_trace(conn, trace_id(0x12AB34, bytes(12))) == []
        assert [frame.trace for frame in found] == [trace_id(0x12AB34, data)] * 2
