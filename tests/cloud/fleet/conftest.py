from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

import cloud.tables  # noqa: F401  fills the metadata
from cloud import database
from cloud.accounts.store import accounts

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def engine(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    """A database with all tables and two customers' accounts."""
    engine = database.connect("sqlite://" if request.param == "SQLite" else request.getfixturevalue("postgres_url"))
    database.metadata.create_all(engine)
    with engine.begin() as conn:
        for name in ("claire", "paul"):
            values = {"name": name, "display_name": name, "role": "customer", "password_hash": "-", "created_at": NOW}
            conn.execute(sa.insert(accounts).values(values))
    yield engine
    engine.dispose()
