"""A board on the desk under the real mpremote: files, prompt, resets, sleep, power, the firmware from its flash."""

import datetime
import hashlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulator.board import energy, vm
from tests.end_to_end.service import domino
from tests.firmware.conftest import DEVICE_ID, KEY, Cloud, opened_uplink, sealed_answer
from tests.firmware.desk import FIRMWARE, PATIENCE_S, Desk, desk

SLEEP_UNTIL_PRESSED = "import esp32, machine; esp32.wake_on_ext0(machine.Pin(4), 0); machine.deepsleep()"
WRITE_FILE = "with open('file', 'w') as file: file.write('kept')"
RESET_CAUSE = "import machine; print(machine.reset_cause())"


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Desk]:
    """A board with nothing on it."""
    with desk(tmp_path / "board") as running:
        yield running


@pytest.fixture
def button(tmp_path: Path, broker_port: int) -> Iterator[Desk]:
    """A provisioned board with the firmware on its flash, asleep after its first wake."""
    vm.Board(tmp_path / "board").provision(DEVICE_ID, KEY, 0, "127.0.0.1", broker_port, counter=1)
    with desk(tmp_path / "board") as running:
        running.flash_firmware()
        running.reset()
        yield running


def test_mpremote_does_to_its_files_what_it_does_to_an_esp32s(empty: Desk, tmp_path: Path):
    empty.flash_firmware()
    assert empty.mpremote("fs", "ls").split()[-3:] == ["lib/", str((FIRMWARE / "main.py").stat().st_size), "main.py"]
    assert empty.mpremote("fs", "cat", ":main.py") == (FIRMWARE / "main.py").read_text()
    assert "mqtt.py" in empty.mpremote("fs", "tree", ":lib")
    assert empty.mpremote("fs", "mkdir", ":kept", "+", "fs", "rm", ":main.py", "+", "fs", "ls").count("main.py") == 1
    for path in (FIRMWARE / "lib/domino").rglob("*.py"):
        on_board = f":lib/{path.relative_to(FIRMWARE / 'lib')}"
        if path.stem in ("app", "ccm"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() in empty.mpremote("fs", "sha256sum", on_board)


def test_a_big_file_goes_there_and_back_whole(empty: Desk, tmp_path: Path):
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(bytes(range(256)) * 200)
    empty.mpremote("fs", "cp", str(there), ":big")
    empty.mpremote("fs", "cp", ":big", str(back))
    assert back.read_bytes() == there.read_bytes()
    assert empty.mpremote("exec", "for _ in range(40): print('x' * 1000)").count("x") == 40_000


def test_mpremote_runs_mounts_and_evaluates(empty: Desk, tmp_path: Path):
    (tmp_path / "script.py").write_text("import os; print('at', os.getcwd(), os.listdir())")
    (tmp_path / "mounted.py").write_text("answer = 42")
    assert empty.mpremote("eval", "6 * 7") == "42\n"
    assert empty.mpremote("run", str(tmp_path / "script.py")) == "at / []\n"
    assert empty.mpremote("mount", str(tmp_path), "exec", "import mounted; print(mounted.answer)").endswith("42\n")
    failed = empty.try_mpremote("exec", "1 / 0")
    assert failed.returncode == 1
    assert "ZeroDivisionError" in failed.stdout


def test_its_names_live_until_a_reset_and_each_reset_says_its_cause(empty: Desk):
    empty.mpremote("exec", "kept = 5")
    assert empty.mpremote("resume", "exec", "print(kept)") == "5\n"
    assert empty.mpremote("exec", f"{RESET_CAUSE}; print('kept' in globals())") == f"{vm.SOFT_RESET}\nFalse\n"
    empty.reset()
    assert empty.mpremote("resume", "exec", RESET_CAUSE) == f"{vm.HARD_RESET}\n"
    empty.mpremote("reset")
    empty.cut_power()
    assert empty.mpremote("resume", "exec", RESET_CAUSE) == f"{vm.PWRON_RESET}\n"


def test_mpremote_repl_talks_to_the_prompt_and_ctrl_d_runs_main(empty: Desk, tmp_path: Path):
    (tmp_path / "main.py").write_text("print('main', 'runs')\n")
    empty.mpremote("fs", "cp", str(tmp_path / "main.py"), ":")
    ours, theirs = pty.openpty()
    command = [str(Path(sys.executable).with_name("mpremote")), "connect", str(empty.folder / "tty"), "resume", "repl"]
    repl = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    try:
        read_until(ours, b"to exit this shell")
        os.write(ours, b"print(6 * 7)\r")
        read_until(ours, b"\r\n42\r\n>>> ")
        os.write(ours, b"\x04")
        read_until(ours, b"MPY: soft reboot\r\nmain runs\r\n")
        read_until(ours, b">>> ")
        os.write(ours, b"\x1d")
        assert repl.wait(10) == 0
    finally:
        repl.kill()
        repl.wait()
    os.close(theirs)
    os.close(ours)


def read_until(terminal: int, wanted: bytes) -> None:
    seen = b""
    while wanted not in seen:
        assert select.select([terminal], [], [], 20)[0], seen
        seen += os.read(terminal, 1)


def test_ctrl_c_reaches_firmware_that_runs_from_its_first_moment(empty: Desk, tmp_path: Path):
    (tmp_path / "main.py").write_text("while True:\n    pass\n")
    empty.mpremote("fs", "cp", str(tmp_path / "main.py"), ":")
    for _ in range(3):
        empty.ask("reset")  # returns at once: mpremote comes while the board boots
        assert "main.py" in empty.mpremote("fs", "ls")


def test_what_nobody_reads_is_lost_and_holds_nobody_up(empty: Desk, tmp_path: Path):
    (tmp_path / "main.py").write_text(
        f"for n in range(20_000):\n    print('told to nobody', n)\n{SLEEP_UNTIL_PRESSED}\n"
    )
    empty.mpremote("fs", "cp", str(tmp_path / "main.py"), ":")
    assert empty.reset()["state"] == "asleep"


def test_a_sleeping_board_makes_mpremote_fail_and_a_press_lets_it_in(empty: Desk):
    empty.mpremote("exec", "--no-follow", SLEEP_UNTIL_PRESSED)
    failed = empty.try_mpremote("exec", "print(1)")  # gives up by itself, well within our patience
    assert failed.returncode != 0
    assert "could not enter raw repl" in failed.stderr
    assert empty.ask("state")["state"] == "asleep"
    assert empty.ask("press", clicks=1, hold_ms=None)["state"] == "running"
    wake = "import machine; print(machine.reset_cause(), machine.wake_reason())"
    assert empty.mpremote("resume", "exec", wake) == f"{vm.DEEPSLEEP_RESET} {vm.KEY_WAKE}\n"


def test_a_timer_wakes_it_and_rtc_memory_outlives_sleep_but_no_power_cut(empty: Desk):
    remember = "import machine; machine.RTC().memory(b'kept'); machine.deepsleep(300)"
    recall = "import machine; print(machine.wake_reason(), machine.RTC().memory())"
    empty.mpremote("exec", "--no-follow", remember)
    empty.wait_for_start(3)  # the first by power, the second by mpremote
    assert empty.mpremote("resume", "exec", recall) == f"{vm.TIMER_WAKE} b'kept'\n"
    empty.cut_power()
    assert empty.mpremote("resume", "exec", recall) == "0 b''\n"


def test_its_clock_is_read_and_set_and_lost_with_the_battery(empty: Desk):
    assert empty.mpremote("rtc").startswith("(2000, 1, 1, 5, 0, 0, ")
    empty.mpremote("rtc", "--set")
    told = empty.mpremote("exec", "import time; print('%d-%02d-%02dT%02d:%02d:%02d' % time.localtime()[:6])")
    set_to = datetime.datetime.fromisoformat(told.strip()).astimezone()  # mpremote gives it this machine's local time
    assert abs(set_to.timestamp() - time.time()) < PATIENCE_S
    assert empty.mpremote("exec", "import time; print(time.mktime(time.localtime()) - time.time())") == "0\n"
    empty.cut_power()
    assert empty.mpremote("rtc").startswith("(2000, 1, 1, 5, 0, 0, ")


def test_a_package_is_installed_from_a_folder_and_removed(empty: Desk, tmp_path: Path):
    (tmp_path / "thing.py").write_text("answer = 42")
    (tmp_path / "package.json").write_text('{"urls": [["thing/thing.py", "thing.py"]], "version": "1"}')
    empty.mpremote("mip", "install", str(tmp_path / "package.json"))
    assert empty.mpremote("exec", "from thing.thing import answer; print(answer)") == "42\n"
    assert "thing.py" in empty.mpremote(
        "fs", "rm", "-r", ":lib", "+", "fs", "cp", str(tmp_path / "thing.py"), ":", "+", "fs", "ls"
    )


def test_a_faster_clock_is_faster_awake_and_asleep(empty: Desk):
    empty.command("state", "speed=20")
    empty.cut_power()
    empty.mpremote("exec", "--no-follow", "import machine; machine.deepsleep(20_000)")
    empty.wait_for_start(4)  # by power twice, by mpremote, by its timer
    clock_s = int(empty.mpremote("resume", "exec", "import time; print(time.time())"))
    (slept,) = [event for event in empty.trace("--all") if event["kind"] == "sleep"]
    assert clock_s >= 20 + slept["ms"] // 1000


def test_a_power_cut_takes_uncommitted_nvs_and_nothing_else(empty: Desk):
    nvs = "import esp32; nvs = esp32.NVS('test')"
    empty.mpremote("exec", f"{nvs}; nvs.set_i32('n', 1); nvs.commit()\n{WRITE_FILE}")
    empty.mpremote("resume", "exec", f"{nvs}; nvs.set_i32('n', 2); print(nvs.get_i32('n'))")
    assert empty.mpremote("resume", "exec", "print(nvs.get_i32('n'))") == "2\n"
    empty.cut_power()
    assert empty.mpremote("exec", f"{nvs}; print(nvs.get_i32('n'), open('file').read())") == "1 kept\n"


def test_kill_9_of_the_supervisor_leaves_no_vm_behind_and_a_folder_that_starts_again(tmp_path: Path):
    with desk(tmp_path / "board") as running:
        running.ask("set", surroundings={"battery_mv": 2400})
        running.mpremote("exec", WRITE_FILE)
        watch = os.pidfd_open(running.vm_pid())
        os.kill(running.pid, signal.SIGKILL)
        assert select.select([watch], [], [], 10)[0], "the VM lives on"
        os.close(watch)
    with desk(tmp_path / "board") as running:
        world = json.loads((running.folder / "surroundings.json").read_text())
        assert (world["battery_mv"], world["boot_ms"]) == (2400, vm.Surroundings().boot_ms)
        assert running.mpremote("exec", "print(open('file').read())") == "kept\n"


def test_sigterm_ends_board_and_port(tmp_path: Path):
    with desk(tmp_path / "board") as running:
        assert (running.folder / "tty").exists()
    assert not (tmp_path / "board/tty").is_symlink()
    done = domino("board", "state", str(tmp_path / "board"), check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "domino board start" in done.stderr


def test_a_second_supervisor_is_told_who_has_the_board(empty: Desk):
    done = domino("board", "start", str(empty.folder), check=False)
    assert done.returncode == 1
    assert f"in use by process {empty.pid}" in done.stderr


def test_a_press_runs_the_firmware_from_its_flash_and_is_published(button: Desk, cloud: Cloud):
    cloud.answers = [sealed_answer(counter, 1, 90) for counter in range(2, 10)]  # the fitting one is among them
    answer = button.command("press", "--clicks", "2")
    heard, steps = cloud.heard(), answer["steps"]
    assert (steps["gesture"], steps["uplink"], steps["light"]) == ("pickup 2", heard.hex(), "accepted")
    assert opened_uplink(int(steps["counter"]), heard) >> 18 & 7 == 2
    assert answer["state"] == "asleep"
    life = [event["kind"] for event in button.trace()]
    assert life[0] == "start"
    assert life[-2:] == ["sleep", "used"]
    assert "wifi_connect" in life
    assert answer["last_wake_mah"] > energy.AWAKE_MA * answer["last_wake_ms"] / energy.MS_PER_HOUR


def test_its_faults_are_switched_while_it_runs(button: Desk):
    button.command("state", f"wifi_status={vm.WIFI_NO_AP}", "battery_mv=2400")
    assert button.command("press")["steps"]["light"] == "not-sent"
    button.command("state", "power_cut=before wifi_connect")
    assert button.command("press")["state"] == "off"
    button.command("state", "power_cut=")
    assert "sleep" in button.command("power", "on", "--follow")["steps"]
    for wrong in ("weather=rain", "battery_mv=low"):
        done = domino("board", "state", str(button.folder), wrong, check=False)
        assert (done.returncode, wrong.partition("=")[0] in done.stderr) == (2, True)


def test_a_watchdog_that_is_not_fed_resets_it(empty: Desk):
    # Armed as the stand-in for it does, by the time at which it bites.
    bite_at = int(time.time() * 1000)
    (empty.folder / "watchdog.json").write_text(str(bite_at))
    empty.wait_for_start(2)
    assert empty.mpremote("resume", "exec", RESET_CAUSE) == f"{vm.WDT_RESET}\n"


def test_what_cannot_be_followed_is_answered_at_once(empty: Desk):
    assert empty.ask("power", to="on", follow=True)["is_at_prompt"]
    empty.mpremote("exec", "--no-follow", "import machine; machine.deepsleep(60_000)")  # deaf to its key
    assert empty.ask("press", clicks=1, hold_ms=None)["state"] == "asleep"
    assert empty.ask("dance") == {"error": "no such request"}


def test_a_long_press_is_a_long_press_and_no_key_is_in_what_the_board_tells(button: Desk):
    pressed = button.command("press", "--cancel")
    assert pressed["steps"]["gesture"] == "cancel"
    told = f"{pressed} {button.trace('--all')} {(button.folder / 'log').read_text()}"
    assert KEY.hex() not in told.lower()
