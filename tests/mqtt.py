"""The two ends of a broker as tests need them: a publisher that waits for its PUBACKs, a subscriber that collects."""

import queue
from collections.abc import Iterable
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

PATIENCE_S = 60  # only ever waited out by a test that fails


Login = tuple[str, str] | None  # name and password


def make_client(client_id: str, login: Login = None) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id, clean_session=False, protocol=paho.MQTTv311)
    if login:
        client.username_pw_set(*login)
    client.max_inflight_messages_set(0)
    client.reconnect_delay_set(min_delay=1, max_delay=1)
    return client


class Publisher:
    """Publishes at QoS 1, over any number of brokers' deaths."""

    def __init__(self, port: int, login: Login = None) -> None:
        self._client = make_client("test-publisher", login)
        self._client.connect("127.0.0.1", port)
        self._sent: list[paho.MQTTMessageInfo] = []

    def __enter__(self) -> Self:
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, messages: Iterable[tuple[str, bytes]]) -> None:
        self._sent += [self._client.publish(topic, payload, qos=1) for topic, payload in messages]

    def wait(self) -> None:
        """Until the broker has acknowledged everything."""
        for sent in self._sent:
            sent.wait_for_publish(PATIENCE_S)
            assert sent.is_published()


def publish(port: int, messages: Iterable[tuple[str, bytes]], login: Login = None) -> None:
    with Publisher(port, login) as publisher:
        publisher.send(messages)
        publisher.wait()


class Subscriber:
    """Collects what comes on `topics`, in a session that outlives its connections; entered, it is subscribed."""

    def __init__(self, port: int, *topics: str, client_id: str = "test-subscriber", login: Login = None) -> None:
        self._arrived: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._subscribed: queue.Queue[bool] = queue.Queue()
        self._client = make_client(client_id, login)
        self._client.on_connect = self._on_connect
        self._topics = topics
        self._client.on_subscribe = lambda *_: self._subscribed.put(True)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        self._subscribed.get(timeout=PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def take(self, count: int = 1) -> list[tuple[str, bytes]]:
        """The next `count` messages, waited for."""
        return [self._arrived.get(timeout=PATIENCE_S) for _ in range(count)]

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        client.subscribe([(topic, 1) for topic in self._topics])

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        self._arrived.put((message.topic, bytes(message.payload)))
