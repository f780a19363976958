"""Ingest over MQTT: what waits at Debian's Mosquitto is drained by one worker, a process of its own, into a database.

Beside it what others make of the same waiting messages: the plain paho program, Node-RED, Mosquitto's own subscriber.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cloud.ingest.mqtt import TOPIC
from tests.benchmarks import node_red, process, wire
from tests.benchmarks.fleets import Fleet, Opened
from tests.benchmarks.measure import Role, Samples, Way
from tests.benchmarks.traffic import Traffic
from tools import children

WORKER = "tests.benchmarks.worker"
SHARED = f"$share/ingest/{TOPIC}"


@contextmanager
def prepare(
    folder: Path, count: int, *, traffic: Callable[[int], Traffic], opened: Opened, beside: bool = True
) -> Iterator[Sequence[Way]]:
    """`beside`: with the programs that have nothing to do with the database."""
    sent = traffic(count)
    with opened(folder, sent.buttons, [sent.presses]) as fleets:

        def worker(keeps: bool) -> Samples:
            with (
                fleets.fresh() as fleet,
                full_broker(folder, sent, ["worker"]) as broker,
                at_work(broker, fleet, keeps=keeps) as one,
            ):
                return process.drain([one], len(sent.messages))

        ways = [
            Way(Role.OURS, "one worker", lambda: worker(keeps=True)),
            Way(Role.PEER, "the worker's loop, only acknowledging", lambda: worker(keeps=False)),
        ]
        yield [*ways, *(others(folder, sent) if beside else [])]


def others(folder: Path, sent: Traffic) -> list[Way]:
    def paho() -> Samples:
        with full_broker(folder, sent, ["paho"]) as broker:
            count = len(sent.messages)
            named = {"port": broker.port, "client_id": "paho", "topic": TOPIC, "count": count}
            with process.at_work("tests.benchmarks.paho_subscriber", **named) as one:
                return process.drain([one], count)

    def mosquitto_sub() -> Samples:
        with full_broker(folder, sent, ["mosquitto_sub"]) as broker:
            return by_mosquitto_sub(broker.port, len(sent.messages))

    ways = [
        Way(Role.PEER, "paho's own loop, only acknowledging", paho),
        Way(Role.LIMIT, "mosquitto_sub, only acknowledging", mosquitto_sub),
    ]
    if node_red.is_installed():
        few = Traffic(sent.messages[: node_red.MOST], sent.buttons, sent.presses)

        def by_node_red() -> Samples:
            with full_broker(folder, few, [node_red.CLIENT_ID]) as broker:
                return node_red.drain(folder, broker.port, few)

        ways.append(Way(Role.PEER, "Node-RED into SQLite", by_node_red))
    return ways


@contextmanager
def prepare_workers(
    folder: Path, count: int, *, traffic: Callable[[int], Traffic], opened: Opened
) -> Iterator[Sequence[Way]]:
    """Two workers, a shared subscription between them, beside one."""
    sent = traffic(count)
    with opened(folder, sent.buttons, [sent.presses] * 2) as fleets:

        def workers(names: Sequence[str]) -> Samples:
            with ExitStack() as end:
                fleet = end.enter_context(fleets.fresh())
                broker = end.enter_context(full_broker(folder, sent, names, topic=SHARED))
                many = [
                    end.enter_context(at_work(broker, fleet, name=name, lease=at, topic=SHARED))
                    for at, name in enumerate(names)
                ]
                return process.drain(many, len(sent.messages))

        yield (
            Way(Role.OURS, "two workers", lambda: workers(["one", "two"])),
            Way(Role.PEER, "one worker", lambda: workers(["one"])),
        )


def at_work(
    broker: children.Broker,
    fleet: Fleet,
    *,
    name: str = "worker",
    lease: int = 0,
    topic: str = TOPIC,
    keeps: bool = True,
) -> AbstractContextManager[process.Process]:
    asked: Mapping[str, Any] = {"broker": broker.url, "database": fleet.url, "lease": fleet.leases[lease]}
    return process.at_work(WORKER, **asked, client_id=name, topic=topic, keeps=keeps)


@contextmanager
def full_broker(folder: Path, sent: Traffic, sessions: Sequence[str], topic: str = TOPIC) -> Iterator[children.Broker]:
    """A Mosquitto at which everything waits for the sessions of these clients."""
    with TemporaryDirectory(dir=folder) as store, children.mosquitto(Path(store) / "mosquitto", 0) as broker:
        for session in sessions:
            with wire.connect(broker.port, session.encode()) as connection:
                wire.subscribe(connection, topic.encode(), qos=1)
        wire.fill(broker.port, wire.publishes(sent.published), len(sent.messages))
        yield broker


def by_mosquitto_sub(port: int, count: int) -> Samples:
    """Mosquitto's own subscriber, which is C and keeps nothing either."""
    command = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-i", "mosquitto_sub", "-c"]
    command += ["-q", "1", "-t", TOPIC, "-C", str(count), "-W", str(process.PATIENCE_S)]
    began = time.monotonic()
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.monotonic() - began
    assert running.returncode == 0, "mosquitto_sub has not had everything"
    return process.speed(count, wall_s, used.ru_utime + used.ru_stime)
