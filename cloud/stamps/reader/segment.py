"""Where the eight symbols are: from the ink of a picture to eight pieces of ink.

In writing boxes the places are known. On plain paper the line is found by the angle at which the ink gathers in rows,
its strokes are cut wherever two symbols could meet, and of all ways to make eight symbols in four pairs of the pieces
the one is taken that the network finds most like symbols (dynamic programming over runs of pieces).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud.stamps.model import LENGTH
from cloud.stamps.reader.boxes import BOX, Row
from cloud.stamps.reader.glyphs import normalise
from cloud.stamps.reader.network import Floats

HALF = 0.5  # of the pen's ink: where a stroke's edge lies
LINE = 96  # pixels that symbols are high once a line is straightened
MOST_PIECES = 40  # of a line; more is a drawing, or a page
RUN = 5  # pieces that a symbol may be made of
GAP_WEIGHT = 2.0  # nats for a gap as wide as a symbol is high, between pairs for it, within one against it
LOST_WEIGHT = 8.0  # nats for ink left out, as much as a symbol has
GAPS = (-0.4, 1.2)  # symbol heights: no gap counts for more
SPECK = 6.0  # nats against a symbol of no height
CUT = 1.0  # nats against each side of a cut through a stroke
JOINED = 1.5  # nats against two strokes beside each other as one symbol
SAME = 0.7  # share of the ink of both by which two symbols count as the same
MOST_LEFT_OVER = 0.4  # symbols' worth of ink that belongs to none of the eight
MOST_OTHER = 2.0  # nats by which seven or nine symbols may be likelier, pairs not looked at
PIECES_TOLD = 16  # rectangles shown where no eight symbols were found

Mask = NDArray[np.bool_]
Corners = tuple[tuple[float, float], ...]
Judge = Callable[[Floats], Floats]  # (n, 28, 28) → (n,) log-likelihood of being one symbol


@dataclass(frozen=True)
class Segmentation:
    """Eight frames and their corners in the picture; or none, and the corners of what was seen."""

    glyphs: Floats  # (8, 28, 28), or (0, 28, 28)
    corners: tuple[Corners, ...]
    margin: float  # nats to the best other way to cut; infinite in boxes
    score: float = 0.0  # nats, the higher the more like eight symbols in pairs


def nothing(corners: tuple[Corners, ...] = ()) -> Segmentation:
    return Segmentation(np.zeros((0, 28, 28), np.float32), corners, 0.0, -np.inf)


def in_boxes(row: Row) -> Segmentation:
    """One symbol a box; where a box is empty there are no eight."""
    edges = [row.spans[0][0] - 0.35 * BOX]
    edges += [(before[1] + after[0]) / 2 for before, after in zip(row.spans, row.spans[1:], strict=False)]
    edges += [row.spans[-1][1] + 0.35 * BOX]
    count, labels, stats, middles = cv2.connectedComponentsWithStats((row.ink > HALF).astype(np.uint8))
    places: list[Mask] = [np.zeros(row.ink.shape, bool) for _ in range(LENGTH)]
    columns = np.arange(row.ink.shape[1])
    for label in range(1, count):
        if not row.top - 0.25 * BOX < middles[label][1] < row.bottom + 0.25 * BOX:
            continue
        piece = labels == label
        area = float(stats[label, cv2.CC_STAT_AREA])
        shares = [float(piece[:, (columns >= start) & (columns < end)].sum()) / area for start, end in pairwise(edges)]
        at = int(np.argmax(shares))
        for place, share in enumerate(shares):
            if shares[at] > 0.8 and place == at:
                places[place] |= piece
            elif shares[at] <= 0.8 and share > 0.1:
                places[place] |= piece & (columns >= edges[place]) & (columns < edges[place + 1])
    kept = [_without_specks(mask, 0.006 * BOX * BOX) for mask in places]
    corners = tuple(_corners(mask, row.to_picture) for mask in kept if mask.any())
    if len(corners) < LENGTH:
        return nothing(corners)
    glyphs = np.stack([_frame(row.ink, mask) for mask in kept])
    return Segmentation(glyphs, corners, np.inf)


def on_plain_paper(ink: Floats, judge: Judge) -> Segmentation:
    """The best line of the picture as eight symbols in pairs."""
    best = nothing()
    for line, to_picture in _lines(ink):
        found = _cut_line(line, to_picture, judge)
        if found.score > best.score or not best.corners:
            best = found
    return best


def _lines(ink: Floats) -> Iterator[tuple[Floats, NDArray[np.float64]]]:
    """Lines of writing, the one with most ink first: straightened ink, symbols about LINE pixels high, and the way
    back."""
    small = 500 / max(ink.shape)
    coarse = (cv2.resize(ink, None, fx=small, fy=small, interpolation=cv2.INTER_AREA) > 0.3).astype(np.float32)
    ys, xs = np.nonzero(coarse)
    if len(ys) < 20:
        return

    def gathered(angle: float) -> float:
        rows = np.bincount(np.round(ys * np.cos(angle) - xs * np.sin(angle) + 500).astype(int), minlength=1)
        return float((rows.astype(np.float64) ** 2).sum())

    angles = np.radians(np.arange(-25, 25.5, 0.5))
    angle = max(angles, key=gathered)
    height, width = ink.shape
    turned = cv2.getRotationMatrix2D((width / 2, height / 2), float(np.degrees(angle)), 1.0)
    corners = turned @ np.array([[0, width, width, 0], [0, 0, height, height], [1, 1, 1, 1]], np.float64)
    turned[:, 2] -= corners.min(axis=1)
    size = tuple(int(v) + 1 for v in corners.max(axis=1) - corners.min(axis=1))
    flat = cv2.warpAffine(ink, turned, size, flags=cv2.INTER_LINEAR)
    bands = sorted(_bands(flat > HALF), key=lambda band: -float(flat[band[0] : band[1]].sum()))
    for top, bottom in bands[:4]:
        band = flat[top:bottom]
        heights = _heights(band > HALF)
        if heights is None:
            continue
        scale = LINE / heights
        # The row's own slope, which perspective leaves: the middles of its symbols lie on a line.
        slope, origin = _slope(band > HALF, heights)
        away = np.array([[1, 0, 0], [-slope, 1, -origin - top + (bottom - top) / 2], [0, 0, 1]]) @ np.vstack(
            [turned, (0, 0, 1)]
        )
        away = np.diag([scale, scale, 1]) @ away
        tall = round((bottom - top) * scale + LINE * 0.6)
        away[1, 2] += tall / 2 - (bottom - top) / 2 * scale
        wide = round(size[0] * scale)
        if wide > 12_000 or tall > 1_000:
            continue
        straight = cv2.warpAffine(ink, away[:2], (wide, tall), flags=cv2.INTER_LINEAR)
        yield straight, np.linalg.inv(away)


def _bands(mask: Mask) -> list[tuple[int, int]]:
    """From where to where rows have ink; bands with hardly any height belong to none."""
    filled = mask.sum(axis=1) > 1
    edges = np.flatnonzero(np.diff(np.concatenate([[False], filled, [False]]).astype(int)))
    bands = [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    tallest = max((b - a for a, b in bands), default=0)
    joined: list[tuple[int, int]] = []
    for start, end in bands:
        # A dot or bar just above its letters, a foot just below.
        if joined and start - joined[-1][1] < 0.06 * tallest:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    return [(a, b) for a, b in joined if b - a > max(0.2 * tallest, 8)]


def _heights(mask: Mask) -> float | None:
    """How high the symbols of a band are, in pixels."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    heights = stats[1:, cv2.CC_STAT_HEIGHT]
    tall = heights[heights > 0.35 * heights.max(initial=0)]
    return float(np.percentile(tall, 60)) if len(tall) >= 3 else None


def _slope(mask: Mask, height: float) -> tuple[float, float]:
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    tall = stats[1:][stats[1:, cv2.CC_STAT_HEIGHT] > 0.5 * height]
    if len(tall) < 4:
        return 0.0, mask.shape[0] / 2
    xs = tall[:, cv2.CC_STAT_LEFT] + tall[:, cv2.CC_STAT_WIDTH] / 2
    ys = tall[:, cv2.CC_STAT_TOP] + tall[:, cv2.CC_STAT_HEIGHT] / 2
    slope, origin = np.polyfit(xs, ys, 1)
    return float(slope), float(origin)


def _cut_line(ink: Floats, to_picture: NDArray[np.float64], judge: Judge) -> Segmentation:
    pieces, strokes = _pieces(ink)
    seen = tuple(_corners(piece, to_picture) for piece in pieces[:PIECES_TOLD])
    if not LENGTH <= len(pieces) <= MOST_PIECES:
        return nothing(seen)
    boxes = [cv2.boundingRect(piece.astype(np.uint8)) for piece in pieces]
    areas = np.array([piece.sum() for piece in pieces], np.float64)
    spans = np.array([(x, x + w) for x, _, w, _ in boxes], np.float64)
    runs: list[tuple[int, int]] = []
    for start in range(len(pieces)):
        for end in range(start + 1, min(start + RUN, len(pieces)) + 1):
            width = spans[start:end, 1].max() - spans[start:end, 0].min()
            if end == start + 1 or width < 1.7 * LINE:
                runs.append((start, end))
    frames = np.stack([_frame(ink, np.logical_or.reduce(pieces[a:b])) for a, b in runs])
    liked = judge(frames).astype(np.float64)
    left = np.array([spans[a:b, 0].min() for a, b in runs])
    right = np.array([spans[a:b, 1].max() for a, b in runs])
    tall = np.array([max(y + h for _, y, _, h in boxes[a:b]) - min(y for _, y, _, _ in boxes[a:b]) for a, b in runs])
    liked -= np.array([_unlikely(strokes, spans, a, b) for a, b in runs])
    liked -= SPECK * np.maximum(0, 1 - tall / (0.45 * LINE))  # a speck is like a one
    lost = np.concatenate([[0], np.cumsum(LOST_WEIGHT * LENGTH * areas / areas.sum())])
    starts, ends = np.array(runs).T
    # From run i to run j: what lies between is lost, and the gap speaks for two pairs or against one.
    steps = np.where(ends[:, None] <= starts[None], lost[ends][:, None] - lost[starts][None], -np.inf)
    gaps = GAP_WEIGHT * np.clip((left[None] - right[:, None]) / LINE, *GAPS)
    first, last = liked - lost[starts], lost[ends] - lost[-1]

    def best(allowed: Mask, count: int = LENGTH, paired: bool = True) -> tuple[float, list[int]]:
        """Viterbi: the best score of `count` allowed runs in order, and which."""
        scores, ways = np.where(allowed, first, -np.inf), []
        for taken in range(1, count):
            reached = scores[:, None] + steps + paired * (gaps if taken % 2 == 0 else -gaps)
            ways.append(reached.argmax(axis=0))
            scores = np.where(allowed, reached.max(axis=0) + liked, -np.inf)
        path = [int(np.argmax(scores + last))]
        for way in reversed(ways):
            path.append(int(way[path[-1]]))
        return float((scores + last).max()), path[::-1]

    everything = np.ones(len(runs), bool)
    score, path = best(everything)
    if not np.isfinite(score):
        return nothing(seen)
    chosen = [runs[run] for run in path]
    # As seven symbols, or as nine: where that is likelier, a symbol was left out or written twice.
    eight = sum(liked[path]) - sum(
        lost[b] - lost[a] for (_, a), (b, _) in pairwise([(0, 0), *chosen, (len(pieces), 0)])
    )
    others = max(best(everything, count, paired=False)[0] for count in (LENGTH - 1, LENGTH + 1))
    if others > eight + MOST_OTHER:
        return nothing(seen)
    ink_to = np.concatenate([[0], np.cumsum(areas)])
    unused = [at for at in range(len(pieces)) if not any(start <= at < end for start, end in chosen)]
    left_over = 1 - sum(ink_to[end] - ink_to[start] for start, end in chosen) / ink_to[-1]
    if LENGTH * left_over > MOST_LEFT_OVER or any(boxes[at][3] > 0.6 * LINE for at in unused):
        return nothing(seen)
    other = -np.inf
    for start, end in chosen:  # the best way without this symbol, nor one that is nearly all of the same ink
        shared = ink_to[np.maximum(np.minimum(ends, end), starts)] - ink_to[np.minimum(np.maximum(starts, start), ends)]
        shared = np.where((starts < end) & (ends > start), shared, 0)
        joint = ink_to[ends] - ink_to[starts] + ink_to[end] - ink_to[start] - shared
        other = max(other, best(shared < SAME * joint)[0])
    masks = [np.logical_or.reduce(pieces[a:b]) for a, b in chosen]
    return Segmentation(
        np.stack([_frame(ink, mask) for mask in masks]),
        tuple(_corners(mask, to_picture) for mask in masks),
        score - other,
        score,
    )


def _pieces(ink: Floats) -> tuple[list[Mask], list[int]]:
    """The strokes of a line from left to right, specks left out, wide ones cut where they are thinnest; and which
    stroke each piece is of."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((ink > HALF).astype(np.uint8))
    pieces: list[tuple[float, int, Mask]] = []
    for label in range(1, count):
        if stats[label, cv2.CC_STAT_AREA] < 0.004 * LINE * LINE or stats[label, cv2.CC_STAT_HEIGHT] > 2.2 * LINE:
            continue
        pieces += [(float(np.nonzero(cut)[1].mean()), label, cut) for cut in _cuts(labels == label)]
    pieces.sort(key=lambda piece: piece[:2])
    return [cut for _, _, cut in pieces], [label for _, label, _ in pieces]


def _unlikely(strokes: list[int], spans: NDArray[np.float64], start: int, end: int) -> float:
    """Nats against a symbol of these pieces: a stroke cut through, strokes joined that lie beside each other."""
    inside = set(strokes[start:end])
    cut = len(inside & {*strokes[:start], *strokes[end:]})
    right, beside = spans[start, 1], 0
    for piece in range(start + 1, end):
        apart = strokes[piece] != strokes[piece - 1]
        beside += apart and spans[piece, 0] > right - 0.3 * (spans[piece, 1] - spans[piece, 0])
        right = max(right, spans[piece, 1])
    return CUT * cut + JOINED * beside


def _cuts(piece: Mask) -> list[Mask]:
    x, _, width, _ = cv2.boundingRect(piece.astype(np.uint8))
    if width < 0.95 * LINE:
        return [piece]
    profile = cv2.GaussianBlur(piece[:, x : x + width].sum(axis=0).astype(np.float32)[None], (0, 0), 2)[0]
    columns = np.arange(piece.shape[1])
    wall = 0.22 * LINE
    at: list[int] = []
    for column in np.argsort(profile):
        if profile[column] > 0.45 * LINE or len(at) >= 4:
            break
        if wall < column < width - wall and all(abs(column - other) > 0.25 * LINE for other in at):
            at.append(int(column))
    edges = [0, *sorted(x + column for column in at), piece.shape[1]]
    return [piece & (columns >= a) & (columns < b) for a, b in pairwise(edges)]


def _without_specks(mask: Mask, least: float) -> Mask:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    kept = [label for label in range(1, count) if stats[label, cv2.CC_STAT_AREA] >= least]
    return np.isin(labels, kept) if kept else np.zeros_like(mask)


def _frame(ink: Floats, mask: Mask) -> Floats:
    """The ink of one symbol alone, its soft edges with it."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    room = 6
    rows = slice(max(y - room, 0), y + height + room)
    columns = slice(max(x - room, 0), x + width + room)
    near = cv2.dilate(mask[rows, columns].astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    cut = np.where(near, np.clip((ink[rows, columns] - HALF) * 2 + 0.5, 0, 1), 0).astype(np.float32)
    return normalise(np.pad(cut, room))


def _corners(mask: Mask, to_picture: NDArray[np.float64]) -> Corners:
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    square = np.array([[[x, y], [x + width, y], [x + width, y + height], [x, y + height]]], np.float64)
    moved = cv2.perspectiveTransform(square, to_picture)[0]
    return tuple((round(float(px), 1), round(float(py), 1)) for px, py in moved)
