"""Secrets on disk, in files that only their owner can read, and in the environment, which children do not get whole."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

MASTER_KEY = "DOMINO_MASTER_KEY"  # the variable that may hold the master keys themselves


def for_children(environment: Mapping[str, str]) -> dict[str, str]:
    """What a process that we start may see of `environment`: not the master keys, which it is told if it needs them."""
    return {name: value for name, value in environment.items() if name != MASTER_KEY}


def write_secret(path: Path, text: str) -> None:
    """Write a new file of mode 0600, on disk before this returns; raises FileExistsError rather than replace one.

    It is there with its whole text or not at all: processes that start at once may read it.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _draft(path, text) as draft:
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            raise
        except OSError:  # a memory stick's file system knows no such links: take the name, then put the text there
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            draft.replace(path)
    _sync(path.parent)


def replace_secret(path: Path, text: str) -> None:
    """Likewise, in the place of `path` if it is there: at every moment it holds the old text or the new.

    The owner stays: root may do this for a service that runs as somebody else.
    """
    path = path.resolve()  # what a link leads to
    with _draft(path, text) as draft:
        if os.geteuid() == 0 and path.exists():
            os.chown(draft, path.stat().st_uid, path.stat().st_gid)
        draft.replace(path)
    _sync(path.parent)


@contextmanager
def _draft(path: Path, text: str) -> Iterator[Path]:
    """A file beside `path` that holds `text`, on disk; what is left of it in the end is taken away."""
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # of mode 0600
    try:
        with os.fdopen(descriptor, "w") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """So that a new name in it is on disk, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
