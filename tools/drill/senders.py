"""Who presses: MQTT 3.1.1 on a bare socket, and callbacks over HTTP. Both send again what was not acknowledged.

Encoded ahead and on a bare socket, because a client library would be slower than what it loads. As QoS 1 demands of any
client, a message without its PUBACK is sent again with the DUP flag once the connection stands again; as Sigfox does, a
callback without its answer is sent again, only sooner than after its one, two and four minutes.
"""

import http.client
import itertools
import select
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from tools.drill.presses import Key, Message
from tools.drill.witness import Witness

WINDOW = 1000  # messages in flight on one connection
PATIENCE_S = 4.0  # without a PUBACK; then the connection is given up and all in flight sent again on a new one
RETRY_S = 0.2  # between tries to connect
CALLBACKS_AT_ONCE = 8
SIGFOX_WAITS_S = 10.0  # for the answer to a callback

CONNACK = b"\x20\x02"
PUBACK = 0x40
PUBLISH = 0x30
DUP = 0x08

Where = Callable[[], AbstractContextManager[object]]  # enters the network namespace that a thread works in


Login = tuple[str, str]  # a name and a password


def connect_packet(client_id: str, login: Login | None = None) -> bytes:
    """CONNECT, MQTT 3.1.1, no keep-alive; with a client id the session persists."""
    flags = (0 if client_id else 0x02) | (0xC0 if login else 0)
    words = b"".join(_text(word.encode()) for word in (client_id, *(login or ())))
    return _packet(0x10, b"\x00\x04MQTT\x04" + bytes([flags]) + b"\x00\x00" + words)


def publish_packet(message: Message, packet_id: int) -> bytearray:
    """PUBLISH at QoS 1."""
    body = _text(message.topic) + packet_id.to_bytes(2, "big") + message.payload
    return bytearray(_packet(PUBLISH | 0x02, body))


def _packet(first: int, body: bytes) -> bytes:
    length, left = bytearray(), len(body)
    while True:
        left, low = divmod(left, 128)
        length.append(low | (0x80 if left else 0))
        if not left:
            return bytes([first]) + bytes(length) + body


def _text(text: bytes) -> bytes:
    return len(text).to_bytes(2, "big") + text


def packets(arrived: bytearray) -> Iterator[tuple[int, bytes]]:
    """Whole packets out of what has arrived, (first byte, body); what is left stays."""
    while len(arrived) >= 2:
        length, at = 0, 1
        while True:
            if at >= len(arrived):
                return
            byte = arrived[at]
            length |= (byte & 0x7F) << 7 * (at - 1)
            at += 1
            if not byte & 0x80:
                break
        if len(arrived) < at + length:
            return
        first, body = arrived[0], bytes(arrived[at : at + length])
        del arrived[: at + length]
        yield first, body


class Pace:
    """How many may have been sent by now."""

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._started = time.monotonic()

    def allowed(self) -> int:
        return int((time.monotonic() - self._started) * self.per_second) + 1

    def wait_s(self, sent: int) -> float:
        """Until one more may be sent."""
        return max(0.0, self._started + sent / self.per_second - time.monotonic())


class MqttSender(threading.Thread):
    """Publishes `messages` at QoS 1 until each has its PUBACK, through whatever happens to the broker."""

    def __init__(
        self,
        brokers: Sequence[tuple[str, int]],
        messages: Iterable[Message],
        *,
        per_second: float,
        witness: Witness | None = None,
        client_id: str = "",
        login: Login | None = None,
        where: Where = nullcontext,
    ) -> None:
        super().__init__(name=f"sender {client_id}", daemon=True)
        self._login = login
        self._brokers = itertools.cycle(brokers)
        self._messages = iter(messages)
        self._per_second, self._witness, self._client_id, self._where = per_second, witness, client_id, where
        self._in_flight: dict[int, tuple[Message, bytearray]] = {}
        self._ids = itertools.cycle(range(1, 0x10000))
        self._sent = 0
        self._exhausted = False
        self._stopping = threading.Event()
        self.sent_at: dict[Key, float] = {}  # monotonic seconds of the first try
        self.acknowledged = 0  # messages, damaged ones too
        self.connections = 0
        self.is_connected = False
        self.repeated = 0

    def stop(self) -> None:
        self._stopping.set()

    @property
    def unfinished(self) -> bool:
        return not self._stopping.is_set() and bool(self._in_flight or not self._exhausted)

    def run(self) -> None:
        with self._where():
            self._pace = Pace(self._per_second)
            while self.unfinished:
                try:
                    with self._connected() as connection:
                        self.connections += 1
                        self.is_connected = True
                        self._publish(connection)
                except OSError:
                    self.is_connected = False
                    self._stopping.wait(RETRY_S)

    def _connected(self) -> socket.socket:
        connection = socket.create_connection(next(self._brokers), timeout=PATIENCE_S)
        try:
            connection.sendall(connect_packet(self._client_id, self._login))
            answer = connection.recv(4)
            if answer[:2] != CONNACK or answer[3:] != b"\x00":
                raise ConnectionError("the broker refused the connection")
            connection.setblocking(False)
            return connection
        except BaseException:
            connection.close()
            raise

    def _publish(self, connection: socket.socket) -> None:
        outgoing, arrived = bytearray(), bytearray()
        for _, packet in self._in_flight.values():
            packet[0] |= DUP
            outgoing += packet
            self.repeated += 1
        last_heard = time.monotonic()
        while self.unfinished:
            self._take_next(outgoing)
            wait_s = min(0.2, self._pace.wait_s(self._sent) or 0.001) if not self._exhausted else 0.2
            readable, writable, _ = select.select([connection], [connection] if outgoing else [], [], wait_s)
            if writable:
                del outgoing[: connection.send(outgoing)]
            if readable:
                chunk = connection.recv(1 << 18)
                if not chunk:
                    raise ConnectionError("the broker hung up")
                arrived += chunk
                if self._note(arrived):
                    last_heard = time.monotonic()
            if not self._in_flight:
                last_heard = time.monotonic()
            elif time.monotonic() - last_heard > PATIENCE_S:
                raise ConnectionError("no acknowledgement comes")

    def _take_next(self, outgoing: bytearray) -> None:
        room = min(self._pace.allowed() - self._sent, WINDOW - len(self._in_flight))
        for message in itertools.islice(self._messages, max(room, 0)):
            packet_id = next(one for one in self._ids if one not in self._in_flight)
            packet = publish_packet(message, packet_id)
            self._in_flight[packet_id] = message, packet
            if message.key is not None:
                self.sent_at.setdefault(message.key, time.monotonic())
            outgoing += packet
            self._sent += 1
            room -= 1
        self._exhausted = room > 0

    def _note(self, arrived: bytearray) -> int:
        """How many messages were acknowledged."""
        ended = [
            self._in_flight.pop(int.from_bytes(body[:2], "big"), None)
            for first, body in packets(arrived)
            if first & 0xF0 == PUBACK
        ]
        messages = [one[0] for one in ended if one is not None]
        if self._witness:
            self._witness.note_acknowledged("mqtt", [message.key for message in messages if message.key is not None])
        self.acknowledged += len(messages)
        return len(messages)


@dataclass(frozen=True, slots=True)
class Callee:
    host: str
    port: int
    secret: str


class HttpSender(threading.Thread):
    """Sends `messages` as callbacks until each is answered with 200 or 204, or with 400 where it is no press."""

    def __init__(
        self,
        callee: Callee,
        messages: Iterable[Message],
        *,
        per_second: float,
        witness: Witness,
        where: Where = nullcontext,
        at_once: int = CALLBACKS_AT_ONCE,
    ) -> None:
        super().__init__(name="callbacks", daemon=True)
        self._callee, self._witness, self._where, self._at_once = callee, witness, where, at_once
        self._per_second = per_second
        self._left = deque(messages)
        self._again: deque[tuple[float, Message]] = deque()
        self._lock = threading.Lock()
        self._sent = 0
        self._busy = 0
        self._stopping = threading.Event()
        self.statuses: Counter[int] = Counter()  # 0: no answer at all
        self.slowest_s = 0.0  # of those that were answered

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        self._pace = Pace(self._per_second)
        callers = [threading.Thread(target=self._call_all, daemon=True) for _ in range(self._at_once)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()

    def _call_all(self) -> None:
        with self._where():
            connection = self._connection()
            while (message := self._next()) is not None:
                status = self._call(connection, message)
                if status in (200, 204) or (status == 400 and message.key is None):
                    if message.key is not None:
                        self._witness.note_acknowledged("http", [message.key])
                    self._done()
                else:
                    connection.close()
                    self._done(again=message)
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._callee.host, self._callee.port, timeout=SIGFOX_WAITS_S + 2)

    def _call(self, connection: http.client.HTTPConnection, message: Message) -> int:
        headers = {"Authorization": f"Bearer {self._callee.secret}", "Content-Type": "application/json"}
        started = time.monotonic()
        try:
            connection.request("POST", "/sigfox/callback", message.payload, headers)
            answer = connection.getresponse()
            answer.read()
            status = answer.status
            self.slowest_s = max(self.slowest_s, time.monotonic() - started)
        except (OSError, http.client.HTTPException):
            connection.close()
            status = 0
        with self._lock:
            self.statuses[status] += 1
        return status

    def _next(self) -> Message | None:
        while not self._stopping.is_set():
            with self._lock:
                wait_s = 0.05
                if self._again and self._again[0][0] <= time.monotonic():
                    self._busy += 1
                    return self._again.popleft()[1]
                if self._left:
                    wait_s = self._pace.wait_s(self._sent)
                    if wait_s <= 0:
                        self._sent += 1
                        self._busy += 1
                        return self._left.popleft()
                elif not self._again and not self._busy:
                    return None
            self._stopping.wait(min(wait_s, 0.05))
        return None

    def _done(self, again: Message | None = None) -> None:
        with self._lock:
            self._busy -= 1
            if again is not None:
                self._again.append((time.monotonic() + 2 * RETRY_S, again))


class Listener(threading.Thread):
    """Hears the answers to the buttons, and when each came first: by device, as monotonic seconds."""

    def __init__(self, broker: tuple[str, int], where: Where = nullcontext) -> None:
        super().__init__(name="listener", daemon=True)
        self._where, self._broker = where, broker
        self._stopping = threading.Event()
        self.listening = threading.Event()
        self.heard: list[tuple[int, float]] = []

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        with self._where(), socket.create_connection(self._broker, timeout=1) as connection:
            connection.sendall(connect_packet(""))
            connection.sendall(_packet(0x82, b"\x00\x01" + _text(b"sigfox/+/down") + b"\x00"))
            arrived = bytearray()
            while not self._stopping.is_set():
                try:
                    chunk = connection.recv(1 << 18)
                except TimeoutError:
                    continue
                now = time.monotonic()
                if not chunk:
                    return
                arrived += chunk
                for first, body in packets(arrived):
                    if first & 0xF0 == 0x90:
                        self.listening.set()
                    if first & 0xF0 == PUBLISH:
                        topic = body[2 : 2 + int.from_bytes(body[:2], "big")]
                        self.heard.append((int(topic.split(b"/")[1], 16), now))
