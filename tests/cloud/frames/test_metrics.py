"""What Prometheus is told of the links."""

import prometheus_client

from cloud.frames.metrics import Links
from tests.cloud.ingest.test_receive import make_engine, press, take


def test_the_newest_buttons_links_are_told_and_looked_at_no_oftener_than_once_a_minute():
    engine, registry = make_engine(), prometheus_client.CollectorRegistry()
    registry.register(Links(engine))
    take(engine, press(1, seq=7, ack=False), press(2, seq=10, ack=False))
    said = prometheus_client.generate_latest(registry).decode()
    assert "domino_link_sample_messages 4.0" in said
    assert "domino_link_sample_missed 2.0" in said
    take(engine, press(3, seq=11, ack=False))
    assert prometheus_client.generate_latest(registry).decode() == said
