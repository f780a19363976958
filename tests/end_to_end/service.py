"""`domino serve` as its users run it, for tests: started by the command line, ended or killed by its process id."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cloud import database
from tools.children import started
from tools.running import Running, find_running

ROOT = Path(__file__).resolve().parents[2]
DOMINO = [sys.executable, "-m", "tools.main"]


@contextmanager
def serving(data_dir: Path, *options: str) -> Iterator[Running]:
    """A running service on free ports, all its parts ready."""
    command = [
        *DOMINO,
        "serve",
        "--json",
        "--data-dir",
        str(data_dir),
        "--http-port",
        "0",
        "--mqtt-port",
        "0",
        *options,
    ]
    data_dir.mkdir(parents=True, exist_ok=True)
    with started("domino serve", command, data_dir / "serve.log", lambda log: '{"pid"' in log):
        yield find_running(data_dir)


def domino(*arguments: str, check: bool = True, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DOMINO_")}
    environment["PYTHONPATH"] = str(ROOT)
    command = [*DOMINO, *arguments]
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert not check or done.returncode == 0, f"{arguments}: {done.stderr}"
    return done


def domino_json(*arguments: str) -> Any:
    return json.loads(domino(*arguments, "--json").stdout)


def engine_of(data_dir: Path) -> sa.Engine:
    return database.connect(f"sqlite:///{data_dir / 'domino.db'}")
