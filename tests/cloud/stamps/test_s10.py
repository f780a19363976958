"""Parcel numbers, against published ones and by counting."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.stamps import s10
from cloud.stamps.s10 import Number, check_digit, parse

serials = st.integers(0, 10**8 - 1)
numbers = st.builds(Number, st.sampled_from(["CD", "RR", "LX"]), serials, st.sampled_from(["FR", "IN", "GB"]))


@pytest.mark.parametrize("published", ["RR287043775IN", "CD604127935FR", "EE473124829FR"])
def test_a_published_number_is_taken_as_it_stands(published):
    assert str(parse(published)) == published


@given(numbers, st.sampled_from(["{0.grouped}", "{0}", " {0} "]), st.booleans())
def test_a_number_is_read_back_however_it_is_spaced(number, form, is_lower):
    text = form.format(number)
    assert parse(text.lower() if is_lower else text) == number


@given(serials, st.integers(0, 7), st.integers(1, 9))
def test_one_wrong_digit_passes_only_where_the_standard_gives_two_remainders_one_check_digit(serial, place, shift):
    digits = [*f"{serial:08}"]
    digits[place] = str((int(digits[place]) + shift) % 10)
    wrong = int("".join(digits))
    assert check_digit(wrong) != check_digit(serial) or check_digit(serial) == 5


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("CD604127936FR", "a digit of the parcel number is wrong"),
        ("CD60412793FR", "two letters, nine digits"),
        ("C1604127935FR", "two letters, nine digits"),
        ("CD٦04127935FR", "two letters, nine digits"),
        ("", "two letters, nine digits"),
    ],
)
def test_what_is_no_number_is_refused_with_the_reason(text, why):
    with pytest.raises(ValueError, match=why):
        parse(text)


def test_the_examples_in_the_text_are_true():
    done = doctest.testmod(s10)
    assert done.attempted
    assert not done.failed
