"""What JetStream keeps for ingest: one stream of uplinks, its partitions, and how MQTT's messages get into it.

A publication at QoS 1 to `sigfox/DEVICE/up` is acknowledged once it lies in nats-server's own stream for MQTT, which
keeps a message for as long as a consumer has yet to acknowledge it. Our stream draws from there by a durable consumer
that is made first and that stays: so from the PUBACK on a message is in one of the two, through any crash.
Publishers of JetStream write to `uplinks.DEVICE`, with a `Nats-Msg-Id` if a repetition is to be dropped.

In the stream a subject is `uplinks.BUCKET.DEVICE`, the bucket a hash of the device. A partition is a set of buckets
with a durable consumer of its own, of which the server lets one client at a time have messages (a pinned one). The
buckets never change; the number of partitions may, while no worker runs.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

STREAM = "UPLINKS"
MQTT_STREAM = "$MQTT_msgs"  # nats-server's; made here if no MQTT client was there yet, just as it makes it
MQTT_PREFIX = "$MQTT.msgs."
SOURCE = "uplinks"  # the consumer on MQTT's stream
BUCKETS = 64  # the most partitions there can be
GROUP = "worker"  # the priority group; of several a consumer would know it by name
ACK_WAIT_S = 6.0  # then the broker sends again what is neither acknowledged nor said to be in work
PINNED_S = 5.0  # how long a worker that asks for nothing more keeps a partition from the others
DUPLICATES_S = 120.0  # for how long the same Nats-Msg-Id is dropped
REPLICAS = 3  # in a cluster; a server alone has one

NOT_CLUSTERED = 10074  # replicas > 1 not supported in non-clustered mode
OTHER_STREAM = 10058  # stream name already in use with a different configuration
GONE = 10014  # consumer not found

Request = Callable[[str, bytes], Awaitable[bytes]]  # subject and body to the answer's body


class Refused(RuntimeError):
    """The broker does not do what was asked; the text says what and why."""

    def __init__(self, what: str, code: int, why: str) -> None:
        super().__init__(f"{what}: {why}")
        self.code = code


async def set_up(request: Request, partitions: int, replicas: int | None = None) -> None:
    """Make or update all of it, in the order in which nothing can get lost. Raises `Refused`.

    `replicas` None means three, or one where the server stands alone.
    """
    try:
        await _set_up(request, partitions, replicas or REPLICAS)
    except Refused as refused:
        if replicas is not None or refused.code != NOT_CLUSTERED:
            raise
        await _set_up(request, partitions, 1)


async def _set_up(request: Request, partitions: int, replicas: int) -> None:
    kept = {"storage": "file", "num_replicas": replicas}
    interest = {"name": MQTT_STREAM, "subjects": [f"{MQTT_PREFIX}>"], "retention": "interest"}
    try:
        await call(request, f"STREAM.CREATE.{MQTT_STREAM}", interest | kept)
    except Refused as refused:
        if refused.code != OTHER_STREAM:  # as the server, or an operator, made it
            raise
    await _make_consumer(request, MQTT_STREAM, SOURCE, _source())
    try:
        await call(request, f"STREAM.CREATE.{STREAM}", _stream() | kept)
    except Refused as refused:
        if refused.code != OTHER_STREAM:
            raise
        await call(request, f"STREAM.UPDATE.{STREAM}", _stream() | kept)
    await _make_partitions(request, partitions)


def consumer_of(partition: int, partitions: int) -> str:
    return f"part-{partition + 1}-of-{partitions}"


async def call(request: Request, what: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Ask JetStream for `what`; gives its answer. Raises `Refused`."""
    answer = json.loads(await request(f"$JS.API.{what}", json.dumps(body or {}).encode()))
    if error := answer.get("error"):
        raise Refused(what, error.get("err_code", 0), error.get("description", "no reason given"))
    return answer


async def _make_partitions(request: Request, partitions: int) -> None:
    wanted = {consumer_of(number, partitions): number for number in range(partitions)}
    found = await call(request, f"CONSUMER.LIST.{STREAM}")
    for other in found["consumers"] or ():
        if other["name"] in wanted:
            continue
        if other["num_waiting"]:
            why = f"other workers are at {other['name']}, and {partitions} partitions are set here; end them first"
            raise Refused("partitions", 0, why)
        # What it had not acknowledged stays in the stream, for those who come after it.
        await call(request, f"CONSUMER.DELETE.{STREAM}.{other['name']}")
    making = (_make_consumer(request, STREAM, name, _partition(at, partitions)) for name, at in wanted.items())
    await asyncio.gather(*making)


async def _make_consumer(request: Request, stream: str, name: str, config: Mapping[str, Any]) -> None:
    body = {"stream_name": stream, "config": {"name": name, "durable_name": name, **config}}
    await call(request, f"CONSUMER.CREATE.{stream}.{name}", body)


def _source() -> dict[str, Any]:
    return {
        "ack_policy": "flow_control",  # acknowledged by the stream that draws, once it has stored
        "deliver_policy": "all",
        "deliver_subject": _DELIVERED,
        "filter_subject": f"{MQTT_PREFIX}sigfox.*.up",
        "flow_control": True,
        "idle_heartbeat": _ns(1),
        "max_ack_pending": 1000,
        "max_deliver": -1,
    }


_DELIVERED = "domino.uplinks.from-mqtt"


def _stream() -> dict[str, Any]:
    sorted_in = f"uplinks.{{{{partition({BUCKETS},1)}}}}.{{{{wildcard(1)}}}}"
    from_mqtt = {"src": f"{MQTT_PREFIX}sigfox.*.up", "dest": sorted_in}
    source = {
        "name": MQTT_STREAM,
        "consumer": {"name": SOURCE, "deliver_subject": _DELIVERED},
        "subject_transforms": [from_mqtt],
    }
    return {
        "name": STREAM,
        "subjects": ["uplinks.*"],
        "subject_transform": {"src": "uplinks.*", "dest": sorted_in},
        "sources": [source],
        # What is acknowledged is in the press log and the frame log, and has no reader here any more; what is not
        # stays, whether or not there is a consumer. No limit of size or age: rather a full disk than a loss.
        "retention": "workqueue",
        "duplicate_window": _ns(DUPLICATES_S),
    }


def _partition(number: int, partitions: int) -> dict[str, Any]:
    buckets = range(number, BUCKETS, partitions)
    return {
        "ack_policy": "explicit",  # acknowledging all up to one lost 309 messages after a restart
        "ack_wait": _ns(ACK_WAIT_S),
        "deliver_policy": "all",
        "filter_subjects": [f"uplinks.{bucket}.*" for bucket in buckets],
        "max_ack_pending": -1,  # a worker asks for no more than it has room for
        "max_deliver": -1,
        "priority_groups": [GROUP],
        "priority_policy": "pinned_client",
        "priority_timeout": _ns(PINNED_S),
    }


def _ns(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
