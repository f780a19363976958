"""A board on the desk for tests: started by the command line, driven by the real mpremote."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simulator.board import control
from tests.end_to_end.service import DOMINO, domino, domino_json
from tools.children import started

FIRMWARE = Path(__file__).parents[2] / "firmware"
PATIENCE_S = 60


class Desk:
    """A running board in `folder`."""

    def __init__(self, folder: Path, pid: int) -> None:
        self.folder = folder
        self.pid = pid  # of its supervisor

    def try_mpremote(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        binary = Path(sys.executable).with_name("mpremote")
        command = [str(binary), "connect", str(self.folder / "tty"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    def mpremote(self, *arguments: str) -> str:
        done = self.try_mpremote(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def flash_firmware(self) -> None:
        self.mpremote("fs", "cp", "-r", str(FIRMWARE / "main.py"), str(FIRMWARE / "lib"), ":/")

    def command(self, command: str, *arguments: str) -> dict[str, Any]:
        """A `domino board` command and its answer."""
        return domino_json("board", command, str(self.folder), *arguments)

    def ask(self, do: str, **what: Any) -> dict[str, Any]:
        """What such a command asks for, without its start."""
        return list(control.ask(self.folder, {"do": do, **what}))[-1]

    def reset(self) -> dict[str, Any]:
        """By its EN pin; returns once it is asleep or at its prompt."""
        return self.ask("reset", follow=True)

    def cut_power(self) -> None:
        """The battery out and in; returns once it is asleep or at its prompt."""
        assert self.ask("power", to="off")["state"] == "off"
        self.ask("power", to="on", follow=True)

    def wait_for_start(self, number: int) -> None:
        """Until its VM has been started so many times."""
        give_up_at = time.monotonic() + PATIENCE_S
        while True:
            now = self.ask("state")
            if now["starts"] >= number:
                return
            assert time.monotonic() < give_up_at, now

    def trace(self, *options: str) -> list[dict[str, Any]]:
        lines = domino("board", "trace", str(self.folder), "--json", *options).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def vm_pid(self) -> int:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        (vm,) = (int(child) for child in children)
        return vm


@contextmanager
def desk(folder: Path, *options: str) -> Iterator[Desk]:
    """A board with a battery in, once mpremote can connect."""
    command = [*DOMINO, "board", "start", str(folder), "--json", *options]
    folder.mkdir(mode=0o700, exist_ok=True)
    with started("domino board", command, folder / "log", lambda log: '"port"' in log) as process:
        yield Desk(folder, process.pid)
