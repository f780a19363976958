"""The log as tables for other people's tools: CSV or Parquet, streamed in row groups.

One row a frame, in the order of the log, under the names of COLUMNS. No secret is in it and no stamp's code: what is
sealed stays sealed. Text comes from whoever sent it; in CSV none begins as a spreadsheet's formula would.
"""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any

import sqlalchemy as sa

from cloud.database import reading
from cloud.fleet.model import format_id
from cloud.frames.model import read_copies
from cloud.frames.store import frames, uplinks

if TYPE_CHECKING:
    from pyarrow import RecordBatch, Schema

ROWS_AT_ONCE = 10_000  # a row group: some megabytes
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # OWASP, CSV Injection


class Missing(RuntimeError):
    """The library for this format is not installed."""


@dataclass(frozen=True, slots=True)
class Column:
    """`kind` is one of text, int, bool, time, bytes and copies; `says` is what it means, for the documents too."""

    name: str
    kind: str
    says: str


COLUMNS = (
    Column("id", "int", "the line's number in the log"),
    Column("received_at", "time", "when it was taken in"),
    Column("carrier", "text", "mqtt or http, or what else brought it"),
    Column("topic", "text", "the device that its topic named; none: it came without one"),
    Column("raw", "bytes", "the message as it came; cut where it was not accepted"),
    Column("raw_size", "int", "its whole size in bytes"),
    Column("renamed", "text", "the callbacks’ field map that it was read by, as JSON; none: the usual names"),
    Column("uplinks_per_day", "int", "of a batch’s first message: the limit in force"),
    Column("downlinks_per_day", "int", "likewise"),
    Column("result", "text", "how it ended"),
    Column("reason", "text", "why, in words"),
    Column("device", "text", "8 hex digits; claimed by the sender, proven where there is a counter"),
    Column("heard_at", "time", "when a station heard it, as the network says"),
    Column("seq_number", "int", "the network’s own"),
    Column("listens", "bool", "whether the button waited for an answer"),
    Column("lqi", "text", "the link’s quality, as the network says"),
    Column("copies", "copies", "station, rssi in dBm and replicas of each that heard it, best first"),
    Column("data", "bytes", "the sealed bytes that it carried"),
    Column("key_generation", "int", "0 to 3"),
    Column("counter", "int", "the button’s"),
    Column("kind", "text", "pickup, cancel, ask, alive or boot"),
    Column("parcels", "int", "of a pickup"),
    Column("battery_mv", "int", "at the press"),
    Column("temperature_c", "int", "likewise"),
    Column("reset_cause", "int", "0 to 7, the firmware’s"),
    Column("link_failures", "int", "0 to 7, since the last that got through"),
    Column("pickup_id", "int", "the order that it made, joined or moved"),
    Column("downlink", "bytes", "the sealed answer"),
)
_OF_UPLINKS = ("parcels", "battery_mv", "temperature_c", "reset_cause", "link_failures")
_KEY = (
    uplinks.c.button_id == frames.c.device,
    uplinks.c.key_generation == frames.c.key_generation,
    uplinks.c.counter == frames.c.counter,
)

Progress = Callable[[int], object]


def rows(
    engine: sa.Engine, since: datetime | None = None, until: datetime | None = None, at_once: int = ROWS_AT_ONCE
) -> Iterator[list[dict[str, Any]]]:
    """The frames received in [since, until), some at a time, each read at one moment."""
    query = sa.select(
        *(uplinks.c[one.name] if one.name in _OF_UPLINKS else frames.c[one.name] for one in COLUMNS)
    ).outerjoin(uplinks, sa.and_(*_KEY))
    if since is not None:
        query = query.where(frames.c.received_at >= since)
    if until is not None:
        query = query.where(frames.c.received_at < until)
    last = 0
    while True:
        with reading(engine) as conn:
            found = [
                _row(row) for row in conn.execute(query.where(frames.c.id > last).order_by(frames.c.id).limit(at_once))
            ]
        if found:
            yield found
            last = found[-1]["id"]
        if len(found) < at_once:
            return


def _row(row: Any) -> dict[str, Any]:
    said = dict(row._mapping)
    said["device"] = None if row.device is None else format_id(row.device)
    said["renamed"] = None if row.renamed is None else json.dumps(row.renamed)
    said["copies"] = [
        {"station": copy.station, "rssi": copy.rssi, "replicas": copy.replicas}
        for copy in read_copies(row.copies or ())
    ]
    return said


def to_csv(engine: sa.Engine, file: IO[str], progress: Progress, **span: Any) -> int:
    """A head and a line a frame: times in ISO 8601, bytes in hex, lists in JSON. How many frames there were."""
    table = csv.writer(file, lineterminator="\n")
    table.writerow([one.name for one in COLUMNS])
    count = 0
    for some in rows(engine, **span):
        table.writerows([_cell(one.kind, row[one.name]) for one in COLUMNS] for row in some)
        count += len(some)
        progress(len(some))
    return count


def _cell(kind: str, value: Any) -> str:
    if value is None:
        return ""
    match kind:
        case "time":
            return value.isoformat(timespec="milliseconds")
        case "bytes":
            return value.hex()
        case "copies":
            return json.dumps(value)
        case "text":
            return f"'{value}" if value.startswith(FORMULA) else value
    return str(value).lower() if kind == "bool" else str(value)


def to_parquet(engine: sa.Engine, file: IO[bytes], progress: Progress, **span: Any) -> int:
    """One file, zstd, a row group for ROWS_AT_ONCE frames. How many there were. Raises `Missing` without pyarrow."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise Missing("Parquet is written by pyarrow: pip install 'domino[export]'") from None
    schema = _schema(pa)
    count = 0
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for some in rows(engine, **span):
            writer.write_batch(_batch(pa, schema, some), row_group_size=ROWS_AT_ONCE)
            count += len(some)
            progress(len(some))
    return count


def _schema(pa: Any) -> "Schema":
    copy = pa.struct([("station", pa.string()), ("rssi", pa.float64()), ("replicas", pa.int8())])
    kinds = {
        "int": pa.int64(),
        "text": pa.string(),
        "bool": pa.bool_(),
        "time": pa.timestamp("ms", tz="UTC"),
        "bytes": pa.binary(),
        "copies": pa.list_(copy),
    }
    return pa.schema([pa.field(one.name, kinds[one.kind], metadata={"says": one.says}) for one in COLUMNS])


def _batch(pa: Any, schema: "Schema", some: list[dict[str, Any]]) -> "RecordBatch":
    return pa.RecordBatch.from_pylist(some, schema=schema)
