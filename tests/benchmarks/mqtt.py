"""Ingest over MQTT: what waits at nats-server is drained until it is committed and acknowledged."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from cloud.frames.model import Result
from cloud.ingest.mqtt import TOPIC, Inlet
from cloud.ingest.receive import Limits, Message, Outcome
from cloud.ingest.writer import Writer
from tests.benchmarks import wire
from tests.benchmarks.ingest import KEYS, Fleets, presses
from tests.benchmarks.measure import Role, Way, rate
from tools import children


class Acknowledger(Writer):
    """Calls everything committed, and keeps nothing."""

    def _commit(self, batch: Sequence[Message]) -> list[Outcome | None] | None:
        return [Outcome(Result.ACCEPTED, "") for _ in batch]


@contextmanager
def prepare(folder: Path, count: int) -> Iterator[Sequence[Way]]:
    fleets = Fleets(folder, count)
    burst = wire.publishes((f"sigfox/{m.device}/up".encode(), m.payload) for m in presses(count))

    def inlet(kind: type[Writer]) -> list[float]:
        with new_broker(folder) as broker, fleets.fresh() as engine:
            with listening(kind, broker.url, engine):
                pass  # the session exists from now on, and the broker keeps what comes for it
            wire.fill(broker.port, burst, count)
            with ExitStack() as end:
                return rate(count, lambda: end.enter_context(listening(kind, broker.url, engine))(count))

    def bare() -> list[float]:
        with new_broker(folder) as broker:
            with wire.connect(broker.port, b"limit") as connection:
                wire.subscribe(connection, TOPIC.encode(), qos=1)
            wire.fill(broker.port, burst, count)
            with ExitStack() as end:
                return rate(count, lambda: wire.drain(end.enter_context(wire.connect(broker.port, b"limit")), count))

    yield (
        Way(Role.OURS, "inlet, into SQLite", lambda: inlet(Writer)),
        Way(Role.PEER, "the inlet's loop, only acknowledging", lambda: inlet(Acknowledger)),
        Way(Role.LIMIT, "a bare socket, only acknowledging", bare),
    )


@contextmanager
def new_broker(folder: Path) -> Iterator[children.Broker]:
    """A nats-server with an empty store."""
    with TemporaryDirectory(dir=folder) as data, children.broker(Path(data), 0, folder / "nats.log") as broker:
        yield broker


@contextmanager
def listening(kind: type[Writer], url: str, engine: sa.Engine) -> Iterator[Callable[[int], None]]:
    """An inlet at work; gives what waits until it has committed and acknowledged so many."""
    registry, more = CollectorRegistry(), threading.Event()
    writer = kind(engine, KEYS, limits=Limits(), registry=registry, committed=more.set)
    inlet = Inlet(url, writer, registry=registry)

    def wait(count: int) -> None:
        while (registry.get_sample_value("domino_frames_total", {"result": Result.ACCEPTED}) or 0) < count:
            assert more.wait(wire.PATIENCE_S), "the inlet takes nothing in any more"
            more.clear()

    threads = [threading.Thread(target=part.run) for part in (inlet, writer)]
    for thread in threads:
        thread.start()
    try:
        assert inlet.wait_connected(wire.PATIENCE_S), "the inlet does not reach its broker"
        yield wait
    finally:
        for part in (inlet, writer):
            part.stop()
        for thread in threads:
            thread.join()
