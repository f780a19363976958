from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from cloud import database, tables

assert tables  # imported for its tables


@pytest.fixture
def conn() -> Iterator[sa.Connection]:
    engine = database.connect("sqlite://")
    database.metadata.create_all(engine)
    with engine.begin() as conn:
        yield conn
    engine.dispose()
