"""Real parts for every test that wants them: a broker of its own on a free port, its store in the test's folder."""

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests import mosquitto as debian_mosquitto
from tests import postgres as debian
from tools import children

# How long an example takes says something about the machine, nothing about the law.
hypothesis.settings.register_profile("domino", deadline=None)
hypothesis.settings.load_profile("domino")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[children.Broker]:
    """A nats-server as `domino serve` starts it."""
    with children.broker(tmp_path, 0, tmp_path / "nats.log") as running:
        yield running


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[children.Broker]:
    """Debian's Mosquitto, set up to keep what it acknowledged and to drop nothing."""
    try:
        with debian_mosquitto.broker(tmp_path / "mosquitto") as running:
            yield running
    except debian_mosquitto.Missing as missing:
        pytest.fail(str(missing))


@pytest.fixture(scope="session")
def postgres() -> Iterator[debian.Cluster]:
    """Debian's PostgreSQL, once for all tests of a worker."""
    try:
        with debian.cluster() as running:
            yield running
    except debian.Missing as missing:
        pytest.fail(str(missing))


@pytest.fixture
def postgres_url(postgres: debian.Cluster) -> Iterator[str]:
    """A database of the test's own, with all tables."""
    with postgres.database() as url:
        yield url
