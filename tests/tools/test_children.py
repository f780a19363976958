"""The broker and the radio model as children: they end with their parent however it ends, and nothing kept is lost."""

import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.mqtt import Subscriber, publish
from tools import children

# What `domino serve` does with its children, and nothing else.
PARENT = """
import json, signal, sys
from pathlib import Path
from tools.children import broker, locked, radio
folder, port = Path(sys.argv[1]), int(sys.argv[2])
with locked(folder), broker(folder, port, folder / "nats.log") as b, radio(b.url, log_file=folder / "radio.log") as r:
    print(json.dumps({"port": b.port, "broker": b.pid, "radio": r.pid}), flush=True)
    signal.pause()
"""


@contextmanager
def parent(folder: Path, port: int = 0) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """A process with a broker and a radio as its children, and what it says about them."""
    command = [sys.executable, "-c", PARENT, str(folder), str(port)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ) as process:
        assert process.stdout
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def wait_for_end(pidfds: list[int]) -> None:
    for pidfd in pidfds:
        assert select.select([pidfd], [], [], 10)[0], "a child outlived its parent"
        os.close(pidfd)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_children_end_when_their_parent_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    with parent(tmp_path) as (process, started):
        pidfds = [os.pidfd_open(started["broker"]), os.pidfd_open(started["radio"])]
        os.kill(process.pid, number)
        wait_for_end(pidfds)


def test_a_second_start_on_the_same_folder_says_who_has_it(tmp_path: Path) -> None:
    with (
        parent(tmp_path) as (process, _),
        pytest.raises(children.InUse, match=f"{tmp_path} is in use by process {process.pid}$"),
        children.locked(tmp_path),
    ):
        pass


def test_a_start_after_kill_9_has_the_same_port_and_all_that_was_acknowledged(tmp_path: Path) -> None:
    messages = [("kept/x", n.to_bytes(2, "big")) for n in range(500)]
    with parent(tmp_path) as (process, started):
        with Subscriber(started["port"], "kept/+"):
            pass  # its session stays, and what comes now is kept for it
        publish(started["port"], messages)
        process.kill()
        with parent(tmp_path, started["port"]), Subscriber(started["port"], "kept/+") as subscriber:
            assert {payload for _topic, payload in subscriber.take(500)} == {payload for _topic, payload in messages}


@pytest.mark.parametrize("name", ["with spaces", "Éléonore", 'a "quoted" one', "back\\slash", "tab\tbed", "$HOME"])
def test_a_broker_keeps_its_store_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    with children.locked(folder), children.broker(folder, 0, folder / "nats.log") as broker:
        assert children.takes_mqtt(broker.port)
    assert (folder / "nats" / "jetstream").is_dir()


def test_a_new_data_folder_is_its_owners_alone(tmp_path: Path) -> None:
    with children.locked(tmp_path / "new"):
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_a_folder_is_free_again_after_its_block(tmp_path: Path) -> None:
    for _ in range(2):
        with children.locked(tmp_path / "new"):
            pass


def test_the_end_of_the_block_ends_the_broker(tmp_path: Path) -> None:
    with children.broker(tmp_path, 0, tmp_path / "nats.log") as broker:
        assert broker.is_running()
    assert not broker.is_running()
    assert not children.takes_mqtt(broker.port)


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(children.NotStarted, match=f"MQTT port {port} .* in use"),
            children.broker(tmp_path, port, tmp_path / "nats.log"),
        ):
            pass


def test_a_child_that_dies_at_its_start_leaves_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("words of an earlier run\n")
    dying = [sys.executable, "-c", "import sys; sys.exit('no such station')"]
    with (
        pytest.raises(children.NotStarted) as died,
        children.started("the radio model", dying, tmp_path / "log", lambda _: False),
    ):
        pass
    assert str(died.value) == f"the radio model ended at its start; the end of {tmp_path / 'log'}:\nno such station"


def test_a_child_that_does_not_heed_sigterm_is_killed(tmp_path: Path) -> None:
    stubborn = ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"]
    with children.started("it", stubborn, tmp_path / "log", lambda log: "up" in log, end_s=0.1) as process:
        pass
    assert process.returncode == -signal.SIGKILL


def test_nobody_may_enter_by_the_port_for_nats_clients(tmp_path: Path) -> None:
    log = tmp_path / "nats.log"
    with children.broker(tmp_path, 0, log):
        [line] = [line for line in log.read_text().splitlines() if "Listening for client connections" in line]
        with socket.create_connection(("127.0.0.1", int(line.rpartition(":")[2])), timeout=10) as client:
            client.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
            answer = b""
            while more := client.recv(4096):  # until the server hangs up
                answer += more
            assert b"Authorization Violation" in answer
