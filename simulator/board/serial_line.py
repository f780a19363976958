"""The board's end of its USB cable: a pseudo-terminal that mpremote opens by a symlink."""

import contextlib
import os
import pty
import time
import tty
from pathlib import Path

ROOM = 64 * 1024  # bytes that may wait for whoever reads; then the VM has to wait, too
PATIENCE_S = 1.0  # after which nobody reads, and what waits is lost, as on a cable without a listener


class SerialLine:
    """Bytes to and from the terminal `link`, a symlink: mpremote takes a path in /dev/pts for a virtual machine's and
    would wait there for ever for a board that sleeps."""

    def __init__(self, link: Path) -> None:
        self._master, self._slave = pty.openpty()  # ours stays open, or the end of one mpremote would hang up the line
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._waiting = bytearray()
        self._progress_at = 0.0
        self._ended_in_cr = False
        self._link = link
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(self._slave))

    def fileno(self) -> int:
        return self._master

    def read(self) -> bytes:
        """What has come from the other end; b"" when nothing has."""
        try:
            return os.read(self._master, 4096)
        except BlockingIOError:
            return b""

    def write(self, data: bytes, *, cooked: bool = False) -> None:
        """Queue `data`. `cooked`: a line feed also returns the carriage, as an ESP32's console does."""
        if cooked:
            whole = (b"\r" if self._ended_in_cr else b"") + data
            data = whole.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            data = data[1:] if self._ended_in_cr and data.startswith(b"\r") else data
        self._ended_in_cr = data.endswith(b"\r")
        if not self._waiting:
            self._progress_at = time.monotonic()
        self._waiting += data
        self.flush()

    def flush(self) -> None:
        """Pass on what the other end takes."""
        with contextlib.suppress(BlockingIOError):
            while self._waiting:
                taken = os.write(self._master, self._waiting)
                del self._waiting[:taken]
                self._progress_at = time.monotonic()
        if time.monotonic() - self._progress_at > PATIENCE_S:
            self._waiting.clear()

    @property
    def is_waiting(self) -> bool:
        return bool(self._waiting)

    @property
    def is_full(self) -> bool:
        return len(self._waiting) > ROOM

    def close(self) -> None:
        self._link.unlink(missing_ok=True)
        os.close(self._master)
        os.close(self._slave)
