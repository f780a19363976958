"""A house on each database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud import database
from cloud.tables import cloud as _tables  # noqa: F401  all tables, before they are made
from tests.cloud.alerts.house import House, house


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'domino.db'}"
    engine = database.connect(url)
    database.metadata.create_all(engine)
    engine.dispose()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest) -> Iterator[House]:
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    with house(request.getfixturevalue(name)) as made:
        yield made


@pytest.fixture
def lone(sqlite_url: str) -> Iterator[House]:
    """On SQLite alone, for what no database decides."""
    with house(sqlite_url) as made:
        yield made
