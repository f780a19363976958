"""Secrets on disk: whole or not there, for their owner alone."""

import os
import stat
from pathlib import Path

import pytest

from cloud.secret import replace_secret, write_secret


def test_a_secret_is_there_with_its_whole_text_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "folder" / "secret"
    seen = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (seen.append(path.exists()), sync(descriptor)))
    write_secret(path, "first")
    assert seen == [False, True]  # the text, then the folder that has its name
    assert path.read_text() == "first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_a_secret_is_not_replaced_unless_that_is_asked_for(tmp_path: Path):
    path = tmp_path / "secret"
    write_secret(path, "first")
    with pytest.raises(FileExistsError):
        write_secret(path, "second")
    assert path.read_text() == "first"
    replace_secret(path, "third")
    assert path.read_text() == "third"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_system_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def none_here(_path: Path, _target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")  # as FAT says

    monkeypatch.setattr(Path, "hardlink_to", none_here)
    path = tmp_path / "slip"
    write_secret(path, "first")
    with pytest.raises(FileExistsError):
        write_secret(path, "second")
    assert path.read_text() == "first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_text_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "secret"
    write_secret(path, "first")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace_secret(path, "second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]
