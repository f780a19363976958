from itertools import combinations, product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cloud.stamps import model
from cloud.stamps.model import ALPHABET, LENGTH, MIN_DISTANCE, TRANSITIONS, State

codes = st.text(ALPHABET, min_size=LENGTH, max_size=LENGTH)
# Of few symbols, so that neighbours are many.
crowded = st.lists(st.text("7K4", min_size=LENGTH, max_size=LENGTH), max_size=60)


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


@given(codes, st.sets(st.integers(0, LENGTH - 1), min_size=1, max_size=MIN_DISTANCE - 1), st.data())
def test_codes_nearer_than_three_agree_in_two_of_their_pairs(code: str, places: set[int], data: st.DataObject) -> None:
    near = "".join(data.draw(st.sampled_from(ALPHABET)) if i in places else symbol for i, symbol in enumerate(code))
    assume(near != code)
    assert any(
        model.pairs(code)[i] == model.pairs(near)[i] and model.pairs(code)[j] == model.pairs(near)[j]
        for i, j in model.TWO_OF_FOUR_PAIRS
    )


@given(crowded, crowded)
def test_the_spaced_keep_their_distance_and_none_is_turned_away_without_a_neighbour(
    candidates: list[str], taken: list[str]
) -> None:
    kept = model.spaced(candidates, taken)
    assert all(model.distance(a, b) >= MIN_DISTANCE for a, b in combinations(kept, 2))
    assert all(model.distance(a, b) >= MIN_DISTANCE for a, b in product(kept, taken))
    for code in set(candidates) - set(kept):
        assert any(model.distance(code, other) < MIN_DISTANCE for other in (*kept, *taken))


@given(st.binary(max_size=80))
def test_random_bytes_give_a_code_each_eight(noise: bytes) -> None:
    noise = noise[: len(noise) // LENGTH * LENGTH]
    drawn = model.from_random(noise)
    assert "".join(drawn) == "".join(ALPHABET[byte % 32] for byte in noise)
    assert all(len(code) == LENGTH for code in drawn)


def test_every_byte_gives_each_symbol_equally_often() -> None:
    symbols = "".join(model.from_random(bytes(range(256))))
    assert {symbols.count(symbol) for symbol in ALPHABET} == {8}


def test_the_alphabet_has_32_symbols_and_none_that_parsing_folds() -> None:
    assert len(set(ALPHABET)) == 32
    assert not set("OISZ") & set(ALPHABET)


def test_a_stamp_ends_redeemed_void_or_expired_and_only_a_live_one_is_redeemed() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {state for state, ends in TRANSITIONS.items() if not ends} == {State.REDEEMED, State.VOID, State.EXPIRED}
    assert [state for state, ends in TRANSITIONS.items() if State.REDEEMED in ends] == [State.LIVE]
