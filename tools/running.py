"""Where a running service is reached: a small file in its data folder, there and locked as long as it runs.

The lock, not the process id, tells a service that runs from one that was killed: an id may be another's by now.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from tools.terminal import Failure

FILE = "running.json"


@dataclass(frozen=True, slots=True)
class Running:
    """A service that answers. `mqtt_port` is None where it uses another broker, by URL."""

    pid: int
    http_url: str
    mqtt_port: int | None


@contextmanager
def noted(data_dir: Path, running: Running) -> Iterator[None]:
    """Keep the note for as long as the block runs."""
    path = data_dir / FILE
    with path.open("w") as note:
        fcntl.flock(note, fcntl.LOCK_EX)
        note.write(json.dumps(asdict(running)))
        note.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def find_running(data_dir: Path) -> Running:
    """The service on `data_dir`; a `Failure` where none runs."""
    try:
        with (data_dir / FILE).open() as note:
            if _is_locked(note):
                return Running(**json.load(note))
    except (OSError, ValueError, TypeError):
        pass  # no note, or none of ours
    raise Failure(f"no service runs on {data_dir}: start one with `domino serve --data-dir {data_dir}`")


def _is_locked(note: TextIO) -> bool:
    try:
        fcntl.flock(note, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
