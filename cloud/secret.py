"""Secrets on disk: a file that only its owner can read, from its first byte on."""

import os
from pathlib import Path


def write_secret(path: Path, text: str) -> None:
    """Write a new file of mode 0600, on disk before this returns; raises FileExistsError rather than replace one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
