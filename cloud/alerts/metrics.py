"""What Prometheus is told of the alerts: read from the database when it asks, so every process says the same."""

import threading
import time
from collections.abc import Iterable, Iterator

import sqlalchemy as sa
import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import DBAPIError

from cloud import database
from cloud.alerts import routes, store
from cloud.alerts.model import BY_NAME

KEPT_S = 15.0  # between looks, however often it asks

log = structlog.get_logger(__name__)


class Alerts(Collector):
    """Register it once a process that tells metrics; threads may ask at once."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._open, self._waiting, self._look_at = dict.fromkeys(BY_NAME, 0), 0, 0.0

    def describe(self) -> Iterable[Metric]:
        return []  # or it would be asked while it is registered

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            if time.monotonic() >= self._look_at:
                self._look()
            opened, waiting = self._open, self._waiting
        by_rule = GaugeMetricFamily("domino_alerts_open", "Alerts that are open, silenced ones too", labels=["rule"])
        for rule, count in opened.items():
            by_rule.add_metric([rule], count)
        yield by_rule
        yield GaugeMetricFamily("domino_alert_events_waiting", "Events of alerts that wait to be sent", waiting)

    def _look(self) -> None:
        self._look_at = time.monotonic() + KEPT_S
        try:
            with database.reading(self._engine) as conn:
                self._open, self._waiting = store.open_by_rule(conn), sum(routes.waiting(conn).values())
        except DBAPIError as error:
            log.warning("the alerts are not counted: the database refuses", error=database.why(error))
