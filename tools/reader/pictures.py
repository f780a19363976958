"""Photographs of written codes, made: glyphs by a pen on paper, in boxes or not, askew, in shadow, out of focus.

Glyphs are put on a sheet of `SHEET` pixels a symbol, the sheet is photographed. All that is drawn is told by the seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cloud.stamps.model import ALPHABET, LENGTH

SHEET = 120  # pixels a symbol is high before the photograph is taken


class Kind(StrEnum):
    SCAN = "scan"  # plain paper, straight
    BOXED = "boxed"  # a form's writing boxes
    SKEWED = "skewed"  # turned, and seen from the side
    SHADED = "shaded"  # a shadow's edge across
    BLURRED = "blurred"
    EVERYTHING = "everything"  # half of these in boxes


@dataclass(frozen=True)
class Made:
    code: str
    kind: Kind
    picture: bytes  # JPEG


# Blue, black and red ballpoint, pencil, a green felt pen; red, green, blue.
PENS = ((35, 55, 150), (30, 30, 35), (170, 35, 40), (105, 105, 110), (20, 95, 60))
LINES = ((125, 170, 205), (125, 135, 150), (205, 150, 135))  # of boxes


def make(code: str, glyphs: Sequence[NDArray[Any]], kind: Kind, random: Generator) -> Made:
    """A picture of `code`, whose symbols look like `glyphs` (ink 255)."""
    boxed = kind is Kind.BOXED or (kind is Kind.EVERYTHING and random.random() < 0.5)
    ink, lines = _sheet(glyphs, boxed, random)
    paper = np.array([random.uniform(225, 252), random.uniform(220, 248), random.uniform(205, 245)])
    paper *= random.uniform(0.85, 1)
    pen = np.clip(np.array(PENS[int(random.integers(len(PENS)))]) + random.normal(0, 8, 3), 0, 255)
    line = np.array(LINES[int(random.integers(len(LINES)))])
    page = paper + lines[..., None] * (line - paper)
    page = page + ink[..., None] * (pen - page)
    grain = cv2.GaussianBlur(random.normal(0, 1, page.shape[:2]).astype(np.float32), (0, 0), 2)
    page = page + 6 * grain[..., None]
    everything = kind is Kind.EVERYTHING
    if kind is Kind.SKEWED or everything:
        page = _from_the_side(page, paper, random)
    size = random.uniform(30, 80) / SHEET  # of a symbol in the photograph
    page = cv2.resize(page, None, fx=size, fy=size, interpolation=cv2.INTER_AREA)
    if kind is Kind.SHADED or everything:
        page = _in_shadow(page, random)
    if kind is Kind.BLURRED or everything:
        page = cv2.GaussianBlur(page, (0, 0), random.uniform(0.6, 1.0 + size * SHEET / 40))
    page = page + random.normal(0, random.uniform(1, 6), page.shape)
    quality = int(random.integers(55, 95))
    pixels = np.clip(page, 0, 255).astype(np.uint8)[..., ::-1]
    _, jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return Made(code, kind, jpeg.tobytes())


def draw_code(random: Generator) -> str:
    return "".join(random.choice(list(ALPHABET), LENGTH))


def pick(pools: Mapping[str, Any], code: str, random: Generator) -> list[Any]:
    """A glyph of each symbol of `code`."""
    return [pools[symbol][random.integers(len(pools[symbol]))] for symbol in code]


def half_way(one: NDArray[Any], other: NDArray[Any], share: float = 0.5) -> NDArray[Any]:
    """A glyph between two, as a forger draws it: as far from the outline of one as from that of the other."""
    outlines = [_signed_distance(glyph) for glyph in (one, other)]
    between = (1 - share) * outlines[0] + share * outlines[1]
    return np.clip(128 + 90 * between, 0, 255).astype(np.uint8)


def _signed_distance(glyph: NDArray[Any]) -> NDArray[Any]:
    inside = (glyph > 127).astype(np.uint8)
    return cv2.distanceTransform(inside, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)


def _sheet(glyphs: Sequence[NDArray[Any]], boxed: bool, random: Generator) -> tuple[Any, Any]:
    """Ink and box lines, each 0 to 1, of a sheet with one line of writing."""
    step = SHEET * (random.uniform(1.05, 1.3) if boxed else random.uniform(0.95, 1.2))
    between = SHEET * random.uniform(0.4, 1.1)
    margin = SHEET * random.uniform(0.8, 1.8)
    wide = round(LENGTH * step + 3 * between + 2 * margin)
    tall = round(SHEET * random.uniform(2.4, 4))
    ink, lines = np.zeros((tall, wide), np.float32), np.zeros((tall, wide), np.float32)
    middle, x = tall / 2, margin + step / 2
    size, slope = random.uniform(0.85, 1.1), random.normal(0, 0.01)
    gap = 0.0 if random.random() < 0.5 else step * random.uniform(0.05, 0.12)
    for at, glyph in enumerate(glyphs):
        one = SHEET * size * random.normal(1, 0.06) * (0.78 if boxed else 1.0)
        y = middle + slope * (x - wide / 2) + random.normal(0, 0.03) * SHEET
        _put(ink, glyph, x + random.normal(0, 0.03) * SHEET, y, one, random)
        if boxed:
            half = (step - gap) / 2
            corners = [round(v) for v in (x - half, middle - 0.6 * SHEET, x + half, middle + 0.6 * SHEET)]
            cv2.rectangle(lines, corners[:2], corners[2:], 1.0, int(random.integers(2, 4)), cv2.LINE_AA)
        x += step + (between if at % 2 else 0)
    return ink, lines


def _put(ink: Any, glyph: NDArray[Any], x: float, y: float, size: float, random: Generator) -> None:
    """The glyph with its extent's longer side `size` pixels, its middle at (x, y)."""
    rows, columns = np.nonzero(glyph > 127)
    if not len(rows):
        return
    top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
    scale = size / (max(bottom - top, right - left) + 1)
    turn = random.normal(0, 0.04)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = np.array([(left + right) / 2, (top + bottom) / 2])
    move = np.column_stack([linear, np.array([x, y]) - linear @ middle])
    large = cv2.warpAffine(glyph.astype(np.float32) / 255, move, (ink.shape[1], ink.shape[0]), flags=cv2.INTER_CUBIC)
    np.maximum(ink, np.clip((large - 0.5) * 3 + 0.5, 0, 1) * random.uniform(0.85, 1), out=ink)


def _from_the_side(page: Any, paper: Any, random: Generator) -> Any:
    height, width = page.shape[:2]
    angle = np.radians(random.uniform(-10, 10))
    room = abs(np.sin(angle)) * width / 2
    page = cv2.copyMakeBorder(
        page, int(room), int(room), int(0.1 * width), int(0.1 * width), cv2.BORDER_CONSTANT, value=paper.tolist()
    )
    height, width = page.shape[:2]
    turned = cv2.getRotationMatrix2D((width / 2, height / 2), float(np.degrees(angle)), 1)
    square = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    seen = square + random.uniform(-0.05, 0.05, (4, 2)).astype(np.float32) * np.array([width, height], np.float32)
    whole = cv2.getPerspectiveTransform(square, seen.astype(np.float32)) @ np.vstack([turned, (0, 0, 1)])
    return cv2.warpPerspective(page, whole, (width, height), borderMode=cv2.BORDER_CONSTANT, borderValue=paper.tolist())


def _in_shadow(page: Any, random: Generator) -> Any:
    height, width = page.shape[:2]
    angle = random.uniform(0, 2 * np.pi)
    ys, xs = np.mgrid[:height, :width]
    along = (xs - random.uniform(0.3, 0.7) * width) * np.cos(angle) + (ys - height / 2) * np.sin(angle)
    edge = 1 / (1 + np.exp(-along / (random.uniform(0.02, 0.2) * width)))
    return page * (1 - random.uniform(0.25, 0.55) * edge)[..., None]
