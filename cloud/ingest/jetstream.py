"""The JetStream inlet: hands what has arrived to the writer, and acknowledges and answers only what is committed.

One thread with an asyncio loop over nats-py. Each partition of the stream (`cloud.ingest.uplink_stream`) is taken by
one worker at a time, so that a button's messages come in their order; the workers share the partitions out among
themselves (`cloud.ingest.crew`). Messages come by callback, as many as there is room for and no more: nats-py drops
what exceeds its buffers, and so they are never exceeded. Each message is acknowledged by itself, once it is on disk
and its answer lies with the broker; while a slow writer has it, the broker is told that it is in work.
"""

import asyncio
import contextlib
import json
import secrets
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import PubAck
from prometheus_client import CollectorRegistry, Gauge

from cloud.fleet.model import format_id
from cloud.ingest import uplink_stream as stream
from cloud.ingest.crew import BEAT_S, Crew
from cloud.ingest.receive import Message, Outcome
from cloud.ingest.uplink_stream import Refused
from cloud.ingest.writer import MOST_IN_A_BATCH, Outcomes, Writer

DEFAULT_PARTITIONS = 8  # the most workers that can share; each costs the servers a little
AT_ONCE = 2 * MOST_IN_A_BATCH  # messages that a worker has or has asked for: one batch is written, the next gathers
AT_ONCE_BYTES = 4 * 1024 * 1024  # of one request; a flood of the largest messages is not to fill the memory
ASKING_S = 2.0  # how long a request for messages stands
LOST_S = 3.5  # and after how long without a sign it is taken for lost, with the server that had it
PROGRESS_S = 2.0  # how often the broker is told that a message is in work
CONNECT_S = 5  # for a server to let us in
REQUEST_S = 2.0  # for it to do what we ask, in a cluster together with others
ANSWER_S = 4.0  # for the broker to take answers, within ACK_WAIT_S
BUG_S = 30.0  # until a message that met a bug is tried again
GREETING_S = 0.3  # for the others to say that they are there
GRACE_S = 2.0  # for the batch in work, when stopping
PING_S = 5  # two unanswered in a row: the connection is dead
RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)  # between tries to reach a broker that is away

CREW_SUBJECT = "domino.ingest.crew"
INBOX = "_INBOX_ingest"  # one of our own, which no other user may listen to
ACK, IN_WORK, NOT_NOW = b"+ACK", b"+WPI", b"-NAK"  # what JetStream is told of a message
LATER = NOT_NOW + json.dumps({"delay": int(BUG_S * 1e9)}).encode()
PIN = "Nats-Pin-Id"
AS_MQTT = {"Nmqtt-Pub": "1"}  # as nats-server marks what a client published at QoS 1, for its MQTT subscribers

log = structlog.get_logger(__name__)


class Lost(ConnectionError):
    """The connection, or what was set up over it, is gone."""


class Inlet:
    """Takes the uplinks from the servers at `url`, nats://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…] or tls://.

    It shares them with every other inlet there. Run `run` in a thread.
    """

    def __init__(
        self,
        url: str,
        writer: Writer,
        *,
        registry: CollectorRegistry,
        partitions: int = DEFAULT_PARTITIONS,
        replicas: int | None = None,
    ) -> None:
        self._servers = Servers(url)
        self._writer, self._partitions, self._replicas = writer, partitions, replicas
        self._metrics = Metrics(registry)
        self._name = secrets.token_hex(8)
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_asked = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether the stream is there, this worker is heard by the others, and the connection stands."""
        return self._ready.is_set()

    def wait_connected(self, timeout_s: float) -> bool:
        return self._ready.wait(timeout_s)

    def stop(self) -> None:
        self._stopping.set()
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._stop_asked.set)

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        """One connection after another."""
        self._loop = asyncio.get_running_loop()
        if self._stopping.is_set():
            return
        stop = self._loop.create_task(self._stop_asked.wait())
        tries = 0  # since a batch was kept: a broker that takes us only to drop us is not called without a pause
        while not stop.done():
            connection = _Connection(
                self._servers, self._writer, self._metrics, self._ready, self._name, self._partitions, self._replicas
            )
            work = self._loop.create_task(connection.work())
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                await connection.leave()
            await self._end(work)
            await connection.close()
            tries = 1 if connection.has_kept else tries + 1
            if not stop.done():
                await asyncio.wait({stop}, timeout=RETRY_S[min(tries, len(RETRY_S)) - 1])

    async def _end(self, work: asyncio.Task[None]) -> None:
        work.cancel()
        try:
            await work
        except asyncio.CancelledError:
            pass
        except Refused as refused:
            log.error("broker refused", error=str(refused))
        except (OSError, NatsError, TimeoutError) as error:
            log.warning("broker away", hosts=self._servers.hosts, error=str(error) or type(error).__name__)
        except Exception:
            log.exception("inlet met a bug; it connects anew, and what it had comes again")


class Servers:
    """Where a URL leads: any of its hosts, with one name and password."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        login, _, hosts = parts.netloc.rpartition("@")
        user, _, password = login.partition(":")
        self.user, self._password = unquote(user), unquote(password)
        self.hosts = tuple(hosts.split(","))
        self._urls = [f"{parts.scheme}://{host}" for host in self.hosts]
        # The handshake comes before anything is said: what a server announces in the clear could be forged.
        self._tls = ssl.create_default_context() if parts.scheme == "tls" else None

    async def connect(
        self, client: Client, ended: Callable[[], Awaitable[None]], failed: Callable[[Exception], Awaitable[None]]
    ) -> None:
        """Connect `client` to one of them, or raise. It is told when that connection ends, and of what fails on it."""

        await client.connect(
            self._urls,
            user=self.user or None,
            password=self._password or None,
            tls=self._tls,
            tls_handshake_first=self._tls is not None,
            name="domino-ingest",
            allow_reconnect=False,  # a new connection is a new start here
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=CONNECT_S,
            ping_interval=PING_S,
            max_outstanding_pings=2,
            inbox_prefix=INBOX,
            error_cb=failed,
            closed_cb=ended,
            disconnected_cb=ended,
        )


class Metrics:
    """What Prometheus is told of the broker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.connected = Gauge("domino_broker_connected", "1 while the broker is reached", registry=registry)
        self.partitions = Gauge("domino_broker_partitions", "Partitions that this worker takes", registry=registry)
        self.backlog = Gauge(
            "domino_broker_backlog_messages", "Left in this worker's partitions at the last one", registry=registry
        )


@dataclass(slots=True)
class Partition:
    """What this worker has of one partition."""

    number: int
    is_ours: bool = False
    asked: int = 0  # messages that the broker may still send
    held: int = 0  # that it has sent, and that are not acknowledged
    pin: str | None = None  # what the broker knows us by
    heard_at: float = 0.0  # of a message, a status, or a request sent
    last: Msg | None = None


Arrived = tuple[str, Partition, Message]  # with the subject to which it is acknowledged


class _Connection:
    """One connection and all that hangs on it, from the first word to the last."""

    def __init__(
        self,
        servers: Servers,
        writer: Writer,
        metrics: Metrics,
        ready: threading.Event,
        name: str,
        partitions: int,
        replicas: int | None,
    ) -> None:
        self._servers, self._writer, self._metrics, self._ready = servers, writer, metrics, ready
        self._replicas = replicas
        self._partitions = [Partition(number) for number in range(partitions)]
        self._crew = Crew(name)
        self._client = Client()
        self._answers: JetStreamContext | None = None
        self._messages: Subscription | None = None
        self._loop = asyncio.get_running_loop()
        self._lost = asyncio.Event()
        self._is_leaving = False
        self._arrived: list[Arrived] = []
        self._in_hand: list[Arrived] = []  # what the writer has of ours
        self._in_hand_ended = asyncio.Event()
        self._acknowledging: set[asyncio.Task[None]] = set()
        self._told_at = 0.0  # when the broker was last told of what is in work
        self._bug: Exception | None = None
        self.has_kept = False

    async def work(self) -> None:
        """Take messages until the connection is lost; raises what ended it."""
        await self._servers.connect(self._client, self._ended, self._failed)
        await stream.set_up(self._request, len(self._partitions), self._replicas)
        self._answers = self._client.jetstream()
        self._inbox = self._client.new_inbox()
        self._messages = await self._client.subscribe(f"{self._inbox}.*", cb=self._take)
        await self._client.subscribe(CREW_SUBJECT, cb=self._hear)
        await self._say("here")
        await asyncio.sleep(GREETING_S)
        self._ready.set()
        self._metrics.connected.set(1)
        log.info("listening", stream=stream.STREAM, server=self._client.connected_url.netloc.rpartition("@")[2])  # pyright: ignore[reportOptionalMemberAccess]
        while not self._lost.is_set():
            await self._look_after()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), BEAT_S)
        raise self._bug or Lost("the connection ended")

    async def leave(self) -> None:
        """Give back what is not in work and what is not written in time, so that others need not wait for it."""
        self._is_leaving = True
        if not self._client.is_connected:
            return
        with contextlib.suppress(NatsError, OSError, TimeoutError, Refused):
            await self._withdraw()
            await self._say("leaving")
            if self._in_hand:
                self._in_hand_ended.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._in_hand_ended.wait(), GRACE_S)
            if self._acknowledging:
                await asyncio.wait(self._acknowledging, timeout=GRACE_S)
            for reply, _, _ in self._in_hand + self._arrived:
                await self._client.publish(reply, NOT_NOW)
            for partition in self._partitions:
                if partition.pin:
                    await self._unpin(partition)
            await self._client.flush(CONNECT_S)

    async def _withdraw(self) -> None:
        """Ask for nothing any more. What is asked for has no end but its time, and a broker that met it first would
        pin the partition to one who is gone; yet when it looks for its state it drops what has no listener."""
        if self._messages is None:
            return
        await self._messages.drain()
        for partition in self._partitions:
            if partition.asked:
                name = stream.consumer_of(partition.number, len(self._partitions))
                await stream.call(self._request, f"CONSUMER.INFO.{stream.STREAM}.{name}")

    async def close(self) -> None:
        self._ready.clear()
        for gauge in (self._metrics.connected, self._metrics.partitions, self._metrics.backlog):
            gauge.set(0)
        for task in self._acknowledging:
            task.cancel()
        with contextlib.suppress(NatsError, OSError, TimeoutError):
            await self._client.close()

    # -- what comes -----------------------------------------------------------------------------------------------

    async def _take(self, message: Msg) -> None:
        if message.subject.startswith(self._inbox):
            self._note_status(message)
            return
        _, bucket, device = message.subject.split(".", 2)
        partition = self._partitions[int(bucket) % len(self._partitions)]
        partition.asked = max(partition.asked - 1, 0)
        partition.held += 1
        partition.last = message
        if message.headers:
            partition.pin = message.headers.get(PIN, partition.pin)
        if not self._arrived and not self._in_hand:
            self._loop.call_soon(self._hand_over)  # once those that came with it are here too
        self._arrived.append((message.reply, partition, Message("nats", device, message.data)))

    def _note_status(self, message: Msg) -> None:
        """The end of a request for messages."""
        partition = self._partitions[int(message.subject.rpartition(".")[2])]
        partition.heard_at = time.monotonic()
        headers = message.headers or {}
        status, said = headers.get("Status"), headers.get("Description", "")
        if status == "423":  # another worker has it, or the broker has forgotten us
            partition.pin = None
        if status == "409" and "Deleted" in said:
            self._end_by(Lost("the consumer was deleted"))
        left = headers.get("Nats-Pending-Messages", "")
        partition.asked = max(partition.asked - int(left), 0) if left.isdigit() else 0

    async def _hear(self, message: Msg) -> None:
        try:
            said = json.loads(message.data)
            name, is_leaving = str(said["name"]), said["is"] == "leaving"
        except (ValueError, KeyError, TypeError):
            return
        if is_leaving:
            self._crew.dismiss(name)
            await self._share_out()
        elif self._crew.hear(name, time.monotonic()):
            await self._say("here")
            await self._share_out()

    # -- to the writer, and back ----------------------------------------------------------------------------------

    def _hand_over(self) -> None:
        if self._in_hand or not self._arrived or self._is_leaving:
            return
        group, self._arrived = self._arrived[:MOST_IN_A_BATCH], self._arrived[MOST_IN_A_BATCH:]
        self._in_hand, self._told_at = group, time.monotonic()

        def written(outcomes: Outcomes) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: what was not acknowledged comes again
                self._loop.call_soon_threadsafe(self._conclude, group, outcomes)

        self._writer.put([message for _, _, message in group], written)

    def _conclude(self, group: Sequence[Arrived], outcomes: Outcomes) -> None:
        self._in_hand = []
        self._in_hand_ended.set()
        self._hand_over()
        task = self._loop.create_task(self._acknowledge(group, outcomes))
        self._acknowledging.add(task)
        task.add_done_callback(self._acknowledged)

    def _acknowledged(self, task: asyncio.Task[None]) -> None:
        self._acknowledging.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, NatsError | OSError | TimeoutError):
            self._lost.set()
        elif isinstance(error, Exception):
            self._end_by(error)

    async def _acknowledge(self, group: Sequence[Arrived], outcomes: Outcomes) -> None:
        unanswered = await self._answer(outcomes)
        for place, ((reply, partition, _), outcome) in enumerate(zip(group, outcomes, strict=True)):
            partition.held -= 1
            if outcome is None:
                await self._client.publish(reply, LATER)
            elif place not in unanswered:  # else it comes again, and is answered by the same bytes
                await self._client.publish(reply, ACK)
        self.has_kept = True
        for partition in {partition.number: partition for _, partition, _ in group}.values():
            await self._ask_for_more(partition)

    async def _answer(self, outcomes: Outcomes) -> set[int]:
        """Send all answers; gives the places of those that the broker has not taken in time."""
        sent: dict[int, asyncio.Future[PubAck]] = {}
        for place, outcome in enumerate(outcomes):
            if outcome is not None and (said := _downlink(outcome)):
                subject, body = said
                # Both are needed, as of any publication by MQTT: the one for subscribers of NATS and of QoS 0, the
                # other for those of QoS 1, also those that are away. With the mark nobody gets it twice.
                await self._client.publish(subject, body, headers=AS_MQTT)
                assert self._answers is not None
                sent[place] = await self._answers.publish_async(stream.MQTT_PREFIX + subject, body, headers=AS_MQTT)
        if not sent:
            return set()
        await asyncio.wait(sent.values(), timeout=ANSWER_S)
        failed = {place for place, taken in sent.items() if not taken.done() or taken.exception()}
        for place in failed:
            sent[place].cancel()
        if failed:
            log.warning("answers not taken by the broker", answers=len(failed))
        return failed

    # -- what is asked for ----------------------------------------------------------------------------------------

    async def _look_after(self) -> None:
        """Once a second: be heard, share out, and mend what was lost on the way."""
        await self._say("here")
        await self._share_out()
        now = time.monotonic()
        if self._in_hand and now - self._told_at > PROGRESS_S:
            self._told_at = now
            for reply, _, _ in self._in_hand + self._arrived:
                await self._client.publish(reply, IN_WORK)
        for partition in self._partitions:
            if partition.asked and now - partition.heard_at > LOST_S:
                partition.asked = 0
            await self._ask_for_more(partition)
        ours = [one for one in self._partitions if one.is_ours or one.asked or one.held or one.pin]
        self._metrics.partitions.set(len(ours))
        self._metrics.backlog.set(sum(one.last.metadata.num_pending for one in ours if one.last))

    async def _share_out(self) -> None:
        now = time.monotonic()
        for partition in self._partitions:
            was_ours, partition.is_ours = partition.is_ours, self._crew.owner(partition.number, now) == self._crew.me
            if partition.is_ours and not was_ours:
                await self._ask_for_more(partition)
            if not partition.is_ours and partition.pin and not partition.asked and not partition.held:
                await self._unpin(partition)

    async def _ask_for_more(self, partition: Partition) -> None:
        ours = sum(one.is_ours for one in self._partitions)
        window = AT_ONCE // max(ours, 1)
        room = window - partition.asked - partition.held
        if not partition.is_ours or self._is_leaving or room < (window // 4 if partition.asked else 1):
            return
        partition.asked += room
        partition.heard_at = time.monotonic()
        most_bytes = max(AT_ONCE_BYTES, 2 * self._client.max_payload)
        asked = {"batch": room, "expires": int(ASKING_S * 1e9), "max_bytes": most_bytes, "group": stream.GROUP}
        if partition.pin:
            asked["id"] = partition.pin
        name = stream.consumer_of(partition.number, len(self._partitions))
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream.STREAM}.{name}"
        await self._client.publish(subject, json.dumps(asked).encode(), reply=f"{self._inbox}.{partition.number}")

    async def _unpin(self, partition: Partition) -> None:
        """Leave a partition to whoever else asks for it, now rather than in PINNED_S."""
        partition.pin = None
        name = stream.consumer_of(partition.number, len(self._partitions))
        body = json.dumps({"group": stream.GROUP}).encode()
        await self._client.publish(f"$JS.API.CONSUMER.UNPIN.{stream.STREAM}.{name}", body)

    async def _say(self, what: str) -> None:
        await self._client.publish(CREW_SUBJECT, json.dumps({"name": self._crew.me, "is": what}).encode())

    async def _request(self, subject: str, body: bytes) -> bytes:
        return (await self._client.request(subject, body, timeout=REQUEST_S)).data

    def _end_by(self, error: Exception) -> None:
        self._bug = self._bug or error
        self._lost.set()

    async def _ended(self) -> None:
        self._lost.set()

    async def _failed(self, error: Exception) -> None:
        """Of nats-py: an error of the connection, or one that a callback of ours raised."""
        if isinstance(error, NatsError | OSError | TimeoutError):
            log.warning("broker says", error=str(error) or type(error).__name__)
        else:
            self._end_by(error)


def _downlink(outcome: Outcome) -> tuple[str, bytes] | None:
    """Subject and body of what its button is told."""
    if outcome.downlink is None or outcome.reception is None:
        return None
    device = format_id(outcome.reception.device)
    body = json.dumps({"device": device, "downlinkData": outcome.downlink.hex()})
    return f"sigfox.{device}.down", body.encode()
