"""A small disk of its own, ext4 in a file, that can be filled up or go read-only. Linux, as root."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BLOCK = 1 << 16  # bytes


class Disk:
    """Mounted at `folder`; `image` is the file that it is in."""

    def __init__(self, image: Path, folder: Path) -> None:
        self._image, self.folder = image, folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Until not a byte is left."""
        with self._ballast.open("ab", buffering=0) as ballast:
            for size in (BLOCK, 4096, 512, 1):
                with suppress(OSError):
                    while True:
                        ballast.write(bytes(size))
            with suppress(OSError):
                os.fsync(ballast.fileno())

    def free(self) -> None:
        """Give back what `fill` took."""
        self._ballast.unlink(missing_ok=True)

    def bytes_left(self) -> int:
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def fail(self) -> None:
        """The kernel finds an error on it and lets nobody write any more, as ext4 does with ``errors=remount-ro``.

        Frozen meanwhile. Else Linux 6.18 now and then calls synced what it then drops: of a program that only appends
        and calls fdatasync in 2 of 60 trials, and the drill would try ext4.
        """
        device = Path(_ask("findmnt", "--noheadings", "--output", "SOURCE", str(self.folder)))
        _ask("fsfreeze", "--freeze", str(self.folder))
        try:
            (Path("/sys/fs/ext4") / device.name / "trigger_fs_error").write_text("1")
        finally:
            _ask("fsfreeze", "--unfreeze", str(self.folder))

    def repair(self) -> None:
        """What an operator does: unmount, check, mount. Nobody may have a file open on it."""
        self.unmount()
        done = subprocess.run(["e2fsck", "-fy", str(self._image)], check=False, capture_output=True)
        if done.returncode > 1:  # 1: errors were corrected
            raise OSError(f"e2fsck: {done.stdout.decode().strip()}")
        self.mount()

    def mount(self) -> None:
        _ask("mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.folder))

    def unmount(self) -> None:
        for _ in range(50):
            if not os.path.ismount(self.folder):
                return
            if subprocess.run(["umount", str(self.folder)], check=False, capture_output=True).returncode:
                time.sleep(0.1)  # somebody's last file
        _ask("umount", "--lazy", str(self.folder))


@contextmanager
def small_disk(megabytes: int) -> Iterator[Disk]:
    """A new one, in a folder that anybody may enter."""
    with tempfile.TemporaryDirectory(prefix="domino-disk-") as place:
        Path(place).chmod(0o755)
        image, folder = Path(place) / "image", Path(place) / "disk"
        folder.mkdir()
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        _ask("mkfs.ext4", "-q", "-m", "0", str(image))
        disk = Disk(image, folder)
        disk.mount()
        try:
            yield disk
        finally:
            disk.unmount()


def _ask(*command: str) -> str:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, "PATH": path})
    if done.returncode:
        raise OSError(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout.strip()
