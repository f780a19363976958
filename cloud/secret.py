"""Secrets on disk, in files that only their owner can read, and in the environment, which children do not get whole."""

import os
from collections.abc import Mapping
from pathlib import Path

MASTER_KEY = "DOMINO_MASTER_KEY"  # the variable that may hold the master keys themselves


def for_children(environment: Mapping[str, str]) -> dict[str, str]:
    """What a process that we start may see of `environment`: not the master keys, which it is told if it needs them."""
    return {name: value for name, value in environment.items() if name != MASTER_KEY}


def write_secret(path: Path, text: str) -> None:
    """Write a new file of mode 0600, on disk before this returns; raises FileExistsError rather than replace one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())


def replace_secret(path: Path, text: str) -> None:
    """Likewise, in the place of `path` if it is there: at every moment it holds the old text or the new.

    The owner stays: root may do this for a service that runs as somebody else.
    """
    path = path.resolve()  # what a link leads to
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    write_secret(new, text)
    if os.geteuid() == 0 and path.exists():
        os.chown(new, path.stat().st_uid, path.stat().st_gid)
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name is on disk, too
    finally:
        os.close(folder)
