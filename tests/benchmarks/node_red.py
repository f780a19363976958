"""Node-RED with its SQLite node, as an experienced user would wire it: take, open the seal, insert.

`python -m tests.benchmarks.node_red` fetches it by npm into build/; without it the benchmarks do without this peer.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks import process
from tests.benchmarks.measure import Samples
from tests.benchmarks.traffic import KEYS, Traffic
from tools.children import started
from tools.setup.front_end import npm

FOLDER = Path(__file__).parents[2] / "build" / "node-red"
PACKAGES = ("node-red@4.1.15", "node-red-node-sqlite@1.1.1")  # 5 wants a newer Node than Debian has
OURS = Path(__file__).parent / "node_red"
CLIENT_ID = "node-red"
MOST = 2000  # messages: it takes a transaction for each
TABLE = """
CREATE TABLE presses (button TEXT, counter INTEGER, kind INTEGER, heard_at INTEGER, PRIMARY KEY (button, counter))
"""


def is_installed() -> bool:
    return (FOLDER / "installed").exists()


def install() -> int:
    """Gives npm's exit code."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    # The SQLite node brings a program of its own, built here where none can be had ready-made.
    nodedir = {"npm_config_nodedir": "/usr"} if Path("/usr/include/node/node.h").exists() else {}
    command = [*npm(), "install", "--prefix", str(FOLDER), "--no-audit", "--no-fund", "--loglevel=error", *PACKAGES]
    code = subprocess.run(command, env={**os.environ, **nodedir}).returncode if shutil.which("node") else 1
    if code == 0:
        (FOLDER / "installed").touch()
    return code


def drain(folder: Path, port: int, sent: Traffic) -> Samples:
    """What waits for it at the broker; timed by itself, from its first message to the last insert."""
    node = shutil.which("node")
    assert node, "Node-RED is installed and node is gone"
    with TemporaryDirectory(dir=folder) as name:
        home = Path(name).resolve()
        keys = {f"{device:08X}": KEYS.device_key(device, 0).hex() for device in range(1, sent.buttons + 1)}
        (home / "keys.json").write_text(json.dumps(keys))
        with closing(sqlite3.connect(home / "presses.db")) as disk:
            disk.execute(TABLE)
        shutil.copy(OURS / "flow.json", home / "flow.json")
        environment = {
            "BROKER_PORT": str(port),
            "DATABASE": str(home / "presses.db"),
            "KEYS": str(home / "keys.json"),
            "COUNT": str(len(sent.messages)),
            "FLOW": "flow.json",
        }
        command = [node, str(FOLDER / "node_modules" / "node-red" / "red.js")]
        command += ["--userDir", str(home), "--settings", str(OURS / "settings.js")]
        log = home / "log"
        with started(
            "Node-RED", command, log, lambda log: "Connected to broker" in log, environment=environment
        ) as red:
            told = _told(log)
            peak_mib = process.peak_mib(red.pid)
        with closing(sqlite3.connect(home / "presses.db")) as disk:
            (kept,) = disk.execute("SELECT count(*) FROM presses").fetchone()
        assert kept == len(sent.messages)
    return process.speed(len(sent.messages), told["ms"] / 1000, told["cpu_us"] / 1e6, peak_mib)


def _told(log: Path) -> dict[str, float]:
    give_up_at = time.monotonic() + process.PATIENCE_S
    while time.monotonic() < give_up_at:
        _, found, told = log.read_text(errors="replace").partition("kept all: ")
        if found and "\n" in told:
            return json.loads(told.partition("\n")[0])
        time.sleep(0.05)
    raise AssertionError(f"Node-RED keeps nothing any more:\n{log.read_text()[-2000:]}")


if __name__ == "__main__":
    if not is_installed():
        sys.exit(install())
