"""How a command speaks to a running board: one JSON object a line over a Unix socket in the board's folder.

The socket is reached through the folder's descriptor, because a Unix socket's path may be no longer than 107 bytes.
"""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAME = "control"
ANSWER_S = 180  # between two lines: longer than the firmware waits for anything, a modem included


class NotRunning(Exception):
    """No supervisor runs on this folder."""


@contextlib.contextmanager
def _address(folder: Path) -> Iterator[str]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{NAME}"
    finally:
        os.close(descriptor)


def listen(folder: Path) -> socket.socket:
    (folder / NAME).unlink(missing_ok=True)  # of a supervisor that was killed
    listening = socket.socket(socket.AF_UNIX)
    with _address(folder) as address:
        listening.bind(address)
    listening.listen()
    return listening


def ask(folder: Path, request: dict[str, Any], *, within_s: float = ANSWER_S) -> Iterator[dict[str, Any]]:
    """What the board answers: any number of {"line": …} as they come, then one object without.

    Raises NotRunning, and TimeoutError when it says nothing for `within_s`.
    """
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(within_s)
        try:
            with _address(folder) as address:
                asking.connect(address)
            asking.sendall(json.dumps(request).encode() + b"\n")
        except TimeoutError:
            raise
        except OSError:
            raise NotRunning(f"no board runs on {folder}") from None
        with asking.makefile() as answers:
            for answer in answers:
                yield json.loads(answer)
