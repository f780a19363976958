"""The network in numpy against what its trainer gave, and the strings of a lattice against all of them."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from cloud.stamps.model import ALPHABET
from cloud.stamps.reader import network
from cloud.stamps.reader.glyphs import normalise
from cloud.stamps.reader.read import likeliest

HERE = Path(__file__).parent


def test_numpy_gives_what_the_trainer_gave():
    with np.load(HERE / "outputs.npz") as kept:
        glyphs, outputs = kept["glyphs"].astype(np.float32) / 255, kept["outputs"]
    np.testing.assert_allclose(network.load().logits(glyphs), outputs, rtol=1e-3, atol=1e-3)


def test_many_glyphs_at_once_are_the_same_as_each_alone():
    with np.load(HERE / "outputs.npz") as kept:
        glyphs = kept["glyphs"].astype(np.float32) / 255
    many = np.tile(glyphs, (network.BATCH // len(glyphs) + 1, 1, 1))
    net = network.load()
    np.testing.assert_allclose(net.logits(many)[-len(glyphs) :], net.logits(glyphs), rtol=1e-4, atol=1e-4)
    assert net.logits(glyphs[:0]).shape == (0, 33)


def test_every_row_of_a_lattice_sums_to_one():
    noise = np.random.default_rng(1).random((20, 28, 28)).astype(np.float32)
    rows, doubt = network.load().posteriors(noise)
    assert rows.dtype == np.float32
    assert rows.shape == (20, 32)
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-5)
    assert ((doubt >= 0) & (doubt <= 1)).all()


def test_weights_are_numbers_alone_and_no_more_than_a_megabyte():
    assert network.WEIGHTS.stat().st_size <= 1_000_000
    with np.load(network.WEIGHTS, allow_pickle=False) as kept:
        assert all(kept[name].dtype.kind == "f" for name in kept.files)


@pytest.mark.parametrize("size", [(9, 4), (22, 22), (160, 70), (40, 300)])
def test_a_symbol_of_any_size_fills_the_same_frame(size: tuple[int, int]):
    ink = np.zeros((size[0] + 30, size[1] + 50), np.float32)
    ink[12 : 12 + size[0], 40 : 40 + size[1]] = 1
    frame = normalise(ink)
    rows, columns = np.nonzero(frame > 0.5)
    extent = max(rows.max() - rows.min(), columns.max() - columns.min()) + 1
    assert extent in (21, 22, 23)
    assert abs(rows.mean() - 13.5) <= 0.6
    assert abs(columns.mean() - 13.5) <= 0.6


def test_no_ink_is_an_empty_frame():
    assert not normalise(np.zeros((30, 30), np.float32)).any()


def test_the_likeliest_strings_are_those_of_trying_all():
    random = np.random.default_rng(3)
    lattice = np.full((8, 32), 1e-9, np.float32)
    for row in lattice:
        row[random.choice(32, 3, replace=False)] = random.random(3)
    lattice /= lattice.sum(axis=1, keepdims=True)
    choices = [np.argsort(-row)[:3] for row in lattice]
    every = {
        "".join(ALPHABET[s] for s in string): float(np.prod([lattice[i, s] for i, s in enumerate(string)]))
        for string in product(*choices)
    }
    expected = sorted(every.items(), key=lambda one: -one[1])[:200]
    found = likeliest(lattice, 200)
    assert [p for _, p in found] == pytest.approx([p for _, p in expected], rel=1e-4)
    assert len({code for code, _ in found}) == 200
    assert all(every[code] == pytest.approx(p, rel=1e-4) for code, p in found)
