from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import cloud.tables  # noqa: F401  fills the metadata
from cloud import database


@pytest.fixture(params=["in memory", "in a file"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    engine = database.connect("sqlite://" if request.param == "in memory" else f"sqlite:///{tmp_path}/domino.db")
    database.metadata.create_all(engine)
    yield engine
    engine.dispose()
