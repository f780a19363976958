"""From a picture to what the decoder wants: probabilities for each of the eight places, with the evidence."""

import heapq
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from cloud.stamps.model import ALPHABET, LENGTH
from cloud.stamps.reader import network
from cloud.stamps.reader.boxes import find_row
from cloud.stamps.reader.network import Floats
from cloud.stamps.reader.picture import Colours, find_ink, open_picture
from cloud.stamps.reader.segment import Corners, Segmentation, in_boxes, on_plain_paper

FONT = cv2.FONT_HERSHEY_SIMPLEX
GUESSES = 3  # a place
LEAST_MARGIN = 0.02  # nats between the best and the second way to part the line
MOST_DOUBT = 0.97  # probability that a piece is no symbol


@dataclass(frozen=True)
class Picture:
    """What was seen. `lattice` is float32 (8, 32), each row summing to 1, in the order of ALPHABET; None where no eight
    symbols were found, and `why` says so. `boxes`: corners of each symbol in `colours`, from its upper left clockwise.
    """

    lattice: Floats | None = field(repr=False)
    boxes: tuple[Corners, ...]
    guesses: tuple[tuple[tuple[str, float], ...], ...]
    quality: float  # probability that all eight pieces are single symbols; 0 where there are no eight
    why: str
    colours: Colours = field(repr=False)


def read_picture(data: bytes) -> Picture:
    """PNG, JPEG or WebP. Raises `Unreadable` for what is no picture; one without a code is a `Picture` that says so."""
    colours = open_picture(data)
    net = network.load()
    ink = find_ink(colours)
    row = find_row(ink)
    found = in_boxes(row) if row is not None else on_plain_paper(ink, lambda frames: _like_symbols(net, frames))
    if not len(found.glyphs):
        return _illegible(
            found, colours, "no eight symbols in a line were found: write one to a box, and photograph the line"
        )
    lattice, doubt = net.posteriors(found.glyphs)
    if found.margin < LEAST_MARGIN:
        return _illegible(found, colours, "the symbols touch, and can be parted in two ways")
    if doubt.max() > MOST_DOUBT:
        return _illegible(found, colours, f"place {int(doubt.argmax()) + 1} holds no single symbol")
    return Picture(lattice, found.corners, _guesses(lattice), float(np.prod(1 - doubt)), "", colours)


def _illegible(found: Segmentation, colours: Colours, why: str) -> Picture:
    return Picture(None, found.corners, (), 0.0, why, colours)


def _like_symbols(net: network.Network, frames: Floats) -> NDArray[np.float32]:
    """log of the likeliest symbol's probability, that of being no symbol counted among them."""
    probabilities = network.softmax(net.logits(frames) / net.temperature)
    return np.log(np.maximum(probabilities[:, : network.SYMBOLS].max(axis=1), 1e-6))


def _guesses(lattice: Floats) -> tuple[tuple[tuple[str, float], ...], ...]:
    best = np.argsort(-lattice, axis=1)[:, :GUESSES]
    return tuple(
        tuple((ALPHABET[symbol], round(float(row[symbol]), 4)) for symbol in order)
        for row, order in zip(lattice, best, strict=True)
    )


def likeliest(lattice: Floats, count: int) -> list[tuple[str, float]]:
    """The `count` likeliest strings of a lattice (8, 32) with their probabilities, the likeliest first.

    Best first: each string's successors take one symbol, at or after the place last changed, to its next likely.
    """
    order = np.argsort(-lattice, axis=1, kind="stable")
    costs = -np.log(np.maximum(np.take_along_axis(lattice, order, axis=1).astype(np.float64), 1e-30))
    heap = [(float(costs[:, 0].sum()), (0,) * LENGTH, 0)]
    found = []
    while heap and len(found) < count:
        cost, depth, last = heapq.heappop(heap)
        string = "".join(ALPHABET[order[place, depth[place]]] for place in range(LENGTH))
        found.append((string, float(np.exp(-cost))))
        for place in range(last, LENGTH):
            if depth[place] + 1 < len(ALPHABET):
                dearer = cost + float(costs[place, depth[place] + 1] - costs[place, depth[place]])
                heapq.heappush(heap, (dearer, (*depth[:place], depth[place] + 1, *depth[place + 1 :]), place))
    return found


def annotate(picture: Picture) -> bytes:
    """A PNG of the picture with a box around each symbol and its likeliest readings above."""
    drawn = cv2.cvtColor(picture.colours, cv2.COLOR_RGB2BGR)
    thick = max(1, round(max(drawn.shape) / 700))
    size = max(drawn.shape) / 1500
    for place, corners in enumerate(picture.boxes):
        sure = picture.guesses[place][0][1] if picture.guesses else 0.0
        colour = (60, 140, 20) if sure > 0.9 else (0, 140, 230) if sure > 0.5 else (40, 40, 210)  # blue, green, red
        outline = np.array(corners, np.float32).round().astype(np.int32)
        cv2.polylines(drawn, [outline[None]], isClosed=True, color=colour, thickness=thick)
        if not picture.guesses:
            continue
        x, y = int(outline[:, 0].min()), int(outline[:, 1].min())
        for line, (symbol, probability) in enumerate(reversed(picture.guesses[place])):
            if probability < 0.005:
                continue
            at = (x, y - round((6 + 26 * line) * size * 1.2) - 4)
            for ink, width in (((255, 255, 255), 3 * thick), (colour, thick)):  # a white rim: it may lie on writing
                cv2.putText(drawn, f"{symbol} {probability:.0%}", at, FONT, 0.7 * size, ink, width, cv2.LINE_AA)
    _, encoded = cv2.imencode(".png", drawn)
    return encoded.tobytes()
