"""Ingest from JetStream: what waits in its stream is drained until it is committed and acknowledged."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from prometheus_client import CollectorRegistry

from cloud import database
from cloud.frames.model import Result
from cloud.ingest import jetstream
from cloud.ingest.inlet import open_inlet
from cloud.ingest.receive import Limits, Message, Outcome
from cloud.ingest.uplink_stream import ACK_WAIT_S, GROUP, STREAM, consumer_of
from cloud.ingest.writer import MOST_IN_A_BATCH, Writer
from tests.benchmarks import mqtt, wire
from tests.benchmarks.fleets import Fleet, SqliteFleets
from tests.benchmarks.measure import Role, Way, rate
from tests.benchmarks.traffic import KEYS, first_presses
from tests.stock import lease_of
from tools.cluster import Cluster, cluster


class Gated(Writer):
    """Commits nothing before it is let: connecting is not what is measured."""

    gate: threading.Event

    def _commit(self, batch: Sequence[Message]) -> list[Outcome | None] | None:
        assert self.gate.wait(wire.PATIENCE_S)
        return super()._commit(batch)


class Acknowledger(Gated):
    """Calls everything committed, and keeps nothing."""

    def _commit(self, batch: Sequence[Message]) -> list[Outcome | None] | None:
        assert self.gate.wait(wire.PATIENCE_S)
        return [Outcome(Result.ACCEPTED, "") for _ in batch]


@contextmanager
def prepare(folder: Path, count: int) -> Iterator[Sequence[Way]]:
    sent = first_presses(count)
    fleets, messages = SqliteFleets(folder, sent.buttons, [sent.presses]), sent.messages
    burst = b"".join(
        b"PUB uplinks.%s %d\r\n%s\r\n" % (str(m.device).encode(), len(m.payload), m.payload) for m in messages
    )

    def inlet(kind: type[Gated]) -> list[float]:
        with new_server(folder) as server, fleets.fresh() as fleet:
            with listening(kind, server.url, fleet):
                pass  # the stream is there from now on
            fill(server, burst, count)
            with listening(kind, server.url, fleet) as wait:
                return rate(count, lambda: wait(count))

    def inlet_of_mqtt(kind: type[Gated]) -> list[float]:
        with (
            mqtt.full_broker(folder, sent, b"domino-ingest") as broker,
            fleets.fresh() as fleet,
            listening(kind, broker.url, fleet) as wait,
        ):
            return rate(count, lambda: wait(count))

    def bare() -> list[float]:
        with new_server(folder) as server, fleets.fresh() as fleet:
            with listening(Acknowledger, server.url, fleet, partitions=1):
                pass
            fill(server, burst, count)
            return rate(count, lambda: asyncio.run(drain(server, count)))

    yield (
        Way(Role.OURS, "inlet of JetStream, into SQLite", lambda: inlet(Gated)),
        Way(Role.PEER, "the inlet's loop, only acknowledging", lambda: inlet(Acknowledger)),
        Way(Role.PEER, "inlet of MQTT, into SQLite", lambda: inlet_of_mqtt(Gated)),
        Way(Role.PEER, "MQTT's loop, only acknowledging", lambda: inlet_of_mqtt(Acknowledger)),
        Way(Role.LIMIT, "nats-py by callback, only acknowledging", bare),
    )


@contextmanager
def new_server(folder: Path) -> Iterator[Cluster]:
    """One nats-server with an empty store."""
    with TemporaryDirectory(dir=folder) as data, cluster(Path(data), 1) as server:
        yield server


@contextmanager
def listening(kind: type[Gated], url: str, fleet: Fleet, **options: int) -> Iterator[Callable[[int], None]]:
    """A connected inlet; gives what lets it work, and waits until it has committed so many."""
    registry, more = CollectorRegistry(), threading.Event()
    with database.reading(fleet.engine) as conn:
        lease = lease_of(conn)
    writer = kind(fleet.engine, KEYS, limits=Limits(), lease=lease, registry=registry, committed=more.set)
    writer.gate = threading.Event()
    inlet = open_inlet(url, writer, registry=registry, **options)

    def wait(count: int) -> None:
        writer.gate.set()
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
        writer.gate.set()
        for part in (inlet, writer):
            part.stop()
        for thread in threads:
            thread.join()


def fill(server: Cluster, burst: bytes, count: int) -> None:
    """Publish a burst of `count` and return once the stream has all of it."""
    login = {"verbose": False, "user": "publisher", "pass": server.passwords["publisher"]}
    with socket.create_connection(("127.0.0.1", server.nodes[0].port), timeout=wire.PATIENCE_S) as connection:
        connection.sendall(b"CONNECT " + json.dumps(login).encode() + b"\r\n" + burst + b"PING\r\n")
        said = b""
        while b"PONG" not in said:
            said = said[-8:] + connection.recv(4096)
    asyncio.run(_wait_filled(server, count))


async def _connect(server: Cluster) -> Client:
    return await nats.connect(server.url, inbox_prefix=jetstream.INBOX)


async def _wait_filled(server: Cluster, count: int) -> None:
    client = await _connect(server)
    try:
        give_up_at = time.monotonic() + wire.PATIENCE_S
        while time.monotonic() < give_up_at:
            answer = await client.request(f"$JS.API.STREAM.INFO.{STREAM}", b"")
            if json.loads(answer.data)["state"]["messages"] >= count:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the stream does not fill")
    finally:
        await client.close()


async def drain(server: Cluster, count: int) -> None:
    """Take `count` messages of the one partition as they come, and acknowledge each."""
    client = await _connect(server)
    ended = asyncio.Event()
    inbox = client.new_inbox()
    taken = asked = 0
    pin = {}

    async def ask() -> None:
        nonlocal asked
        asked += MOST_IN_A_BATCH
        body = {"batch": MOST_IN_A_BATCH, "expires": int(ACK_WAIT_S * 1e9), "group": GROUP, **pin}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{consumer_of(0, 1)}"
        await client.publish(subject, json.dumps(body).encode(), reply=inbox)

    async def take(message: Msg) -> None:
        nonlocal taken
        if not message.reply:
            return
        taken += 1
        pin["id"] = (message.headers or {})[jetstream.PIN]
        await client.publish(message.reply, jetstream.ACK)
        if asked - taken < MOST_IN_A_BATCH:
            await ask()
        if taken == count:
            ended.set()

    await client.subscribe(inbox, cb=take)
    await ask()
    await asyncio.wait_for(ended.wait(), wire.PATIENCE_S)
    await client.close()
