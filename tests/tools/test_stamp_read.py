"""`domino stamp read` as it is typed."""

import json
import subprocess
import sys
from pathlib import Path

from PIL import Image
from typer.testing import CliRunner

import cloud.fleet.store as fleet
import cloud.pickups.store as pickups
from cloud.ingest.keys import make_keys
from cloud.pickups.model import Press
from cloud.stamps import store
from cloud.stamps.vault import Vault
from tests.stock import MINTED_AT, stock
from tools import stamps
from tools.terminal import Failure, open_database

PICTURE = sorted((Path(__file__).parents[1] / "cloud/stamps/reader/pictures").glob("scan-*.jpg"))[0]
CODE = PICTURE.stem.split("-")[1]


def test_the_likeliest_codes_are_printed_in_pairs():
    done = CliRunner().invoke(stamps.app, ["read", str(PICTURE)])
    assert done.exit_code == 0
    assert " ".join(CODE[at : at + 2] for at in (0, 2, 4, 6)) in done.output


def test_the_verdict_is_that_of_the_stamps_in_the_data_folder(tmp_path: Path):
    asked = ["read", str(PICTURE), "--json", "--data-dir", str(tmp_path)]
    assert json.loads(CliRunner().invoke(stamps.app, asked).output)["verdict"] is None  # there is no such folder yet

    vault = Vault(make_keys(tmp_path / "master.key").stamp_key())
    with open_database(tmp_path, None).begin() as conn:
        fleet.add(conn, id=1, place=None, claim_code="CLAIM", now=MINTED_AT)
        lease = stock(conn, 0, vault=vault)
        lease.add(store.put(conn, [vault.seal(CODE)], lease.id, MINTED_AT))
        pickups.request(conn, [Press(1, 1)], lease, MINTED_AT)
    assert json.loads(CliRunner().invoke(stamps.app, asked).output)["verdict"]["kind"] == "unknown clear"

    with open_database(tmp_path, None).begin() as conn:
        store.go_live(conn, 1, MINTED_AT)
    told = json.loads(CliRunner().invoke(stamps.app, asked).output)["verdict"]
    assert (told["kind"], told["code"], told["pickup_id"]) == ("accepted", CODE, 1)

    with open_database(tmp_path, None).begin() as conn:
        store.redeem(conn, vault, CODE, piece="one", place="35 Rennes", by="a test", at=MINTED_AT)
    said = CliRunner().invoke(stamps.app, ["read", str(PICTURE), "--data-dir", str(tmp_path)]).output
    assert "already used" in said
    assert "35 Rennes" in said


def test_a_script_gets_strings_places_and_an_annotated_picture(tmp_path: Path):
    out = tmp_path / "seen.png"
    done = CliRunner().invoke(stamps.app, ["read", str(PICTURE), "--json", "--annotated", str(out)])
    told = json.loads(done.output)
    assert told["legible"] is True
    assert CODE in [one["code"] for one in told["strings"]]
    assert [len(place["guesses"]) for place in told["places"]] == [3] * 8
    assert Image.open(out).format == "PNG"


def test_a_blank_page_is_illegible_and_says_what_to_do(tmp_path: Path):
    blank = tmp_path / "blank.png"
    Image.new("RGB", (600, 200), "white").save(blank)
    done = CliRunner().invoke(stamps.app, ["read", str(blank)])
    assert done.exit_code == 1
    assert "illegible: no eight symbols" in done.output
    assert json.loads(CliRunner().invoke(stamps.app, ["read", str(blank), "--json"]).output)["strings"] == []


def test_what_is_no_picture_is_one_line(tmp_path: Path):
    text = tmp_path / "note.txt"
    text.write_text("7K 4F 2M 9X")
    done = CliRunner().invoke(stamps.app, ["read", str(text)])
    assert isinstance(done.exception, Failure)
    assert "no PNG, JPEG or WebP" in str(done.exception)


def test_no_other_command_loads_numpy_or_opencv():
    script = (
        "import sys\nfrom tools.main import COMMANDS, load\nfor name in COMMANDS:\n    load(name)\n"
        "print([name for name in ('numpy', 'cv2', 'PIL') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
