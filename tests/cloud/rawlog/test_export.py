"""The log as CSV and Parquet: what is read back is what is there, in parts, and nothing a spreadsheet would run."""

import csv
import io
import json
from datetime import timedelta

import pyarrow.parquet as parquet
import pytest

from cloud.ingest.receive import Message
from cloud.rawlog import export
from tests.cloud.rawlog.history import BUTTONS, VAULT, Service, make_engine


@pytest.fixture
def service() -> Service:
    service = Service(make_engine())
    service.take(service.message(BUTTONS[0], parcels=2), service.message(BUTTONS[1], "ask"))
    service.now += timedelta(minutes=1)
    service.take(Message("http", None, b"\0\xff=1+1"), Message("mqtt", "=HYPERLINK(1)", b"{}", {"device": "id"}))
    return service


def in_parquet(service: Service, **span) -> tuple[list[dict], parquet.ParquetFile]:
    file = io.BytesIO()
    count = export.to_parquet(service.engine, file, lambda frames: None, **span)
    read = parquet.ParquetFile(file)
    rows = read.read().to_pylist()
    assert count == len(rows)
    return rows, read


def in_csv(service: Service, **span) -> list[dict[str, str]]:
    file = io.StringIO()
    export.to_csv(service.engine, file, lambda frames: None, **span)
    return list(csv.DictReader(io.StringIO(file.getvalue())))


def test_parquet_gives_back_every_column_of_every_frame(service):
    rows, read = in_parquet(service)
    assert rows == [row for some in export.rows(service.engine) for row in some]
    assert read.schema_arrow.names == [one.name for one in export.COLUMNS]
    assert all(field.metadata[b"says"] for field in read.schema_arrow)
    first = rows[0]
    assert (first["device"], first["kind"], first["parcels"], first["pickup_id"]) == ("0012AB34", "pickup", 2, 1)
    assert first["copies"][0] == {"station": "1F08", "rssi": -117.0, "replicas": 3}
    assert rows[2]["raw"] == b"\0\xff=1+1"
    assert [row["uplinks_per_day"] for row in rows] == [140, None, 140, None]


def test_csv_says_the_same_in_text(service):
    there, _ = in_parquet(service)
    for row, line in zip(there, in_csv(service), strict=True):
        assert line["received_at"] == row["received_at"].isoformat(timespec="milliseconds")
        assert line["raw"] == row["raw"].hex()
        assert line["listens"] == str(row["listens"]).lower()
        assert json.loads(line["copies"]) == row["copies"]
        assert [line[name] for name in ("counter", "temperature_c")] == [
            "" if row[name] is None else str(row[name]) for name in ("counter", "temperature_c")
        ]


def test_no_text_begins_as_a_spreadsheets_formula(service):
    lines = in_csv(service)
    assert lines[3]["topic"] == "'=HYPERLINK(1)"
    assert not [text for line in lines for text in line.values() if text.startswith(("=", "+", "@", "\t", "\r"))]


def test_a_long_log_is_streamed_in_row_groups(service, monkeypatch):
    monkeypatch.setattr(export, "ROWS_AT_ONCE", 3)
    told = []
    file = io.BytesIO()
    export.to_parquet(service.engine, file, told.append, at_once=3)
    assert told == [3, 1]
    assert parquet.ParquetFile(file).num_row_groups == 2


def test_times_cut_out_a_part(service):
    rows, _ = in_parquet(service, since=service.now)
    assert [row["id"] for row in rows] == [3, 4]
    rows, _ = in_parquet(service, until=service.now)
    assert [row["id"] for row in rows] == [1, 2]


def test_neither_a_stamps_code_nor_its_sealed_form_is_exported(service):
    import sqlalchemy as sa

    from cloud.stamps.store import stamps

    with service.engine.begin() as conn:
        sealed = list(conn.scalars(sa.select(stamps.c.sealed)))
    said = json.dumps([in_csv(service), in_parquet(service)[0]], default=str)
    assert sealed
    assert not [one for one in sealed if one.hex() in said or VAULT.open(one) in said]
