"""/health and /metrics of all workers of a machine in one place, each worker's own under the label `worker`."""

import http.client
import json
import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from cloud.status import health, liveness
from tools.workers import Worker

ASK_S = 3.0  # for a worker to answer

Answer = tuple[int, bytes]


class Overview:
    """What the workers say of themselves, asked whenever somebody asks here."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._workers = workers
        self._registry = prometheus_client.CollectorRegistry()
        self._registry.register(self)  # pyright: ignore[reportArgumentType]  a collector is what collects

    def health(self) -> Answer:
        """Up while each worker is."""
        told = self._ask_all("/health")
        facts = []
        for worker, answer in zip(self._workers, told, strict=True):
            said = {} if answer is None else json.loads(answer[1])
            told_of = {name: said.get(name, {}) for name in ("parts", "since", "why")}
            facts.append({"worker": worker.number, "pid": worker.pid, "starts": worker.starts, **told_of})
        is_up = {
            f"worker {worker.number}": answer is not None and answer[0] == 200
            for worker, answer in zip(self._workers, told, strict=True)
        }
        return health(is_up, workers=facts)

    def metrics(self) -> Answer:
        return 200, prometheus_client.generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """For Prometheus' client: all that the workers tell, and whether they told."""
        up = GaugeMetricFamily("domino_worker_up", "1 while the worker answers", labels=["worker"])
        starts = CounterMetricFamily("domino_worker_starts", "How often it was started", labels=["worker"])
        families: dict[str, Metric] = {}
        for worker, answer in zip(self._workers, self._ask_all("/metrics"), strict=True):
            number = str(worker.number)
            up.add_metric([number], int(answer is not None))
            starts.add_metric([number], worker.starts)
            for told in text_string_to_metric_families("" if answer is None else answer[1].decode()):
                family = families.setdefault(told.name, Metric(told.name, told.documentation, told.type))
                for sample in told.samples:
                    family.add_sample(sample.name, {**sample.labels, "worker": number}, sample.value)
        yield from (up, starts, *families.values())

    def _ask_all(self, path: str) -> list[Answer | None]:
        def ask(worker: Worker) -> Answer | None:
            return None if worker.http_url is None else _ask(worker.http_url, path)

        with ThreadPoolExecutor(max(len(self._workers), 1)) as threads:
            return list(threads.map(ask, self._workers))


def _ask(url: str, path: str) -> Answer | None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ASK_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class Listener(ThreadingHTTPServer):
    """Takes the address at once, and tells of the workers when it knows them."""

    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)
        self.overview: Overview | None = None

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://[{host!s}]:{port}" if ":" in str(host) else f"http://{host!s}:{port}"

    @contextmanager
    def telling(self, workers: Iterable[Worker]) -> Iterator[None]:
        self.overview = Overview(list(workers))
        thread = threading.Thread(target=self.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            self.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Listener  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        overview = self.server.overview
        pages = {
            "/health": Overview.health,
            "/health/ready": Overview.health,
            "/health/live": lambda _: liveness({}),  # it minds the workers: that it answers is all
            "/metrics": Overview.metrics,
        }
        page = pages.get(self.path)
        if overview is None or page is None:
            self.send_error(404, "there are /health, /health/ready, /health/live and /metrics")
            return
        status, body = page(overview)
        kind = prometheus_client.CONTENT_TYPE_LATEST if self.path == "/metrics" else "application/json"
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nobody reads who asked."""
