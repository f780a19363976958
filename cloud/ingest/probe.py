"""Whether the broker takes messages, found out by giving it one: a publish at QoS 1 now and then, on a topic of
its own, which it is subscribed to, because nats-server stores nothing that nobody wants.

A subscription that stands proves little: nats-server goes on delivering when it can store nothing any more, and then
every button's message is refused until it is started anew. Where the broker tells of itself, as Mosquitto does under
$SYS, what waits in it is told on.
"""

import os
import socket
import ssl
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from cloud.ingest.mqtt import DEFAULT_PORTS

TOPIC = "domino/probe"  # and the name of who tries
MESSAGE = bytes(4097)  # more than a block of the disk: less may fit into the last one when the disk is full
EVERY_S = 10.0
PATIENCE_S = 5.0  # from a publish to its PUBACK; a loaded broker takes well under one
KEEPALIVE_S = 30
STORED = "$SYS/broker/store/messages/count"
DROPPED = "$SYS/broker/publish/messages/dropped"


class BrokerProbe:
    """Tries the broker at `url` every `every_s` until it is stopped. Run `run` in a thread."""

    def __init__(
        self, url: str, *, registry: CollectorRegistry, every_s: float = EVERY_S, patience_s: float = PATIENCE_S
    ) -> None:
        self._url, self._every_s, self._patience_s = urlsplit(url), every_s, patience_s
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._topic = f"{TOPIC}/{self._name}"
        self._why: str | None = "it has not been tried yet"
        self._tried = threading.Condition()
        self._tries = 0
        self._answered = threading.Event()
        self._refused: str | None = None  # what its CONNACK said
        self._stopping = threading.Event()
        self._took = Histogram(
            "domino_broker_probe_seconds", "From a publish to the broker's PUBACK", registry=registry
        )
        self._stored = Gauge(
            "domino_broker_stored_messages",
            "What waits in Mosquitto's store, for all its clients; no other broker tells",
            registry=registry,
        )
        self._dropped = Gauge(
            "domino_broker_dropped_messages",
            "What Mosquitto has dropped since its start: acknowledged, and lost",
            registry=registry,
        )
        self._failed = Counter(
            "domino_broker_probe_failures", "Publishes that the broker did not take", registry=registry
        )
        self._expires = Gauge(
            "domino_broker_certificate_expiry_timestamp_seconds",
            "When the broker's TLS certificate ends; 0 without TLS",
            registry=registry,
        )

    def why(self) -> str | None:
        """For `cloud.health`: why the broker takes no messages; None: it took the last."""
        return self._why

    def wait_tried(self, times: int, timeout_s: float) -> bool:
        """Whether it has been tried `times` since its start, waiting for that."""
        with self._tried:
            return self._tried.wait_for(lambda: self._tries >= times, timeout_s)

    def stop(self) -> None:
        self._stopping.set()
        self._answered.set()

    def run(self) -> None:
        client: paho.Client | None = None
        while not self._stopping.is_set():
            started = time.monotonic()
            if client is None or not client.is_connected():
                # Always a new one: paho would send what an earlier connection left unacknowledged.
                _close(client)
                client = self._make_client()
            self._note(self._try(client))
            self._stopping.wait(max(self._every_s - (time.monotonic() - started), 0))
        _close(client)

    def _try(self, client: paho.Client) -> str | None:
        """Publish; what is wrong."""
        started = time.monotonic()
        if not client.is_connected():
            self._answered.clear()
            self._refused = None
            try:
                client.connect(self._url.hostname or "", self._url.port or DEFAULT_PORTS[self._url.scheme], KEEPALIVE_S)
            except (OSError, ValueError) as error:
                return f"it does not answer: {error}"
            client.loop_start()
            if not self._answered.wait(self._patience_s):
                return f"it has not answered a connection within {self._patience_s:g} s"
            if self._refused or self._stopping.is_set():
                return self._refused
            started = time.monotonic()
        try:
            sent = client.publish(self._topic, MESSAGE, qos=1)
            while not sent.is_published() and client.is_connected() and not self._stopping.is_set():
                left_s = started + self._patience_s - time.monotonic()
                if left_s <= 0:
                    client.disconnect()
                    return f"it has not acknowledged a publish within {self._patience_s:g} s"
                sent.wait_for_publish(min(left_s, 0.1))
            is_taken = sent.is_published()
        except (ValueError, RuntimeError):  # paho's way to say that the connection is gone
            is_taken = False
        if not is_taken:
            return None if self._stopping.is_set() else "it closed the connection upon a publish"
        self._took.observe(time.monotonic() - started)
        return None

    def _note(self, why: str | None) -> None:
        if why is not None:
            self._failed.inc()
        with self._tried:
            self._why = why
            self._tries += 1
            self._tried.notify_all()

    def _make_client(self) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            f"domino-probe-{self._name}",
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        if self._url.username:
            client.username_pw_set(self._url.username, self._url.password)
        if self._url.scheme == "mqtts":
            client.tls_set()

        def on_connect(client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
            if reason.is_failure:
                self._refused = f"it refused the connection: {reason}"
            else:
                self._expires.set(_expiry(client.socket()))
                client.subscribe([(self._topic, 1), (STORED, 0), (DROPPED, 0)])
            self._answered.set()

        def on_message(_client: Any, _data: Any, message: paho.MQTTMessage) -> None:
            gauges = {STORED: self._stored, DROPPED: self._dropped}
            if message.topic in gauges and message.payload.isdigit():
                gauges[message.topic].set(int(message.payload))

        def on_disconnect(*_: Any) -> None:
            if not self._answered.is_set():  # as nats-server does that can store no session
                self._refused = "it closed the connection instead of an answer"
                self._answered.set()

        client.on_connect = on_connect
        client.on_disconnect = on_disconnect
        client.on_message = on_message
        return client


def _close(client: paho.Client | None) -> None:
    if client is not None:
        client.disconnect()
        client.loop_stop()


def _expiry(connection: Any) -> float:
    """When the certificate at the other end ends, in Unix time; 0 where there is none."""
    shown = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None
    return ssl.cert_time_to_seconds(str(shown["notAfter"])) if shown else 0.0
