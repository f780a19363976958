import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.stamps import model
from cloud.stamps.model import ALPHABET, LENGTH, TRANSITIONS, State

codes = st.text(ALPHABET, min_size=LENGTH, max_size=LENGTH)


@given(codes)
def test_parsing_undoes_formatting(code: str) -> None:
    assert model.parse(model.format_pairs(code)) == code


@given(codes, st.data())
def test_case_spaces_dashes_and_look_alikes_do_not_matter(code: str, data: st.DataObject) -> None:
    alike = {"0": "0Oo", "1": "1Ii", "5": "5Ss", "2": "2Zz"}
    written = "".join(
        data.draw(st.sampled_from(alike.get(symbol, symbol + symbol.lower())))
        + data.draw(st.sampled_from(["", " ", "-", "–", "\u00a0", "\n"]))
        for symbol in code
    )
    assert model.parse(written) == code


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "8 characters, not 0"),
        ("7K4F2M9", "8 characters, not 7"),
        ("7K4F2M9X7", "8 characters, not 9"),
        ("7K4F2M9É", "not 'É'"),
        ("7K4F2M9_", "not '_'"),
        ("٧K4F2M9X", "not '٧'"),
    ],
)
def test_what_is_no_code_is_refused_with_what_is_wrong(written: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        model.parse(written)


@given(st.text(max_size=20))
def test_noise_is_a_code_or_is_refused(text: str) -> None:
    try:
        code = model.parse(text)
    except ValueError:
        return
    assert len(code) == LENGTH
    assert set(code) <= set(ALPHABET)


@given(codes, codes, codes)
def test_distance_is_a_metric(a: str, b: str, c: str) -> None:
    assert (model.distance(a, b) == 0) == (a == b)
    assert model.distance(a, b) == model.distance(b, a)
    assert model.distance(a, c) <= model.distance(a, b) + model.distance(b, c)


def test_the_alphabet_has_32_symbols_and_none_that_parsing_folds() -> None:
    assert len(set(ALPHABET)) == 32
    assert not set("OISZ") & set(ALPHABET)


def test_a_stamp_ends_redeemed_void_or_expired_and_only_a_live_one_is_redeemed() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {state for state, ends in TRANSITIONS.items() if not ends} == {State.REDEEMED, State.VOID, State.EXPIRED}
    assert [state for state, ends in TRANSITIONS.items() if State.REDEEMED in ends] == [State.LIVE]
