"""The probe on real brokers, well and ill: what it says is whether a button's message would be taken."""

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import prometheus_client
import pytest

from cloud.ingest.probe import BrokerProbe
from tests.mqtt import Publisher, Subscriber
from tools import children

WAIT_S = 30


@contextmanager
def probing(url: str, **how: float) -> Iterator[tuple[BrokerProbe, prometheus_client.CollectorRegistry]]:
    registry = prometheus_client.CollectorRegistry()
    probe = BrokerProbe(url, registry=registry, **({"every_s": 0.05} | how))
    thread = threading.Thread(target=probe.run)
    thread.start()
    try:
        yield probe, registry
    finally:
        probe.stop()
        thread.join()


@pytest.mark.parametrize("which", ["broker", "mosquitto"])
def test_a_broker_that_takes_messages_is_well(which: str, request: pytest.FixtureRequest):
    running: children.Broker = request.getfixturevalue(which)
    with probing(running.url) as (probe, registry):
        assert probe.wait_tried(3, WAIT_S)
        assert probe.why() is None
    assert registry.get_sample_value("domino_broker_probe_seconds_count") == 3


def test_a_broker_that_is_away_is_told_and_so_is_its_return(tmp_path: Path):
    with children.broker(tmp_path, 0, tmp_path / "log") as running:
        port = running.port
        with probing(running.url) as (probe, _):
            assert probe.wait_tried(1, WAIT_S)
            assert probe.why() is None
    with probing(f"mqtt://127.0.0.1:{port}") as (probe, registry):
        assert probe.wait_tried(1, WAIT_S)
        assert (probe.why() or "").startswith("it does not answer")
        with children.broker(tmp_path, port, tmp_path / "log"):
            while probe.why() is not None:
                tries = registry.get_sample_value("domino_broker_probe_failures_total") or 0
                assert probe.wait_tried(int(tries) + 2, WAIT_S)


# As a full disk: what is stored may take so much, and no more.
SMALL_STORE = """\
listen: "127.0.0.1:-1"
server_name: small
jetstream {{ store_dir: "{folder}", max_file_store: 1000000 }}
mqtt {{ listen: "127.0.0.1:{port}" }}
"""


@pytest.fixture
def small_broker(tmp_path: Path) -> Iterator[children.Broker]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    conf = tmp_path / "nats.conf"
    conf.write_text(SMALL_STORE.format(folder=tmp_path / "store", port=port))
    command = [str(Path(sys.executable).with_name("nats-server")), "--config", str(conf)]
    with children.started("nats-server", command, tmp_path / "log", lambda _: children.takes_mqtt(port)) as process:
        yield children.Broker(process, port)


def test_a_broker_that_can_store_no_more_is_told_though_subscriptions_stand(small_broker: children.Broker):
    with Subscriber(small_broker.port, "sigfox/+/up"):
        pass  # it has a session there now, for which messages wait
    with (
        Subscriber(small_broker.port, "other", client_id="stands") as stands,
        probing(small_broker.url, patience_s=1.0) as (probe, registry),
    ):
        assert probe.wait_tried(1, WAIT_S)
        assert probe.why() is None
        with Publisher(small_broker.port) as publisher:
            publisher.send([("sigfox/00000001/up", bytes(20_000))] * 60)
            tries = 1
            while probe.why() is None:
                tries += 1
                assert probe.wait_tried(tries, WAIT_S)
        assert stands.is_connected
        assert registry.get_sample_value("domino_broker_probe_failures_total")
