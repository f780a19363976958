"""The fleet as a table in a file: CSV that spreadsheets write and read, and what goes out comes in again unchanged.

Read is UTF-8 with or without its mark, with commas, semicolons or tabs between the cells. The first line names the
columns. `id`, `place` and `label` are taken; the others of an export are known and left alone.

A cell that begins with = + - @ is a formula to a spreadsheet, and what stands in it may have been typed by anybody.
Such a text goes out with an apostrophe before it, which shows it as text, and comes in without it (OWASP, "CSV
Injection").
"""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cloud.fleet.model import ID_DIGITS, Button, check_label, check_place, format_id, parse_id
from cloud.words import N_, Said

MAX_BYTES = 24_000_000  # 200 000 lines of an export
MAX_LINES = 200_000
TAKEN = ("id", "place", "label")
TOLD = (
    *("department", "state", "claimed", "last_heard", "battery_mv", "temperature_c", "counter", "key_generation"),
    "in_fleet_since",
)
COLUMNS = (*TAKEN, *TOLD)

_DELIMITERS = (",", ";", "\t")
_FORMULA = ("=", "+", "-", "@")
_AS_NUMBER = re.compile(r"[0-9]([.,][0-9]*)?E[+-]?[0-9]+", re.IGNORECASE)
_SPACES = str.maketrans("\u00a0\u202f", "  ")  # which French spreadsheets set before signs, and a place has not


class Unreadable(ValueError):
    """Nothing of the file can be taken; `said` is why and what to do, for its reader's language."""

    def __init__(self, said: Said) -> None:
        super().__init__(str(said))
        self.said = said


@dataclass(frozen=True, slots=True)
class Line:
    """What a line says of a button. None: the file has no such column, and the button's own stays."""

    number: int
    id: int
    place: str | None  # empty: none
    label: str | None  # empty: none


@dataclass(frozen=True, slots=True)
class Fault:
    number: int  # of the line
    why: Said
    text: str = ""  # of the cell


@dataclass(frozen=True, slots=True)
class Sheet:
    lines: Sequence[Line]
    faults: Sequence[Fault]
    left_alone: Sequence[str] = ()  # columns that are known and not taken


def read(content: bytes) -> Sheet:
    """What a file says, line by line; raises `Unreadable`."""
    text = _text(content)
    delimiter, columns = _header(text)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    next(rows)
    lines: list[Line] = []
    faults: list[Fault] = []
    seen: dict[int, int] = {}
    number = rows.line_num + 1
    try:
        for cells in rows:
            if any(cell.strip() for cell in cells):
                if len(lines) + len(faults) == MAX_LINES:
                    raise Unreadable(N_("More than %(n)s lines: cut the file in several.", n=MAX_LINES))
                found = _line(number, cells, columns)
                if isinstance(found, Line) and found.id in seen:
                    found = Fault(
                        number, N_("The same button as in line %(line)s.", line=seen[found.id]), format_id(found.id)
                    )
                if isinstance(found, Line):
                    seen[found.id] = number
                    lines.append(found)
                else:
                    faults.append(found)
            number = rows.line_num + 1
    except csv.Error:
        faults.append(
            Fault(number, N_("A quotation mark that is not closed, or text after one: this line and all below it."))
        )
    return Sheet(lines, faults, [column for column in columns if column in TOLD])


def _text(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise Unreadable(N_("More than %(n)s bytes: cut the file in several.", n=MAX_BYTES))
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise Unreadable(N_("The file is UTF-16: save it as “CSV UTF-8”."))
    try:
        text = content.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(
            N_(
                "Line %(line)s is not UTF-8, so its accents cannot be read: save the file as “CSV UTF-8” (in Excel:"
                " Save as, CSV UTF-8; in LibreOffice: character set UTF-8).",
                line=line,
            )
        ) from None
    if "\0" in text:
        raise Unreadable(N_("The file holds zero bytes, so it is no CSV."))
    return text


def _header(text: str) -> tuple[str, list[str]]:
    """The delimiter, and the columns in the order of the file."""
    for delimiter in _DELIMITERS:
        try:
            first = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), [])
        except csv.Error:
            continue
        columns = [cell.strip().lower() for cell in first]
        if "id" not in columns:
            continue
        if unknown := next((column for column in columns if column not in COLUMNS), None):
            raise Unreadable(
                N_(
                    "Line 1 names an unknown column, “%(column)s”. There are: %(columns)s.",
                    column=unknown[:40] if unknown.isprintable() else "",
                    columns=", ".join(COLUMNS),
                )
            )
        if len(set(columns)) < len(columns):
            raise Unreadable(N_("Line 1 names a column twice."))
        return delimiter, columns
    raise Unreadable(N_("Line 1 has to name the columns: id, place, label."))


def _line(number: int, cells: Sequence[str], columns: Sequence[str]) -> Line | Fault:
    if len(cells) > len(columns):
        return Fault(
            number,
            N_(
                "%(n)s cells under %(columns)s columns: put a text with a comma or semicolon between quotation marks.",
                n=len(cells),
                columns=len(columns),
            ),
        )
    said = dict(zip(columns, cells, strict=False))
    id = said["id"].strip() if "id" in said else ""
    try:
        device = parse_id(id)
    except ValueError:
        return Fault(number, _why_no_id(id), id[:80])
    place = label = None
    if "place" in columns:
        place = _plain(said.get("place", ""))
        try:
            place = check_place(place) if place else place
        except ValueError:
            return Fault(number, N_("A place has at most 60 characters, all of them printable."), place[:80])
    if "label" in columns:
        label = _plain(said.get("label", ""))
        try:
            label = check_label(label)
        except ValueError:
            return Fault(number, N_("A label has at most 40 characters, all of them printable."), label[:80])
    return Line(number, device, place, label)


def _why_no_id(text: str) -> Said:
    if not text:
        return N_("No id.")
    if _AS_NUMBER.fullmatch(text):
        return N_("A spreadsheet took the id for a number: make the column text before the file is opened in it.")
    return N_("No id: it has up to %(n)s hex digits, 0 to 9 and A to F.", n=ID_DIGITS)


def _plain(cell: str) -> str:
    """The text of a cell as it was before it went out."""
    text = cell.translate(_SPACES).strip()
    return text[1:] if _is_guarded(text) else text


def _is_guarded(text: str) -> bool:
    return len(text) > 1 and text[0] == "'" and text[1] in (*_FORMULA, "'")


def _guarded(text: str) -> str:
    """
    >>> _guarded("=1+1"), _guarded("35 Rennes"), _guarded("'t Hof")
    ("'=1+1", '35 Rennes', "'t Hof")
    """
    return f"'{text}" if text.startswith(_FORMULA) or _is_guarded(text) else text


def write(batches: Iterable[Sequence[Button]], delimiter: str = ",") -> Iterator[bytes]:
    """The buttons as a file, piece by piece; with the mark by which spreadsheets know UTF-8."""
    yield codecs.BOM_UTF8
    yield rows([COLUMNS], delimiter)
    for batch in batches:
        yield rows(map(_cells, batch), delimiter)


def rows(cells: Iterable[Sequence[object]], delimiter: str = ",") -> bytes:
    """Rows of a file, each cell safe in a spreadsheet if it is text."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerows([_guarded(cell) if isinstance(cell, str) else cell for cell in row] for row in cells)
    return text.getvalue().encode()


def _cells(button: Button) -> tuple[object, ...]:
    heard = button.last_seen_at
    return (
        format_id(button.id),
        button.place or "",
        button.label,
        button.department or "",
        button.state.value,
        "no" if button.owner_id is None else "yes",
        heard.isoformat(timespec="seconds") if heard else "",
        button.battery_mv,
        button.temperature_c,
        button.last_counter,
        button.key_generation,
        button.created_at.isoformat(timespec="seconds"),
    )
