"""`domino stamp card` and `domino stamp find`, from a confirmed pickup to paper and back."""

import json
import stat
from pathlib import Path

import pypdfium2
import pytest
import zxingcpp
from typer.testing import CliRunner, Result

import cloud.fleet.store as fleet
import cloud.pickups.store as pickups
import cloud.stamps.store as stamps
from cloud import database
from cloud.ingest.keys import make_keys
from cloud.pickups.model import Press
from cloud.places.model import Address
from cloud.stamps.vault import Vault
from tests.stock import stock
from tools.main import app
from tools.terminal import Failure, open_database, open_stamps

runner = CliRunner()
ADDRESS = Address(("MME C MORVAN", "", "", "12 RUE DE L EGLISE", "", "35400 SAINT MALO"))


def run(*arguments: str | int) -> Result:
    return runner.invoke(app, ["stamp", *map(str, arguments)])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with pickup 1, confirmed, and pickup 2, which waits."""
    engine = open_database(tmp_path / "data", None)
    now = database.now()
    with engine.begin() as conn:
        for button in (1, 2):
            fleet.add(conn, id=button, place=None, claim_code=f"CLAIM{button}", now=now)
        lease = stock(conn, 2, now, Vault(make_keys(tmp_path / "data" / "master.key").stamp_key()))
        pickups.request(conn, [Press(1, 1), Press(2, 1)], lease, now)
        pickups.confirm(conn, 1, ADDRESS, "staff test", now)
    engine.dispose()
    return tmp_path / "data"


def code_of(data: Path, pickup_id: int) -> str:
    engine, vault = open_stamps(data, None)
    with database.reading(engine) as conn:
        stamp = stamps.of_pickup(conn, vault, pickup_id)
    assert stamp is not None
    return stamp.code


def test_each_mark_on_a_printed_card_recovers_the_pickup(data, tmp_path):
    out = tmp_path / "cards.pdf"
    done = run("card", 1, "--code", code_of(data, 1), "--blank", 2, "--out", out, "--data-dir", data)
    assert done.exit_code == 0, done.output
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    (page,) = pypdfium2.PdfDocument(out)
    (matrix, again) = [found.text for found in zxingcpp.read_barcodes(page.render(scale=2).to_pil())]
    assert matrix == again
    for mark in (matrix, matrix[:8], matrix[8:]):
        found = json.loads(run("find", mark, "--json", "--data-dir", data).stdout)
        assert found == {"pickup_id": 1, "number": "CD000000014FR", "state": "live"}


def test_what_was_there_is_replaced_by_a_file_that_nobody_else_reads(tmp_path):
    out = tmp_path / "cards.svg"
    target = tmp_path / "elsewhere"
    target.write_text("kept")
    out.symlink_to(target)
    assert run("card", "--blank", 1, "--out", out).exit_code == 0
    assert target.read_text() == "kept"
    assert out.read_text().startswith("<svg")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["2"], "pickup 2 is reserved"),
        (["3"], "pickup 3 has no stamp"),
        (["--code", "7K4F2M9X"], "no stamp 7K 4F 2M 9X"),
        (["--blank", "9"], "holds 1 to 8 cards, not 9; a .pdf has as many pages as it needs"),
    ],
)
def test_a_card_that_cannot_be_made_leaves_no_file_and_says_why(data, tmp_path, arguments, why):
    done = run("card", *arguments, "--out", tmp_path / "out.svg", "--data-dir", data)
    assert isinstance(done.exception, Failure)
    assert why in str(done.exception)
    assert not (tmp_path / "out.svg").exists()


@pytest.mark.parametrize(
    "arguments", [[], ["--code", "7K4F"], ["--blank", "-1"], ["x"]], ids=["nothing", "short", "negative", "no number"]
)
def test_a_wrong_argument_is_said_so(tmp_path, arguments):
    assert run("card", *arguments, "--out", tmp_path / "out.pdf").exit_code == 2
    assert run("card", "--blank", 1, "--out", tmp_path / "out.png").exit_code == 2


def test_a_mark_that_is_none_of_ours_is_said_so(data):
    assert "no parcel of ours" in str(run("find", "CD 0060 4127 2 FR", "--data-dir", data).exception)
    assert "different parcels" in str(run("find", f"{code_of(data, 1)}CD006041272FR", "--data-dir", data).exception)
    assert run("find", "CD 0060 4127 3 FR", "--data-dir", data).exit_code == 2
