"""Asks one thing again and again on one connection, in a process of its own: `python -m tests.benchmarks.asker`.

In the server's process it would wait for the interpreter's lock, and be measured by it. From standard input JSON:
`address`, `method`, `path`, `body`, `headers`, `times`, and `expects`, which every answer holds; to standard output the
ms of each, from the request's first byte to the answer's last.
"""

import http.client
import json
import subprocess
import sys
import time
from contextlib import closing
from typing import Any

PATIENCE_S = 120


def ask(**asked: Any) -> list[float]:
    """ms of each, by a new process."""
    command = [sys.executable, "-m", __name__]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def main() -> None:
    asked = json.load(sys.stdin)
    taken = []
    with closing(http.client.HTTPConnection(asked["address"], timeout=PATIENCE_S)) as connection:
        for _ in range(asked["times"] + 1):
            began = time.perf_counter()
            connection.request(asked["method"], asked["path"], asked["body"], asked["headers"])
            answer = connection.getresponse()
            body = answer.read()
            taken.append((time.perf_counter() - began) * 1000)
            assert answer.status == 200, body
            assert asked["expects"] in body.decode(), body
    print(json.dumps(taken[1:]))  # noqa: T201  its output is the samples; the first one made the connection


if __name__ == "__main__":
    main()
