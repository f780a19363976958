"""Callbacks over HTTP: a week of buttons, posted by wrk over 64 connections, each answered once it is committed."""

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cloud.ingest.callbacks import PATH
from tests.benchmarks import process
from tests.benchmarks.callback_server import SECRET
from tests.benchmarks.fleets import Opened
from tests.benchmarks.measure import Role, Samples, Way
from tests.benchmarks.traffic import Traffic

CONNECTIONS = 64
LOAD_S = 6  # wrk sleeps so long, whether or not all is sent
SCRIPT = Path(__file__).parent / "callbacks.lua"


@contextmanager
def prepare(
    folder: Path, count: int, *, traffic: Callable[[int], Traffic], opened: Opened, load_s: int = LOAD_S
) -> Iterator[Sequence[Way]]:
    sent = traffic(count)
    posted = folder / "callbacks.json"
    posted.write_bytes(b"\n".join(message.payload for message in sent.messages) + b"\n")
    with opened(folder, sent.buttons, [sent.presses]) as fleets:

        def served(kind: str) -> Samples:
            with fleets.fresh() as fleet:
                asked = {"kind": kind, "database": fleet.url, "lease": fleet.leases[0]}
                server = process.Process("tests.benchmarks.callback_server", asked)
                try:
                    began = server.go()
                    told = wrk(int(server.said), posted, min(load_s, max(1, count // 1000)))
                finally:
                    ended = server.end()
            assert not told["refused"] + told["errors"], told
            speed = process.speed(int(told["sent"]), told["wall_s"], ended.cpu_s - began.cpu_s, ended.peak_mib)
            speed = {unit.replace("messages", "callbacks"): samples for unit, samples in speed.items()}
            return speed | {"p99 ms": [told["p99_ms"]]}

        yield (
            Way(Role.OURS, "the callbacks' inlet, 204 once committed", lambda: served("ours")),
            Way(Role.LIMIT, "an empty route, bare ASGI", lambda: served("bare")),
            Way(Role.PEER, "FastAPI and pydantic, a commit each", lambda: served("framework")),
        )


def wrk(port: int, posted: Path, load_s: int) -> dict[str, float]:
    command = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{load_s}s"]
    command += [
        "--timeout",
        "10s",
        "--script",
        str(SCRIPT),
        f"http://127.0.0.1:{port}{PATH}",
        "--",
        str(posted),
        SECRET,
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=process.PATIENCE_S)
    told = json.loads(done.stdout.splitlines()[-1])
    return told if told["answered"] else wrk(port, posted, 2 * load_s)  # a short form, and a very slow machine
