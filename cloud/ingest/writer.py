"""The one writer behind every inlet: what has arrived is committed as one batch, and only then handed back.

An inlet `put`s groups of messages, from any thread, and is told each group's outcomes once they are on disk; until then
it must not acknowledge. There are no timers: while one batch is committed the next gathers, so batches grow by
themselves under load.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from sqlalchemy.exc import DBAPIError

from cloud import database
from cloud.database import now as present
from cloud.frames.model import Result
from cloud.ingest.keys import Keys
from cloud.ingest.receive import Limits, Message, Outcome, receive
from cloud.stamps.lease import Lease

MOST_IN_A_BATCH = 1000  # beyond it a batch gains nothing and its first message waits longer
RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)  # between tries to reach a database that is away

log = structlog.get_logger(__name__)

# One outcome a message, in order. None: it met a bug and was not kept, so it must not be acknowledged.
Outcomes = Sequence[Outcome | None]
Done = Callable[[Outcomes], object]


@dataclass(frozen=True, slots=True)
class Group:
    """What an inlet hands over at once, and what it is told by, in the writer's thread: so it only leaves a note."""

    messages: Sequence[Message]
    done: Done


class Metrics:
    """What Prometheus is told of the writer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.frames = Counter("domino_frames", "Messages by their end", ["result"], registry=registry)
        self.batch = Histogram(
            "domino_batch_messages",
            "Messages committed at once",
            registry=registry,
            buckets=(1, 3, 10, 30, 100, 300, 1000),
        )
        self.commit = Histogram("domino_commit_seconds", "From the first of a batch to its commit", registry=registry)
        self.lag = Histogram(
            "domino_lag_seconds",
            "From heard by a station to kept",
            registry=registry,
            buckets=(0.1, 0.3, 1, 3, 10, 60, 600),
        )
        self.waiting = Gauge("domino_waiting_messages", "Handed over by an inlet, not yet committed", registry=registry)
        for result in Result:
            self.frames.labels(result.value)


class Writer:
    """Commits what inlets hand over until it is stopped. Run `run` in a thread."""

    def __init__(
        self,
        engine: sa.Engine,
        keys: Keys,
        *,
        limits: Limits,
        lease: Lease,
        registry: CollectorRegistry,
        committed: Callable[[], object],
    ) -> None:
        self._engine, self._keys, self._limits, self._lease = engine, keys, limits, lease
        self._metrics = Metrics(registry)
        self._committed = committed
        self._groups: deque[Group] = deque()
        self._arrival = threading.Condition()
        self._stopping = threading.Event()
        self._held_up = threading.Event()

    @property
    def held_up(self) -> bool:
        """Whether a batch waits for a database that refuses it: full, read-only, locked or away."""
        return self._held_up.is_set()

    def put(self, messages: Sequence[Message], done: Done) -> None:
        """Hand over a group, of at most MOST_IN_A_BATCH. `done` is not called when the writer stops before its turn."""
        with self._arrival:
            self._groups.append(Group(messages, done))
            self._arrival.notify()
        self._metrics.waiting.inc(len(messages))

    def stop(self) -> None:
        self._stopping.set()
        with self._arrival:
            self._arrival.notify()

    def run(self) -> None:
        while groups := self._take():
            batch = [message for group in groups for message in group.messages]
            started = time.perf_counter()
            outcomes = self._commit(batch)
            if outcomes is None:
                return  # stopping: nothing was committed, nothing is acknowledged
            self._metrics.batch.observe(len(batch))
            self._metrics.commit.observe(time.perf_counter() - started)
            at = 0
            for group in groups:
                group.done(outcomes[at : at + len(group.messages)])
                at += len(group.messages)
            self._count(outcomes)
            self._committed()

    def _take(self) -> list[Group]:
        """Whole groups that have arrived, waited for; none when stopping."""
        with self._arrival:
            self._arrival.wait_for(lambda: self._groups or self._stopping.is_set())
            if self._stopping.is_set():
                return []
            taken = [self._groups.popleft()]
            room = MOST_IN_A_BATCH - len(taken[0].messages)
            while self._groups and len(self._groups[0].messages) <= room:
                taken.append(self._groups.popleft())
                room -= len(taken[-1].messages)
            return taken

    def _commit(self, batch: Sequence[Message]) -> list[Outcome | None] | None:
        """The outcome of each message once all are on disk; no list at all when stopping."""
        tries = 0
        while not self._stopping.is_set():
            try:
                with self._engine.begin() as conn:
                    outcomes = receive(
                        conn, batch, keys=self._keys, limits=self._limits, lease=self._lease, now=present()
                    )
                self._held_up.clear()
                return list(outcomes)
            except Exception as error:
                # Locked, full, away or in conflict: the same batch again, of which nothing is kept yet.
                if isinstance(error, DBAPIError) and database.in_conflict(error):
                    log.warning("another worker had the right of way", messages=len(batch), error=database.why(error))
                    continue
                if isinstance(error, DBAPIError) and database.refuses(error):
                    self._held_up.set()
                    log.error("database refused a batch", messages=len(batch), error=database.why(error))
                    self._stopping.wait(RETRY_S[min(tries, len(RETRY_S) - 1)])
                    tries += 1
                    continue
                if len(batch) == 1:
                    log.exception("message not taken in", device=batch[0].device, size=len(batch[0].payload))
                    return [None]
                return self._commit_singly(batch)
        return None

    def _commit_singly(self, batch: Sequence[Message]) -> list[Outcome | None] | None:
        """One by one, so that the message that broke the batch holds up no other."""
        outcomes: list[Outcome | None] = []
        for message in batch:
            one = self._commit([message])
            if one is None:
                return None
            outcomes += one
        return outcomes

    def _count(self, outcomes: Outcomes) -> None:
        self._metrics.waiting.dec(len(outcomes))
        for outcome in filter(None, outcomes):
            self._metrics.frames.labels(outcome.result.value).inc()
            if outcome.result is Result.ACCEPTED and outcome.reception and outcome.reception.heard_at:
                lag = present() - outcome.reception.heard_at
                self._metrics.lag.observe(max(lag.total_seconds(), 0))
