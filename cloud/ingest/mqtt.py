"""The MQTT inlet: hands what has arrived to the writer, and acknowledges and answers only what is committed.

One thread with a loop of its own over paho's client, protocol 3.1.1, QoS 1, a persistent session and manual
acknowledgement: the broker keeps every message until its batch is on disk, so a crash at any instant loses nothing,
and the press log makes what comes again change nothing. The next group is read once the last is written: two threads
at work would wait for each other at every packet (the interpreter's lock). Only a slow writer is not waited for, and so
the connection stays alive however slow the database is.
"""

import contextlib
import itertools
import math
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import cast
from urllib.parse import SplitResult, urlsplit

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from prometheus_client import CollectorRegistry, Gauge

from cloud.fleet.model import format_id
from cloud.ingest.line import Arrived, Line, publish_packet, repeated
from cloud.ingest.receive import Message
from cloud.ingest.writer import MOST_IN_A_BATCH, Outcomes, Writer

TOPIC = "sigfox/+/up"
WAIT_S = 1.0  # how long the loop sleeps when nothing comes; it wakes at once for a packet or a stop
MOST_HELD = 64_000_000  # bytes that wait here for a slow database; beyond it the broker waits
KEEPALIVE_S = 30
GREETING_S = 10.0  # for a broker to answer CONNECT
DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}  # as registered with IANA
PINGREQ = b"\xc0\x00"
MIDS = range(0x8000, 0x10000)  # packet ids of answers; paho counts its own from 1
RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)  # between tries to reach a broker that is away

log = structlog.get_logger(__name__)


class Inlet:
    """Takes the network's messages from the broker at `url` until it is stopped. Run `run` in a thread.

    Of inlets with the same `group` each takes a share. One that is `retiring` takes no new ones, but what its session
    still holds, and then ends both.
    """

    def __init__(
        self,
        url: str,
        writer: Writer,
        *,
        registry: CollectorRegistry,
        client_id: str = "domino-ingest",
        group: str | None = None,
        retiring: bool = False,
    ) -> None:
        self._url = urlsplit(url)
        self._writer = writer
        self._topic = TOPIC if group is None else f"$share/{group}/{TOPIC}"
        self._retiring = retiring
        self._taken = 0  # messages of this connection
        self._asked: list[int] = []  # how many were taken whenever a retiring inlet asked the broker for the end
        self._asked_mid: int | None = None
        self._retired = threading.Event()
        self._gauge = Gauge("domino_broker_connected", "1 while the broker is reached", registry=registry)
        self._arrived: list[Arrived] = []
        self._size = 0  # of their payloads, bytes
        self._held: set[int] = set()  # packet ids of what has arrived and is not acknowledged
        self._in_hand = False  # whether the writer has a group of ours
        self._written: deque[tuple[int, list[Arrived], Outcomes]] = deque()
        self._connection = 0  # they are counted: packet ids of an earlier one are others
        self._wakes, self._woken = socket.socketpair()
        self._wakes.setblocking(False)
        self._stopping = threading.Event()
        self._subscribed = threading.Event()
        self._client_id = client_id
        self._client = self._make_client(client_id)

    @property
    def connected(self) -> bool:
        """Whether the broker has granted the subscription and the connection stands."""
        return self._subscribed.is_set()

    def wait_connected(self, timeout_s: float) -> bool:
        return self._subscribed.wait(timeout_s)

    @property
    def retired(self) -> bool:
        """Whether the broker has nothing more for this inlet and has forgotten it."""
        return self._retired.is_set()

    def stop(self) -> None:
        self._stopping.set()
        self._wake()

    def run(self) -> None:
        """The loop: read what has arrived, hand it over, acknowledge and answer what was written."""
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
                while self._written:
                    connection, arrived, outcomes = self._written.popleft()
                    if connection == self._connection:  # else it comes again
                        self._acknowledge(arrived, outcomes)
                        tries = 0
                if self._arrived and not self._in_hand:
                    self._hand_over()
                if self._retiring and not self._in_hand and self._asked and self._asked[-1] < self._taken:
                    self._ask_for_the_end()
            except Exception:
                log.exception("inlet met a bug; it connects anew, and what it had comes again")
                self._client.disconnect()
        self._client.disconnect()
        if self.retired:
            self._end_session()
        self._gauge.set(0)
        self._wakes.close()
        self._woken.close()

    def _connect(self) -> None:
        self._connection += 1
        self._taken = 0
        self._asked.clear()
        self._arrived.clear()  # not acknowledged, so the broker sends it again
        self._held.clear()
        self._size = 0
        self._in_hand = False
        try:
            self._client.connect(
                self._url.hostname or "127.0.0.1", self._url.port or DEFAULT_PORTS[self._url.scheme], KEEPALIVE_S
            )
            self._client.flush()  # the CONNECT
        except OSError as error:
            log.warning("broker away", broker=self._url.hostname, port=self._url.port, error=str(error))

    def _read_packets(self) -> None:
        """Wait for a packet or the writer, then drain what is readable."""
        client, line = self._client, self._client.line
        if not client.is_on(line):
            return  # since the last acknowledgements
        if self._in_hand and self._is_woken_within(WAIT_S):
            return
        has_room = self._has_room()
        wait_s = 0 if self._in_hand or (has_room and not line.is_dry) else WAIT_S
        wants_read = [self._woken, line] if has_room else [self._woken]
        readable, _, _ = select.select(wants_read, [line] if line.unsent else [], [], wait_s)
        if self._woken in readable:
            self._woken.recv(4096)
        while self._has_room() and client.is_on(line):
            taken = line.take(MOST_IN_A_BATCH)
            self._keep(taken)
            if line.is_theirs:
                client.loop_read()
            elif len(taken) < MOST_IN_A_BATCH and not line.fill():
                break  # nothing is left
        client.forget_heard()
        if line.is_dry:
            client.loop_misc()
        else:
            client.stay()
        client.flush()

    def _has_room(self) -> bool:
        """A batch is enough, but while a slow database has one: a broker hangs up on who does not read for seconds."""
        return (self._in_hand or len(self._arrived) < MOST_IN_A_BATCH) and self._size < MOST_HELD

    def _keep(self, taken: Sequence[Arrived]) -> None:
        """All but what is here already: nats-server repeats every few seconds what is unacknowledged."""
        for one in taken:
            if one.mid not in self._held:
                if one.mid:
                    self._held.add(one.mid)
                self._arrived.append(one)
                self._size += len(one.payload)
                self._taken += 1

    def _hand_over(self) -> None:
        arrived, self._arrived = self._arrived[:MOST_IN_A_BATCH], self._arrived[MOST_IN_A_BATCH:]
        self._size -= sum(len(one.payload) for one in arrived)
        connection = self._connection

        def written(outcomes: Outcomes) -> None:
            self._written.append((connection, arrived, outcomes))
            self._wake()

        self._in_hand = True
        self._writer.put([Message("mqtt", _device(topic), payload) for _, topic, payload in arrived], written)

    def _is_woken_within(self, wait_s: float) -> bool:
        ready, _, _ = select.select([self._woken], [], [], wait_s)
        return bool(ready and self._woken.recv(4096))

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # it has been woken often enough, or has ended
            self._wakes.send(b"\0")

    def _acknowledge(self, arrived: Sequence[Arrived], outcomes: Outcomes) -> None:
        self._in_hand = False
        self._held.difference_update(one.mid for one in arrived)
        if self._client.socket() is not None:
            kept = [one.mid for one, outcome in zip(arrived, outcomes, strict=True) if outcome and one.mid]
            self._client.line.acknowledge(kept)
        self._client.publish_all(
            _answer(outcome.reception.device, outcome.downlink)
            for outcome in outcomes
            if outcome and outcome.downlink and outcome.reception
        )
        self._client.flush()

    def _ask_for_the_end(self) -> None:
        self._asked.append(self._taken)
        _, self._asked_mid = self._client.unsubscribe(self._topic)
        self._client.flush()

    def _end_session(self) -> None:
        """A clean connection under its name makes the broker forget what it kept under it: by now, nothing."""
        client = _client(self._url, self._client_id, MQTTProtocolVersion.MQTTv311, clean_session=True)
        if _greeting(client, self._url) is None:
            log.warning("the broker keeps an empty session", worker=self._client_id)

    def _make_client(self, client_id: str) -> "Client":
        client = Client(client_id)
        _sign_in(client, self._url)

        def on_connect(client: paho.Client, _data: object, _flags: object, reason: object, _properties: object) -> None:
            if getattr(reason, "is_failure", False):
                log.error("broker refused the connection", reason=str(reason))
                return
            self._client.repeat_unheard()
            if self._retiring:
                self._ask_for_the_end()
            else:
                client.subscribe(self._topic, qos=1)

        def on_subscribe(
            client: paho.Client, _data: object, _mid: int, reasons: Sequence[ReasonCode], _properties: object
        ) -> None:
            if any(reason.is_failure for reason in reasons):
                log.error("broker refused the subscription", topic=self._topic)
                client.disconnect()
                return
            self._subscribed.set()
            self._gauge.set(1)
            log.info("listening", topic=self._topic, broker=self._url.hostname, port=self._url.port)

        def on_unsubscribe(_client: paho.Client, _data: object, mid: int, *_: object) -> None:
            # Answered in its turn: what the session held came before. Asked twice, as a broker may answer the first
            # before it has begun to send what it holds.
            if mid != self._asked_mid or self._taken > self._asked[-1]:
                return  # it is asked again when that is acknowledged
            if len(self._asked) < 2:
                self._ask_for_the_end()
                return
            log.info("nothing is left for this worker", worker=client_id)
            self._retired.set()
            self._stopping.set()

        def on_disconnect(*_: object) -> None:
            self._subscribed.clear()
            self._gauge.set(0)
            if not self._stopping.is_set():
                log.warning("broker lost")

        client.on_connect = on_connect
        client.on_subscribe = on_subscribe
        client.on_unsubscribe = on_unsubscribe
        client.on_disconnect = on_disconnect
        return client


class Client(paho.Client):
    """paho's client on a `Line`, with what is many on it handled by the hundred: messages, acknowledgements, answers.

    `_create_socket` is paho's own, and held by a test.
    """

    line: Line

    def __init__(self, client_id: str) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=False,
            protocol=MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
        )
        self.on_socket_register_write = lambda *_: None  # we say when: paho would write at each packet
        self._mids = itertools.cycle(MIDS)
        self._stayed_at = -math.inf
        self._unheard: dict[int, bytes] = {}  # answers, until the broker has acknowledged them

    def _create_socket(self) -> Line:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.line = Line(cast(socket.socket, super()._create_socket()))
        return self.line

    def is_on(self, line: Line) -> bool:
        """Whether the connection stands, and is still this one."""
        return self.socket() is line

    def publish_all(self, messages: Iterable[tuple[bytes, bytes]]) -> None:
        """(topic, payload) each at QoS 1: sent anew on a new connection until it is acknowledged.

        When 32 768 are not, the oldest is given up: an answer that old finds no button that listens.
        """
        for topic, payload in messages:
            mid = next(self._mids)
            self._unheard.pop(mid, None)
            packet = self._unheard[mid] = publish_packet(topic, payload, mid)
            if self.socket() is not None:
                self.line.send(packet)

    def repeat_unheard(self) -> None:
        """On a new connection."""
        self.line.send(b"".join(map(repeated, self._unheard.values())))

    def forget_heard(self) -> None:
        for mid in self.line.heard:
            self._unheard.pop(mid, None)
        self.line.heard.clear()

    def stay(self) -> None:
        """Instead of `loop_misc`, while not all that has arrived is heard: the answer to paho's ping may lie behind it,
        and paho would take the broker for gone."""
        if time.monotonic() - self._stayed_at >= KEEPALIVE_S / 3:
            self._stayed_at = time.monotonic()
            self.line.send(PINGREQ)

    def flush(self) -> None:
        """Put on the line what paho has, and send what the line has."""
        if self.socket() is not None:
            self.loop_write()
        if self.socket() is not None:
            with contextlib.suppress(OSError):  # the next read meets it too
                self.line.flush()


def _answer(device: int, downlink: bytes) -> tuple[bytes, bytes]:
    """Topic and payload."""
    name = format_id(device)
    return f"sigfox/{name}/down".encode(), b'{"device": "%s", "downlinkData": "%s"}' % (
        name.encode(),
        downlink.hex().encode(),
    )


def _device(topic: bytes) -> str:
    """The device that the topic names; a topic that is no UTF-8, or none of ours, names none."""
    try:
        return topic.split(b"/")[1].decode()
    except (UnicodeDecodeError, IndexError):
        return ""


class Unreachable(ConnectionError):
    """No broker answers; the text says where, without a password."""


def has_shared_subscriptions(url: str) -> bool:
    """Whether the broker at `url` lets several workers share a subscription (``$share``); raises `Unreachable`.

    Asked by MQTT 5, whose CONNACK says so (3.2.2.3.13); a broker that has not MQTT 5 has no such subscriptions either,
    or not reliably: nats-server takes ``$share/…`` of a 3.1.1 client for a topic like any other, and sends it nothing.
    """
    parts = urlsplit(url)
    answer = _greeting(_client(parts, "", MQTTProtocolVersion.MQTTv5), parts)
    older = _client(parts, "", MQTTProtocolVersion.MQTTv311, clean_session=True)
    if answer is None and _greeting(older, parts) is None:
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        raise Unreachable(f"the broker does not answer: {parts.scheme}://{parts.hostname}:{port}")
    return answer is not None and getattr(answer, "SharedSubscriptionAvailable", 1) == 1


def _client(
    url: SplitResult, client_id: str, protocol: MQTTProtocolVersion, clean_session: bool | None = None
) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id, clean_session=clean_session, protocol=protocol)
    _sign_in(client, url)
    return client


def _sign_in(client: paho.Client, url: SplitResult) -> None:
    if url.username:
        client.username_pw_set(url.username, url.password)
    if url.scheme == "mqtts":
        client.tls_set()


def _greeting(client: paho.Client, url: SplitResult) -> Properties | None:
    """What the broker says of itself when `client` connects; None where it says nothing, or no."""
    answers: list[Properties | None] = []

    def on_connect(_client: object, _data: object, _flags: object, reason: ReasonCode, said: Properties | None) -> None:
        answers.append(None if reason.is_failure else said or Properties(PacketTypes.CONNACK))

    client.on_connect = on_connect
    give_up_at = time.monotonic() + GREETING_S
    with contextlib.suppress(OSError):
        client.connect(url.hostname or "127.0.0.1", url.port or DEFAULT_PORTS[url.scheme], KEEPALIVE_S)
        while not answers and time.monotonic() < give_up_at and client.loop(WAIT_S) == paho.MQTT_ERR_SUCCESS:
            pass
        client.disconnect()
    return answers[0] if answers else None
