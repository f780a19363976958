"""Handwritten symbols to train, calibrate and measure the reader with: EMNIST sheets, and fonts like handwriting.

The three parts of EMNIST are ranges of images and share none: what is measured with was neither trained nor calibrated
on.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cloud.stamps.model import ALPHABET
from cloud.stamps.reader.glyphs import normalise
from cloud.stamps.reader.network import SYMBOLS, Floats

Glyphs = NDArray[Any]  # uint8 (n, 28, 28), ink 255

# What a hand writes for a symbol, though it is another letter. Of the small letters, those of their capital's shape.
FOLDED = {"0": "O", "1": "I", "5": "S", "2": "Z"}
SMALL = {"C": "c", "K": "k", "M": "m", "P": "p", "U": "u", "V": "v", "W": "w", "X": "x", "Y": "y"}

HELD_OUT_FONTS = ("Humor-Sans", "KleeOne-Regular", "KleeOne-SemiBold")  # by file name: never trained on


class Part(Enum):
    """Ranges of EMNIST's images, in their order: three quarters, a twelfth, a sixth."""

    TRAINING = (0, 72_580)
    CALIBRATION = (72_580, 80_645)
    FIGURES = (80_645, 96_774)


@dataclass(frozen=True)
class Emnist:
    images: Glyphs
    labels: str

    def part(self, part: Part) -> dict[str, Glyphs]:
        """The images of a part by their character, of those that `FOLDED`, `SMALL` or the alphabet name."""
        start, end = part.value
        labels = np.array(list(self.labels[start:end]))
        wanted = [*ALPHABET, *FOLDED.values(), *SMALL.values()]
        return {character: self.images[start:end][labels == character] for character in wanted}


def emnist(folder: Path) -> Emnist:
    """Sheets of tiles row by row, as `labels.json` beside them describes."""
    described = json.loads((folder / "labels.json").read_text())
    height, width = described["height"], described["width"]
    sheets = []
    for name in described["files"]:
        sheet = np.asarray(Image.open(folder / name).convert("L"))
        tiles = sheet.reshape(sheet.shape[0] // height, height, -1, width).swapaxes(1, 2)
        first, last = (int(number) for number in Path(name).stem.split("_")[2::2])
        sheets.append(tiles.reshape(-1, height, width)[: last - first + 1])
    images = np.concatenate(sheets)
    if len(images) != len(described["labels"]):
        raise ValueError(f"{folder}: {len(images)} images and {len(described['labels'])} labels")
    return Emnist(images, described["labels"])


def font_files(folder: Path, held_out: bool) -> list[Path]:
    """The fonts under `folder`: those to train with, or those held out."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".ttf", ".otf"))
    return [path for path in found if (path.stem in HELD_OUT_FONTS) is held_out]


def font_glyphs(paths: list[Path], size: int = 96) -> Iterator[tuple[str, Glyphs]]:
    """Each symbol in each font that has it: (symbol, ink of about `size` pixels)."""
    for path in paths:
        font = ImageFont.truetype(path, size)
        missing = _drawn(font, "\uffff", size)
        for symbol in ALPHABET:
            ink = _drawn(font, symbol, size)
            if ink.size and not np.array_equal(ink, missing):
                yield symbol, ink


def _drawn(font: ImageFont.FreeTypeFont, symbol: str, size: int) -> Glyphs:
    picture = Image.new("L", (2 * size, 2 * size))
    ImageDraw.Draw(picture).text((size, size), symbol, 255, font, anchor="mm")
    return np.asarray(picture.crop(picture.getbbox() or (0, 0, 0, 0)))


def cut(emnist: Emnist, part: Part) -> tuple[Floats, Any]:
    """All glyphs of the alphabet in a part as the reader would frame them (n, 28, 28), and their symbols (n,)."""
    pools = emnist.part(part)
    glyphs = [normalise(glyph.astype(np.float32) / 255) for symbol in ALPHABET for glyph in pools[symbol]]
    return np.stack(glyphs), np.repeat(np.arange(SYMBOLS), [len(pools[symbol]) for symbol in ALPHABET])
