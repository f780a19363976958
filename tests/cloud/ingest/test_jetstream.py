"""The JetStream inlet on real servers: what is acknowledged is on disk, and what is not comes again, to some worker."""

import asyncio
import contextlib
import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import TypeVar

import nats
import pytest
import sqlalchemy as sa
import structlog
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.errors import Error as NatsError
from structlog.testing import LogCapture

import cloud.fleet.store as fleet
from cloud import database
from cloud.frames.model import Frame, Result
from cloud.ingest.crew import MISSED_S, Crew
from cloud.ingest.receive import Message
from cloud.ingest.uplink_stream import ACK_WAIT_S, BUCKETS, MQTT_STREAM, STREAM, consumer_of
from cloud.pickups.store import pickups
from tests.cloud.ingest.test_mqtt import wait_frames, wait_until
from tests.cloud.ingest.test_receive import DEVICE, NOW, UNCLAIMED, make_engine, message, press
from tests.cloud.ingest.worker import WAIT_S, Worker, running
from tests.mqtt import Publisher, Subscriber, publish
from tools.children import started
from tools.cluster import Cluster, cluster

T = TypeVar("T")
ROOT = Path(__file__).parents[3]
FIRST = 0x01000000


@pytest.fixture(autouse=True)
def said() -> Iterator[list]:
    """What was logged; and no traceback is drawn for people, which takes seconds."""
    capture = LogCapture()
    structlog.configure(processors=[capture])
    yield capture.entries
    structlog.reset_defaults()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Cluster]:
    """One nats-server, as deploy/nats sets it up."""
    with cluster(tmp_path / "nats", 1) as server:
        yield server


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'domino.db'}"


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@contextmanager
def listening(engine: sa.Engine, broker: Cluster, **options: int) -> Iterator[Worker]:
    with running(engine, broker.url, **options) as worker:
        assert worker.inlet.wait_connected(WAIT_S)
        yield worker


def login(broker: Cluster) -> tuple[str, str]:
    return "network", broker.passwords["network"]


def send(broker: Cluster, *messages: Message) -> None:
    """Publish as the radio network does, until every PUBACK is there."""
    uplinks = [(f"sigfox/{m.device}/up", m.payload) for m in messages]
    publish(broker.nodes[0].mqtt_port, uplinks, login(broker))


async def connect(broker: Cluster, user: str, **options) -> Client:
    password = broker.passwords[user]
    inbox = {"ingest": "_INBOX_ingest"}.get(user, "_INBOX")
    return await nats.connect(list(broker.hosts), user=user, password=password, inbox_prefix=inbox, **options)


def speak(broker: Cluster, user: str, say: Callable[[Client], Awaitable[T]]) -> T:
    """What `say` gives, said by `user` on a connection of its own."""

    async def connected() -> T:
        client = await connect(broker, user)
        try:
            return await say(client)
        finally:
            await client.close()

    return asyncio.run(connected())


def ask(broker: Cluster, what: str) -> dict:
    """JetStream's answer, also of a cluster that has yet to find a new leader."""

    async def request(client: Client) -> dict:
        for _ in range(WAIT_S):
            with contextlib.suppress(NatsError):
                answer = json.loads((await client.request(f"$JS.API.{what}", b"", timeout=1)).data)
                if "error" not in answer:
                    return answer
            await asyncio.sleep(0.1)
        raise AssertionError(f"no answer to {what}")

    return speak(broker, "ingest", request)


def left(broker: Cluster) -> int:
    """Messages that nobody has acknowledged yet."""
    return sum(ask(broker, f"STREAM.INFO.{stream}")["state"]["messages"] for stream in (STREAM, MQTT_STREAM))


def add_buttons(engine: sa.Engine, count: int) -> range:
    devices = range(FIRST, FIRST + count)
    with engine.begin() as conn:
        for device in devices:
            fleet.add(conn, id=device, place=None, claim_code="", now=NOW, owner_id=1)
    return devices


def orders(engine: sa.Engine) -> Counter[int]:
    with database.reading(engine) as conn:
        return Counter(conn.execute(sa.select(pickups.c.button_id)).scalars())


def wait_orders(engine: sa.Engine, devices: Iterable[int]) -> Counter[int]:
    """The orders of each button, once every one of `devices` has one."""
    give_up_at = time.monotonic() + 2 * WAIT_S
    while set(devices) - set(found := orders(engine)) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    return found


def test_a_press_over_mqtt_is_kept_and_answered(engine, broker):
    with (
        listening(engine, broker),
        Subscriber(broker.nodes[0].mqtt_port, "sigfox/+/down", login=login(broker)) as button,
    ):
        send(broker, press(1))
        ((topic, answer),) = button.take()
        (frame,) = wait_frames(engine, 1)
        wait_until(lambda: left(broker) == 0)
    assert (frame.result, frame.carrier, frame.counter) == (Result.ACCEPTED, "nats", 1)
    assert topic == f"sigfox/{DEVICE:08X}/down"
    assert frame.downlink is not None
    assert frame.downlink.hex().encode() in answer


def test_a_press_from_a_jetstream_publisher_is_kept_once_and_answered(engine, broker):
    async def publish_twice(client: Client) -> tuple[list[bool], bytes]:
        answers = await client.subscribe("sigfox.*.down")
        uplinks = client.jetstream()
        named = {"Nats-Msg-Id": f"{DEVICE:08X}-1"}
        taken = [await uplinks.publish(f"uplinks.{DEVICE:08X}", press(1).payload, headers=named) for _ in range(2)]
        return [bool(one.duplicate) for one in taken], (await answers.next_msg(timeout=WAIT_S)).data

    with listening(engine, broker):
        is_dropped, answer = speak(broker, "publisher", publish_twice)
        (frame,) = wait_frames(engine, 1)
        wait_until(lambda: left(broker) == 0)
    assert is_dropped == [False, True]
    assert (frame.result, frame.device, frame.counter) == (Result.ACCEPTED, DEVICE, 1)
    assert json.loads(answer)["downlinkData"] == (frame.downlink or b"").hex()


def test_a_button_is_in_the_same_bucket_whichever_way_its_message_came(engine, broker):
    with listening(engine, broker):
        pass  # now there is a stream, and nobody takes anything from it
    devices = [f"{device:08X}" for device in random.sample(range(2**32), 20)]
    publish(broker.nodes[0].mqtt_port, [(f"sigfox/{device}/up", b"-") for device in devices], login(broker))

    async def publish_too(client: Client) -> None:
        for device in devices:
            await client.jetstream().publish(f"uplinks.{device}", b"-")

    speak(broker, "publisher", publish_too)
    wait_until(lambda: ask(broker, f"STREAM.INFO.{STREAM}")["state"]["messages"] == 40)
    info = ask(broker, f"STREAM.INFO.{STREAM}")["state"]
    assert info["num_subjects"] == 20


def test_what_was_published_while_nobody_listened_is_taken_later(engine, broker):
    with listening(engine, broker):
        pass  # the stream exists from now on, and draws from MQTT
    send(broker, *(press(n) for n in range(1, 31)))
    with listening(engine, broker):
        assert {frame.result for frame in wait_frames(engine, 30)} == {Result.ACCEPTED}


def test_an_answer_reaches_a_subscriber_of_mqtt_that_was_away(engine, broker):
    port = broker.nodes[0].mqtt_port
    with Subscriber(port, "sigfox/+/down", login=login(broker)):
        pass  # its session exists
    with listening(engine, broker):
        send(broker, press(1))
        wait_frames(engine, 1)
        wait_until(lambda: ask(broker, f"STREAM.INFO.{STREAM}")["state"]["messages"] == 0)
    with Subscriber(port, "sigfox/+/down", login=login(broker)) as button:
        ((topic, _),) = button.take()
    assert topic == f"sigfox/{DEVICE:08X}/down"


def test_garbage_is_stored_counted_and_acknowledged_and_disturbs_nothing(engine, broker):
    garbage = [b"", b"{", b"\xff" * 100, b'{"data": "zz"}', b"0" * 1_000_000]
    with listening(engine, broker):
        odd = [Message("mqtt", device, b"{}") for device in ("not-an-id", "a.b", "é")]
        send(broker, *(message(DEVICE, one) for one in garbage), *odd, press(1))
        results = [frame.result for frame in wait_frames(engine, 9)]
        wait_until(lambda: left(broker) == 0)
    assert sorted(results) == [Result.ACCEPTED] + [Result.MALFORMED] * 8


def test_a_slow_writer_loses_neither_its_messages_nor_its_connection(engine, broker):
    """The database refuses writes for longer than the broker waits for an acknowledgement."""
    with listening(engine, broker) as worker:
        with engine.begin():  # keeps the one writer's lock
            send(broker, *(press(n) for n in range(1, 51)))
            time.sleep(ACK_WAIT_S + 1.5)
        frames = wait_frames(engine, 50)
        wait_until(lambda: left(broker) == 0)
        assert worker.inlet.connected
        consumers = ask(broker, f"CONSUMER.LIST.{STREAM}")["consumers"]
    assert [frame.result for frame in frames] == [Result.ACCEPTED] * 50, "something came twice"
    assert sum(one["num_redelivered"] for one in consumers) == 0


def test_a_message_that_meets_a_bug_holds_up_no_other_and_stays(engine, broker):
    when = f"BEFORE INSERT ON frames WHEN NEW.device = {UNCLAIMED}"
    with engine.begin() as conn:
        conn.exec_driver_sql(f"CREATE TRIGGER bug {when} BEGIN SELECT RAISE(ABORT, 'bug'); END")
    with listening(engine, broker):
        send(broker, press(1), press(1, device=UNCLAIMED), press(2))
        frames = wait_frames(engine, 2)
        wait_until(lambda: left(broker) == 1)
    assert {(frame.device, frame.result) for frame in frames} == {(DEVICE, Result.ACCEPTED)}


def test_it_comes_back_to_a_server_that_was_killed(engine, broker):
    with listening(engine, broker) as worker:
        send(broker, press(1))
        wait_frames(engine, 1)
        wait_until(lambda: left(broker) == 0)
        broker.nodes[0].kill()
        wait_until(lambda: not worker.inlet.connected)
        broker.nodes[0].start()
        broker.wait_ready()
        send(broker, press(2))  # into the server's stream for MQTT, whether or not we are back
        assert worker.inlet.wait_connected(WAIT_S)
        assert [frame.result for frame in wait_frames(engine, 2)] == [Result.ACCEPTED] * 2
        wait_until(lambda: left(broker) == 0)


def test_a_wrong_password_is_refused_and_not_told(engine, broker, said):
    url = broker.url.replace(broker.passwords["ingest"], "hunter2")
    with running(engine, url) as worker:
        assert not worker.inlet.wait_connected(1.5)
    assert any("Authorization Violation" in entry["error"] for entry in said)
    assert "hunter2" not in str(said)


def test_nobody_comes_in_without_a_password(broker):
    with pytest.raises(NatsError):
        asyncio.run(nats.connect(list(broker.hosts), allow_reconnect=False))


def test_a_publisher_can_neither_listen_to_ingest_nor_answer_for_it(engine, broker):
    heard, refused = [], []

    async def snoop(client: Client) -> None:
        async def note(message: object) -> None:
            heard.append(message)

        for subject in ("_INBOX_ingest.>", "uplinks.>", "domino.>", "$JS.API.>"):
            await client.subscribe(subject, cb=note)
        await client.publish(f"sigfox.{DEVICE:08X}.down", b"forged")
        await client.publish("domino.ingest.crew", b'{"name": "0", "is": "here"}')
        await client.flush()
        await client.jetstream().publish(f"uplinks.{DEVICE:08X}", press(1).payload)
        await asyncio.to_thread(wait_frames, engine, 1)

    async def connected() -> None:
        async def note(error: Exception) -> None:
            refused.append(str(error))

        client = await connect(broker, "publisher", error_cb=note)
        await snoop(client)
        await client.close()

    with listening(engine, broker):
        asyncio.run(connected())
    assert not heard
    assert len(refused) == 6
    assert all("permissions violation" in one for one in refused)


def test_a_buttons_messages_keep_their_order(engine, broker):
    devices = add_buttons(engine, 40)
    burst = [press(counter, device) for counter in range(1, 21) for device in devices]
    with listening(engine, broker):
        send(broker, *burst)
        frames = wait_frames(engine, len(burst))
    assert {frame.device for frame in frames} == set(devices)
    assert_in_order(frames)


def assert_in_order(frames: Iterable[Frame]) -> None:
    by_button: dict[int | None, list[int]] = defaultdict(list)
    for frame in frames:
        by_button[frame.device].append(frame.counter or 0)
    assert all(counters == sorted(counters) for counters in by_button.values())


def test_workers_share_the_partitions_keep_each_buttons_order_and_take_over(engine, broker):
    devices = add_buttons(engine, 40)

    def burst(first: int) -> list[Message]:
        return [press(counter, device) for counter in range(first, first + 10) for device in devices]

    with listening(engine, broker) as one:
        send(broker, *burst(1))
        wait_frames(engine, 400)
        with listening(engine, broker) as other:
            wait_until(lambda: (one.partitions, other.partitions) == (4, 4))
            alone = one.accepted
            send(broker, *burst(11))
            wait_frames(engine, 800)
            assert min(one.accepted - alone, other.accepted) > 0, "one did all the work"
        wait_until(lambda: one.partitions == 8)
        send(broker, *burst(21))
        frames = wait_frames(engine, 1200)
        wait_until(lambda: left(broker) == 0)
    assert Counter(frame.result for frame in frames) == {Result.ACCEPTED: 1200}
    assert_in_order(frames)


def test_the_number_of_partitions_can_change_between_runs_and_not_beside_a_worker(engine, broker, said):
    with listening(engine, broker, partitions=3):
        with running(engine, broker.url, partitions=5) as refused:
            assert not refused.inlet.wait_connected(1.5)
        assert any("end them first" in entry.get("error", "") for entry in said)
    send(broker, *(press(n) for n in range(1, 11)))
    with listening(engine, broker, partitions=5) as worker:
        assert {frame.result for frame in wait_frames(engine, 10)} == {Result.ACCEPTED}
        wait_until(lambda: worker.partitions == 5)
    consumers = {one["name"] for one in ask(broker, f"CONSUMER.LIST.{STREAM}")["consumers"]}
    assert consumers == {consumer_of(number, 5) for number in range(5)}


@contextmanager
def process(database_url: str, broker: Cluster, log: Path) -> Iterator[Popen[bytes]]:
    """A worker of its own."""
    command = [sys.executable, "-m", "tests.cloud.ingest.worker", database_url]
    environment = {"DOMINO_BROKER_URL": broker.url}
    with started("a worker", command, log, lambda said: "ready" in said, environment=environment) as worker:
        yield worker


def test_kill_9_of_a_worker_in_a_burst_loses_nothing_and_doubles_nothing(engine, broker, database_url, tmp_path):
    devices = add_buttons(engine, 600)
    with (
        listening(engine, broker) as survivor,
        process(database_url, broker, tmp_path / "worker.log") as victim,
        Publisher(broker.nodes[0].mqtt_port, login(broker)) as network,
    ):
        wait_until(lambda: survivor.partitions == 4)
        network.send((f"sigfox/{device:08X}/up", press(1, device).payload) for device in devices)
        wait_until(lambda: len(orders(engine)) > 100)
        victim.kill()
        taken = len(orders(engine)) - survivor.accepted
        network.wait()
        found = wait_orders(engine, devices)
        wait_until(lambda: left(broker) == 0)
    assert taken > 0, "the one that was killed had taken nothing"
    assert set(found) == set(devices), f"{len(set(devices) - set(found))} presses were lost"
    assert set(found.values()) == {1}, "a press was doubled"


def test_one_of_three_servers_killed_in_a_burst_loses_nothing_and_doubles_nothing(engine, tmp_path):
    devices = add_buttons(engine, 1500)
    with cluster(tmp_path / "nats") as servers, listening(engine, servers):
        assert {ask(servers, f"STREAM.INFO.{s}")["config"]["num_replicas"] for s in (STREAM, MQTT_STREAM)} == {3}
        last = servers.nodes[2]
        with Publisher(last.mqtt_port, login(servers)) as network:
            for victim, at in zip(servers.nodes, (0, 500, 1000), strict=True):
                presses = [press(1, device) for device in devices[at : at + 500]]
                network.send((f"sigfox/{one.device}/up", one.payload) for one in presses)
                wait_until(lambda at=at: len(orders(engine)) > at + 50)
                victim.kill()
                wait_until(lambda victim=victim: not victim.is_running)
                if victim is not last:
                    network.wait()  # with two of three
                victim.start()
                servers.wait_ready()
            network.wait()
        found = wait_orders(engine, devices)
        wait_until(lambda: left(servers) == 0)
    assert set(found) == set(devices), f"{len(set(devices) - set(found))} presses were lost"
    assert set(found.values()) == {1}, "a press was doubled"


NAMES = st.text("0123456789abcdef", min_size=1, max_size=16)


@given(names=st.sets(NAMES, min_size=1, max_size=12), partitions=st.integers(1, BUCKETS), now=st.floats(0, 1e6))
def test_all_who_heard_the_same_share_alike_and_leave_nothing(names, partitions, now):
    crews = [Crew(name) for name in names]
    for crew in crews:
        for name in names:
            crew.hear(name, now)
    owners = [{crew.owner(number, now + MISSED_S / 2) for crew in crews} for number in range(partitions)]
    assert all(len(owner) == 1 for owner in owners)
    shares = Counter(owner.pop() for owner in owners)
    assert max(shares.values()) - min(shares[name] for name in names) <= 1


@given(others=st.sets(NAMES, max_size=5), partition=st.integers(0, BUCKETS - 1))
def test_who_is_not_heard_any_more_owns_nothing(others, partition):
    crew = Crew("me")
    for name in others:
        crew.hear(name, 0.0)
    assert crew.owner(partition, MISSED_S + 0.1) == "me"
