"""The one writer behind every inlet: what has arrived is committed as one batch, and only then handed back.

An inlet `put`s groups of messages, from any thread, and is told each group's outcomes once they are on disk; until then
it must not acknowledge. There are no timers: while one batch is committed the next gathers, so batches grow by
themselves under load.
"""

import gc
import math
import threading
import time
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from statistics import median_high

import sqlalchemy as sa
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from sqlalchemy.exc import DBAPIError

from cloud import database
from cloud.database import now as present
from cloud.frames.model import Result
from cloud.ingest.journal import Journal
from cloud.ingest.keys import Keys
from cloud.ingest.receive import Limits, Message, Outcome, receive
from cloud.ingest.uplink import Kind
from cloud.stamps.lease import Lease

MOST_IN_A_BATCH = 1000  # beyond it a batch gains nothing and its first message waits longer
RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)  # between tries to reach a database that is away

log = structlog.get_logger(__name__)

ANSWERED = frozenset({Kind.PICKUP, Kind.CANCEL, Kind.ASK})  # kinds that have something to be told

# One outcome a message, in order. None: it met a bug and was not kept, so it must not be acknowledged.
Outcomes = Sequence[Outcome | None]
Done = Callable[[Outcomes], object]


@dataclass(frozen=True, slots=True)
class Group:
    """What an inlet hands over at once, and what it is told by, in the writer's thread: so it only leaves a note."""

    messages: Sequence[Message]
    done: Done
    at: float = field(default_factory=time.monotonic)


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
            "From heard by a station to kept, of each batch the middle one",
            registry=registry,
            buckets=(0.1, 0.3, 1, 3, 10, 60, 600),
        )
        self.waiting = Gauge("domino_waiting_messages", "Handed over by an inlet, not yet committed", registry=registry)
        self.oldest = Gauge("domino_waiting_seconds", "How long the oldest of them has waited", registry=registry)
        self.refused = Counter(
            "domino_database_refusals", "Batches that the database refused; each is tried again", registry=registry
        )
        self.held_up = Gauge(
            "domino_database_held_up", "1 while a batch waits for a database that refuses it", registry=registry
        )
        self.written = Gauge(
            "domino_last_commit_timestamp_seconds", "When a batch was last committed", registry=registry
        )
        self.kinds = Counter("domino_uplinks", "Messages that were accepted, by kind", ["kind"], registry=registry)
        self.downlinks = Counter("domino_downlinks", "Answers handed to the network", registry=registry)
        self.withheld = Counter(
            "domino_downlinks_withheld",
            "Buttons that listened and got no answer: none are left today",
            registry=registry,
        )
        self.link_failures = Counter(
            "domino_link_failures", "Messages that buttons could not radiate, as they tell", registry=registry
        )
        for result in Result:
            self.frames.labels(result.value)
        for kind in Kind:
            self.kinds.labels(kind.word)

    def count(self, outcomes: Outcomes) -> None:
        """A committed batch, each counter moved once."""
        self.waiting.dec(len(outcomes))
        kept = [outcome for outcome in outcomes if outcome is not None]
        for result, number in Tally(outcome.result for outcome in kept).items():
            self.frames.labels(result.value).inc(number)
        accepted = [outcome for outcome in kept if outcome.result is Result.ACCEPTED]
        for kind, number in Tally(outcome.uplink.kind for outcome in accepted if outcome.uplink).items():
            self.kinds.labels(kind.word).inc(number)
        self.link_failures.inc(sum(outcome.uplink.link_failures for outcome in accepted if outcome.uplink))
        self.downlinks.inc(sum(outcome.downlink is not None for outcome in kept))
        unanswered = [one for one in accepted if one.downlink is None and one.reception and one.reception.listens]
        self.withheld.inc(sum(one.uplink is not None and one.uplink.kind in ANSWERED for one in unanswered))
        heard = [one.reception.heard_at for one in accepted if one.reception and one.reception.heard_at]
        if heard:
            self.lag.observe(max((present() - median_high(heard)).total_seconds(), 0))


def spare_the_collector() -> None:
    """For a process that has started and now takes in messages: their objects hold no cycles, and go by their counts.

    The cyclic garbage collector would look at thousands of them again and again, a tenth of all time.
    """
    gc.freeze()  # what has been loaded stays anyway
    gc.set_threshold(50_000, 20, 100)  # objects; Python's own 700, 10, 10


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
        lines_per_second: int = 0,
    ) -> None:
        self._engine, self._keys, self._limits, self._lease = engine, keys, limits, lease
        self._metrics = Metrics(registry)
        self._metrics.oldest.set_function(self.waited_s)
        self._journal = Journal(lines_per_second, registry)
        self._batches = count(1)
        self._in_hand: Sequence[Group] = ()
        self.trouble: str | None = None  # what the database says to the batch that waits for it
        self.written_at = -math.inf  # by the monotonic clock: the last commit
        self._committed = committed
        self._groups: deque[Group] = deque()
        self._arrival = threading.Condition()
        self._stopping = threading.Event()

    @property
    def held_up(self) -> bool:
        """Whether a batch waits for a database that refuses it: full, read-only, locked or away."""
        return self.trouble is not None

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
            started, self._in_hand = time.perf_counter(), groups
            structlog.contextvars.bind_contextvars(batch=next(self._batches))  # for every line of this thread
            outcomes = self._commit(batch)
            if outcomes is None:
                return  # stopping: nothing was committed, nothing is acknowledged
            self._in_hand = ()
            self._metrics.batch.observe(len(batch))
            self._metrics.commit.observe(time.perf_counter() - started)
            at = 0
            for group in groups:
                group.done(outcomes[at : at + len(group.messages)])
                at += len(group.messages)
            self._metrics.count(outcomes)
            self._committed()
            self._journal.tell(batch, outcomes)

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
                self._note(None)
                return list(outcomes)
            except Exception as error:
                # Locked, full, away or in conflict: the same batch again, of which nothing is kept yet.
                if isinstance(error, DBAPIError) and database.in_conflict(error):
                    log.warning("another worker had the right of way", messages=len(batch), error=database.why(error))
                    continue
                if isinstance(error, DBAPIError) and database.refuses(error):
                    self._note(database.why(error))
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

    def _note(self, trouble: str | None) -> None:
        self.trouble = trouble
        self._metrics.held_up.set(trouble is not None)
        if trouble is None:
            self.written_at = time.monotonic()
            self._metrics.written.set_to_current_time()
        else:
            self._metrics.refused.inc()

    def waited_s(self) -> float:
        """Seconds that the oldest message has waited for its commit."""
        try:
            first = self._in_hand[0] if self._in_hand else self._groups[0]
        except IndexError:
            return 0.0
        return time.monotonic() - first.at
