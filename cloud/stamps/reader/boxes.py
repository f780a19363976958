"""Writing boxes: found by the white inside them, and their lines taken away.

A box is seen where its inside is one hole with four sides. With most of the eight seen, their row is straightened
(perspective included), the missing ones follow from their neighbours, and every symbol lies in a place that is known.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud.stamps.model import LENGTH
from cloud.stamps.reader.network import Floats

LEAST_SEEN = 5  # boxes of eight; fewer might be anything
BOX = 96  # pixels a box is high once straightened

Points = NDArray[Any]  # float32


@dataclass(frozen=True)
class Row:
    """Eight boxes, straightened: ink without their lines, from which x to which x each, and the way back."""

    ink: Floats
    spans: tuple[tuple[float, float], ...]
    top: float
    bottom: float
    to_picture: NDArray[Any]  # homography


def find_row(ink: Floats) -> Row | None:
    """The row of writing boxes, None where none is to be seen."""
    best: list[Points] = []
    for level in (0.2, 0.35, 0.5):
        quads = _quads(ink, level)
        row = _in_a_row(quads)
        if len(row) > len(best):
            best = row
    if len(best) < LEAST_SEEN:
        return None
    return _straighten(ink, best)


def _quads(ink: Floats, level: float) -> list[Points]:
    """The four corners (from the upper left, clockwise) of every hole that is a box's inside."""
    lines = (ink > level).astype(np.uint8)
    contours, hierarchy = cv2.findContours(lines, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if hierarchy is None:
        return []
    found = []
    for contour, (_, _, _, parent) in zip(contours, hierarchy[0], strict=True):
        if parent < 0:
            continue
        hull = cv2.convexHull(contour)
        area = cv2.contourArea(hull)
        if area < 300 or area > ink.size / 16:
            continue
        corners = cv2.approxPolyDP(hull, 0.06 * cv2.arcLength(hull, closed=True), closed=True)
        if len(corners) != 4 or cv2.contourArea(corners) < 0.9 * area:
            continue
        quad = _clockwise(corners.reshape(4, 2).astype(np.float32))
        width, height = _size(quad)
        if 0.45 < width / height < 2:
            found.append(quad)
    return found


def _clockwise(corners: Points) -> Points:
    middle = corners.mean(axis=0)
    angles = np.arctan2(corners[:, 1] - middle[1], corners[:, 0] - middle[0])
    ordered = corners[np.argsort(angles)]
    return np.roll(ordered, -int(np.argmin(ordered.sum(axis=1))), axis=0)


def _size(quad: Points) -> tuple[float, float]:
    upper_left, upper_right, lower_right, lower_left = quad
    width = (np.linalg.norm(upper_right - upper_left) + np.linalg.norm(lower_right - lower_left)) / 2
    height = (np.linalg.norm(lower_left - upper_left) + np.linalg.norm(lower_right - upper_right)) / 2
    return float(width), float(height)


def _in_a_row(quads: list[Points]) -> list[Points]:
    """The most boxes, eight at most, of about one size whose middles lie on a line, from left to right."""
    best: list[Points] = []
    for first in quads:
        width, height = _size(first)
        alike = [
            quad for quad in quads if abs(_size(quad)[1] / height - 1) < 0.35 and abs(_size(quad)[0] / width - 1) < 0.45
        ]
        middle = first.mean(axis=0)
        along = (first[1] - first[0] + first[2] - first[3]) / 2
        along = along / np.linalg.norm(along)
        near = []
        for quad in alike:
            offset = quad.mean(axis=0) - middle
            across = abs(float(offset[0] * along[1] - offset[1] * along[0]))
            if across < 0.25 * height + 0.12 * abs(float(offset @ along)):
                near.append(quad)
        near.sort(key=lambda quad: float(quad.mean(axis=0)[0]))
        if len(best) < len(near) <= LENGTH:
            best = near
    return best


def _straighten(ink: Floats, quads: list[Points]) -> Row | None:
    tops = np.concatenate([quad[:2] for quad in quads])
    bottoms = np.concatenate([quad[2:] for quad in quads])
    left = min(float(quad[:, 0].min()) for quad in quads)
    right = max(float(quad[:, 0].max()) for quad in quads)
    upper, lower = np.polyfit(tops[:, 0], tops[:, 1], 1), np.polyfit(bottoms[:, 0], bottoms[:, 1], 1)
    # Up to three boxes were not seen, and may lie on either side.
    width, height = (float(np.median([_size(quad)[i] for quad in quads])) for i in (0, 1))
    margin = (LENGTH - len(quads)) * 1.6 * width + 0.8 * width
    left, right = left - margin, right + margin
    scale = BOX / height
    pad = 0.45 * BOX
    wide = round((right - left) * scale)
    slant = np.median([(quad[3] - quad[0] + quad[2] - quad[1])[0] / 2 for quad in quads])
    source = np.array(
        [
            [left, np.polyval(upper, left)],
            [right, np.polyval(upper, right)],
            [right + slant, np.polyval(lower, right + slant)],
            [left + slant, np.polyval(lower, left + slant)],
        ],
        np.float32,
    )
    target = np.array([[0, pad], [wide, pad], [wide, pad + BOX], [0, pad + BOX]], np.float32)
    straight = cv2.getPerspectiveTransform(source, target)
    flat = cv2.warpPerspective(ink, straight, (wide, round(BOX + 2 * pad)), flags=cv2.INTER_LINEAR)
    seen = [cv2.perspectiveTransform(quad[None], straight)[0] for quad in quads]
    spans = _complete(flat, pad, [(float((q[0, 0] + q[3, 0]) / 2), float((q[1, 0] + q[2, 0]) / 2)) for q in seen])
    if spans is None:
        return None
    for quad in seen:
        _erase(flat, quad)
    for start, end in spans:
        if not any(abs((q[0, 0] + q[3, 0]) / 2 - start) < 0.2 * BOX for q in seen):
            _erase(flat, np.array([[start, pad], [end, pad], [end, pad + BOX], [start, pad + BOX]], np.float32))
    return Row(flat, spans, pad, pad + BOX, np.linalg.inv(straight))


def _complete(flat: Floats, top: float, seen: list[tuple[float, float]]) -> tuple[tuple[float, float], ...] | None:
    """All eight spans from those seen: the steps within pairs and between them repeat. None where they do not."""
    width = float(np.median([end - start for start, end in seen]))
    middles = np.array([(start + end) / 2 for start, end in seen])
    inked = flat[round(top + 0.15 * BOX) : round(top + 0.85 * BOX)].max(axis=0) > 0.5
    every = np.arange(LENGTH)
    # Box i lies at origin + i·step + (i // 2)·extra, and a little more by perspective.
    terms = np.stack([np.ones(LENGTH), every, every // 2, every**2], axis=1)[:, : 4 if len(seen) > 6 else 3]
    best: tuple[int, float, NDArray[np.float64]] | None = None
    for numbered in combinations(range(LENGTH), len(seen)):  # the unseen ones may be any
        places = list(numbered)
        solved, *_ = np.linalg.lstsq(terms[places], middles, rcond=None)
        error = float(np.abs(terms[places] @ solved - middles).max())
        if error > 0.2 * width or solved[1] < 0.9 * width or not 0.05 * width < solved[2] < 3 * width:
            continue
        all_middles = terms @ solved
        empty = sum(
            not inked[max(0, round(x - 0.3 * width)) : max(0, round(x + 0.3 * width))].any() for x in all_middles
        )
        if best is None or (empty, error) < best[:2]:
            best = empty, error, all_middles
    if best is None:
        return None
    return tuple((float(middle - width / 2), float(middle + width / 2)) for middle in best[2])


def _erase(flat: Floats, quad: Points) -> None:
    """Takes a box's four lines away; a stroke that crosses one stays, for it goes on at both sides."""
    thick = 0.045 * BOX
    upper_left, upper_right, lower_right, lower_left = quad
    for start, end, outward in (
        (upper_left, upper_right, (0, -1)),
        (lower_left, lower_right, (0, 1)),
        (upper_left, lower_left, (-1, 0)),
        (upper_right, lower_right, (1, 0)),
    ):
        line = np.zeros(flat.shape, np.uint8)
        reach = round(thick + 1)
        shift = np.array(outward) * thick / 2
        along = (end - start) / max(float(np.linalg.norm(end - start)), 1) * thick
        points = [tuple(round(float(v)) for v in point) for point in (start - along + shift, end + along + shift)]
        cv2.line(line, points[0], points[1], 255, 2 * reach)
        axis = 1 if outward[0] else 0
        distance = 2 * reach + 1
        before, after = np.roll(flat, distance, axis=axis), np.roll(flat, -distance, axis=axis)
        np.minimum(flat, np.where(line > 0, np.minimum(before, after), flat), out=flat)
