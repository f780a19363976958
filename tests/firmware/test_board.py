"""The board on the desk itself: bounded, tidy, and never outliving whoever started it."""

import os
import select
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from simulator.board import vm
from simulator.board.vm import Board


def test_firmware_that_neither_sleeps_nor_ends_is_ended_with_a_reason(tmp_path: Path):
    board = Board(tmp_path, vm.Surroundings(boot_ms=60_000), time_out_s=0.5)
    with pytest.raises(vm.BoardError, match=r"neither slept nor ended within 0\.5 s"):
        board.wake()


def test_an_abandoned_press_ends_the_vm_and_the_board_can_be_pressed_again(board: Board):
    life = board.press()
    next(life)
    with pytest.raises(vm.BoardError, match="awake already"):
        board.wake()
    life.close()
    assert board.wake().slept


def test_the_vm_dies_with_its_parent_even_by_kill_9(tmp_path: Path):
    script = """
        import sys
        from pathlib import Path
        from simulator.board.vm import Board
        Board(Path(sys.argv[1])).wake([(0, True)], on_line=lambda line: print(line, flush=True))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    with parent.stdout as told:
        assert told.readline() == "domino: wake press\n"  # and now the key is held for long
    child = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text()
    watch = os.pidfd_open(int(child))
    parent.kill()
    parent.wait()
    assert select.select([watch], [], [], 10)[0], "the VM lives on"
    os.close(watch)


def test_a_missing_micropython_says_where_it_should_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(vm.BoardError, match="make setup"):
        Board(tmp_path / "board").wake()


def test_a_key_of_the_wrong_size_is_not_written(tmp_path: Path):
    with pytest.raises(vm.BoardError, match="16 bytes"):
        Board(tmp_path).provision(1, bytes(15), 0, "127.0.0.1", 1883)


def test_its_folder_is_its_owners_alone(tmp_path: Path):
    Board(tmp_path / "board")
    assert (tmp_path / "board").stat().st_mode & 0o777 == 0o700
