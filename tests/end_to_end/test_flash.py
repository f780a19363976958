"""From a board with nothing on it to an order: `domino flash`, mpremote, a press, the running service."""

import json
import subprocess
from pathlib import Path
from typing import Any

import zxingcpp
from PIL import Image

import cloud.fleet.store as fleet
import cloud.frames.store as frames
import cloud.pickups.store as pickups
from cloud import database
from cloud.fleet.claims import claim_hash
from cloud.ingest.keys import read_keys
from tests.end_to_end.service import DOMINO, ROOT, engine_of, serving
from tests.firmware.desk import Desk, desk

BUTTON = 0x0012AB34
PASSWORD = "sesame-of-the-letterbox"


def flash_with_finger(board: Desk, *options: str) -> dict[str, Any]:
    """`domino flash --json`, with somebody there who presses the button when asked to."""
    command = [*DOMINO, "flash", "--port", str(board.folder / "tty"), "--json", *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stderr
    with process:
        told = ""
        for line in process.stderr:
            told += line
            if line.startswith("Press the button"):
                board.ask("press", clicks=1, hold_ms=None)
        out = process.stdout.read()
    assert process.returncode == 0, told
    return json.loads(out)


def test_a_blank_board_becomes_a_button_whose_press_becomes_an_order(tmp_path: Path):
    data_dir, password = tmp_path / "data", tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    with serving(data_dir) as running, desk(tmp_path / "board") as board:
        options = ["--data-dir", str(data_dir), "--new", "--button", f"{BUTTON:08X}", "--place", "35 Rennes"]
        options += ["--wifi", "letterbox", "--wifi-password-file", str(password)]
        options += ["--broker", f"127.0.0.1:{running.mqtt_port}", "--card", str(tmp_path / "card.png")]
        told = flash_with_finger(board, *options)
        assert (told["button"], told["identity"], told["passed"]) == ("0012AB34", "written", True)
        assert [(test["name"], test["passed"]) for test in told["tests"]] == [
            (name, True) for name in ("seal", "battery", "light", "key", "radio")
        ]
        ls = board.mpremote("fs", "ls", ":lib/domino")
        assert "app.mpy" in ls
        assert ".py\n" not in ls
        (tmp_path / "script.py").write_text("from domino import light; print('accepted' in light.PATTERNS)")
        assert board.mpremote("run", str(tmp_path / "script.py")) == "True\n"
        board.mpremote("reset")
        board.cut_power()
        steps = board.command("press", "--clicks", "3")["steps"]
        with database.reading(engine_of(data_dir)) as conn:
            (order,) = pickups.newest(conn)
            heard = {frame.kind: frame for frame in frames.newest(conn)}
            button = fleet.find(conn, BUTTON)
            row = conn.execute(fleet.buttons.select()).one()
        trace = json.dumps(board.trace("--all"))
    assert (steps["gesture"], steps["light"]) == ("pickup 3", "unclaimed")
    assert (heard["pickup"].data or b"").hex() == steps["uplink"]
    assert (order.state, order.parcels) == ("requested", 3)
    assert button
    assert (button.key_board, row.claim_hash) == (told["board"], claim_hash(told["claim_code"]))
    assert zxingcpp.read_barcodes(Image.open(tmp_path / "card.png"))[0].text == told["claim_code"]

    key = read_keys(data_dir / "master.key").device_key(BUTTON, 0).hex()
    kept = Path(told["kept_in"])
    assert {kept.stat().st_mode & 0o777, (tmp_path / "card.png").stat().st_mode & 0o777} == {0o600}
    assert told["claim_code"] not in kept.read_text()
    logs = "".join(
        path.read_text() for path in (tmp_path / "board/log", data_dir / "serve.log", data_dir / "radio.log")
    )
    for secret in (key, PASSWORD):
        assert secret not in (json.dumps(told) + kept.read_text() + trace + logs).lower()
