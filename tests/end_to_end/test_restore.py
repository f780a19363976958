"""A database is lost while presses come in; a copy and the log that was shipped elsewhere bring it all back."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.publish as mqtt
import pytest
import sqlalchemy as sa

import cloud.fleet.store as fleet
import cloud.stamps.store as stamps
from cloud import database
from cloud.frames.store import frames, uplinks
from cloud.ingest.keys import make_keys
from cloud.pickups.store import pickups
from tests.end_to_end.service import domino, domino_json, engine_of, serving
from tests.sealing import callback, seal

DEVICES = [0x1000 + number for number in range(20)]


class Buttons:
    """They press through the service's own broker and keep their own list of what was sent, outside the system."""

    def __init__(self, data_dir: Path) -> None:
        self.keys = make_keys(data_dir / "master.key")
        self.counters = dict.fromkeys(DEVICES, 0)
        self.sent: set[tuple[int, int]] = set()

    def press(self, port: int, rounds: int) -> None:
        for _ in range(rounds):
            messages = []
            for device in DEVICES:
                counter = self.counters[device] = self.counters[device] + 1
                data = seal(device=device, key=self.keys.device_key(device, 0), counter=counter)
                messages.append((f"sigfox/{device:08X}/up", callback(device, data, seq=counter), 1, False))
                self.sent.add((device, counter))
            mqtt.multiple(messages, hostname="127.0.0.1", port=port)


def wait_until_taken(data_dir: Path, count: int) -> None:
    """The log is looked at until it has so many lines; the live page looks no less often."""
    engine, quiet = engine_of(data_dir), threading.Event()
    for _ in range(600):
        with database.reading(engine) as conn:
            if conn.scalar(sa.select(sa.func.count()).select_from(frames)) == count:
                break
        quiet.wait(0.05)
    else:
        pytest.fail(f"not all of {count} messages were taken in")
    engine.dispose()


@contextmanager
def filled(data_dir: Path) -> Iterator[Buttons]:
    data_dir.mkdir(mode=0o700)
    domino("migrate", "--data-dir", str(data_dir))
    buttons, engine = Buttons(data_dir), engine_of(data_dir)
    with engine.begin() as conn:
        for device in DEVICES:
            fleet.add(conn, id=device, place=None, claim_code=f"{device}", now=database.now())
    engine.dispose()
    yield buttons


def test_every_acknowledged_press_is_there_once_after_the_database_is_lost(tmp_path: Path):
    lost, log, restored = tmp_path / "lost", tmp_path / "elsewhere", tmp_path / "restored"
    with filled(lost) as buttons:
        with serving(lost, "--no-radio") as running:
            assert running.mqtt_port is not None
            buttons.press(running.mqtt_port, 3)
            presses = threading.Thread(target=buttons.press, args=(running.mqtt_port, 10))
            presses.start()  # the copy and the log are taken while presses come in
            restored.mkdir(mode=0o700)
            with sqlite3.connect(lost / "domino.db") as source, sqlite3.connect(restored / "domino.db") as copy:
                source.backup(copy)
            domino("log", "ship", str(log), "--data-dir", str(lost))
            presses.join()
            wait_until_taken(lost, 13 * len(DEVICES))
            shipped = domino_json("log", "ship", str(log), "--data-dir", str(lost))
        assert shipped["reaches"]["frame"] == len(buttons.sent)
        before = everything(lost)
        for file in lost.glob("domino.db*"):
            file.unlink()

    refused = domino("log", "replay", str(log), "--data-dir", str(restored), check=False)
    assert (refused.returncode, "master key" in refused.stderr) == (1, True)
    (lost / "master.key").rename(restored / "master.key")
    done = domino_json("log", "replay", str(log), "--data-dir", str(restored))
    assert done["frames"] + done["skipped"] == len(buttons.sent)
    assert everything(restored) == before
    presses_now = {(row[0], row[1]) for row in before["uplinks"]}
    assert presses_now == buttons.sent

    with serving(restored, "--no-radio") as running:  # and it goes on: each press once, and no stamp is another's
        assert running.mqtt_port is not None
        buttons.press(running.mqtt_port, 1)
        wait_until_taken(restored, len(buttons.sent))
    again = domino_json("log", "replay", str(log), "--data-dir", str(restored))
    assert (again["frames"], again["stamps"] >= 0) == (0, True)


def everything(data_dir: Path) -> dict[str, list[tuple]]:
    """What presses decide, the stamps' sealed codes with it."""
    engine = engine_of(data_dir)
    with database.reading(engine) as conn:
        said = {
            "uplinks": sa.select(uplinks.c.button_id, uplinks.c.counter, uplinks.c.pickup_id, uplinks.c.downlink),
            "orders": sa.select(pickups.c.id, pickups.c.button_id, pickups.c.state, pickups.c.parcels),
            "stamps": sa.select(stamps.stamps.c.pickup_id, stamps.stamps.c.sealed, stamps.stamps.c.state).where(
                stamps.stamps.c.pickup_id.is_not(None)
            ),
        }
        found = {name: sorted(map(tuple, conn.execute(query)), key=repr) for name, query in said.items()}
    engine.dispose()
    return found


def test_the_log_is_decoded_anew_and_exported_from_the_command_line(tmp_path: Path):
    data = tmp_path / "data"
    with filled(data) as buttons, serving(data, "--no-radio") as running:
        assert running.mqtt_port is not None
        buttons.press(running.mqtt_port, 1)
        wait_until_taken(data, len(DEVICES))
        found = domino_json("log", "diff", "--data-dir", str(data))
        assert (found["frames"], found["changed"], found["orders"]["same"]) == (20, 0, 20)
        (tmp_path / "deaf.py").write_text(
            "from cloud.frames.model import Result\n"
            "from cloud.ingest.uplink import Rejected\n\n\n"
            "def opened(data, **known):\n"
            "    raise Rejected(Result.BAD_SEAL, 'deaf')\n"
        )
        deaf = domino(
            "log", "diff", "--decoder", "deaf:opened", "--json", "--data-dir", str(data), check=False, cwd=tmp_path
        )
        assert deaf.returncode == 1
        said = json.loads(deaf.stdout)
        assert said["changes"] == [{"before": "accepted", "after": "bad seal", "frames": 20}]
        assert said["orders"] == {"same": 0, "only_there": 20, "only_here": 0, "differing": 0}
        out = tmp_path / "log.parquet"
        domino("log", "export", "--format", "parquet", "--out", str(out), "--data-dir", str(data))
        assert out.read_bytes()[:4] == b"PAR1"
        assert out.stat().st_mode & 0o777 == 0o600
        table = domino("log", "export", "--since", "2020-01-01", "--data-dir", str(data)).stdout.splitlines()
        assert len(table) == 21
        busy = domino("log", "replay", str(tmp_path), "--data-dir", str(data), check=False)
        assert "stop it first" in busy.stderr
