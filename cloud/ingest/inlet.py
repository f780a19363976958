"""The one seam between a broker and the writer: which inlet a URL asks for.

An inlet runs in a thread of its own. It hands groups of messages to `Writer.put`, acknowledges what has an outcome once
that is committed, and nothing else; it outlives its broker.
"""

from typing import Protocol
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry

from cloud.ingest import jetstream, mqtt
from cloud.ingest.writer import Writer

SCHEMES = ("mqtt", "mqtts", "nats", "tls")


class Inlet(Protocol):
    """What takes messages in from a broker."""

    @property
    def connected(self) -> bool: ...

    def wait_connected(self, timeout_s: float) -> bool: ...

    def run(self) -> None: ...

    def stop(self) -> None: ...


def open_inlet(
    url: str,
    writer: Writer,
    *,
    registry: CollectorRegistry,
    partitions: int = jetstream.DEFAULT_PARTITIONS,
    replicas: int | None = None,
) -> Inlet:
    """The inlet for `url`: MQTT's, or JetStream's with so many `partitions` and `replicas`."""
    if urlsplit(url).scheme in ("nats", "tls"):
        return jetstream.Inlet(url, writer, registry=registry, partitions=partitions, replicas=replicas)
    return mqtt.Inlet(url, writer, registry=registry)


def without_password(url: str) -> str:
    """Where `url` leads, for a message or a log."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2]
    if parts.scheme in mqtt.DEFAULT_PORTS:
        hosts = f"{parts.hostname}:{parts.port or mqtt.DEFAULT_PORTS[parts.scheme]}"
    return f"{parts.scheme}://{hosts}"
