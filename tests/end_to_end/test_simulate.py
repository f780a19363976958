"""`domino simulate` beside a real `domino serve`: what was pressed is held against what the cloud kept."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from tests.end_to_end.service import DOMINO, ROOT, domino_json, engine_of, serving

PATIENCE_S = 90


def test_a_fleet_with_real_boards_in_it_is_kept_whole_and_once(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with serving(data_dir):
        told = domino_json(
            *("simulate", "--data-dir", str(data_dir), "--buttons", "60", "--real", "2", "--for", "8s"),
            *("--presses-per-day", "40", "--speed", "900", "--loss", "0.55", "--duplicates", "0.3"),
        )
        with engine_of(data_dir).connect() as conn:
            kept = conn.execute(sa.text("SELECT count(*) FROM uplinks")).scalar_one()
            orders = conn.execute(sa.text("SELECT count(*) FROM pickups")).scalar_one()
    assert (told["lost"], told["doubled"], told["passed"], told["ended_early"]) == (0, 0, True, False)
    assert told["radiated"] == told["heard"] + told["lost_on_the_air"] > 100
    assert told["lost_on_the_air"] > 0
    assert told["delivered_twice"] > 10
    assert (told["kept"], told["orders"]) == (kept, orders)
    assert told["kept"] == told["heard"]
    assert told["pressed"] > 60


def test_ctrl_c_ends_it_cleanly_with_the_summary_so_far(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DOMINO_")}
    environment |= {"PYTHONPATH": str(ROOT), "DOMINO_DATA_DIR": str(tmp_path / "nobody"), "TMPDIR": str(tmp_path)}
    command = [*DOMINO, "simulate", "--json", "--buttons", "30", "--real", "1", "--for", "1h"]
    command += ["--presses-per-day", "140", "--speed", "600"]
    running = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, process_group=0)
    try:
        _wait_for_presses(tmp_path)
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to the boards' VMs as well, were they in the group
        out, _ = running.communicate(timeout=PATIENCE_S)
    finally:
        running.kill()
    told = json.loads(out)
    assert running.returncode == 0
    assert (told["ended_early"], told["passed"], told["lost"], told["doubled"]) == (True, True, 0, 0)
    assert told["kept"] > 5
    assert list(tmp_path.glob("domino-bench-*")) == []  # the service of its own is gone, folder and all


def _wait_for_presses(folder: Path) -> None:
    """Until its own service has taken some in."""
    gives_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < gives_up_at:
        for file in folder.glob("domino-bench-*/domino.db"):
            try:
                with sa.create_engine(f"sqlite:///{file}").connect() as conn:
                    if conn.execute(sa.text("SELECT count(*) FROM uplinks")).scalar_one() > 5:
                        return
            except OperationalError:
                continue  # its tables are being made
        time.sleep(0.1)
    raise TimeoutError("no press was taken in")
