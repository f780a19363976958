"""`domino flash` on a board that the real mpremote takes for one: files, refusals, cut cables, and what it says."""

import contextlib
import json
import os
import pty
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import cloud.fleet.store as fleet
import cloud.tables  # noqa: F401  fills the metadata
from cloud import database
from cloud.fleet.claims import new_claim_code
from cloud.ingest.keys import Keys
from simulator.board import control
from simulator.modem import Chip, Counter, Modem, converse
from tests.firmware.desk import FIRMWARE
from tests.sealing import VECTORS
from tests.tools.boards import ALONE, SETTINGS, Desk, Watched, desk, quiet
from tools.flash import cable, checks, firmware
from tools.flash.command import Order, export, flash
from tools.flash.identity import Registry
from tools.terminal import Failure

ID, KEYS = 0x12AB34, Keys(bytes(range(32)))
BECOME = 8  # the moment before the key goes to a board that has its files already
MODULES = {
    f"/lib/{path.relative_to(FIRMWARE / 'lib').with_suffix('.mpy')}" for path in (FIRMWARE / "lib").rglob("*.py")
}


@pytest.fixture
def engine() -> sa.Engine:
    engine = database.connect("sqlite://")
    database.metadata.create_all(engine)
    with engine.begin() as conn:
        fleet.add(conn, id=ID, place=None, claim_code=new_claim_code(), now=database.now())
    return engine


def registry(engine: sa.Engine, id: int = ID, *, is_new: bool = False) -> Registry:
    return Registry(engine, KEYS, id, is_new=is_new, place=None)


def row(engine: sa.Engine):
    with database.reading(engine) as conn:
        return conn.execute(sa.select(fleet.buttons).where(fleet.buttons.c.id == ID)).one()


@pytest.fixture
def blank(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path / "blank") as running:
        yield running


@pytest.fixture(scope="module")
def flashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a board with the firmware and no identity, to copy."""
    folder = tmp_path_factory.mktemp("boards") / "flashed"
    with desk(folder) as running:
        done = running.flash()
        assert set(done.certificate["copied"]) == {*MODULES, "/main.py"}
    return folder


@pytest.fixture
def board(tmp_path: Path, flashed: Path) -> Iterator[Desk]:
    shutil.copytree(flashed, tmp_path / "board", symlinks=True)
    with desk(tmp_path / "board") as running:
        yield running


def nvs(board: Desk) -> dict[str, list[Any]]:
    try:
        return json.loads((board.folder / "nvs.json").read_text())["domino"]
    except OSError:
        return {}


def state(board: Desk) -> tuple[bytes, dict[str, list[Any]]]:
    return (board.folder / "flash.img").read_bytes(), nvs(board)


# Files


def test_a_second_flash_copies_nothing(board: Desk):
    done = board.flash()
    assert (done.certificate["copied"], done.certificate["removed"]) == ([], [])


def test_what_differs_is_copied_what_is_no_more_ours_goes_and_what_is_others_stays(board: Desk):
    make = "for path in ('/boot.py', '/lib/other.py', '/lib/domino/light.py', '/lib/domino/light.mpy'):\n"
    with board.connected() as line:
        line.run(make + " with open(path, 'w') as file: file.write('print(1)')")
    done = board.flash()
    assert set(done.certificate["copied"]) == {"/lib/domino/light.mpy"}
    assert done.certificate["removed"] == ["/lib/domino/light.py"]
    with board.connected() as line:
        there = line.run("import os; print(os.listdir('/'), os.listdir('/lib'), os.listdir('/lib/domino'))")
        assert line.call("files")["files"] == firmware.build().hashes
    assert "boot.py" in there
    assert "other.py" in there


def test_somebody_elses_main_is_left_alone(blank: Desk):
    with blank.connected() as line:
        line.run("with open('/main.py', 'w') as file: file.write('print(1)')")
    with pytest.raises(Failure, match=r"fs rm :main\.py"):
        blank.flash()
    with blank.connected() as line:
        assert "lib" not in line.run("import os; print(os.listdir('/'), open('/main.py').read())")


def test_a_full_flash_is_told_before_anything_is_touched(blank: Desk):
    with blank.connected() as line:
        line.run("block = bytes(4096)\nwith open('/big', 'wb') as file:\n for _ in range(505): file.write(block)")
    with pytest.raises(Failure, match=r"flash is full: \d+ KB are needed"):
        blank.flash()
    with blank.connected() as line:
        assert line.run("import os; print(os.listdir('/'))").strip() == "['big']"


class Lossy(cable.Cable):
    def __init__(self, board: cable.Cable) -> None:
        super().__init__(board.port, board._line)

    def write_file(self, path: str, data: bytes, tell: Any) -> None:
        super().write_file(path, data[:-1] if path.endswith("light.mpy") else data, tell)


def test_what_is_not_read_back_as_written_is_told_and_the_firmware_does_not_run(blank: Desk):
    with pytest.raises(Failure, match=r"light\.mpy is not what was written"):
        blank.flash(kind=Lossy)
    with blank.connected() as line:
        assert "main.py" not in line.run("import os; print(os.listdir('/'))")
    assert blank.flash().certificate["copied"] == ["/lib/domino/light.mpy", "/main.py"]


@pytest.mark.parametrize("at", [5, 9, 24, 41, 43, 44])  # main.py gone, in the middle, before and after main.py
def test_a_cable_pulled_while_files_are_copied_leaves_no_mixture_and_is_mended_by_the_same_command(tmp_path: Path, at):
    with desk(tmp_path / "board") as running, pytest.raises(cable.Gone, match="same command again"):
        running.flash(kind=Watched, more={"happens": pulled(running, at)})
    with desk(tmp_path / "board") as running:
        with running.connected() as line:
            there = line.call("files")["files"]
        assert "/main.py" not in there or there == firmware.build().hashes
        running.flash()
        with running.connected() as line:
            assert line.call("files")["files"] == firmware.build().hashes


def pulled(board: Desk, at: int) -> Any:
    """Pulls it at the n-th moment at which it is used, or has just been used."""
    moments = iter(range(at, -1, -1))

    def happens(_: str) -> None:
        if next(moments, None) == 0:
            board.end()

    return happens


# Who it is


def test_a_board_becomes_a_button_and_is_noted(board: Desk, engine: sa.Engine):
    done = board.flash(registry(engine))
    told = nvs(board)
    assert told["key"][1] == KEYS.device_key(ID, 0).hex()
    assert (told["id"][1], told["gen"][1], told["ctr"][1], "ticket" in told) == (ID, 0, 0, False)
    assert (done.certificate["button"], done.certificate["identity"]) == ("0012AB34", "written")
    assert row(engine).key_board == done.certificate["board"]
    assert done.claim_code
    assert "sesame-wifi" not in json.dumps(done.certificate)


def test_the_same_button_again_keeps_counter_waiting_presses_and_claim_code_and_takes_new_settings(
    board: Desk, engine: sa.Engine
):
    board.flash(registry(engine))
    with board.connected() as line:
        line.run("n = store(); n.set_i32('ctr', 48); n.set_blob('kept', bytes(29)); n.commit()")
    done = board.flash(registry(engine), settings={"ssid": "other", "psk": "new", "hours": 12})
    told = nvs(board)
    assert (told["ctr"][1], told["hours"][1], bytes.fromhex(told["ssid"][1])) == (48, 12, b"other")
    assert (len(told["kept"][1]), told["host"][1]) == (58, b"127.0.0.1".hex())
    assert (done.certificate["identity"], done.claim_code, row(engine).key_generation) == ("left as it was", None, 0)


def test_without_reprovision_nothing_is_changed_and_with_it_everything(board: Desk, engine: sa.Engine):
    board.flash(registry(engine))
    with board.connected() as line:
        line.run("n = store(); n.set_i32('ctr', 48); n.set_blob('kept', bytes(29)); n.commit()")
    before = state(board)
    with pytest.raises(Failure, match=r"is button 0012AB34, key generation 0 already\. Nothing was changed"):
        board.flash(registry(engine, 0x99, is_new=True))
    assert state(board) == before
    with database.reading(engine) as conn:
        assert fleet.find(conn, 0x99) is None
    told: list[str] = []
    with board.connected() as line:
        order = Order(registry(engine, 0x99, is_new=True), SETTINGS, may_replace=True, **ALONE)
        done = flash(line, order, tell=told.append, progress=quiet)
    assert done.certificate["button"] == "00000099"
    assert (nvs(board)["ctr"][1], "kept" in nvs(board)) == (0, False)
    assert told == ["1 presses wait on the board under its old key, and end with it."]


def test_a_board_that_lost_its_counter_gets_a_new_key(board: Desk, engine: sa.Engine):
    board.flash(registry(engine))
    with board.connected() as line:
        line.run("erase(store(), 'ctr')")
    done = board.flash(registry(engine))
    assert (done.certificate["key_generation"], row(engine).key_generation, nvs(board)["gen"][1]) == (1, 1, 1)


def test_a_failed_test_costs_no_key_and_says_what_to_look_at(board: Desk, engine: sa.Engine):
    board.ask("set", surroundings={"battery_mv": 150})
    done = board.flash(registry(engine, 0x99, is_new=True), skip=("light",))
    told = {test["name"]: test for test in done.certificate["tests"]}
    assert not done.certificate["passed"]
    assert "divider" in told["battery"]["said"]
    assert "open" in told["radio"]["said"]
    assert (told["light"]["passed"], told["seal"]["passed"]) == (None, True)
    assert "written: a test failed" in done.certificate["identity"]
    assert nvs(board) == {}
    with database.reading(engine) as conn:
        assert fleet.find(conn, 0x99) is None


@pytest.mark.parametrize("pulled_at", range(5, 11))  # from the end of the self-test to the last look
def test_a_cable_pulled_while_the_key_is_given_costs_no_key_and_repeats_no_counter(
    tmp_path: Path, flashed: Path, engine: sa.Engine, pulled_at: int
):
    shutil.copytree(flashed, tmp_path / "board", symlinks=True)
    with desk(tmp_path / "board") as running:
        with pytest.raises(cable.Gone):
            running.flash(registry(engine), kind=Watched, more={"happens": pulled(running, pulled_at)})
        has_key = "key" in nvs(running)
        assert has_key is (pulled_at > BECOME)
    with desk(tmp_path / "board") as running:
        if has_key:  # on its battery it has been pressed meanwhile
            with running.connected() as line:
                line.run("n = store(); n.set_i32('ctr', 16); n.commit()")
        running.flash(registry(engine))
        told = nvs(running)
    assert (row(engine).key_generation, told["gen"][1], told["key"][1]) == (0, 0, KEYS.device_key(ID, 0).hex())
    assert told["ctr"][1] == (16 if has_key else 0)
    assert "ticket" not in told or has_key


def test_the_power_gone_at_every_write_of_a_new_key_costs_no_key_and_repeats_no_counter(board: Desk):
    """From one key to the next; each write goes to flash at once, as the ESP32's own library has it."""
    for cut_at in range(1, 200, 2):  # odd is before a write, even after it: before the next
        engine = database.connect("sqlite://")
        database.metadata.create_all(engine)
        with engine.begin() as conn:
            fleet.add(conn, id=ID, place=None, claim_code=new_claim_code(), now=database.now())
            button = fleet.find(conn, ID)
            assert button
            fleet.issue_key(conn, button, board="x", ticket="x")
        before = {
            "id": ["i32", ID],
            "gen": ["i32", 0],
            "ctr": ["i32", 32],
            "key": ["blob", KEYS.device_key(ID, 0).hex()],
        }
        before |= {"kept": ["blob", "0000"]} | {name: ["blob", "61"] for name in ("ssid", "psk", "host")}
        (board.folder / "nvs.json").write_text(json.dumps({"domino": before}))
        board.ask("set", surroundings={"power_cut": cut_at, "nvs_writes_through": True})
        order = Order(registry(engine), SETTINGS, may_replace=True, skip=(*ALONE["skip"], "seal"), has_finger=False)
        with board.connected(patience_s=1) as line:
            was_cut = True
            with contextlib.suppress(cable.Gone):
                flash(line, order, tell=quiet, progress=quiet)
                was_cut = False
        board.ask("set", surroundings={"power_cut": None})
        board.ask("power", to="on")
        after = nvs(board)
        if not was_cut:
            assert cut_at > 30  # all of them were tried
            return
        key, ctr = after.get("key"), after.get("ctr")
        is_old = key == before["key"] and ctr is not None and ctr[1] >= 32 and after["gen"][1] == 0
        is_new = key == ["blob", KEYS.device_key(ID, 1).hex()] and ctr == ["i32", 0] and "kept" not in after
        assert key is None or is_old or is_new, after
        if is_new:
            after["ctr"] = ["i32", 16]
            (board.folder / "nvs.json").write_text(json.dumps({"domino": after}))
        with board.connected() as line:
            flash(line, order, tell=quiet, progress=quiet)
        mended = nvs(board)
        assert (mended["gen"][1], row(engine).key_generation) == (1, 1), cut_at
        assert mended["ctr"][1] == (16 if is_new else 0)
    pytest.fail("the flash never came to its end")


def test_nvs_that_takes_nothing_is_told(board: Desk, engine: sa.Engine):
    (board.folder / "nvs.json.new").mkdir()
    with pytest.raises(Failure, match=r"NVS does not take the button \(OSError.*--erase"):
        board.flash(registry(engine))
    assert row(engine).key_board is None


# Taking it back


def test_erasing_takes_everything_of_ours_and_nothing_else(board: Desk, engine: sa.Engine):
    board.flash(registry(engine))
    with board.connected() as line:
        line.run("with open('/boot.py', 'w') as file: file.write('')\nimport machine; machine.RTC().memory(b'x')")
        line.call("wipe")
        line.call("remove_firmware")
        assert line.run("import os; print(os.listdir('/'), os.listdir('/lib'))").strip() == "['boot.py', 'lib'] []"
        assert line.run("print(machine.RTC().memory())").strip() == "b''"
    assert nvs(board) == {}
    done = board.flash(registry(engine))
    assert (done.certificate["identity"], done.certificate["key_generation"]) == ("written", 1)


def test_an_export_tells_all_but_secrets(board: Desk, engine: sa.Engine):
    board.flash(registry(engine))
    letter = (
        bytes([0, 2, 1])
        + (7).to_bytes(4, "big")
        + (17).to_bytes(4, "big")
        + bytes.fromhex(VECTORS["uplinks"][1]["uplink"])
    )
    with board.connected() as line:
        line.run(f"n = store(); n.set_blob('kept', bytes(2) + {letter!r}); n.set_i32('ctr', 32); n.commit()")
        told = export(line.call("report"))
    (waiting,) = told["waiting"]
    assert (told["button"], told["counter"], told["settings"]["wifi"]) == ("0012AB34", 32, "letterbox")
    assert (waiting["kind"], waiting["parcels"], waiting["counter"], waiting["may_be_heard"]) == ("pickup", 2, 17, True)
    assert waiting["message"] == VECTORS["uplinks"][1]["uplink"]
    for secret in (KEYS.device_key(ID, 0).hex(), "sesame-wifi"):
        assert secret not in json.dumps(told)


# Ports and boards that do not answer


def test_a_sleeping_board_is_waited_for(board: Desk):
    with board.connected() as line:
        line.run("import machine, esp32; esp32.wake_on_ext0(machine.Pin(4), 0)")
        line._line.exec_raw_no_follow("machine.deepsleep()")
    told: list[str] = []

    def hear(text: str) -> None:
        told.append(text)
        next(control.ask(board.folder, {"do": "press", "clicks": 1, "hold_ms": None}))  # and look no further

    with cable.connect(board.port, hear) as line:
        assert line.call("report")["id"] is None
    assert len(told) == 1


def test_a_board_that_never_answers_is_told_what_may_be(board: Desk):
    board.ask("power", to="off")
    with pytest.raises(Failure, match="take the battery out and in"), cable.connect(board.port, quiet, asleep_s=0):
        pass


def test_a_port_that_is_none_or_taken_says_so(board: Desk, tmp_path: Path):
    (tmp_path / "file").write_text("")
    for port, why in ((tmp_path / "none", "plugged in"), (tmp_path / "file", "no serial port")):
        with pytest.raises(Failure, match=why):
            cable.check_port(str(port))
    with board.connected(), pytest.raises(Failure, match="is in use: close"):
        cable.check_port(board.port)


def test_a_port_that_one_may_not_open_tells_of_the_group(tmp_path: Path):
    (tmp_path / "tty").touch(mode=0)
    script = (
        "import os, sys; from tools.flash import cable; os.geteuid() or os.setuid(65534); cable.check_port(sys.argv[1])"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "tty")], capture_output=True, text=True)
    assert "usermod -aG dialout" in done.stderr


def test_a_board_without_micropython_is_told_how_to_get_it(tmp_path: Path):
    ours, theirs = pty.openpty()
    (tmp_path / "tty").symlink_to(os.ttyname(theirs))
    over = threading.Event()

    def boot_loop() -> None:
        while not over.wait(0.05):
            os.write(ours, b"rst:0x10 (RTCWDT_RTC_RESET)\r\ninvalid header: 0xffffffff\r\n")

    thread = threading.Thread(target=boot_loop)
    thread.start()
    try:
        with pytest.raises(Failure, match="esptool --port"), cable.connect(str(tmp_path / "tty"), quiet):
            pass
    finally:
        over.set()
        thread.join()
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize(
    ("differs", "why"),
    [
        ({"version": "1.18.0", "bytecode": 5}, "reads bytecode 5"),
        ({"version": "1.23.0"}, r"needs 1\.24"),
        ({"version": "2.1.0", "bytecode": 7}, "mpy-cross"),
        ({"machine": "ESP32S3", "lacks": ["raw_temperature"]}, "S, C and H series"),
    ],
)
def test_a_board_that_would_not_run_it_is_told(differs, why):
    fits = {"version": "1.29.0", "bytecode": 6, "machine": "ESP32", "lacks": []}
    firmware.check_fit(firmware.build(), fits, "/dev/ttyUSB0")
    with pytest.raises(Failure, match=why):
        firmware.check_fit(firmware.build(), fits | differs, "/dev/ttyUSB0")


@pytest.mark.parametrize(
    ("its_id", "passed", "said"), [(ID, True, "answers: 0012AB34"), (1, False, "--button 00000001")]
)
def test_a_sigfox_modem_tells_its_id_and_that_is_to_be_the_buttons(
    board: Desk, engine: sa.Engine, tmp_path: Path, its_id, passed, said
):
    modem = Modem(Chip(its_id, bytes(16)), Counter(tmp_path / "counter"), Silence())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve_once, args=(listener, modem))
        thread.start()
        board.ask("set", surroundings={"modem_port": listener.getsockname()[1]})
        done = board.flash(registry(engine), settings={"link": "wisol"}, skip=("battery", "light"))
        board.ask("power", to="off")  # one that failed stays at its prompt, its UART open
        thread.join()
    told = next(test for test in done.certificate["tests"] if test["name"] == "radio")
    assert (told["passed"], said in told["said"]) == (passed, True)
    assert done.certificate["passed"] is passed
    assert ("key" in nvs(board)) is passed


class Silence:
    def radiate(self, replicas: bytes) -> None:
        pytest.fail("the self-test radiates nothing")

    def hear(self, patience_s: float) -> bytes | None:
        return None


def serve_once(listener: socket.socket, modem: Modem) -> None:
    caller, _ = listener.accept()
    with caller, contextlib.suppress(OSError):
        converse(modem, lambda: caller.recv(4096), caller.sendall)


def test_a_key_that_arrived_as_the_cable_was_pulled_is_found_and_its_code_is_shown_then(board: Desk, engine: sa.Engine):
    pulls = iter([True])

    def happens(moment: str) -> None:
        if moment == "after" and "key" in nvs(board) and next(pulls, False):
            raise cable.Gone("pulled")

    with pytest.raises(cable.Gone, match="--button 0012AB34"):
        board.flash(registry(engine), kind=Watched, more={"happens": happens})
    done = board.flash(registry(engine))
    assert done.certificate["identity"] == "left as it was"
    assert done.claim_code


def test_the_seal_is_tested_by_a_published_vector():
    vector = next(one for one in VECTORS["uplinks"] if one["uplink"] == checks.SEALED)
    id, generation, key = checks.SEAL_BUTTON
    assert (vector["device_id"], vector["key_generation"], vector["device_key"]) == (f"{id:08X}", generation, key)


# The account at the broker


def account(board: Desk) -> str | None:
    told = nvs(board).get("pass")
    return None if told is None else bytes.fromhex(told[1]).decode()


def test_a_boards_account_at_the_broker_goes_with_its_key(board: Desk, engine: sa.Engine):
    board.flash(registry(engine))
    assert account(board) is None
    told = board.flash(registry(engine), has_account=True)
    assert account(board) == KEYS.broker_password("0012AB34", 0)
    assert KEYS.broker_password("0012AB34", 0) not in json.dumps(told.certificate)
    board.flash(registry(engine), may_replace=True)  # as it is that button, it keeps key and account
    assert account(board) == KEYS.broker_password("0012AB34", 0)

    with board.connected() as line:
        line.run("import esp32; nvs = esp32.NVS('domino'); nvs.erase_key('key'); nvs.commit()")
    board.flash(registry(engine))  # a key was lost: a new one, and the account with it, though nobody named it
    assert row(engine).key_generation == 1
    assert account(board) == KEYS.broker_password("0012AB34", 1)

    board.flash(registry(engine), has_account=False)
    assert account(board) is None
