"""Lost, found, told and proven, on real parts: the firmware, broker, radio model, ingest, command line."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import cloud.frames.store as frames
import cloud.stamps.store as stamps
from cloud import database
from cloud.frames.model import Frame
from cloud.ingest.keys import make_keys
from cloud.secret import MASTER_KEY
from cloud.settings import load
from tests.end_to_end.service import DOMINO, domino, domino_json, engine_of, serving
from tests.mqtt import publish
from tools.buttons import open_board
from tools.children import started

BUTTON, DEVICE = "0012AB34", 0x0012AB34
DAY_S = 24 * 3600
WAIT_S = 60


def wait_frames(data_dir: Path, count: int) -> list[Frame]:
    """All that was heard, oldest first, once it is so many."""
    engine, give_up_at = engine_of(data_dir), time.monotonic() + WAIT_S
    while True:
        with database.reading(engine) as conn:
            heard = frames.after(conn, 0)
        if len(heard) >= count:
            return heard
        assert time.monotonic() < give_up_at, f"{len(heard)} of {count} frames after {WAIT_S} s"
        time.sleep(0.05)


def test_what_was_captured_of_a_lost_button_is_refused_once_it_is_found_again(tmp_path):
    data_dir = tmp_path / "data"
    folder = ["--data-dir", str(data_dir)]
    domino("button", "add", BUTTON, *folder)
    with serving(data_dir) as running:
        domino("button", "press", BUTTON, *folder)
        domino("button", "revoke", BUTTON, "--why", "lost in the move", *folder)
        refused = domino_json("button", "press", BUTTON, *folder)  # by whoever has it
        told = domino("button", "found", BUTTON, *folder).stdout
        pressed = domino_json("button", "press", BUTTON, *folder)
        before = len(wait_frames(data_dir, 3))
        publish(running.mqtt_port or 0, [(f"air/{BUTTON}/up", bytes.fromhex(refused["uplink"]))])
        heard = wait_frames(data_dir, before + 1)
    by_uplink = {(frame.data or b"").hex(): frame for frame in heard[:-1]}
    assert (by_uplink[refused["uplink"]].result, refused["light"]) == ("revoked", "sent-not-confirmed")
    assert "key generation 1" in told
    assert (by_uplink[pressed["uplink"]].result, by_uplink[pressed["uplink"]].key_generation) == ("accepted", 1)
    assert (heard[-1].result, heard[-1].reason) == ("wrong key generation", "key generation 0, the fleet has 1")


def test_a_button_takes_its_configuration_and_proves_it_by_an_early_alive(tmp_path):
    data_dir = tmp_path / "data"
    folder = ["--data-dir", str(data_dir)]
    domino("button", "add", BUTTON, *folder)

    def downlinks() -> dict[str, Any]:
        return domino_json("button", "downlinks", BUTTON, *folder)

    with serving(data_dir) as running:
        domino("button", "configure", BUTTON, "--hours", "48", "--reason", "a quiet letterbox", *folder)
        board = open_board(engine_of(data_dir), load(data_dir=data_dir), DEVICE, running.mqtt_port or 0)
        board.wake()
        assert downlinks()["configurations"][0]["state"] == "queued"
        board.let_pass(DAY_S)
        told = board.wake()
        assert (told.value("answer"), board.flash["hours"]) == ("configure 48", ["i32", 48])
        (sent,) = downlinks()["configurations"]
        assert (sent["state"], sent["counter"]) == ("sent", int(told.value("counter")))
        board.let_pass(told.trace[-1]["for_ms"] // 1000 + 1)
        board.wake()
        wait_frames(data_dir, 2)
        said = downlinks()
    assert (said["configurations"][0]["state"], said["heartbeat_hours"], said["used_today"]) == ("proven", 48, 1)


def test_master_keys_from_the_environment_serve_and_reach_no_child_no_log_and_no_file(tmp_path):
    data_dir, master = tmp_path / "data", "5c" * 32
    data_dir.mkdir()
    command = [*DOMINO, "serve", "--json", "--data-dir", str(data_dir), "--http-port", "0", "--mqtt-port", "0"]
    log = data_dir / "serve.log"
    given = {MASTER_KEY: f"1:{'ab' * 32},2:{master}"}
    with started("domino serve", command, log, lambda said: '{"pid"' in said, environment=given) as service:
        threads = Path(f"/proc/{service.pid}/task").iterdir()
        children = [pid for thread in threads for pid in (thread / "children").read_text().split()]
        environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in children]
    assert len(environments) == 2  # broker and radio model
    assert not any(MASTER_KEY.encode() in environment for environment in environments)
    assert not (data_dir / "master.key").exists()
    assert master not in "".join(path.read_text() for path in data_dir.glob("*.log"))


def test_a_service_without_a_master_key_that_is_in_use_does_not_start(tmp_path):
    data_dir = tmp_path / "data"
    folder = ["--data-dir", str(data_dir)]
    domino("button", "add", BUTTON, *folder)
    domino("button", "revoke", BUTTON, *folder)
    make_keys(data_dir / "master.key")
    first = (data_dir / "master.key").read_text()
    domino("key", "new", *folder)
    domino("button", "found", BUTTON, *folder)
    (data_dir / "master.key").write_text(first)
    refused = domino("serve", *folder, "--http-port", "0", "--mqtt-port", "0", check=False)
    assert refused.returncode == 1
    assert "buttons have keys from master key 2, which is not here" in refused.stderr


def test_a_service_does_not_start_beside_one_that_has_not_read_the_newest_key(tmp_path):
    data_dir = tmp_path / "data"
    folder = ["--data-dir", str(data_dir)]
    make_keys(data_dir / "master.key")
    domino("key", "new", *folder)
    domino("migrate", *folder)
    with engine_of(data_dir).begin() as conn:
        stamps.open_lease(conn, "worker:17", database.now() + timedelta(minutes=2))
    refused = domino("serve", *folder, "--http-port", "0", "--mqtt-port", "0", check=False)
    assert refused.returncode == 1
    assert "worker:17 runs without master key 2: stop it, then start both" in refused.stderr
