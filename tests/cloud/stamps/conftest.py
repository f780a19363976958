from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import cloud.tables  # noqa: F401  fills the metadata
from cloud import database


@pytest.fixture(params=["SQLite in memory", "SQLite in a file", "PostgreSQL"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    if request.param == "PostgreSQL":
        url = request.getfixturevalue("postgres_url")
    else:
        url = "sqlite://" if request.param == "SQLite in memory" else f"sqlite:///{tmp_path}/domino.db"
    engine = database.connect(url)
    database.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database with all tables that several processes can open."""
    if request.param == "PostgreSQL":
        return request.getfixturevalue("postgres_url")
    url = f"sqlite:///{tmp_path}/domino.db"
    engine = database.connect(url)
    database.metadata.create_all(engine)
    engine.dispose()
    return url
