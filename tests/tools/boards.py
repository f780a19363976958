"""A board for the flashing tool, in this process, and a cable to it that can be pulled."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simulator.board import control
from simulator.board.supervisor import Supervisor
from tools.flash import cable
from tools.flash.cable import Cable
from tools.flash.command import Done, Order, flash
from tools.flash.identity import Giver

SETTINGS = {"ssid": "letterbox", "psk": "sesame-wifi", "host": "127.0.0.1", "port": 9}
ALONE = {"skip": ("battery", "light", "radio"), "has_finger": False}


class Desk:
    """A board that has its battery in."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self.port = str(folder / "tty")
        self._supervisor, is_ready = Supervisor(folder), threading.Event()
        self._thread = threading.Thread(target=self._supervisor.run, args=(is_ready.set,))
        self._thread.start()
        assert is_ready.wait(30)

    def end(self) -> None:
        """Power and cable, both at once."""
        self._supervisor.stop()
        self._thread.join()

    def ask(self, do: str, **what: Any) -> dict[str, Any]:
        return list(control.ask(self.folder, {"do": do, **what}))[-1]

    @contextmanager
    def connected(self, kind: Callable[..., Cable] = Cable, *, patience_s: float = 10, **more: Any) -> Iterator[Any]:
        with cable.connect(self.port, quiet, patience_s=patience_s) as board:
            yield board if kind is Cable else kind(board, **more)

    def flash(
        self, giver: Giver | None = None, *, kind: Callable[..., Cable] = Cable, more: Any = (), **order: Any
    ) -> Done:
        told = {"settings": SETTINGS if giver else {}, **ALONE, **order}
        with self.connected(kind, **dict(more)) as board:
            return flash(board, Order(giver, **told), tell=quiet, progress=quiet)


def quiet(*_: object) -> None:
    return


@contextmanager
def desk(folder: Path) -> Iterator[Desk]:
    running = Desk(folder)
    try:
        yield running
    finally:
        running.end()


class Watched(Cable):
    """A cable on which something happens before and after each use of it."""

    def __init__(self, board: Cable, happens: Callable[[str], object]) -> None:
        super().__init__(board.port, board._line)
        self._happens = happens

    def run(self, code: str, within_s: float = 0) -> str:
        self._happens("before")
        said = super().run(code, within_s)
        self._happens("after")
        return said

    def write_file(self, path: str, data: bytes, tell: Callable[[int], object]) -> None:
        self._happens("before")
        super().write_file(path, data, tell)
        self._happens("after")
