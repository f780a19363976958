from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud.web import site as sites


@pytest.fixture
def site(tmp_path: Path) -> Iterator[sites.Site]:
    built = sites.build(tmp_path)
    yield built
    built.engine.dispose()
