"""Ingest over MQTT from nats-server, which `domino serve` starts: what waits there is drained by one worker."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from cloud.ingest.mqtt import TOPIC
from tests.benchmarks import fleets, process, wire
from tests.benchmarks.drain import at_work
from tests.benchmarks.measure import Role, Samples, Way, rate
from tests.benchmarks.traffic import Traffic, first_presses
from tools import children


@contextmanager
def prepare(folder: Path, count: int) -> Iterator[Sequence[Way]]:
    sent = first_presses(count)
    with fleets.sqlite(folder, sent.buttons, [sent.presses]) as fleet_after_fleet:

        def worker(keeps: bool) -> Samples:
            with (
                fleet_after_fleet.fresh() as fleet,
                full_broker(folder, sent, b"worker") as broker,
                at_work(broker, fleet, keeps=keeps) as one,
            ):
                return process.drain([one], count)

        def bare() -> Samples:
            with full_broker(folder, sent, b"limit") as broker, ExitStack() as end:
                return rate(count, lambda: wire.drain(end.enter_context(wire.connect(broker.port, b"limit")), count))

        yield (
            Way(Role.OURS, "one worker, into SQLite", lambda: worker(keeps=True)),
            Way(Role.PEER, "the worker's loop, only acknowledging", lambda: worker(keeps=False)),
            Way(Role.LIMIT, "a bare socket, only acknowledging", bare),
        )


@contextmanager
def full_broker(folder: Path, sent: Traffic, session: bytes) -> Iterator[children.Broker]:
    """A nats-server at which everything waits for this client."""
    with new_broker(folder) as broker:
        with wire.connect(broker.port, session) as connection:
            wire.subscribe(connection, TOPIC.encode(), qos=1)
        wire.fill(broker.port, wire.publishes(sent.published), len(sent.messages))
        yield broker


@contextmanager
def new_broker(folder: Path) -> Iterator[children.Broker]:
    """A nats-server with an empty store."""
    with TemporaryDirectory(dir=folder) as data, children.broker(Path(data), 0, folder / "nats.log") as broker:
        yield broker
