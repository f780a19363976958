import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.stamps import reading
from cloud.stamps.model import ALPHABET, LENGTH
from cloud.stamps.reading import MOST_LISTED, Kind, Verdict, lattice_of_probabilities, lattice_of_text
from cloud.stamps.register import CODES, Codes, Keeping, Register, pack, unpack
from tests.benchmarks.lattices import halfway, handwritten

codes = st.text(ALPHABET, min_size=LENGTH, max_size=LENGTH)
NOTHING = Register()


def registered(live: str = "", spent: str = "", held: str = "") -> Register:
    kept = Register()
    for text, state in ((live, Keeping.LIVE), (spent, Keeping.SPENT), (held, Keeping.HELD)):
        kept.add(pack(text.split()), state)
    return kept


def lattice(*places: dict[str, float]) -> np.ndarray:
    """Those places, and for the rest a certain 7."""
    return lattice_of_probabilities([*places, *[{"7": 1.0}] * (LENGTH - len(places))])


def read(lattice: np.ndarray, register: Register, budget: int = 22) -> Verdict:
    return reading.read_one(lattice, register, budget)


@pytest.mark.parametrize(
    ("alpha", "live", "expected"),
    [(1e-4, 5_000_000, 21), (5e-4, 5_000_000, 109), (1e-4, 10_000_000, 10), (1e-4, 0, MOST_LISTED), (1e-9, 2000, 0)],
)
def test_the_budget_is_what_the_share_of_false_accepts_allows(alpha: float, live: int, expected: int) -> None:
    assert reading.budget(alpha, live) == expected
    assert live * expected / CODES <= alpha


@pytest.mark.parametrize("alpha", [0, 1, -1, math.nan, math.inf])
def test_a_share_of_false_accepts_that_is_none_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        reading.budget(alpha, 5)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60), st.sampled_from([2, 3, 5]))
def test_the_list_is_the_most_probable_strings_and_none_else(seed: int, budget: int, k: int) -> None:
    """Against all strings of up to 5 symbols a place, sorted. Each string alone in a register is found, or not."""
    rng = np.random.default_rng(seed)
    places = [rng.choice(32, k if place < 5 else 1, replace=False) for place in range(LENGTH)]
    one = np.zeros((LENGTH, 32), np.float32)
    for place, symbols in enumerate(places):
        one[place, symbols] = rng.dirichlet(np.full(symbols.size, 0.4)) + 1e-6
    rows = (one.astype(np.float64) / one.sum(axis=1, keepdims=True, dtype=np.float64)).tolist()
    ranked = sorted(
        ((math.prod(rows[place][s] for place, s in enumerate(word)), word) for word in product(*places)), reverse=True
    )
    best = ranked[0][0]
    if len(ranked) > budget and ranked[budget][0] > best * math.exp(-reading.LEVEL_NATS - 1e-9):
        assert read(one, Register(), budget).kind is Kind.ILLEGIBLE
        return
    for at in {0, budget // 2, budget - 1, budget, budget + 5} & set(range(len(ranked))):
        probability, word = ranked[at]
        code = "".join(ALPHABET[symbol] for symbol in word)
        verdict = read(one, registered(live=code), budget)
        beyond = ranked[budget][0] if len(ranked) > budget else 0.0
        if at < budget and probability > beyond * math.exp(reading.TIE_NATS + 1e-9):
            assert (verdict.kind, verdict.code) == (Kind.ACCEPTED, code)
            assert verdict.posterior == pytest.approx(probability, rel=1e-4)
        elif at >= budget and probability < ranked[budget - 1][0] * (1 - 1e-6):
            assert verdict.code is None
            assert verdict.listed == budget


def test_a_live_code_is_accepted_and_the_evidence_is_there() -> None:
    verdict = read(lattice({"K": 0.8, "X": 0.2}), registered(live="X7777777"))
    assert (verdict.kind, verdict.code, verdict.candidates) == (Kind.ACCEPTED, "X7777777", ("X7777777",))
    assert (verdict.listed, verdict.budget) == (2, 22)
    assert verdict.posterior == pytest.approx(0.2)


def test_two_codes_within_three_nats_are_ambiguous_and_beyond_the_first_is_accepted() -> None:
    kept = registered(live="K7777777 X7777777")
    near = read(lattice({"K": 0.9, "X": 0.1}), kept)
    assert (near.kind, near.code, near.candidates) == (Kind.AMBIGUOUS, None, ("K7777777", "X7777777"))
    far = read(lattice({"K": 0.96, "X": 0.04}), kept)
    assert (far.kind, far.code, far.candidates) == (Kind.ACCEPTED, "K7777777", ("K7777777",))


def test_a_spent_code_is_already_used_even_where_a_live_one_is_far_behind_and_ambiguous_where_it_is_near() -> None:
    kept = registered(live="X7777777", spent="K7777777")
    assert read(lattice({"K": 0.99, "X": 0.01}), kept).kind is Kind.ALREADY_USED
    assert read(lattice({"K": 0.99, "X": 0.01}), kept).code == "K7777777"
    assert read(lattice({"K": 0.6, "X": 0.4}), kept).kind is Kind.AMBIGUOUS
    assert read(lattice({"K": 0.4, "X": 0.6}), kept).kind is Kind.AMBIGUOUS


def test_a_code_that_nobody_was_given_is_as_good_as_unknown() -> None:
    assert read(lattice({"K": 1.0}), registered(held="K7777777")).kind is Kind.UNKNOWN_CLEAR


def test_what_is_clear_and_unknown_is_told_from_what_cannot_be_read() -> None:
    assert read(lattice({"K": 0.9, "X": 0.1}), Register()).kind is Kind.UNKNOWN_CLEAR
    assert read(lattice({"K": 0.4, "X": 0.35, "3": 0.25}), Register()).kind is Kind.ILLEGIBLE


def test_a_budget_of_nothing_lists_nothing() -> None:
    verdict = read(lattice({"K": 1.0}), registered(live="K7777777"), budget=0)
    assert (verdict.kind, verdict.listed, verdict.code) == (Kind.ILLEGIBLE, 0, None)


def test_of_strings_that_tie_beyond_the_list_none_is_accepted() -> None:
    kept = registered(live="K7777777")
    halves = [{"K": 0.5, "X": 0.5}] + [{"7": 0.5, "1": 0.5}] * 4
    assert read(lattice(*halves), kept, budget=31).kind is Kind.ILLEGIBLE
    assert read(lattice(*halves), kept, budget=32).kind is Kind.ACCEPTED


@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize(
    ("noise", "budgets"),
    [(0.0, (10, 21, 109, 255)), (1e-6, (21, 255)), (0.02, (10, 21, 109, 255)), (0.1, (10, 21, 109))],
)
def test_halfway_glyphs_are_illegible_also_with_a_little_noise_and_with_their_code_live(
    k: int, noise: float, budgets: tuple[int, ...]
) -> None:
    pictures = halfway(300, k, noise, np.random.default_rng(k))
    kept = Register()
    likeliest = np.bitwise_or.reduce(
        pictures.argmax(axis=2).astype(np.uint64) << np.arange(35, -5, -5, dtype=np.uint64), axis=1
    )
    kept.add(likeliest, Keeping.LIVE)
    for budget in budgets:
        assert (reading.read(pictures, kept, budget).kind == Kind.ILLEGIBLE).all(), budget


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, -1e-9])
def test_a_lattice_of_no_probabilities_is_illegible_and_harms_no_other(wrong: float) -> None:
    kept = registered(live="K7777777")
    good = lattice({"K": 1.0})
    bad = good.copy()
    bad[3, 5] = wrong
    zeros = good.copy()
    zeros[7] = 0
    verdicts = reading.read(np.stack([good, bad, zeros, good * 7, good / 1e6]).astype(np.float32), kept, 22)
    assert [Kind(kind).name for kind in verdicts.kind] == ["ACCEPTED", "ILLEGIBLE", "ILLEGIBLE", "ACCEPTED", "ACCEPTED"]
    assert verdicts.listed.tolist() == [1, 0, 0, 1, 1]
    assert verdicts[1] == Verdict(Kind.ILLEGIBLE, None, (), 0, 22, 0.0)


@pytest.mark.parametrize("shape", [(8, 32), (1, 8, 36), (1, 7, 32)])
def test_another_shape_is_an_error_that_names_it(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(n, 8, 32\)"):
        reading.read(np.ones(shape, np.float32), Register(), 22)


@pytest.mark.parametrize("budget", [-1, MOST_LISTED + 1])
def test_a_budget_beyond_the_most_is_an_error(budget: int) -> None:
    with pytest.raises(ValueError, match="0 to 255"):
        reading.read(np.ones((1, 8, 32), np.float32), Register(), budget)


@pytest.fixture(scope="module")
def crowd() -> tuple[Register, Codes]:
    kept = Register()
    return kept, kept.mint(50_000, Keeping.LIVE)


@pytest.mark.parametrize("budget", [22, MOST_LISTED])
@pytest.mark.parametrize("misread", [1, 2, "swap"])
def test_a_typed_code_misread_is_never_another_stamp(
    crowd: tuple[Register, Codes], misread: int | str, budget: int
) -> None:
    kept, live = crowd
    rng = np.random.default_rng(7)
    asked = [(code, change) for code in unpack(live[:30]) for change in _misreads(code, misread, rng)]
    verdicts = [(code, reading.read_text(change, kept, budget)) for code, change in asked]
    found = [code == verdict.code for code, verdict in verdicts if verdict.kind is Kind.ACCEPTED]
    assert {verdict.kind for _, verdict in verdicts} <= {Kind.ACCEPTED, Kind.UNKNOWN_CLEAR}
    if misread == 1:
        assert all(found)
        assert len(found) >= min(budget - 1, 248) / 248 * len(asked) * 0.9  # whichever character it was
    else:
        # Two slips may lead to one of the other 50 000, as seldom as the budget promises.
        by_chance = len(asked) * budget * len(live) / CODES
        assert found.count(False) <= by_chance + 5 * math.sqrt(by_chance) + 3  # seldom means now and then


def test_the_likeliest_slips_of_a_typed_code_are_tried_first(crowd: tuple[Register, Codes]) -> None:
    kept, live = crowd
    code = next(code for code in unpack(live) if "V" in code)
    assert reading.read_text(code.replace("V", "U", 1), kept, 22).code == code
    assert reading.read_text(code.replace("V", "8", 1), kept, 22).kind is Kind.UNKNOWN_CLEAR
    assert reading.read_text(code, kept, 0).kind is Kind.UNKNOWN_CLEAR


def _misreads(code: str, how: int | str, rng: np.random.Generator) -> list[str]:
    if how == 1:
        return [
            code[:at] + symbol + code[at + 1 :] for at in range(LENGTH) for symbol in ALPHABET if symbol != code[at]
        ]
    if how == "swap":
        swapped = [code[:at] + code[at + 1] + code[at] + code[at + 2 :] for at in range(LENGTH - 1)]
        return [other for other in swapped if other != code]
    changed = []
    for _ in range(100):
        one = list(code)
        for at in rng.choice(LENGTH, 2, replace=False):
            one[at] = rng.choice(list(ALPHABET.replace(one[at], "")))
        changed.append("".join(one))
    return changed


def test_a_typed_live_code_is_accepted(crowd: tuple[Register, Codes]) -> None:
    kept, live = crowd
    for code in unpack(live[:50]):
        verdict = reading.read_text(code.lower(), kept, 10)
        assert (verdict.kind, verdict.code) == (Kind.ACCEPTED, code)


def test_a_dropped_or_added_character_lists_for_staff_where_the_budget_allows_and_accepts_nothing() -> None:
    kept = registered(live="7K4F2M9X")
    added, dropped = "7K4F2M99X", "7K4FM9X"
    assert reading.read_text(added, kept, 22) == Verdict(Kind.AMBIGUOUS, None, ("7K4F2M9X",), 8, 22, 0.0)
    assert reading.read_text(dropped, kept, 22) == Verdict(Kind.ILLEGIBLE, None, (), 0, 22, 0.0)
    listed = reading.read_text(dropped, kept, MOST_LISTED)
    assert (listed.kind, listed.code, listed.candidates, listed.listed) == (
        Kind.AMBIGUOUS, None, ("7K4F2M9X",), 249,
    )  # fmt: skip
    assert reading.read_text("7K4FM9X", Register(), MOST_LISTED).kind is Kind.ILLEGIBLE


@settings(deadline=None)  # the first call compiles
@given(st.text(max_size=12) | st.text(ALPHABET, max_size=12))
def test_noise_typed_is_refused_or_illegible(text: str) -> None:
    try:
        verdict = reading.read_text(text, NOTHING, 22)
    except ValueError:
        return
    assert verdict.code is None
    assert verdict.candidates == ()


@given(codes)
def test_letters_that_the_alphabet_lacks_are_read_as_what_they_look_like(code: str) -> None:
    alike = code.translate(str.maketrans("0152", "OISZ"))
    assert (lattice_of_text(alike) == lattice_of_text(code)).all()
    assert lattice_of_text(code).sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert [ALPHABET[symbol] for symbol in lattice_of_text(code).argmax(axis=1)] == list(code)


def test_probabilities_of_letters_that_look_alike_are_added() -> None:
    row = lattice({"O": 0.3, "o": 0.1, "0": 0.2, "D": 0.4})[0]
    assert row[ALPHABET.index("0")] == pytest.approx(0.6)
    assert row[ALPHABET.index("D")] == pytest.approx(0.4)


def test_what_a_place_lacks_to_one_is_spread_over_all() -> None:
    row = lattice({"K": 0.68})[0]
    assert row[ALPHABET.index("K")] == pytest.approx(0.69)
    assert row[ALPHABET.index("X")] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ([{"7": 1.0}] * 7, "8 places, not 7"),
        ([{"7": 1.0}] * 7 + [{"É": 1.0}], "place 8: 'É'"),
        ([{"7": 1.0}] * 7 + [{"77": 1.0}], "place 8: '77'"),
        ([{"7": -0.1}] + [{"7": 1.0}] * 7, "place 1: a probability is 0 to 1, not -0.1"),
        ([{"7": math.nan}] + [{"7": 1.0}] * 7, "place 1: .* not nan"),
        ([{"7": 0.9, "8": 0.9}] + [{"7": 1.0}] * 7, "place 1: .* sum to 1.8"),
        ([{"7": 0.0}] + [{"7": 1.0}] * 7, "place 1: every probability is 0"),
        ([{}] + [{"7": 1.0}] * 7, "place 1: every probability is 0"),
        ([[0.0] * 32] * 8, "place 1: every probability is 0"),
        ([[1 / 36] * 36] * 8, "place 1: 32 probabilities are needed, not 36"),
    ],
)
def test_wrong_probabilities_are_an_error_that_names_the_place(places: list, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        lattice_of_probabilities(places)


def test_of_the_n_best_strings_no_more_than_the_budget_are_looked_up() -> None:
    kept = registered(live="7K4F2M9X", spent="11111111")
    best = [("7K4F2M9Y", 0.6), ("7k 4f 2m 9x", 0.3), ("IIIIIIII", 0.05)]
    assert reading.read_strings(best, kept, 2) == Verdict(Kind.ACCEPTED, "7K4F2M9X", ("7K4F2M9X",), 2, 2, 0.3)
    assert reading.read_strings(best, kept, 1).kind is Kind.ILLEGIBLE
    assert reading.read_strings(best, kept, 3).kind is Kind.AMBIGUOUS
    assert reading.read_strings([("1111111i", 1.0)], kept, 3).kind is Kind.ALREADY_USED
    assert reading.read_strings([("7K4F2M9Y", 1.0)], kept, 3).kind is Kind.UNKNOWN_CLEAR
    assert reading.read_strings([("7K4F2M9", 1.0), ("", 0.0)], kept, 3).kind is Kind.ILLEGIBLE
    assert reading.read_strings([], kept, 3).kind is Kind.ILLEGIBLE
    ties = [(f"7K4F2M9{symbol}", 0.03) for symbol in ALPHABET]
    assert reading.read_strings(ties, kept, 31).kind is Kind.ILLEGIBLE
    assert reading.read_strings(ties, kept, 32).kind is Kind.ACCEPTED


@pytest.mark.parametrize(
    "wrong", [[("7K4F2M9X", 1.5)], [("7K4F2M9X", math.nan)], [("É", 1.0)], [("A", 0.9), ("B", 0.9)]]
)
def test_wrong_strings_are_an_error(wrong: list[tuple[str, float]]) -> None:
    with pytest.raises(ValueError, match=r"probabilit|a stamp code"):
        reading.read_strings(wrong, Register(), 22)


def test_false_accepts_are_as_many_as_the_bound_says_and_never_another_stamp() -> None:
    kept = Register(300_000)
    lattices, written = handwritten(40_000, np.random.default_rng(11))
    kept.add_spaced(written[:10_000], Keeping.LIVE)
    kept.mint(300_000 - len(kept), Keeping.LIVE)
    verdicts = reading.read(lattices, kept, MOST_LISTED)
    is_live = kept.find(written) == Keeping.LIVE
    accepted = verdicts.kind == Kind.ACCEPTED
    bound = 300_000 * verdicts.listed[~is_live].sum() / CODES
    assert abs((accepted & ~is_live).sum() - bound) <= 3 * math.sqrt(bound) + 1
    assert (accepted & is_live).sum() > 0.9 * is_live.sum()
    assert (accepted & is_live & (verdicts.hits[:, 0] != written)).sum() <= 1
