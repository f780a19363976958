"""An ingest worker and nothing else, as a process that can be killed: `python -m tests.cloud.ingest.worker DATABASE`.

The broker's URL comes by the environment. It says "ready" on its standard output once it listens.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import prometheus_client
import sqlalchemy as sa

from cloud import database
from cloud.frames.model import Result
from cloud.ingest.inlet import Inlet, open_inlet
from cloud.ingest.receive import Limits
from cloud.ingest.writer import Writer
from cloud.stamps.lease import Lease
from tests.cloud.ingest.test_receive import KEYS

WAIT_S = 30


@dataclass(frozen=True)
class Worker:
    inlet: Inlet
    registry: prometheus_client.CollectorRegistry

    @property
    def partitions(self) -> float:
        """How many it takes."""
        return self.registry.get_sample_value("domino_broker_partitions") or 0

    @property
    def accepted(self) -> float:
        return self.registry.get_sample_value("domino_frames_total", {"result": Result.ACCEPTED}) or 0


@contextmanager
def running(engine: sa.Engine, url: str, **options: int) -> Iterator[Worker]:
    """An inlet and its writer, in threads of this process."""
    registry = prometheus_client.CollectorRegistry()
    limits = Limits(uplinks_per_day=0)
    writer = Writer(engine, KEYS, limits=limits, lease=Lease(), registry=registry, committed=lambda: None)
    inlet = open_inlet(url, writer, registry=registry, **options)
    threads = [threading.Thread(target=part.run) for part in (inlet, writer)]
    for thread in threads:
        thread.start()
    try:
        yield Worker(inlet, registry)
    finally:
        for part in (inlet, writer):
            part.stop()
        for thread in threads:
            thread.join()


def main() -> None:
    engine = database.connect(sys.argv[1])
    with running(engine, os.environ["DOMINO_BROKER_URL"]) as worker:
        assert worker.inlet.wait_connected(WAIT_S)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
