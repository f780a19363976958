"""Debian's PostgreSQL for tests: a cluster of its own in a temporary folder, and in it a database a test.

It listens on a socket in that folder alone and, unless it is asked to, syncs nothing to disk. It refuses to run as
root, so there it runs as the user that Debian's package makes. It ends with the tests, however they end.
"""

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import sqlalchemy as sa

from cloud import database
from cloud.tables import cloud as _tables  # noqa: F401  all tables, before they are made
from tools.children import started

UNPRIVILEGED = "postgres"
END_S = 2.0  # nothing in it is worth a longer goodbye
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
}
DURABLE = {"shared_buffers": "256MB"}  # Debian's defaults else: what is committed is on disk


class Missing(RuntimeError):
    """PostgreSQL is not on this machine."""


@dataclass
class Cluster:
    folder: Path
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://domino@/{name}?host={self.folder}"

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
def cluster(settings: Mapping[str, str] = MappingProxyType(SETTINGS), within: str | None = None) -> Iterator[Cluster]:
    """A cluster that takes connections, in a new folder `within` another, else the system's; raises `Missing`."""
    binaries = _binaries()
    # A short name: a socket's path has 107 bytes at most.
    folder = Path(tempfile.mkdtemp(prefix="domino-postgresql-", dir=within))
    try:
        user: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(folder, UNPRIVILEGED)
            user = ["setpriv", f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups"]
        data = folder / "data"
        initdb = [*user, str(binaries / "initdb"), "-D", str(data), "--username=domino", "--auth=trust", "--no-sync"]
        subprocess.run(
            [*initdb, "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
        )
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        # Tied once more: a change of user undoes the first.
        tied = [*user, "--pdeathsig=KILL"] if user else []
        command = [
            *tied,
            str(binaries / "postgres"),
            "-D",
            str(data),
            "-k",
            str(folder),
            "-c",
            "listen_addresses=",
            *options,
        ]
        with started("PostgreSQL", command, folder / "log", _takes_connections, end_s=END_S):
            running = Cluster(folder)
            running.make_template()
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _takes_connections(log: str) -> bool:
    return "ready to accept connections" in log


def _binaries() -> Path:
    """Where initdb and postgres are: on Debian in a folder of their version, which is in nobody's PATH."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(versions, key=lambda path: int(path.parents[1].name), default=None)
    if newest is None:
        raise Missing("PostgreSQL is missing: make setup-test")
    return newest.parent
