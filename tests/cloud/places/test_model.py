import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.places.model import LINE_LENGTH, LINES, Address, AddressError, Reason

GOOD = ["Mme Claire Morvan", "Appt 12, 3e étage", "Bât. B", "12, rue de l'Église", "", "35400 Saint-Malo"]

any_line = st.one_of(
    st.sampled_from(
        ["", *GOOD, "20000 Œuilly", "LD Kêr-Añna", "F-35000 Rennes", "x" * 39, "Łukasz", "東京", "🙂", "\x00"]
    ),
    st.text(max_size=50),
)


def with_line(number: int, line: str) -> list[str]:
    return [*GOOD[: number - 1], line, *GOOD[number:]]


def errors_of(lines: list[str]) -> tuple[tuple[int, Reason], ...]:
    with pytest.raises(AddressError) as caught:
        Address.of(lines)
    return caught.value.errors


def test_an_address_is_written_as_the_post_reads_it() -> None:
    assert Address.of(GOOD).lines == (
        "Mme Claire Morvan",
        "Appt 12, 3e étage",
        "Bât. B",
        "12 rue de l Église",
        "",
        "35400 SAINT MALO",
    )


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("35000 Rennes", "35000 RENNES"),
        ("  94240   L'Haÿ-les-Roses ", "94240 L HAY LES ROSES"),
        ("02160 Œuilly", "02160 OEUILLY"),
        ("75015 Paris Cedex 15", "75015 PARIS CEDEX 15"),
        ("00803 ARMÉES", "00803 ARMEES"),
        ("35000 Re\u0301mi", "35000 REMI"),
    ],
)
def test_the_last_line_is_in_capitals_without_accents(typed: str, written: str) -> None:
    assert Address.of(with_line(6, typed)).lines[5] == written


def test_punctuation_goes_from_line_4_on_and_stays_above() -> None:
    lines = Address.of(["M. J.-P. O’Neil", "", "", "N° 3/5, pl. St-Michel", "B.P. 12", "29000 Quimper."]).lines
    assert lines == ("M. J.-P. O’Neil", "", "", "N 3 5 pl St Michel", "B P 12", "29000 QUIMPER")


def test_a_hamlet_on_line_5_stands_in_for_a_street() -> None:
    assert Address.of(["Yann Le Goff", "", "", "", "Kerlouan", "29890 Kerlouan"]).lines[3] == ""


def test_every_wrong_line_is_named_at_once() -> None:
    assert errors_of(["", "x" * 39, "名古屋", "", "", "Rennes"]) == (
        (1, Reason.MISSING),
        (2, Reason.TOO_LONG),
        (3, Reason.CHARACTER),
        (4, Reason.MISSING),
        (6, Reason.POSTCODE),
    )


@pytest.mark.parametrize("typed", ["Rennes", "35000", "3500 Rennes", "350000 Rennes", "35000 12", "٣٥٠٠٠ Rennes"[1:]])
def test_the_last_line_is_five_digits_and_a_town(typed: str) -> None:
    assert [line for line, _ in errors_of(with_line(6, typed))] == [6]


def test_an_empty_last_line_is_missing_and_not_a_wrong_postcode() -> None:
    assert errors_of(with_line(6, " ")) == ((6, Reason.MISSING),)


@pytest.mark.parametrize("typed", ["Claire\x07Morvan", "Claire 🙂", "Клара", "\u202eMorvan", "Claire\ud800"])
def test_what_nobody_here_can_write_on_a_label_is_refused(typed: str) -> None:
    assert errors_of(with_line(1, typed)) == ((1, Reason.CHARACTER),)


@pytest.mark.parametrize("typed", ["Łukasz Żak", "Añna", "«Chez Ørsted»", "Nguyễn Văn Ân"])
def test_names_from_all_over_in_latin_letters_are_taken(typed: str) -> None:
    assert Address.of(with_line(1, typed)).lines[0] == typed


@pytest.mark.parametrize("count", [0, 3, 5, 7])
def test_an_address_has_six_lines(count: int) -> None:
    assert errors_of(["35000 Rennes"] * count) == ((0, Reason.NOT_SIX_LINES),)


def test_38_characters_are_enough_and_39_too_many() -> None:
    assert Address.of(with_line(2, "x" * 38)).lines[1] == "x" * 38
    assert errors_of(with_line(2, "x" * 39)) == ((2, Reason.TOO_LONG),)


def test_length_counts_what_is_written_and_not_the_spaces_typed() -> None:
    assert Address.of(with_line(2, "x" * 19 + " " * 9 + "y" * 18)).lines[1] == "x" * 19 + " " + "y" * 18


def test_the_error_reads_as_a_sentence() -> None:
    with pytest.raises(AddressError, match="line 1: missing; line 6: postcode"):
        Address.of(["", "", "", "1 rue du Bac", "", "Paris"])


@given(st.lists(any_line, min_size=LINES, max_size=LINES))
def test_whatever_is_typed_is_an_address_or_told_what_is_wrong(lines: list[str]) -> None:
    try:
        address = Address.of(lines)
    except AddressError as error:
        wrong = error.errors
    else:
        wrong = ()
        assert_well_formed(address)
    assert len(set(wrong)) == len(wrong)
    assert all(1 <= line <= LINES for line, _ in wrong)


def assert_well_formed(address: Address) -> None:
    assert len(address.lines) == LINES
    assert all(len(line) <= LINE_LENGTH and line == " ".join(line.split()) for line in address.lines)
    assert address.lines[5].isascii()
    assert address.lines[5] == address.lines[5].upper()
    assert all(symbol.isalnum() or symbol == " " for line in address.lines[3:] for symbol in line)
    assert Address.of(address.lines) == address
