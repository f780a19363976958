"""Real parts for every test that wants them: a broker of its own on a free port, its store in the test's folder."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests import postgres as debian
from tools import children

# The tests start the service and its commands some hundred times. Where the environment says to keep no compiled
# modules, as containers often do, each start would compile all of them again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

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
    with children.mosquitto(tmp_path / "mosquitto", 0) as running:
        yield running


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


@pytest.fixture
def postgres_empty_url(postgres: debian.Cluster) -> Iterator[str]:
    """A database of the test's own without any table, to be migrated."""
    with postgres.database(template="template1") as url:
        yield url
