"""The map of departments: whole, small, its neighbours still neighbours; and what is no map is refused."""

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException
from hypothesis import given
from hypothesis import strategies as st

from cloud.console import france
from cloud.console.france import FILE, OVERSEAS, meeting_points, on_grid, read_map, rings_of, thinned

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{}</svg>'
MOST = 40_000  # bytes of the map in a page


def rings() -> dict[str, list[list[france.Point]]]:
    drawing = ElementTree.parse(FILE).getroot()
    assert drawing is not None
    paths = (one for one in drawing.iter() if one.tag.endswith("path"))
    return {one.attrib["id"]: [on_grid(ring) for ring in rings_of(one.attrib["d"])] for one in paths}


def test_every_department_is_there_and_the_map_is_small():
    drawn = read_map(FILE)
    numbers = [f"{number:02d}" for number in range(1, 96) if number != 20] + ["2A", "2B"]
    assert [one.number for one in drawn.departments] == sorted(numbers)
    assert {one.number: one.name for one in drawn.departments}["35"] == "Ille-et-Vilaine"
    assert drawn.names["974"] == OVERSEAS["974"]
    assert sum(len(one.path) for one in drawn.departments) < MOST * 0.6  # the rest is for words


def test_marks_stand_in_the_drawing():
    drawn = read_map(FILE)
    for one in drawn.departments:
        assert 0 < one.x < drawn.width, one.number
        assert 0 < one.y < drawn.height, one.number


def test_neighbours_have_the_same_border_when_it_is_thinned():
    whole = rings()
    ends = meeting_points(ring for each in whole.values() for ring in each)

    def edges(of: dict[str, list[list[france.Point]]]) -> Counter[frozenset[france.Point]]:
        rings_of_all = (ring for each in of.values() for ring in each)
        return Counter(frozenset(edge) for ring in rings_of_all for edge in pairwise([*ring, *ring[:1]]))

    before = edges(whole)
    after = edges({number: [thinned(ring, ends) for ring in each] for number, each in whole.items()})
    shared, still = ({edge for edge, count in of.items() if count == 2} for of in (before, after))
    inland = {corner for edge in shared for corner in edge}
    # Whatever edge has both its ends on borders between departments is an edge of both of them.
    alone = [edge for edge in after.keys() - still if len(edge & inland) == 2 and edge not in before]
    assert len(still) > 1000
    assert len(alone) <= len(still) / 50  # coasts between two inland corners, islands of one step


corners = st.tuples(st.integers(0, 40), st.integers(0, 40))


@given(ring=st.lists(corners, min_size=3, max_size=30, unique=True), ends=st.sets(corners, max_size=8))
def test_a_border_is_thinned_the_same_way_from_both_sides(ring, ends):
    there, back = thinned(ring, frozenset(ends)), thinned(ring[::-1], frozenset(ends))
    assert set(there) == set(back)
    assert set(there) <= set(ring)
    assert set(ring) & set(ends) <= set(there) or len(set(ring) & set(ends)) < 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<svg/>",
        SVG.format('<path id="01" aria-label="Ain" d="M 1,1 C 2,2 3,3 4,4 z"/>'),
        SVG.format('<path id="&quot;&gt;" aria-label="Ain" d="m 1,1 5,0 0,5 z"/>'),
        SVG.format('<path id="01" d="m 1,1 5,0 0,5 z"/>'),
        SVG.format('<path id="01" aria-label="Ain" d="m 1,1 5,0 z"/>'),
        '<!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>' + SVG.format("&b;"),
    ],
)
def test_what_is_no_map_is_refused(tmp_path: Path, text: str):
    path = tmp_path / "map.svg"
    path.write_text(text)
    with pytest.raises((ValueError, LookupError, ElementTree.ParseError, DefusedXmlException)):
        read_map(path)


def test_the_drawing_has_relative_moves_alone():
    for one in read_map(FILE).departments:
        assert re.fullmatch(r"(M\d+ \d+l[-\d ]+z)+", one.path), one.number
