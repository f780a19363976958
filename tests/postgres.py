"""Debian's PostgreSQL for tests: a cluster that syncs nothing to disk, and in it a database a test."""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import sqlalchemy as sa

from cloud import database
from cloud.tables import cloud as _tables  # noqa: F401  all tables, before they are made
from tools.postgres import Home, Missing, prepared

__all__ = ["Cluster", "Missing", "cluster"]

SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
}
DURABLE = {"shared_buffers": "256MB"}  # Debian's defaults else: what is committed is on disk


@dataclass
class Cluster:
    home: Home
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def url(self, name: str) -> str:
        return self.home.url(name)

    @contextmanager
    def database(self, template: str = "domino") -> Iterator[str]:
        """The URL of a new database with all tables, or without any from `template1`; dropped in the end."""
        name = f"test{next(self._numbers)}"
        self._do(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.url(name)
        finally:
            self._do(f"DROP DATABASE {name} WITH (FORCE)")

    def _do(self, statement: str) -> None:
        engine = sa.create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as conn:
            conn.exec_driver_sql(statement)

    def make_template(self) -> None:
        self._do("CREATE DATABASE domino")
        engine = database.connect(self.url("domino"))
        database.metadata.create_all(engine)
        engine.dispose()


@contextmanager
def cluster(settings: Mapping[str, str] = MappingProxyType(SETTINGS), *, on_disk: bool = False) -> Iterator[Cluster]:
    """A cluster that takes connections; raises `Missing`. `on_disk`: not in /tmp, which may be memory."""
    with ExitStack() as end:
        data = None
        if on_disk:
            folder = Path(end.enter_context(TemporaryDirectory(prefix="domino-postgresql-", dir="/var/tmp")))
            folder.chmod(0o711)  # the server's user has to pass
            data = folder / "data"
        home = end.enter_context(prepared(data))
        end.enter_context(home.running(settings))
        running = Cluster(home)
        running.make_template()
        yield running
