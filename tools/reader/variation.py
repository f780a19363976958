"""What hands, pens and cameras do to a glyph: random variations to train with, and cuttings that are no symbol."""

from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cloud.stamps.reader.glyphs import normalise
from cloud.stamps.reader.network import SIDE, Floats

WORK = 44  # pixels of the frame in which a glyph is bent before it is normalised

Ink = NDArray[Any]  # uint8, ink 255


def vary(glyph: Ink, random: Generator) -> Floats:
    """One glyph of any size as another hand, pen and camera would have given it, normalised to (28, 28)."""
    ink = _bend(glyph, random)
    ink = _pen(ink, random)
    if random.random() < 0.06:
        ink = np.maximum(ink, _ruled_remains(ink.shape, random))
    frame = normalise(ink)
    if random.random() < 0.5:  # the extent is found a little wrong
        move = np.array([[random.uniform(0.94, 1.04), 0, 0], [0, random.uniform(0.94, 1.04), 0]])
        move[:, 2] = (1 - move[:, :2].sum(axis=1)) * (SIDE - 1) / 2 + random.normal(0, 0.5, 2)
        frame = cv2.warpAffine(frame, move, (SIDE, SIDE))
    return np.clip(frame, 0, 1)


def no_symbol(left: Ink, right: Ink, random: Generator) -> Floats:
    """What a wrong cut gives: two glyphs as one, or a part of one, or one with a part of its neighbour."""
    a, b = _trim(_pen(_bend(left, random), random)), _trim(_pen(_bend(right, random), random))
    kind = random.random()
    if kind < 0.4:
        return normalise(_beside(a, b, random))
    if kind < 0.6:
        at = int(a.shape[1] * random.uniform(0.35, 0.65))
        half = a[:, :at] if random.random() < 0.5 else a[:, at:]
        return normalise(np.pad(half, 2))
    if kind < 0.9:
        at = max(1, int(b.shape[1] * random.uniform(0.3, 0.6)))
        return normalise(_beside(a, b[:, :at], random) if random.random() < 0.5 else _beside(b[:, -at:], a, random))
    blot = np.zeros((WORK, WORK), np.float32)
    for _ in range(random.integers(1, 3)):
        x, y = random.integers(4, WORK - 4, 2)
        if random.random() < 0.5:
            cv2.circle(blot, (int(x), int(y)), int(random.integers(1, 8)), 1.0, -1)
        else:
            cv2.line(blot, (int(x), 0), (int(x), WORK), 1.0, int(random.integers(1, 3)))
            cv2.line(blot, (0, int(y)), (WORK, int(y)), 1.0, int(random.integers(1, 3)))
    return normalise(blot)


def french(symbol: str, glyph: Ink, random: Generator) -> Ink:
    """A one with its upstroke, a seven with its bar: EMNIST's American hands write neither."""
    rows, columns = np.nonzero(glyph > 127)
    if not len(rows):
        return glyph
    top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
    drawn = glyph.copy()
    pen = int(random.integers(2, 4))
    if symbol == "1" and right - left < 9:
        head = int(columns[rows <= top + 2].mean())
        length = random.uniform(0.25, 0.65) * (bottom - top)
        angle = random.uniform(0.35, 1.1)  # radians from the stem
        foot = (round(head - length * np.sin(angle)), round(top + length * np.cos(angle)))
        shift = max(0, 2 - foot[0])
        drawn = np.roll(drawn, shift, axis=1)
        cv2.line(drawn, (head + shift, int(top) + 1), (foot[0] + shift, foot[1]), 255, pen, cv2.LINE_AA)
    elif symbol == "7":
        y = int(top + (bottom - top) * random.uniform(0.42, 0.62))
        stem = columns[np.abs(rows - y) <= 1]
        if len(stem):
            middle, half = float(stem.mean()), random.uniform(3, 7)
            slope = int(random.integers(-1, 2))
            cv2.line(drawn, (round(middle - half), y + slope), (round(middle + half), y - slope), 255, pen, cv2.LINE_AA)
    return drawn


def _bend(glyph: Ink, random: Generator) -> Floats:
    """Turned, slanted, stretched and bent elastically, in a frame of WORK pixels."""
    height, width = glyph.shape
    scale = 36 / max(height, width)
    turn, slant = random.normal(0, 0.09), random.normal(0, 0.14)
    stretch = np.exp(random.normal(0, 0.13))
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    forward = turned @ np.array([[1, slant], [0, 1]]) @ np.diag([scale * stretch, scale / stretch])
    back = np.linalg.inv(forward)
    ys, xs = np.mgrid[:WORK, :WORK].astype(np.float32) - (WORK - 1) / 2
    bend = cv2.resize(
        random.normal(0, random.choice((0.0, 0.6, 1.2)), (5, 5, 2)).astype(np.float32),
        (WORK, WORK),
        interpolation=cv2.INTER_CUBIC,
    )
    xs, ys = xs + bend[..., 0], ys + bend[..., 1]
    from_x = (back[0, 0] * xs + back[0, 1] * ys + (width - 1) / 2).astype(np.float32)
    from_y = (back[1, 0] * xs + back[1, 1] * ys + (height - 1) / 2).astype(np.float32)
    if scale < 1:
        glyph = cv2.GaussianBlur(glyph, (0, 0), 0.4 / scale)
    return cv2.remap(glyph, from_x, from_y, cv2.INTER_LINEAR).astype(np.float32) / 255


def _pen(ink: Floats, random: Generator) -> Floats:
    """Thicker or thinner, sharper or softer."""
    ink = cv2.GaussianBlur(ink, (0, 0), random.uniform(0.4, 1.4))
    inked = ink[ink > 0.15]
    peak = float(inked.mean()) if len(inked) else 1.0  # of a thin stroke, blurring leaves less
    slope = random.uniform(2, 7) / peak
    level = max(peak * random.uniform(0.3, 0.95), 0.5 / slope)  # where the edge lies: low is a broad pen
    return np.clip((ink - level) * slope + 0.5, 0, 1).astype(np.float32)


def _ruled_remains(shape: tuple[int, ...], random: Generator) -> Floats:
    """A piece of a writing box's line that was not taken away."""
    remains = np.zeros(shape, np.float32)
    edge = int(random.choice((random.integers(3, 8), random.integers(WORK - 8, WORK - 3))))
    start = int(random.integers(4, WORK - 14))
    end = start + int(random.integers(4, 14))
    ends = ((edge, start), (edge, end)) if random.random() < 0.6 else ((start, edge), (end, edge))
    cv2.line(remains, *ends, float(random.uniform(0.5, 1)), 1)
    return remains


def _trim(ink: Floats) -> Floats:
    rows, columns = np.nonzero(ink > 0.5)
    if not len(rows):
        return ink
    return ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def _beside(a: Floats, b: Floats, random: Generator) -> Floats:
    gap = int(random.integers(-3, 6))
    height = max(a.shape[0], b.shape[0])
    both = np.zeros((height + 4, max(a.shape[1] + b.shape[1] + gap, a.shape[1], b.shape[1]) + 4), np.float32)
    for ink, x in ((a, 2), (b, max(2, 2 + a.shape[1] + gap))):
        y = 2 + (height - ink.shape[0]) // 2
        room = both[y : y + ink.shape[0], x : x + ink.shape[1]]
        np.maximum(room, ink[:, : room.shape[1]], out=room)
    return both
