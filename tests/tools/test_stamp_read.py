"""`domino stamp read` as it is typed."""

import json
import subprocess
import sys
from pathlib import Path

from PIL import Image
from typer.testing import CliRunner

from tools import stamps
from tools.terminal import Failure

PICTURE = sorted((Path(__file__).parents[1] / "cloud/stamps/reader/pictures").glob("scan-*.jpg"))[0]
CODE = PICTURE.stem.split("-")[1]


def test_the_likeliest_codes_are_printed_in_pairs():
    done = CliRunner().invoke(stamps.app, ["read", str(PICTURE)])
    assert done.exit_code == 0
    assert " ".join(CODE[at : at + 2] for at in (0, 2, 4, 6)) in done.output


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
    script = "import sys, tools.main; print([name for name in ('numpy', 'cv2', 'PIL') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
