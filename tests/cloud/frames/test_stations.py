"""Stations by name: a file's lines, the table, and what pages call them."""

import pytest
import sqlalchemy as sa

from cloud import database
from cloud.console.filters import Rows
from cloud.frames import stations
from cloud.frames.stations import Faulty, Names, Station
from cloud.replay import Moment
from cloud.tables import cloud as _tables  # noqa: F401  all tables, before they are made
from tests.cloud.console.service import running_service

RENNES = Station("1F08", "Rennes Sud", "35")


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def engine(request: pytest.FixtureRequest, tmp_path):
    sqlite = f"sqlite:///{tmp_path / 'domino.db'}"
    url = sqlite if request.param == "SQLite" else request.getfixturevalue("postgres_empty_url")
    engine = database.connect(url)
    database.metadata.create_all(engine)
    yield engine
    engine.dispose()


def test_a_name_given_anew_replaces_the_one_before_and_others_stay(engine: sa.Engine):
    with engine.begin() as conn:
        stations.put(conn, [RENNES, Station("2C7F", "Lyon")])
        stations.put(conn, [Station("2C7F", "Lyon Est", "69")])
        stations.put(conn, [])
    with database.reading(engine) as conn:
        assert stations.known(conn) == {"1F08": RENNES, "2C7F": Station("2C7F", "Lyon Est", "69")}
    name = Names(engine)
    assert (name("1f08"), name("1F11")) == ("Rennes Sud (1F08)", "1F11")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "line 1 has to name the columns"),
        (b"id,town\n1F08,Rennes\n", "line 1 has to name the columns"),
        (b"id,id,name\n", "line 1 has to name the columns"),
        (b"id,name\n1F08\n", "line 2: a name has 1 to 60 characters"),
        (b"id,name\n1F08,\x1b[2J\n", "line 2: a name has 1 to 60 characters"),
        (b"id,name\n<b>,Rennes\n", "line 2: '<b>' is no station"),
        (b"id,name,department\n\n1F08,Rennes,99\n", "line 3: there is no department 99"),
        (b"id,name\n1F08,Rennes\n1f08,Lyon\n", "line 3: station 1F08 stands there twice"),
        (b'id,name\n1F08,"Rennes\n', "line 2"),
        (b"id,name\n1F08,\xff\n", "UTF-8"),
        (b"x" * (stations.MAX_BYTES + 1), "more than"),
    ],
)
def test_a_file_that_is_none_of_stations_says_where(content: bytes, why: str):
    with pytest.raises(Faulty, match=why):
        stations.read(content)


def test_pages_call_a_station_by_its_name_and_its_id(tmp_path):
    with running_service(tmp_path) as service:
        with service.engine.begin() as conn:
            stations.put(conn, [RENNES])
        tail = service.app.state.tail
        tail.look(service.bell.rings)
        service.press(kind="alive")
        browser = service.browser()
        assert "Rennes Sud (1F08)" in browser.get("/frames/1").text
        row = browser.get("/live").text
        assert 'title="Rennes Sud (1F08) −117' in row.replace("\N{NO-BREAK SPACE}", " ")
        tail.look(service.bell.rings)
        [kept], _ = tail.after(0)
        now = database.now()
        assert "Rennes Sud (1F08)" in kept.row("en", Rows.WIDE, Moment(now, now))  # as the stream tells it
