"""What Prometheus is told of the links: a sample of the buttons that were heard last, read when it asks."""

import threading
import time
from collections.abc import Iterable, Iterator

import sqlalchemy as sa
import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import OperationalError

from cloud import database
from cloud.frames.link import Loss
from cloud.frames.store import sampled_loss

KEPT_S = 60.0  # between looks, however often it asks

log = structlog.get_logger(__name__)


class Links(Collector):
    """Register it once a process that tells metrics; threads may ask at once."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._loss, self._look_at = Loss(), 0.0

    def describe(self) -> Iterable[Metric]:
        return []  # or it would be asked while it is registered

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            if time.monotonic() >= self._look_at:
                self._look()
            loss = self._loss
        yield GaugeMetricFamily(
            "domino_link_sample_messages", "Sent by the buttons heard last, each its newest 40", loss.expected
        )
        yield GaugeMetricFamily("domino_link_sample_missed", "Of these, heard by no station", loss.missed)

    def _look(self) -> None:
        self._look_at = time.monotonic() + KEPT_S
        try:
            with database.reading(self._engine) as conn:
                self._loss = sampled_loss(conn)
        except OperationalError as error:
            log.warning("the links are not sampled: the database refuses", error=str(error.orig))
