"""`domino serve` and `domino demo` as processes: what they say, what they leave, what they refuse."""

import json
import os
import signal
import sqlite3
import stat
import subprocess
import time
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from tests.end_to_end.service import DOMINO, ROOT, domino, domino_json, serving
from tools.running import find_running


def demo(folder: Path) -> list[str]:
    """One press on ports of its own: other tests run beside this one."""
    return ["demo", "--once", "--data-dir", str(folder), "--http-port", "0", "--mqtt-port", "0"]


def test_the_demo_tells_every_step_of_one_press_as_json(tmp_path):
    said = domino_json(*demo(tmp_path / "demo"))
    assert said["button"] == "00D1F3A7"
    assert said["gesture"] == "pickup 1"
    assert len(bytes.fromhex(said["uplink"])) == 12
    assert [copy["replicas"] for copy in said["stations"]] == [3] * 5
    assert said["order"]["state"] == "requested"
    assert len(said["stamp"]["code"]) == 8
    assert (len(bytes.fromhex(said["downlink"]["bytes"])), said["downlink"]["status"]) == (8, "accepted")
    assert said["light"] == "accepted"


def test_the_demo_can_be_run_again_on_its_folder(tmp_path):
    first, second = (domino_json(*demo(tmp_path / "demo")) for _ in range(2))
    assert second["counter"] > first["counter"]
    assert (second["order"]["id"], second["order"]["parcels"]) == (first["order"]["id"], 2)


def test_a_demo_whose_service_was_killed_says_so(tmp_path):
    folder = tmp_path / "demo"
    command = [*DOMINO, "demo", "--data-dir", str(folder), "--http-port", "0", "--mqtt-port", "0"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen(command, **pipes) as demo:
        assert demo.stdout
        assert any("/my" in line for line in demo.stdout)
        assert "/live" in demo.stdout.readline()
        assert f"domino bench --data-dir {folder}" in demo.stdout.readline()
        running = find_running(folder)
        os.kill(running.pid, signal.SIGKILL)
        _, said = demo.communicate("\n")
    assert (demo.returncode, said.count("\n")) == (1, 1)
    assert "answers no more" in said


def test_a_second_start_on_the_same_folder_says_so(tmp_path):
    with serving(tmp_path / "data") as running:
        second = domino(
            "serve", "--data-dir", str(tmp_path / "data"), "--http-port", "0", "--mqtt-port", "0", check=False
        )
    assert second.returncode != 0
    assert second.stderr.count("\n") == 1
    assert f"in use by process {running.pid}" in second.stderr


def test_an_ipv6_address_stands_in_brackets(tmp_path):
    with serving(tmp_path / "data", "--host", "::1") as running:
        assert running.http_url.startswith("http://[::1]:")


def test_a_taken_port_is_named(tmp_path):
    with serving(tmp_path / "one") as running:
        port = running.http_url.rsplit(":", 1)[1]
        second = domino(
            "serve", "--data-dir", str(tmp_path / "two"), "--http-port", port, "--mqtt-port", "0", check=False
        )
    assert second.returncode != 0
    assert port in second.stderr.splitlines()[-1]


def test_stamps_sealed_under_another_master_key_keep_the_service_from_starting(tmp_path):
    folder = tmp_path / "data"
    with serving(folder) as running:
        deadline = time.monotonic() + 60
        while not (stamps := httpx2.get(f"{running.http_url}/health").json()["stamps"])["codes"]:
            assert time.monotonic() < deadline, stamps
            time.sleep(0.1)
    assert stamps["loaded"]
    assert stamps["load_s"] >= 0
    key = (folder / "master.key").read_text()
    (folder / "master.key").write_text("ab" * 32)
    refused = domino("serve", "--data-dir", str(folder), "--http-port", "0", "--mqtt-port", "0", check=False)
    assert refused.returncode == 1
    assert "sealed under another master key" in refused.stderr.splitlines()[-1]
    (folder / "master.key").write_text(key)
    with serving(folder):
        pass


def test_secrets_are_files_of_their_owner_and_appear_in_no_log(tmp_path):
    folder = tmp_path / "data"
    domino(*demo(folder))
    secrets = [folder / name for name in ("master.key", "first-sign-in.txt", "demo-customer.txt")]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in secrets:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    words = [path.read_text().split()[-1] for path in secrets]
    for log in folder.glob("*.log"):
        assert not any(word in log.read_text() for word in words), log


def test_sigterm_ends_everything_and_forgets_where_it_ran(tmp_path):
    with serving(tmp_path / "data") as running:
        os.kill(running.pid, signal.SIGTERM)
        os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
        assert not (tmp_path / "data" / "running.json").exists()
    pressed = domino("button", "press", "0012AB34", "--data-dir", str(tmp_path / "data"), check=False)
    assert pressed.returncode != 0
    assert "domino serve" in pressed.stderr


@pytest.mark.parametrize("name", ["nats-server", "simulator.radio"])
def test_the_service_ends_and_says_so_when_a_child_is_gone(tmp_path, name):
    folder = tmp_path / "data"
    with serving(folder) as running:
        (child,) = [pid for pid in children_of(running.pid) if name in Path(f"/proc/{pid}/cmdline").read_text()]
        os.kill(child, signal.SIGKILL)
        ended = os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    assert (ended.si_code, ended.si_status) == (os.CLD_EXITED, 1)
    (said,) = [line for line in (folder / "serve.log").read_text().splitlines() if line.startswith("domino: ")]
    assert "has ended by itself" in said
    assert str(folder) in said


def children_of(pid: int) -> list[int]:
    return [
        int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in (task / "children").read_text().split()
    ]


def test_a_wrong_setting_is_one_clear_line(tmp_path):
    (tmp_path / "domino.toml").write_text('http_port = "many"\n')
    done = domino("button", "list", "--data-dir", str(tmp_path), check=False)
    assert done.returncode == 2
    assert "http_port" in done.stderr
    assert done.stderr.count("\n") == 1


def test_json_is_json_and_errors_are_not_on_standard_output(tmp_path):
    added = domino("button", "add", "--data-dir", str(tmp_path), "--json")
    assert json.loads(added.stdout)["claim_code"]
    again = domino("button", "add", json.loads(added.stdout)["id"], "--data-dir", str(tmp_path), "--json", check=False)
    assert (again.returncode, again.stdout) == (1, "")
    assert "in the fleet already" in again.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["migrate", "--database-url", "nonsense"], "sqlite"),
        (["migrate", "--database-url", "mysql://u:sekret@h/x"], "sqlite, postgresql"),
        (["migrate", "--database-url", "postgresql+psycopg://u:sekret@127.0.0.1:1/x"], "cannot be used"),
        (["button", "list", "--data-dir", "/proc/1/status"], "/proc/1/status"),
        (["serve", "--data-dir", "/proc/none"], "/proc/none"),
        (["demo", "--once", "--data-dir", "/proc/none"], "/proc/none"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_the_machine_refuses_is_one_clear_line(command, said):
    done = domino(*command, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("domino: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert "sekret" not in done.stderr


@pytest.mark.parametrize(
    "command", [["button", "list"], ["migrate"], ["serve", "--http-port", "0", "--mqtt-port", "0"]], ids=" ".join
)
@pytest.mark.parametrize("content", ["of another version", "of another kind"])
def test_a_foreign_database_is_one_clear_line(tmp_path, command, content):
    path = tmp_path / "domino.db"
    if content == "of another version":
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.execute("CREATE TABLE alembic_version AS SELECT 'from the future' AS version_num")
    else:
        path.write_text("This is no database. " * 100)
    done = domino(*command, "--data-dir", str(tmp_path), check=False)
    assert done.returncode == 1
    assert (done.stderr.splitlines()[-1].startswith("domino: the database "), "Traceback" in done.stderr) == (
        True,
        False,
    )
