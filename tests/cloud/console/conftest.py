from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud.console.service import Service, running_service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running_service(tmp_path) as service:
        yield service
