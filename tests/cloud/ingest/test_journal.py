"""A line a message under its trace id, and a flood that neither fills the log nor hides a press."""

from dataclasses import dataclass, field

import prometheus_client
import pytest
from structlog.testing import capture_logs

from cloud.frames.model import Result, trace_id
from cloud.ingest.journal import Journal
from cloud.ingest.receive import Message, Outcome
from cloud.ingest.sigfox import read_callback
from tests.sealing import callback

DEVICE = 0x12AB34
MESSAGE = Message("mqtt", "0012AB34", callback(DEVICE, bytes(12)))


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Told:
    """A journal with its clock and counter."""

    per_second: int
    clock: Clock = field(default_factory=Clock)
    registry: prometheus_client.CollectorRegistry = field(default_factory=prometheus_client.CollectorRegistry)

    def __post_init__(self) -> None:
        self.journal = Journal(self.per_second, self.registry, self.clock)

    def tell(self, *results: Result) -> list[str]:
        """The events that so many messages leave."""
        reception = read_callback(MESSAGE.payload, MESSAGE.device)
        outcomes = [Outcome(result, "", reception) for result in results]
        with capture_logs() as lines:
            self.journal.tell([MESSAGE] * len(outcomes), outcomes)
        return [line["event"] for line in lines]

    @property
    def left_out(self) -> float | None:
        return self.registry.get_sample_value("domino_log_left_out_total")


def test_a_line_has_the_name_that_the_frame_has():
    reception = read_callback(MESSAGE.payload, MESSAGE.device)
    with capture_logs() as lines:
        Told(1).journal.tell([MESSAGE], [Outcome(Result.ACCEPTED, "", reception, pickup_id=7, downlink=bytes(8))])
    (line,) = lines
    assert line["trace"] == trace_id(DEVICE, bytes(12))
    assert (line["button"], line["pickup"], line["downlink"]) == ("0012AB34", 7, "00" * 8)
    assert line["log_level"] == "info"


def test_a_flood_of_forgeries_is_sampled_and_hides_no_press():
    told = Told(2)
    assert told.tell(*[Result.BAD_SEAL] * 100, Result.ACCEPTED) == [*["message bad seal"] * 2, "message accepted"]
    assert told.left_out == 98
    told.clock.now_s = 1.0
    assert told.tell(Result.BAD_SEAL) == ["messages not told", "message bad seal"]


@pytest.mark.parametrize("results", [[Result.ACCEPTED], [Result.MALFORMED] * 3])
def test_a_journal_without_allowance_is_silent(results: list[Result]):
    told = Told(0)
    assert told.tell(*results) == []
    told.clock.now_s = 1.0
    assert told.tell(*results) == []


def test_a_message_that_cannot_be_read_is_told_without_a_name():
    with capture_logs() as lines:
        Told(1).journal.tell([Message("http", None, b"{")], [Outcome(Result.MALFORMED, "not JSON")])
    assert (lines[0]["why"], lines[0]["log_level"], "trace" in lines[0]) == ("not JSON", "warning", False)
