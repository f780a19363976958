"""A press on a board with a Sigfox modem: firmware, UART, AT commands, real frames, radio model, ingest, and back."""

import json
from pathlib import Path

import pytest

import cloud.frames.store as frames
import cloud.pickups.store as pickups
from cloud import database
from simulator.board.energy import Part
from tests.end_to_end.service import domino, engine_of, serving
from tests.firmware.desk import desk

DEVICE = "0012AB34"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({DEVICE: bytes(range(16)).hex()}))
    return keys


def test_a_press_on_a_board_with_a_modem_becomes_an_order_and_its_answer_a_light(tmp_path: Path, keys: Path):
    data_dir = tmp_path / "data"
    domino("button", "add", DEVICE, "--data-dir", str(data_dir))
    options = ["--button", DEVICE, "--network-keys", str(keys), "--data-dir", str(data_dir), "--modem-scale", "0.1"]
    with serving(data_dir, "--network-keys", str(keys)):
        with desk(tmp_path / "board", *options) as board:
            board.flash_firmware()
            board.cut_power()
            answer = board.command("press", "--clicks", "2")
            told = [event["state"] for event in board.trace() if event["kind"] == "modem"]
        with database.reading(engine_of(data_dir)) as conn:
            (order,) = pickups.newest(conn)
            frame = next(frame for frame in frames.newest(conn) if frame.kind == "pickup")
        with desk(tmp_path / "board", *options, "--modem-fault", "silent") as board:
            board.cut_power()
            unheard = board.command("press")["steps"]
    steps = answer["steps"]
    assert (steps["gesture"], steps["link"], steps["light"]) == ("pickup 2", "radiated", "unclaimed")
    assert ((frame.data or b"").hex(), (frame.downlink or b"").hex()) == (steps["uplink"], steps["downlink"])
    assert (order.state, order.parcels) == ("requested", 2)
    # What it does, and so its part in the charge, is what the modem itself tells.
    assert [state for state in told if state != "idle"][:5] == ["tx", "tx", "tx", "rx", "tx"]
    assert answer["last_wake_parts_mah"][Part.MODEM_TX] > 0
    assert (unheard["link"], unheard["light"]) == ("failed modem: silent", "not-sent")


def test_a_modem_whose_key_nobody_has_is_a_clear_error(tmp_path: Path, keys: Path):
    keys.write_text(json.dumps({"0012AB35": bytes(range(16)).hex()}))
    data_dir, board = str(tmp_path / "data"), str(tmp_path / "board")
    domino("button", "add", DEVICE, "--data-dir", data_dir)
    options = ["--network-keys", str(keys), "--data-dir", data_dir, "--mqtt-port", "1"]
    unnamed = domino("board", "start", board, *options, check=False)
    assert (unnamed.returncode, "--button" in unnamed.stderr) == (2, True)
    unknown = domino("board", "start", board, "--button", DEVICE, *options, check=False)
    assert (unknown.returncode, f"no key of {DEVICE}" in unknown.stderr.replace("\n", " ")) == (2, True)


def test_a_file_of_network_keys_that_is_not_there_is_a_clear_error(tmp_path: Path):
    done = domino("serve", "--data-dir", str(tmp_path), "--network-keys", str(tmp_path / "none"), check=False)
    assert done.returncode == 2
    assert "--network-keys" in done.stderr
