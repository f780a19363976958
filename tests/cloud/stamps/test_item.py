"""From what stands on a parcel back to the parcel."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.stamps import item
from cloud.stamps.item import Contradiction, Marks, find_item, parcel_number, payload, pickup_of, read_marks
from cloud.stamps.model import ALPHABET, format_pairs
from cloud.stamps.s10 import parse

CODES = {"7K4F2M9X": 604127, "0123456A": 9}
PICKUPS = {pickup: code for code, pickup in CODES.items()}

pickup_ids = st.integers(0, 4 * 10**8 - 1)
codes = st.text(ALPHABET, min_size=8, max_size=8)


def find(text: str) -> str | None:
    return find_item(text, by_code=lambda code: code if code in CODES else None, by_pickup=PICKUPS.get)


@given(pickup_ids)
def test_a_pickup_is_found_by_its_number_alone_without_any_table(pickup_id):
    assert pickup_of(parse(parcel_number(pickup_id).grouped)) == pickup_id


@given(codes, pickup_ids)
def test_each_of_the_three_says_what_it_was_made_of(code, pickup_id):
    number = parcel_number(pickup_id)
    assert read_marks(format_pairs(code).lower()) == Marks(code, None)
    assert read_marks(number.grouped) == Marks(None, pickup_id)
    assert read_marks(payload(code, number)) == Marks(code, pickup_id)


@pytest.mark.parametrize("text", ["7k 4f 2m 9x", "CD 0060 4127 2 FR", "7K4F2M9XCD006041272FR"])
def test_any_one_of_the_three_recovers_the_item(text):
    assert find(text) == "7K4F2M9X"


@pytest.mark.parametrize("text", ["7K4F2M9Y", "CD 0060 4128 6 FR", "7K4F2M9YCD006041286FR"])
def test_marks_of_no_item_of_ours_find_none(text):
    assert find(text) is None


def test_a_label_put_together_from_two_parcels_is_refused_and_its_code_not_told():
    for code, pickup_id in [("7K4F2M9X", 9), ("7K4F2M9X", 8), ("7K4F2M9Y", 9)]:
        with pytest.raises(Contradiction) as refused:
            find(payload(code, parcel_number(pickup_id)))
        assert code not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("7K4F2M9", "7 characters are neither"),
        ("", "0 characters are neither"),
        ("7K4F2M9!", "not '!'"),
        ("CD006041273FR", "check digit"),
        ("RR287043775IN", "another post's"),
        ("7K4F2M9XCD006041273FR", "check digit"),
    ],
)
def test_what_is_none_of_the_three_is_refused_with_the_reason(text, why):
    with pytest.raises(ValueError, match=why):
        read_marks(text)


@given(st.text())
def test_noise_is_refused_or_read_but_never_crashes(text):
    try:
        marks = read_marks(text)
    except ValueError:
        return
    assert (marks.code, marks.pickup_id) != (None, None)


@pytest.mark.parametrize("pickup_id", [-1, 4 * 10**8])
def test_a_pickup_without_a_number_of_its_own_gets_none(pickup_id):
    with pytest.raises(ValueError, match="beyond"):
        parcel_number(pickup_id)


def test_the_code_is_not_in_the_repr():
    assert "7K4F2M9X" not in repr(read_marks("7K4F2M9X"))


def test_the_examples_in_the_text_are_true():
    done = doctest.testmod(item)
    assert done.attempted
    assert not done.failed
