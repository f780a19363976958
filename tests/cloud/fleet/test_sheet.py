import contextlib
import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloud.fleet import sheet
from cloud.fleet.model import MAX_LABEL, MAX_PLACE, Button, State
from cloud.fleet.sheet import Line, Unreadable
from tests.cloud.fleet.conftest import NOW

printable = st.characters(codec="utf-8", exclude_categories=("C", "Z"))
texts = st.text(st.one_of(printable, st.sampled_from(" =+-@',;\"")), max_size=MAX_LABEL).map(str.strip)
fleets = st.dictionaries(st.integers(0, 2**32 - 1), st.tuples(texts, texts), max_size=20)


def button(id: int, place: str | None, label: str) -> Button:
    return Button(
        id=id,
        key_generation=0,
        state=State.ACTIVE,
        place=place,
        department=None,
        owner_id=None,
        created_at=NOW,
        claimed_at=None,
        last_seen_at=None,
        last_counter=0,
        battery_mv=None,
        temperature_c=None,
        label=label,
    )


def refusal(content: bytes) -> str:
    with pytest.raises(Unreadable) as refused:
        sheet.read(content)
    return str(refused.value)


def whys(content: bytes) -> list[tuple[int, str]]:
    return [(fault.number, str(fault.why)) for fault in sheet.read(content).faults]


@given(fleets, st.sampled_from([",", ";"]))
@example({1: ("=1+1", "'=1"), 2: ("'", "''"), 3: ("'t Hof", "-"), 4: ('a;b,"c"', "'@")}, ";")
def test_what_goes_out_comes_in_again_unchanged(fleet: dict[int, tuple[str, str]], delimiter: str):
    buttons = [button(id, place or None, label) for id, (place, label) in fleet.items()]
    content = b"".join(sheet.write([buttons[:7], buttons[7:]], delimiter))
    came = sheet.read(content)
    assert list(came.faults) == []
    assert {line.id: (line.place, line.label) for line in came.lines} == fleet


@given(fleets)
def test_no_cell_that_goes_out_is_a_formula(fleet: dict[int, tuple[str, str]]):
    content = b"".join(sheet.write([[button(id, place, label) for id, (place, label) in fleet.items()]]))
    for row in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")):
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row[:3])


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda data: b"id,place\n" + data))
def test_no_bytes_break_the_reader(content: bytes):
    with contextlib.suppress(Unreadable):
        came = sheet.read(content)
        numbers = [line.number for line in came.lines] + [fault.number for fault in came.faults]
        assert len(numbers) == len(set(numbers))
        assert all(number > 1 for number in numbers)
        assert len({line.id for line in came.lines}) == len(came.lines)


@given(st.lists(st.tuples(texts, texts), max_size=8), st.sampled_from([",", ";", "\t"]), st.booleans())
def test_cells_are_read_as_spreadsheets_write_them(rows, delimiter: str, marked: bool):
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows(
        [("label", "ID", "place"), *((label, f"{n:x}", place) for n, (place, label) in enumerate(rows))]
    )
    came = sheet.read((b"\xef\xbb\xbf" if marked else b"") + out.getvalue().encode())
    assert [(line.id, line.place, line.label) for line in came.lines] == [
        (n, sheet._plain(place), sheet._plain(label)) for n, (place, label) in enumerate(rows)
    ]


def test_an_absent_column_leaves_what_is_there_and_an_empty_cell_clears_it():
    assert sheet.read(b"id;label\n1;\n").lines == [Line(2, 1, None, "")]
    assert sheet.read(b"id;place;state\n1\n").lines == [Line(2, 1, "", None)]
    assert sheet.read(b"id;place;state\n1\n").left_alone == ["state"]


def test_blank_lines_are_passed_over_and_lines_are_counted_as_an_editor_does():
    came = sheet.read(b'id,place\r\n\r\n,\r\n1,"35\r\nRennes"\r\n2,35 Rennes\r\n')
    assert [fault.number for fault in came.faults] == [4]
    assert [(line.number, line.id) for line in came.lines] == [(6, 2)]


def test_a_file_that_cannot_be_read_says_why_and_the_way_out():
    assert "Line 3 is not UTF-8" in refusal("id,place\n1,x\n2,35 Café\n".encode("latin-1"))
    assert "“CSV UTF-8”" in refusal("id,place\n1,35 Café\n".encode("cp1252"))
    assert "UTF-16" in refusal("id,place\n1,35 Café\n".encode("utf-16"))
    assert "zero bytes" in refusal(b"id,place\n1,\0\n")
    assert "name the columns" in refusal(b"")
    assert "name the columns" in refusal(b"0012AB34,35 Rennes\n")
    assert "unknown column, “town”" in refusal(b"id,town\n1,Rennes\n")
    assert "twice" in refusal(b"id,place,Place\n")


def test_a_line_that_cannot_be_taken_says_why():
    long = b"x" * (MAX_PLACE + 1)
    told = dict(whys(b'id,place\nxyz,\n1,2,3\n,35 Rennes\n1.2E+05,\n5,%b\n6,a\n6,b\n7,a\x07b\n8,"a\n9,\n' % long))
    assert told[2].startswith("No id: it has up to 8 hex digits")
    assert told[3].startswith("3 cells under 2 columns")
    assert told[4] == "No id."
    assert "took the id for a number" in told[5]
    assert "at most 60 characters" in told[6]
    assert told[8] == "The same button as in line 7."
    assert "printable" in told[9]
    assert "quotation mark" in told[10]


def test_too_long_a_file_is_refused_before_it_is_taken_apart():
    assert "bytes: cut" in refusal(b"id\n" + b"1" * sheet.MAX_BYTES)
    many = b"id\n" + b"".join(b"%x\n" % n for n in range(sheet.MAX_LINES + 1))
    assert "lines: cut" in refusal(many)
