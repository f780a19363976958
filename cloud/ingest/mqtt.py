"""The MQTT inlet: takes what has arrived as one batch, commits it, and only then acknowledges and answers.

One thread with a loop of its own over paho's client, protocol 3.1.1, QoS 1, a persistent session and manual
acknowledgement: the broker keeps every message until its batch is on disk, so a crash at any instant loses nothing,
and the press log makes what comes again change nothing. There are no timers: under load the batches grow by themselves.
"""

import json
import select
import threading
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import paho.mqtt.client as paho
import sqlalchemy as sa
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from sqlalchemy.exc import OperationalError

from cloud.database import now as present
from cloud.fleet.model import format_id
from cloud.frames.model import Result
from cloud.ingest.keys import Keys
from cloud.ingest.receive import Limits, Message, Outcome, receive
from cloud.stamps.lease import Lease

TOPIC = "sigfox/+/up"
MOST_IN_A_BATCH = 1000  # beyond it a batch gains nothing and its first message waits longer
WAIT_S = 1.0  # how long the loop sleeps when nothing comes; it wakes at once for a packet or a stop
KEEPALIVE_S = 30
DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}  # as registered with IANA
RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)  # between tries to reach a broker or a database that is away

log = structlog.get_logger(__name__)


class Metrics:
    """What Prometheus is told of the inlet."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.frames = Counter("domino_frames", "Messages by their end", ["result"], registry=registry)
        self.batch = Histogram(
            "domino_batch_messages",
            "Messages committed at once",
            registry=registry,
            buckets=(1, 3, 10, 30, 100, 300, 1000),
        )
        self.commit = Histogram("domino_commit_seconds", "From the first of a batch to its commit", registry=registry)
        self.lag = Histogram(
            "domino_lag_seconds",
            "From heard by a station to kept",
            registry=registry,
            buckets=(0.1, 0.3, 1, 3, 10, 60, 600),
        )
        self.connected = Gauge("domino_broker_connected", "1 while the broker is reached", registry=registry)
        for result in Result:
            self.frames.labels(result.value)


class Inlet:
    """Takes the network's messages from the broker at `url` until it is stopped. Run `run` in a thread."""

    def __init__(
        self,
        url: str,
        engine: sa.Engine,
        keys: Keys,
        *,
        limits: Limits,
        lease: Lease,
        registry: CollectorRegistry,
        committed: Callable[[], None],
        client_id: str = "domino-ingest",
    ) -> None:
        self._url = urlsplit(url)
        self._engine, self._keys, self._limits, self._lease = engine, keys, limits, lease
        self._metrics = Metrics(registry)
        self._committed = committed
        self._arrived: list[paho.MQTTMessage] = []
        self._stopping = threading.Event()
        self._subscribed = threading.Event()
        self._held_up = threading.Event()
        self._client = self._make_client(client_id)

    @property
    def connected(self) -> bool:
        """Whether the broker has granted the subscription and the connection stands."""
        return self._subscribed.is_set()

    @property
    def held_up(self) -> bool:
        """Whether a batch waits for a database that refuses it: full, read-only, locked or away."""
        return self._held_up.is_set()

    def wait_connected(self, timeout_s: float) -> bool:
        return self._subscribed.wait(timeout_s)

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        """The loop: read what has arrived, keep it, acknowledge and answer it."""
        tries = 0  # since a batch was kept: a broker that takes us only to drop us is not called without a pause
        while not self._stopping.is_set():
            if self._client.socket() is None:
                if tries:
                    self._stopping.wait(RETRY_S[min(tries, len(RETRY_S)) - 1])
                tries += 1
                self._connect()
                continue
            try:
                self._read_packets()
                if self._arrived:
                    self._keep()
                    tries = 0
            except Exception:
                log.exception("inlet met a bug; it connects anew, and what it had comes again")
                self._client.disconnect()
        self._client.disconnect()
        self._metrics.connected.set(0)

    def _connect(self) -> None:
        self._arrived.clear()  # not acknowledged, so the broker sends it again
        try:
            self._client.connect(
                self._url.hostname or "127.0.0.1", self._url.port or DEFAULT_PORTS[self._url.scheme], KEEPALIVE_S
            )
        except OSError as error:
            log.warning("broker away", broker=self._url.hostname, port=self._url.port, error=str(error))

    def _read_packets(self) -> None:
        """Wait for a packet, then drain what is readable."""
        client = self._client
        sock = client.socket()
        if sock is None:
            return
        wants_write = [sock] if client.want_write() else []
        # TLS may have decrypted more than was read: that much no select tells of.
        wait_s = 0 if getattr(sock, "pending", int)() else WAIT_S
        ready, writable, _ = select.select([sock], wants_write, [], wait_s)
        readable = ready or not wait_s
        if writable:
            client.loop_write()
        while readable and len(self._arrived) < MOST_IN_A_BATCH and client.socket() is sock:
            before = len(self._arrived)
            client.loop_read()
            if len(self._arrived) == before:
                break  # another kind of packet, or nothing left
        client.loop_misc()

    def _keep(self) -> None:
        """Commit what has arrived, then acknowledge and answer it."""
        arrived, self._arrived = self._arrived, []
        batch = [Message("mqtt", _device(message), bytes(message.payload)) for message in arrived]
        started = time.perf_counter()
        outcomes = self._commit(batch)
        if outcomes is None:
            return  # stopping: nothing was committed, nothing is acknowledged
        self._metrics.batch.observe(len(batch))
        self._metrics.commit.observe(time.perf_counter() - started)
        for message, outcome in zip(arrived, outcomes, strict=True):
            if outcome is not None:
                self._client.ack(message.mid, message.qos)
                self._answer(outcome)
                self._count(outcome)
        self._committed()

    def _commit(self, batch: Sequence[Message]) -> list[Outcome | None] | None:
        """The outcome of each message once all are on disk; None for one that met a bug, which is not acknowledged."""
        tries = 0
        while not self._stopping.is_set():
            try:
                with self._engine.begin() as conn:
                    outcomes = receive(
                        conn, batch, keys=self._keys, limits=self._limits, lease=self._lease, now=present()
                    )
                self._held_up.clear()
                return list(outcomes)
            except OperationalError as error:
                # Locked, full or away. The same batch again: the messages are here, and nothing of them was kept.
                self._held_up.set()
                log.error("database refused a batch", messages=len(batch), error=str(error.orig))
                self._stopping.wait(RETRY_S[min(tries, len(RETRY_S) - 1)])
                tries += 1
            except Exception:
                if len(batch) == 1:
                    log.exception("message not taken in", device=batch[0].device, size=len(batch[0].payload))
                    return [None]
                return self._commit_singly(batch)
        return None

    def _commit_singly(self, batch: Sequence[Message]) -> list[Outcome | None] | None:
        """One by one, so that the message that broke the batch holds up no other."""
        outcomes: list[Outcome | None] = []
        for message in batch:
            one = self._commit([message])
            if one is None:
                return None
            outcomes += one
        return outcomes

    def _answer(self, outcome: Outcome) -> None:
        if outcome.downlink is None or outcome.reception is None:
            return
        device = format_id(outcome.reception.device)
        body = json.dumps({"device": device, "downlinkData": outcome.downlink.hex()})
        self._client.publish(f"sigfox/{device}/down", body, qos=1)

    def _count(self, outcome: Outcome) -> None:
        self._metrics.frames.labels(outcome.result.value).inc()
        if outcome.result is Result.ACCEPTED and outcome.reception and outcome.reception.heard_at:
            lag = present() - outcome.reception.heard_at
            self._metrics.lag.observe(max(lag.total_seconds(), 0))

    def _make_client(self, client_id: str) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=False,
            protocol=MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
        )
        if self._url.username:
            client.username_pw_set(self._url.username, self._url.password)
        if self._url.scheme == "mqtts":
            client.tls_set()
        client.max_queued_messages_set(0)
        client.max_inflight_messages_set(0)  # a limit makes paho search its answers at every PUBACK

        def on_connect(client: paho.Client, _data: object, _flags: object, reason: object, _properties: object) -> None:
            if getattr(reason, "is_failure", False):
                log.error("broker refused the connection", reason=str(reason))
                return
            client.subscribe(TOPIC, qos=1)

        def on_subscribe(
            client: paho.Client, _data: object, _mid: int, reasons: Sequence[ReasonCode], _properties: object
        ) -> None:
            if any(reason.is_failure for reason in reasons):
                log.error("broker refused the subscription", topic=TOPIC)
                client.disconnect()
                return
            self._subscribed.set()
            self._metrics.connected.set(1)
            log.info("listening", topic=TOPIC, broker=self._url.hostname, port=self._url.port)

        def on_disconnect(*_: object) -> None:
            self._subscribed.clear()
            self._metrics.connected.set(0)
            if not self._stopping.is_set():
                log.warning("broker lost")

        def on_message(_client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
            self._arrived.append(message)

        client.on_connect = on_connect
        client.on_subscribe = on_subscribe
        client.on_disconnect = on_disconnect
        client.on_message = on_message
        return client


def _device(message: paho.MQTTMessage) -> str:
    """The device that the topic names; a topic that is no UTF-8, or none of ours, names none."""
    try:
        return message.topic.split("/")[1]
    except (UnicodeDecodeError, IndexError):
        return ""
