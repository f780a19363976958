"""The fleet from and to files, by the command line."""

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import cloud.fleet.store as fleet
from cloud import database
from cloud.fleet import sheet
from tools.main import app
from tools.terminal import Failure

runner = CliRunner()
FILE = "id;place;label\n12ab34;35 Rennes;pilot\n00E10001;42 Saint-Étienne;\nzz;69 Lyon;\n".encode()


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOMINO_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lot.csv"
    path.write_bytes(FILE)
    return path


def button(*arguments: object) -> Result:
    return runner.invoke(app, ["button", *map(str, arguments)])


def told(*arguments: object):
    done = button(*arguments, "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)


def test_a_dry_run_tells_line_by_line_and_writes_nothing(file: Path):
    plan = told("import", file, "--dry-run")
    assert [(line["line"], line["id"], line["is_new"]) for line in plan["lines"]] == [
        (2, "0012AB34", True), (3, "00E10001", True),
    ]  # fmt: skip
    assert [(fault["line"], fault["text"]) for fault in plan["faults"]] == [(4, "zz")]
    assert told("list") == []
    said = button("import", file, "--dry-run").stdout
    assert "2 new, 0 changed, 0 unchanged, 1 with faults" in said
    assert "zz: No id" in said


def test_faults_stop_an_import_unless_they_are_left_out(file: Path, tmp_path: Path):
    refused = button("import", file)
    assert isinstance(refused.exception, Failure)
    assert "--clean" in str(refused.exception)
    assert told("list") == []

    done = told("import", file, "--clean")

    assert (done["import"], done["new"], done["left_out"]) == (1, 2, 1)
    codes = Path(done["claim_codes"])
    assert codes == tmp_path / "lot.codes.csv"
    assert stat.S_IMODE(codes.stat().st_mode) == 0o600
    assert [line.split(",")[0] for line in codes.read_text().splitlines()] == ["id", "0012AB34", "00E10001"]
    assert {one["id"]: one["label"] for one in told("list")} == {"0012AB34": "pilot", "00E10001": ""}


def test_codes_are_never_written_over_and_none_are_left_of_an_import_that_failed(file: Path, tmp_path: Path):
    codes = tmp_path / "codes.csv"
    codes.write_text("kept")
    refused = button("import", file, "--clean", "--codes", codes)
    assert "is there already" in str(refused.exception)
    assert codes.read_text() == "kept"
    assert told("list") == []


def test_what_is_exported_is_imported_as_nothing_to_do(file: Path, tmp_path: Path, data_dir: Path):
    told("import", file, "--clean")
    out = tmp_path / "out.csv"
    assert "2 buttons in" in button("export-csv", out, "--delimiter", ";").stdout
    assert told("import", out) == {"lines": [], "unchanged": 2, "faults": []}
    assert button("export-csv", "--which", "department=42").stdout_bytes.count(b"\r\n") == 2
    assert "no such order" in str(button("export-csv", "--which", "sort=x").exception)
    assert len(sheet.read(out.read_bytes()).lines) == 2


def test_an_import_is_undone_and_says_what_it_kept(file: Path, data_dir: Path):
    told("import", file, "--clean")
    with database.connect(f"sqlite:///{data_dir / 'domino.db'}").begin() as conn:
        fleet.note(conn, [fleet.Heard(0x12AB34, 0, 1, 3000, 7, 1, 0)], database.now())

    undone = told("undo-import", 1)

    assert (undone["state"], undone["kept_buttons"]) == ("undone", {"0012AB34": "heard since"})
    assert [one["id"] for one in told("list")] == ["0012AB34"]
    assert [(one["import"], one["state"], one["kept"]) for one in told("imports")] == [(1, "undone", 1)]
    assert "1 kept" in button("imports").stdout
    assert isinstance(button("undo-import", 1).exception, Failure)
    assert isinstance(button("undo-import", 7).exception, Failure)


def test_a_file_that_cannot_be_read_is_told_on_one_line(tmp_path: Path):
    wrong = tmp_path / "wrong.csv"
    wrong.write_bytes("id,place\n1,35 Café\n".encode("latin-1"))
    assert "Line 2 is not UTF-8" in str(button("import", wrong).exception)


def test_a_button_is_added_with_its_label():
    told("add", "1", "--place", "35 Rennes", "--label", "pilot")
    assert told("list")[0]["label"] == "pilot"
    assert button("add", "2", "--label", "x" * 41).exit_code == 2
