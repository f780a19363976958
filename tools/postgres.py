"""Debian's PostgreSQL as a child: a cluster of its own in a folder that goes with it, for tests and drills.

It listens on a socket in that folder, and elsewhere only where it is told to. It refuses to run as root, so there it
runs as the user that Debian's package makes. It ends with its parent, however that ends.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.children import Child, started

UNPRIVILEGED = "postgres"
END_S = 2.0  # from SIGTERM, which waits for clients to go, to SIGKILL


class Missing(RuntimeError):
    """PostgreSQL is not on this machine."""


@dataclass(frozen=True, slots=True)
class Home:
    """An initialised cluster; `folder` has its socket, its log, and its data unless these lie elsewhere."""

    folder: Path
    data: Path

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://domino@/{name}?host={self.folder}"

    @contextmanager
    def running(self, settings: Mapping[str, str]) -> Iterator[Child]:
        """The server, once it takes connections; raises NotStarted. After a kill -9 it recovers by itself."""
        settings = {"listen_addresses": "", **settings}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        # Tied once more: a change of user undoes the first.
        user = _as_user()
        tied = [*user, "--pdeathsig=KILL"] if user else []
        command = [*tied, str(binaries() / "postgres"), "-D", str(self.data), "-k", str(self.folder), *options]
        with started("PostgreSQL", command, self.folder / "log", _takes_connections, end_s=END_S) as process:
            yield Child(process)

    def take_connections_from(self, network: str) -> None:
        """Let clients in `network`, such as ``10.0.0.0/8``, in without a password; from the next start on."""
        with (self.data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {network} trust\n")


@contextmanager
def prepared(data: Path | None = None, *options: str) -> Iterator[Home]:
    """A new cluster, in `data` or beside its socket; raises `Missing`. `options` are initdb's."""
    initdb = binaries() / "initdb"
    folder = Path(tempfile.mkdtemp(prefix="domino-postgresql-"))  # a short name: a socket's path has 107 bytes at most
    try:
        home = Home(folder, data or folder / "data")
        if data is not None:
            data.mkdir(mode=0o700)
        for owned in {folder, home.data} if data else {folder}:
            if _as_user():
                shutil.chown(owned, UNPRIVILEGED)
        command = [*_as_user(), str(initdb), "-D", str(home.data), "--username=domino", "--auth=trust", "--no-sync"]
        subprocess.run(
            [*command, "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions", *options],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
        )
        yield home
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def binaries() -> Path:
    """Where initdb and postgres are: on Debian in a folder of their version, which is in nobody's PATH."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(versions, key=lambda path: int(path.parents[1].name), default=None)
    if newest is None:
        raise Missing("PostgreSQL is missing: make setup-test")
    return newest.parent


def _as_user() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups"]


def _takes_connections(log: str) -> bool:
    return "ready to accept connections" in log
