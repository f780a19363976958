"""The glyph network: 28 × 28 ink of one handwritten symbol to probabilities over the alphabet, in plain numpy.

Convolutions of 3 × 3 with ReLU, a maximum of 2 × 2 after some, then two dense layers. `tools/reader/train.py` trains it
and folds its normalisations into the weights, so that this file is all of the arithmetic there is.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloud.stamps.model import ALPHABET

WEIGHTS = Path(__file__).parent / "weights.npz"
SIDE = 28  # pixels: the frame of EMNIST, which the network was trained on
SYMBOLS = len(ALPHABET)
NO_SYMBOL = SYMBOLS  # one output more: what was cut out is not one symbol (half of one, two, a ruled line)
POOLED = (True, False, True, False, True)  # which convolutions a 2 × 2 maximum follows
BATCH = 256  # glyphs at a time: 64 MB of columns in the widest layer

Floats = NDArray[Any]  # float32; OpenCV's types do not say of what


@dataclass(frozen=True, slots=True)
class Network:
    """Weights as they are used: convolutions (3·3·in, out), dense layers (in, out); biases (out,)."""

    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]
    temperature: float

    def logits(self, glyphs: Floats) -> Floats:
        """(n, 28, 28) ink from 0 to 1 → (n, 33), uncalibrated."""
        blocks = [self._logits(glyphs[at : at + BATCH]) for at in range(0, len(glyphs), BATCH)]
        return np.concatenate(blocks) if blocks else np.zeros((0, SYMBOLS + 1), np.float32)

    def _logits(self, glyphs: Floats) -> Floats:
        x = glyphs.astype(np.float32)[..., None]
        for weight, bias, pooled in zip(self.weights, self.biases, POOLED, strict=False):
            x = np.maximum(_columns(x) @ weight + bias, 0)
            if pooled:
                x = _pool(x)
        x = x.reshape(len(x), -1)
        for weight, bias in zip(self.weights[len(POOLED) : -1], self.biases[len(POOLED) : -1], strict=True):
            x = np.maximum(x @ weight + bias, 0)
        return x @ self.weights[-1] + self.biases[-1]

    def posteriors(self, glyphs: Floats) -> tuple[Floats, Floats]:
        """(n, 28, 28) → calibrated probabilities (n, 32) of the symbols, and (n,) of its being no single symbol."""
        logits = self.logits(glyphs) / self.temperature
        return softmax(logits[:, :SYMBOLS]), softmax(logits)[:, NO_SYMBOL]


def softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)


def _columns(x: Floats) -> Floats:
    """(n, h, w, c) → (n, h, w, 9c): each pixel with its eight neighbours, nought outside the frame."""
    _, height, width, _ = x.shape
    framed = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return np.concatenate([framed[:, i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=-1)


def _pool(x: Floats) -> Floats:
    n, height, width, channels = x.shape
    even = x[:, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))


@cache
def load(path: Path = WEIGHTS) -> Network:
    with np.load(path, allow_pickle=False) as kept:
        layers = sum(name.startswith("weight") for name in kept.files)
        return Network(
            weights=tuple(kept[f"weight{i}"].astype(np.float32) for i in range(layers)),
            biases=tuple(kept[f"bias{i}"].astype(np.float32) for i in range(layers)),
            temperature=float(kept["temperature"]),
        )


def save(network: Network, path: Path) -> None:
    """In half precision: the rounding is far below what a glyph's probabilities are sure of."""
    arrays = {f"weight{i}": weight.astype(np.float16) for i, weight in enumerate(network.weights)}
    arrays |= {f"bias{i}": bias.astype(np.float16) for i, bias in enumerate(network.biases)}
    np.savez_compressed(path, allow_pickle=False, temperature=np.float32(network.temperature), **arrays)
