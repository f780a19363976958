"""The network's stations by name: a callback names them by id alone, and whoever runs the service may know more.

The table is small, a line a station that somebody named. It is filled from a file (`domino stations import`), and read
whole: pages keep it for a while, so that a name costs no query a row.
"""

import csv
import io
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from cloud import database
from cloud.database import insert, metadata
from cloud.fleet.model import DEPARTMENTS, department

COLUMNS = ("id", "name", "department")  # of the file; the last may be missing, or empty where the name begins with it
MAX_NAME = 60  # characters
MAX_BYTES = 1_000_000
MOST = 20_000  # stations
KEPT_S = 30.0  # until a new name is on the pages

_ID = re.compile(r"[0-9A-Za-z_.-]{1,32}")  # as frames.model reads it from a callback

stations = sa.Table(
    "stations",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # in capitals
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("department", sa.Text),
)


class Faulty(ValueError):
    """The file is none of stations; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Station:
    id: str
    name: str
    department: str | None = None

    def __str__(self) -> str:
        """
        >>> str(Station("1F08", "Rennes Sud", "35"))
        'Rennes Sud (1F08)'
        """
        return f"{self.name} ({self.id})"


def read(content: bytes) -> list[Station]:
    """The lines of a CSV with the columns id, name, department, commas or semicolons apart; raises `Faulty`.

    >>> read(b"id;name;department\\n1f08;Rennes Sud;35\\n2C7F;2A Ajaccio;\\n")
    [Station(id='1F08', name='Rennes Sud', department='35'), Station(id='2C7F', name='2A Ajaccio', department='2A')]
    """
    if len(content) > MAX_BYTES:
        raise Faulty(f"more than {MAX_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Faulty("it is no UTF-8") from None
    head = text.partition("\n")[0]
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in head else ",", strict=True)
    found: dict[str, Station] = {}
    try:
        names = [name.strip().lower() for name in next(lines, [])]
        if not {"id", "name"} <= set(names) <= set(COLUMNS) or len(set(names)) < len(names):
            raise Faulty(f"line 1 has to name the columns: {', '.join(COLUMNS)}")
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            station = _station(dict(zip(names, map(str.strip, cells), strict=False)), lines.line_num)
            if station.id in found:
                raise Faulty(f"line {lines.line_num}: station {station.id} stands there twice")
            found[station.id] = station
    except csv.Error as error:
        raise Faulty(f"line {lines.line_num}: {error}") from None
    if len(found) > MOST:
        raise Faulty(f"more than {MOST} stations")
    return list(found.values())


def _station(said: Mapping[str, str], line: int) -> Station:
    id, name, number = (said.get(column, "") for column in COLUMNS)
    if not _ID.fullmatch(id):
        raise Faulty(f"line {line}: {id[:40]!r} is no station’s id")
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise Faulty(f"line {line}: a name has 1 to {MAX_NAME} characters, all of them printable")
    number = number.upper() or department(name)
    if number is not None and number not in DEPARTMENTS:
        raise Faulty(f"line {line}: there is no department {number[:10]}")
    return Station(id.upper(), name, number)


def put(conn: sa.Connection, some: Sequence[Station]) -> None:
    """Name these stations; those named before and not among them keep their names."""
    if not some:
        return
    new = insert(conn, stations)
    kept = {column: new.excluded[column] for column in ("name", "department")}
    rows = [{"id": one.id, "name": one.name, "department": one.department} for one in some]
    conn.execute(new.on_conflict_do_update(index_elements=["id"], set_=kept), rows)


def known(conn: sa.Connection) -> dict[str, Station]:
    """All that have a name, by id."""
    query = sa.select(stations).order_by(stations.c.id).limit(MOST)
    return {row.id: Station(row.id, row.name, row.department) for row in conn.execute(query)}


class Names:
    """What pages call a station: its name with its id, or its id alone. For any number of threads."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._known: dict[str, Station] = {}
        self._read_at: float | None = None

    def __call__(self, id: str) -> str:
        with self._lock:
            if self._read_at is None or time.monotonic() - self._read_at > KEPT_S:
                with database.reading(self._engine) as conn:
                    self._known = known(conn)
                self._read_at = time.monotonic()
            station = self._known.get(id.upper())
        return id if station is None else str(station)
