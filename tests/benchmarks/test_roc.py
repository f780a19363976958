"""The comparison of reading schemes, on pictures small enough to try every string."""

import sys
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest

from cloud.stamps.model import ALPHABET, LENGTH
from tests.benchmarks import roc


@pytest.fixture
def pictures() -> tuple[np.ndarray, list[str]]:
    """Thirty lattices in which each place has three possible characters, the true one among them."""
    rng = np.random.default_rng(5)
    posteriors = np.zeros((30, LENGTH, 32), np.float32)
    truth = []
    for lattice in posteriors:
        possible = np.array([rng.permutation(32)[:3] for _ in range(LENGTH)])
        np.put_along_axis(lattice, possible, rng.dirichlet([6, 3, 3], LENGTH).astype(np.float32), axis=1)
        truth.append("".join(ALPHABET[row[0]] for row in possible))
    return posteriors, truth


def test_ranks_are_those_of_trying_every_string(pictures):
    found = roc.ranks(*pictures)
    luhn, syndromes = roc._luhn(), roc._syndromes()
    places = np.arange(LENGTH)
    for at, (lattice, code) in enumerate(zip(*pictures, strict=True)):
        true = np.array([ALPHABET.index(symbol) for symbol in code])
        every = np.array(list(product(*(np.flatnonzero(row) for row in lattice))))
        scores = np.log(lattice[places, every].astype(np.float64)).sum(axis=1)
        above = every[scores > np.log(lattice[places, true].astype(np.float64)).sum() + 1e-9]
        sums = luhn[places, above].sum(axis=1) - luhn[places, true].sum()
        checks = np.bitwise_xor.reduce(syndromes[places, above], axis=1)
        assert found.of_all[at] == len(above)
        assert found.with_check_digit[at] == (sums % 32 == 0).sum()
        assert found.in_book[at] == (checks == np.bitwise_xor.reduce(syndromes[places, true])).sum()
        assert found.wrong[at] == (lattice.argmax(axis=1) != true).sum()
    assert found.of_all.max() > 100
    assert found.with_check_digit.max() > 3


def test_the_most_probable_strings_are_those_of_trying_every_string(pictures):
    lattice = pictures[0][0]
    every = np.array(list(product(*(np.flatnonzero(row) for row in lattice))))
    scores = np.log(lattice[np.arange(LENGTH), every]).sum(axis=1)
    best = every[np.argsort(-scores)[:50]]
    weights = np.uint64(32) ** np.arange(LENGTH - 1, -1, -1, dtype=np.uint64)
    found = roc._most_probable(pictures[0][:1], 50)
    assert set(found[0]) == set((best.astype(np.uint64) * weights).sum(axis=1, dtype=np.uint64))


def test_the_check_digit_notices_every_single_error():
    assert all(len(set(row)) == 32 for row in roc._luhn())


def test_the_book_is_reed_solomon_with_words_four_apart():
    """No three places add up to nothing, so a word of the book is zero or has four characters that are not."""
    table = roc._syndromes()
    for a, b, c in combinations(range(LENGTH), 3):
        sums = table[a][:, None, None] ^ table[b][None, :, None] ^ table[c][None, None, :]
        assert (sums == 0).sum() == 1


def test_a_list_with_a_live_code_in_it_is_counted_once(pictures):
    lists = roc._most_probable(pictures[0], 20)
    rng = np.random.default_rng(6)
    elsewhere = rng.integers(0, roc.SPACE, 1000, dtype=np.uint64)
    assert roc._hit(lists, elsewhere) == 0
    assert roc._hit(lists, np.concatenate([lists[3], lists[7, :2], elsewhere])) == 2
    assert roc._hit(lists, np.array([0, roc.SPACE - 1, lists.max()], np.uint64)) == 1


def test_the_command_draws_both_themes_and_prints_the_table(pictures, tmp_path: Path, monkeypatch, capsys):
    posteriors, truth = pictures
    np.savez(tmp_path / "lattices.npz", posteriors=posteriors, truth=np.array(truth))
    options = ["--registers", "1", "--live", "1000000", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["roc", str(tmp_path / "lattices.npz"), *options])
    roc.main()
    said = capsys.readouterr().out
    assert "30 pictures, 1,000,000 live codes" in said
    assert "| list budget | 109 |" in said
    for theme, colours in roc.THEMES.items():
        assert colours[0] in (tmp_path / f"roc-{theme}.svg").read_text()
