"""The radio model on MQTT: it hears `air/`, delivers on `sigfox/`, and carries the answers back.

A message stays the broker's until its last copy has its PUBACK; only then is it acknowledged on `air/`. So this process
keeps nothing: each connection starts empty, whatever was in flight on the last one comes again from the persistent
session, and a crash at any instant loses nothing. How much is in flight is the broker's to bound (`max_ack_pending`,
`max_inflight_messages`), at the latest by the 65 535 packet ids of the protocol.
"""

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from simulator.radio import model
from simulator.radio.core import Core

log = logging.getLogger(__name__)

CLIENT_ID = "domino-radio"
AIR = [("air/+/up", 1), ("air/+/frame/up", 1)]
NETWORK = [("sigfox/+/down", 1)]
KEEPALIVE_S = 30
FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 0.1, 5.0


@dataclass(slots=True)
class Held:
    """A message that the broker keeps until its copies are acknowledged."""

    client: mqtt.Client
    mid: int
    copies_due: int = 0


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> "BrokerAddress":
        parts = urlsplit(url)
        if parts.scheme != "mqtt" or not parts.hostname:
            raise ValueError("a broker is mqtt://[USER:PASSWORD@]HOST[:PORT]")
        return cls(parts.hostname, parts.port or 1883, parts.username, parts.password)


@dataclass(frozen=True, slots=True)
class Brokers:
    """Where `air/` is heard, and where `sigfox/` is spoken: at the same broker, unless `network` is another one."""

    air: BrokerAddress
    network: BrokerAddress | None = None
    client_id: str = CLIENT_ID


async def serve(broker: BrokerAddress, core: Core, on_ready: Callable[[], None]) -> None:
    """Runs until SIGTERM or SIGINT, over as many connections as it takes; `on_ready` is called at each subscription."""
    loop = asyncio.get_running_loop()
    stop = loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: stop.done() or stop.set_result(None))
    await carry(Brokers(broker), core, on_ready, stop)


async def carry(brokers: Brokers, core: Core, on_ready: Callable[[], None], stop: asyncio.Future[None]) -> None:
    """Likewise, until `stop` is done."""
    back_off_s = FIRST_BACK_OFF_S
    while not stop.done():
        if await Connection(core, on_ready, brokers).run(stop):
            back_off_s = FIRST_BACK_OFF_S
        await asyncio.wait([stop], timeout=back_off_s)
        back_off_s = min(2 * back_off_s, LONGEST_BACK_OFF_S)


class Connection:
    """One connection to the broker, or to each of two, from CONNECT to its end, and all that is in flight on it."""

    def __init__(self, core: Core, on_ready: Callable[[], None], brokers: Brokers) -> None:
        self._core = core
        self._on_ready = on_ready
        self._was_ready = False
        # By the client and its packet id: of the message that came in, and of the copy that went out.
        self._held: dict[tuple[mqtt.Client, int], Held] = {}
        self._copies: dict[tuple[mqtt.Client, int], Held] = {}
        loop = self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = loop.create_future()
        loop.set_exception_handler(self._on_bug)
        self._air = self._network = self._client(brokers.client_id, clean_session=False)
        self._brokers = {self._air: brokers.air}
        self._due = {self._air: AIR + NETWORK}  # subscriptions
        if brokers.network:
            # What comes while it is away is an answer too late: nothing to keep for it.
            self._network = self._client(brokers.client_id, clean_session=True)
            self._brokers[self._network] = brokers.network
            self._due = {self._air: AIR, self._network: NETWORK}
        self._waits_for = set(self._due)

    def _client(self, client_id: str, *, clean_session: bool) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=clean_session,
            protocol=mqtt.MQTTv311,
            manual_ack=True,
            reconnect_on_failure=False,  # `serve` does that, with a client that has forgotten everything
        )
        client.max_inflight_messages = 0  # unlimited: the broker limits what we hold, and with it what we send
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_socket_register_write
        client.on_socket_unregister_write = self._on_socket_unregister_write
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        return client

    async def run(self, stop: asyncio.Future[None]) -> bool:
        """Serves until a connection ends or `stop` is done; whether it ever was subscribed."""
        for client, broker in self._brokers.items():
            if broker.user:
                client.username_pw_set(broker.user, broker.password)
            try:
                client.connect(broker.host, broker.port, KEEPALIVE_S)
            except OSError as error:
                log.warning("no broker at %s:%d: %s", broker.host, broker.port, error)
                await self._leave()
                return False
        while not (stop.done() or self._ended.done()):
            await asyncio.wait([stop, self._ended], timeout=1, return_when=asyncio.FIRST_COMPLETED)
            for client in self._brokers:
                client.loop_misc()  # pings, and notices a broker that is silent
        await self._leave()
        if self._ended.done():
            self._ended.result()
        return self._was_ready

    async def _leave(self) -> None:
        """Both: without one the other can do nothing."""
        connected = [client for client in self._brokers if client.socket()]
        for client in connected:
            client.disconnect()
        if connected:
            await asyncio.wait([self._ended], timeout=1)
        for client in connected:
            if sock := client.socket():
                self._loop.remove_reader(sock)
                self._loop.remove_writer(sock)
                sock.close()

    def _on_bug(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Ends the process with the bug's traceback; the message that met it stays unacknowledged."""
        if self._ended.done():
            loop.default_exception_handler(context)
        else:
            self._ended.set_exception(context.get("exception") or RuntimeError(context["message"]))

    def _on_socket_open(self, client: mqtt.Client, _data: Any, sock: Any) -> None:
        self._loop.add_reader(sock, client.loop_read)

    def _on_socket_close(self, _client: Any, _data: Any, sock: Any) -> None:
        self._loop.remove_reader(sock)

    def _on_socket_register_write(self, client: mqtt.Client, _data: Any, sock: Any) -> None:
        self._loop.add_writer(sock, client.loop_write)

    def _on_socket_unregister_write(self, _client: Any, _data: Any, sock: Any) -> None:
        self._loop.remove_writer(sock)

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            log.warning("the broker refuses the connection: %s", reason)
        else:
            client.subscribe(self._due[client])  # also into a session that has them: the broker may have lost its store

    def _on_subscribe(self, client: mqtt.Client, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            raise RuntimeError(f"the broker refuses the subscription to one of {self._due[client]}")
        self._waits_for.discard(client)
        if self._waits_for:
            return
        self._was_ready = True
        log.info("subscribed")
        self._on_ready()

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        log.info("disconnected: %s", reason)
        if not self._ended.done():
            self._ended.set_result(None)

    def _on_message(self, client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if message.dup and (client, message.mid) in self._held:
            return  # nats-server repeats after `ack_wait` what is still on its way here
        held = Held(client, message.mid)
        if message.qos:
            self._held[client, message.mid] = held
        self._core.counters["received"] += 1
        try:
            self._carry(message, held)
        except model.Refused as refused:
            self._core.counters["refused"] += 1
            log.warning("refused: %s", refused)
        self._acknowledge(held)

    def _carry(self, message: mqtt.MQTTMessage, held: Held) -> None:
        try:
            link, device_id, *way = message.topic.split("/")
        except UnicodeDecodeError:
            raise model.Refused("a topic is UTF-8") from None
        payload, now_s, unix_s = bytes(message.payload), time.monotonic(), time.time()
        if link == "air":
            if way == ["up"]:
                deliveries = self._core.uplink(device_id, payload, monotonic_s=now_s, unix_s=unix_s)
            else:
                deliveries = self._core.frames(
                    device_id, payload, came_before=message.dup, monotonic_s=now_s, unix_s=unix_s
                )
            held.copies_due = len(deliveries)
            for delivery in deliveries:
                if delivery.delay_s:
                    self._loop.call_later(delivery.delay_s, self._send, f"sigfox/{device_id}/up", delivery.body, held)
                else:
                    self._send(f"sigfox/{device_id}/up", delivery.body, held)
        elif data := self._core.downlink(device_id, payload, monotonic_s=now_s):
            held.copies_due = 1
            way = ["frame", "down"] if self._core.listens_for_frames(device_id) else ["down"]
            self._send("/".join(["air", device_id, *way]), data, held)

    def _send(self, topic: str, payload: bytes, held: Held) -> None:
        if self._ended.done():
            return  # a late delivery of a connection that is gone; the message comes again on the next
        client = self._air if topic.startswith("air/") else self._network
        sent = client.publish(topic, payload, qos=1)
        if sent.rc != mqtt.MQTT_ERR_SUCCESS:
            raise RuntimeError(f"publish failed: {mqtt.error_string(sent.rc)}")
        self._copies[client, sent.mid] = held

    def _on_publish(self, client: mqtt.Client, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        held = self._copies.pop((client, mid))
        held.copies_due -= 1
        self._core.counters["delivered"] += 1
        self._acknowledge(held)

    def _acknowledge(self, held: Held) -> None:
        """Once, when nothing is due any more, and never a later message that got the same packet id."""
        if held.copies_due == 0 and self._held.get((held.client, held.mid)) is held:
            del self._held[held.client, held.mid]
            held.client.ack(held.mid, qos=1)
