"""Lines of the raw log: what is written is read again, and noise is refused."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.rawlog.model import Damaged, Move, RawFrame, StampMove, from_line, in_batches, to_line

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
moments = st.integers(0, 7_258_118_400_000).map(
    lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)
numbers = st.integers(0, 2**40)


@st.composite
def frames(draw: st.DrawFn) -> RawFrame:
    raw = draw(st.binary(max_size=60))
    return RawFrame(
        id=draw(numbers),
        after=draw(numbers),
        received_at=draw(moments),
        carrier=draw(texts),
        topic=draw(st.none() | texts),
        raw=raw,
        raw_size=len(raw) + draw(st.sampled_from((0, 0, 5))),
        renamed=draw(st.none() | st.dictionaries(texts, texts, min_size=1, max_size=3)),
        limits=draw(st.none() | st.tuples(numbers, numbers)),
        result=draw(texts),
        device=draw(st.none() | numbers),
        key_generation=draw(st.none() | st.integers(0, 3)),
        counter=draw(st.none() | numbers),
        kind=draw(st.none() | texts),
        pickup_id=draw(st.none() | numbers),
        downlink=draw(st.none() | st.binary(min_size=8, max_size=8)),
    )


maybe = st.none() | texts
moves = st.builds(Move, numbers, moments, numbers, texts, texts, st.none() | st.lists(texts, max_size=6).map(tuple))
stamps = st.builds(
    StampMove, st.binary(min_size=16, max_size=16), numbers, texts, moments, moments, maybe, maybe, maybe
)


@given(frames() | moves | stamps)
def test_reading_undoes_writing(entry):
    line = to_line(entry)
    assert "\n" not in line
    assert from_line(line) == entry


@given(st.text(max_size=200) | (frames() | moves | stamps).map(lambda entry: to_line(entry)[:-9]))
def test_noise_and_halves_of_lines_are_refused(line):
    with pytest.raises(Damaged):
        from_line(line)


def test_neither_an_address_nor_a_code_is_in_a_repr():
    move = Move(1, datetime(2026, 1, 1, tzinfo=UTC), 5, "confirmed", "staff admin", ("Mme Claire Morvan",))
    assert "Morvan" not in repr(move)


def test_frames_come_in_the_batches_in_which_they_were_taken_in():
    at = datetime(2026, 1, 1, tzinfo=UTC)

    def frame(id: int, limits: tuple[int, int] | None, later_ms: int = 0) -> RawFrame:
        received_at = at + timedelta(milliseconds=later_ms)
        none = (None,) * 7
        return RawFrame(id, id - 1, received_at, "mqtt", None, b"", 0, None, limits, "malformed", *none[:6])

    told = [frame(1, (140, 4)), frame(2, None), frame(3, (140, 4)), frame(4, (9, 4), 1)]
    assert [[one.id for one in batch] for batch in in_batches(told) if isinstance(batch, list)] == [[1, 2], [3], [4]]
    before_batches_were_told = [frame(1, None), frame(2, None), frame(3, None, 1)]
    batches = in_batches(before_batches_were_told)
    assert [[one.id for one in batch] for batch in batches if isinstance(batch, list)] == [[1, 2], [3]]
