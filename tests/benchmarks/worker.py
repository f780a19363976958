"""One ingest worker as a process: inlet and writer between a broker and a database, until it is told to end.

`python -m tests.benchmarks.worker`; asked for with `broker`, `database`, `client_id`, `topic`, `lease`, and `keeps`:
without it, it calls everything committed and keeps nothing, which is what the inlet's own loop costs.
"""

import logging
import threading
from collections.abc import Sequence

import structlog
from prometheus_client import CollectorRegistry

import cloud.ingest.mqtt as inlets
import cloud.stamps.store as stamps
from cloud import database
from cloud.frames.model import Result
from cloud.ingest.receive import Limits, Message, Outcome
from cloud.ingest.writer import Writer, spare_the_collector
from cloud.stamps.lease import Lease
from tests.benchmarks import process
from tests.benchmarks.traffic import KEYS


class Acknowledger(Writer):
    """Calls everything committed, and keeps nothing."""

    def _commit(self, batch: Sequence[Message]) -> list[Outcome | None] | None:
        return [Outcome(Result.ACCEPTED, "") for _ in batch]


def main() -> None:
    asked = process.asked()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    engine = database.connect(asked["database"])
    lease = Lease(asked["lease"])
    with database.reading(engine) as conn:
        lease.fill(stamps.leased(conn, lease.id))
    lease.short = False
    registry = CollectorRegistry()

    def committed() -> None:
        taken = registry.get_sample_value("domino_frames_total", {"result": Result.ACCEPTED})
        process.report(int(taken or 0))

    kind = Writer if asked["keeps"] else Acknowledger
    writer = kind(engine, KEYS, limits=Limits(), lease=lease, registry=registry, committed=committed)
    inlets.TOPIC = asked["topic"]
    inlet = inlets.Inlet(asked["broker"], writer, registry=registry, client_id=asked["client_id"])
    parts = (inlet, writer)
    threads = [threading.Thread(target=part.run) for part in parts]
    spare_the_collector()
    process.ready()
    for thread in threads:
        thread.start()
    process.wait_for_end()
    for part in parts:
        part.stop()
    for thread in threads:
        thread.join()
    engine.dispose()


if __name__ == "__main__":
    main()
