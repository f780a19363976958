"""What became of each message, a line each in the log under its trace id, as far as a second's allowance goes.

A line costs 15 µs, as much as taking a message in. So each result has an allowance of its own: below it everything is
told, above it a sample, with how many were left out; and a flood of forgeries hides no press. The frames in the
database are complete either way.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog
from prometheus_client import CollectorRegistry, Counter

from cloud.fleet.model import format_id
from cloud.frames.model import HEAD_BYTES, Result, trace_id
from cloud.ingest.receive import Message, Outcome

# What is no fault of anybody; the rest are refusals.
GOOD = frozenset({Result.ACCEPTED, Result.DUPLICATE})

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Told:
    """Of one result in one second."""

    second: int = 0
    lines: int = 0
    left_out: int = 0


@dataclass(slots=True)
class Journal:
    """Tells `per_second` messages of each result in a second; 0: none. Called by one thread."""

    per_second: int
    registry: CollectorRegistry
    clock: Callable[[], float] = time.monotonic
    _told: dict[Result, Told] = field(default_factory=dict)
    _left_out: Counter = field(init=False)

    def __post_init__(self) -> None:
        self._left_out = Counter(
            "domino_log_left_out", "Messages without a line in the log: too many a second", registry=self.registry
        )

    def tell(self, batch: Sequence[Message], outcomes: Sequence[Outcome | None]) -> None:
        """Those of a committed batch; `outcomes` in its order, None for one that was not kept."""
        second, left_out = int(self.clock()), 0
        for message, outcome in zip(batch, outcomes, strict=True):
            if outcome is None:
                continue
            told = self._told.setdefault(outcome.result, Told(second))
            if told.second != second:
                if told.left_out and self.per_second:
                    log.warning("messages not told", result=outcome.result.value, count=told.left_out)
                told.second, told.lines, told.left_out = second, 0, 0
            if told.lines >= self.per_second:
                told.left_out += 1
                left_out += 1
                continue
            told.lines += 1
            level = log.info if outcome.result in GOOD else log.warning
            level(f"message {outcome.result}", **_line(message, outcome))
        self._left_out.inc(left_out)


def _line(message: Message, outcome: Outcome) -> dict[str, object]:
    reception, uplink = outcome.reception, outcome.uplink
    line: dict[str, object] = {"carrier": message.carrier}
    if reception is not None:
        if len(reception.data) >= HEAD_BYTES:
            line["trace"] = trace_id(reception.device, reception.data)
        line["button"] = format_id(reception.device)
    if uplink is not None:
        line |= {"kind": uplink.kind.word, "counter": uplink.counter}
    if outcome.pickup_id is not None:
        line["pickup"] = outcome.pickup_id
    if outcome.downlink is not None:
        line["downlink"] = outcome.downlink.hex()
    if outcome.reason:
        line["why"] = outcome.reason
    return line
