"""The example runs, and shows what docs/stamp.md says of it."""

import runpy
import statistics
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "docs/examples/keyed_reed_solomon.py"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> dict:
    """What the example defines; a dataclass looks itself up in the modules."""
    module = type(sys)("keyed_reed_solomon")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    module.__dict__.update(runpy.run_path(str(EXAMPLE), run_name=module.__name__))
    return module.__dict__


def test_a_few_hundred_stamps_break_every_key_and_then_every_forgery_is_in_the_book(example):
    falls = [example["attack"](seed, tried=40) for seed in range(100, 108)]
    assert all(fall.needed >= example["RANK"] for fall in falls)
    assert statistics.median(fall.needed for fall in falls) < 300
    assert all(fall.forged == 1 and fall.mistaken == 0 and fall.foretold[0] < 0.1 for fall in falls)


def test_the_book_it_breaks_is_one_whose_words_differ_in_four_places(example):
    np = example["np"]
    rng = np.random.default_rng(1)
    book = example["Book"].draw(rng)
    words = book.issue(2000, rng)
    assert book.holds(words).all()
    assert not book.holds((words + np.eye(1, 8, dtype=np.uint8)) % 32).any()
    apart = (words[:, None, :] != words[None, :, :]).sum(axis=2)
    assert apart[apart > 0].min() >= 4


def test_it_prints_its_table(example, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["keyed_reed_solomon.py", "--keys", "2"])
    example["main"]()
    said = capsys.readouterr().out
    assert "forgeries that are in the book     100.0%" in said
    assert "14.9%" in said
