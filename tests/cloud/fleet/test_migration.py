"""A fleet that was there before is listed like one that came after."""

from pathlib import Path

import alembic.command
import pytest
import sqlalchemy as sa

from cloud import database
from cloud.fleet import listing
from cloud.fleet.filters import Filter, Order, Sort
from cloud.fleet.model import fold
from tests.cloud.fleet.conftest import NOW

PLACES = ("42 Saint-Étienne", "35 rennes", "67 Œting", None)


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "PostgreSQL":
        return request.getfixturevalue("postgres_empty_url")
    return f"sqlite:///{tmp_path / 'domino.db'}"


def test_places_are_folded_and_the_way_back_is_clear(url: str):
    alembic.command.upgrade(database.alembic_config(url), "0009")
    engine = database.connect(url)
    with engine.begin() as conn:
        for id, place in enumerate(PLACES):
            conn.execute(
                sa.text("INSERT INTO buttons (id, state, place, created_at) VALUES (:id, 'active', :place, 0)"),
                {"id": id, "place": place},
            )
    alembic.command.upgrade(database.alembic_config(url), "head")
    alembic.command.check(database.alembic_config(url))
    with engine.begin() as conn:
        page = listing.page(conn, Filter(), Order(Sort.PLACE, descending=False), limit=10, now=NOW)
        assert [button.place for button in page.buttons] == [None, "35 rennes", "42 Saint-Étienne", "67 Œting"]
        keys = conn.execute(sa.text("SELECT place, place_key FROM buttons")).all()
        assert all(key == fold(place) for place, key in keys)
    alembic.command.downgrade(database.alembic_config(url), "0009")
    engine.dispose()
