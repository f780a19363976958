import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from cloud.stamps.register import unpack
from tests.benchmarks.lattices import handwritten
from tools.main import app
from tools.terminal import Failure


def evaluate(path: Path, *more: str) -> Result:
    return CliRunner().invoke(app, ["stamp", "evaluate", "--live", "5000", "--lattices", str(path), *more])


@pytest.fixture
def written(tmp_path: Path) -> Path:
    lattices, codes = handwritten(2000, np.random.default_rng(1))
    np.savez(tmp_path / "some.npz", posteriors=lattices, truth=np.array(unpack(codes)))
    return tmp_path / "some.npz"


def test_every_picture_has_one_verdict_and_half_of_them_are_live(written: Path) -> None:
    done = evaluate(written, "--alpha", "1e-6", "--json")
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert figures["budget"] == 219
    assert figures["pictures"] == 2000
    assert figures["live_pictures"] + figures["too_near_to_be_live"] == 1000
    verdicts = ("accepted", "ambiguous", "already_used", "unknown_clear", "illegible")
    for half in ("of_live", "of_others"):
        assert sum(figures[half][verdict] for verdict in verdicts) == figures[half]["pictures"]
    assert figures["correct"] + figures["wrong"] == figures["of_live"]["accepted"]
    assert figures["false_accepts"] == figures["of_others"]["accepted"] == 0
    assert figures["correct_share"] > 0.95
    assert figures["wrong"] == 0
    assert figures["list_mean"] <= figures["list_max"] <= 219
    assert figures["false_accepts_expected"] == pytest.approx(5000 * 1000 * 219 / 32**8, rel=0.01)
    assert figures["reads_per_s"] > 0
    assert figures["mint_per_s"] > 0
    assert "correct_share" in evaluate(written).output


def test_codes_of_pictures_that_are_too_near_each_other_are_counted(tmp_path: Path) -> None:
    lattices, _ = handwritten(4, np.random.default_rng(1))
    np.savez(tmp_path / "near.npz", posteriors=lattices, truth=np.array(["7777777" + last for last in "0123"]))
    figures = json.loads(evaluate(tmp_path / "near.npz", "--json").stdout)
    assert (figures["live_pictures"], figures["too_near_to_be_live"]) == (1, 1)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"posteriors": np.ones((2, 8, 32), np.float32)}, "lacks an array"),
        ({"posteriors": np.ones((2, 8, 36), np.float32), "truth": np.array(["7" * 8] * 2)}, "are not"),
        ({"posteriors": np.ones((2, 8, 32), np.float32), "truth": np.array(["7" * 8])}, "are not"),
        ({"posteriors": np.ones((2, 8, 32), np.int64), "truth": np.array(["7" * 8] * 2)}, "not float32"),
        ({"posteriors": np.ones((2, 8, 32), np.float32), "truth": np.array(["7" * 8, "O" * 8])}, "made of"),
        ({"posteriors": np.ones((0, 8, 32), np.float32), "truth": np.array([], "U8")}, "are not"),
    ],
)
def test_a_wrong_file_is_a_failure_that_says_what_is_wrong(arrays: dict, said: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "wrong.npz", **arrays)
    failure = evaluate(tmp_path / "wrong.npz").exception
    assert isinstance(failure, Failure)
    assert said in str(failure)


def test_no_file_or_another_is_a_failure_too(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("none")
    for name in ("text.npz", "none.npz"):
        assert isinstance(evaluate(tmp_path / name).exception, Failure)
    assert evaluate(tmp_path / "text.npz", "--alpha", "2").exit_code == 2
