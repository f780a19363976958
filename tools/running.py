"""Where a running service is reached: a small file in its data folder, there as long as it runs."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

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
    path.write_text(json.dumps(asdict(running)))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def find_running(data_dir: Path) -> Running:
    """The service on `data_dir`; a `Failure` where none runs."""
    try:
        found = Running(**json.loads((data_dir / FILE).read_text()))
        os.kill(found.pid, 0)
    except (OSError, ValueError, TypeError):
        raise Failure(f"no service runs on {data_dir}: start one with `domino serve --data-dir {data_dir}`") from None
    return found
