"""Presses come at a fixed rate, whatever becomes of them: the time from each one's hour to its answer.

`python -m tests.benchmarks.open_loop`, a process of its own. From standard input JSON: `port` of the broker, `rate` a
second, `count` of presses, and `answered`, by whom: `down`, the cloud, or `up`, the broker alone, which hands over what
it was given. To standard output the ms of each. The hour is when a message was due, not when it could be sent: who is
held up is not forgiven its queue.
"""

import json
import select
import subprocess
import sys
import time
from typing import Any

from tests.benchmarks import wire
from tests.benchmarks.traffic import first_presses

WARM = 20  # messages that are sent before, at once: they find nothing compiled yet
TICK_S = 0.001


def ask(**asked: Any) -> list[float]:
    """ms of each, by a new process."""
    command = [sys.executable, "-m", __name__]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=wire.PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def main() -> None:
    asked = json.load(sys.stdin)
    published = first_presses(asked["count"]).published
    packets = wire.packets(published)
    devices = [topic.split(b"/")[1] for topic, _ in published]
    warm = min(WARM, len(packets) // 2)
    with wire.connect(asked["port"]) as buttons, wire.connect(asked["port"]) as network:
        wire.subscribe(network, b"sigfox/+/" + asked["answered"].encode(), qos=0)
        run(buttons, network, packets[:warm], devices[:warm], rate=float("inf"))
        taken = run(buttons, network, packets[warm:], devices[warm:], rate=asked["rate"])
    print(json.dumps(taken))  # noqa: T201  its output is the samples


def run(buttons: Any, network: Any, packets: list[bytes], devices: list[bytes], rate: float) -> list[float]:
    place = {device: at for at, device in enumerate(devices)}
    arrived, taken_ms, sent = bytearray(), [], 0
    began = time.monotonic()
    while len(taken_ms) < len(packets):
        due = len(packets) if rate == float("inf") else min(int((time.monotonic() - began) * rate) + 1, len(packets))
        if due > sent:
            buttons.sendall(b"".join(packets[sent:due]))
            sent = due
        readable, _, _ = select.select([buttons, network], [], [], TICK_S if sent < len(packets) else wire.PATIENCE_S)
        assert readable or sent < len(packets), f"{len(packets) - len(taken_ms)} are never answered"
        if buttons in readable:
            buttons.recv(1 << 20)  # the broker's acknowledgements
        if network in readable:
            arrived += network.recv(1 << 20)
            now = time.monotonic() - began
            taken_ms += [(now - place[topic.split(b"/")[1]] / rate) * 1000 for topic in wire.topics(arrived)]
    return taken_ms


if __name__ == "__main__":
    main()
