"""A button's frames as CSV, a line a frame, newest first, streamed: a thousand are in memory, however many there are.

Text comes from whoever sent it, so none begins as a spreadsheet's formula would (OWASP, CSV Injection).
"""

import csv
import io
from collections.abc import Iterator
from datetime import datetime

import sqlalchemy as sa

from cloud.database import reading
from cloud.fleet.model import format_id
from cloud.frames.model import Frame
from cloud.frames.store import newest

AT_ONCE = 1000
HEAD = (
    "frame", "received_at", "heard_at", "carrier", "result", "reason", "button", "kind", "parcels", "key_generation",
    "counter", "battery_mv", "temperature_c", "reset_cause", "link_failures", "order", "sequence_number",
    "link_quality", "stations", "answered", "data", "trace",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def lines(engine: sa.Engine, device: int, at_once: int = AT_ONCE) -> Iterator[str]:
    """The head, then some lines at a time, each read at one moment."""
    yield _written([HEAD])
    before: int | None = None
    while True:
        with reading(engine) as conn:
            found = newest(conn, limit=at_once, before=before, device=device)
        if found:
            yield _written([_row(frame) for frame in found])
            before = found[-1].id
        if len(found) < at_once:
            return


def _row(frame: Frame) -> tuple[object, ...]:
    stations = " ".join(f"{copy.station}:{copy.rssi:.1f}:{copy.replicas}" for copy in frame.copies)
    return (
        frame.id, _time(frame.received_at), _time(frame.heard_at), frame.carrier, frame.result.value,
        _text(frame.reason), None if frame.device is None else format_id(frame.device), frame.kind, frame.parcels,
        frame.key_generation, frame.counter, frame.battery_mv, frame.temperature_c, frame.reset_cause,
        frame.link_failures, frame.pickup_id, frame.seq_number, _text(frame.lqi or ""), _text(stations),
        "yes" if frame.downlink else "no", frame.data.hex() if frame.data else None, frame.trace,
    )  # fmt: skip


def _written(rows: list[tuple[object, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _time(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat(timespec="milliseconds")


def _text(value: str) -> str:
    return f"'{value}" if value.startswith(FORMULA) else value
