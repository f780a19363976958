"""The raw log shipped elsewhere: a folder of segments, each a gzip file of lines between a head and an end.

    {"log": 1, "after": {"frame": 0, "frame_at": 0, "move": 0, "stamps": 0}}
    …
    {"end": {"frame": 1200, "frame_at": 1796029199000, "move": 87, "stamps": 1796029200000}}

Segments have running numbers. One appears under its name only when it is whole and on disk, and says where the next
begins, so whoever copies the folder, at any moment, has a log that is whole up to some moment. The folder may be a
disk of another machine, or be synchronised with one. It holds names and addresses, and is made for its owner alone.
"""

import fcntl
import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cloud.rawlog.model import FORMAT, Cursor, Damaged, Entry, from_line, to_line
from cloud.rawlog.store import Part, check, read

FRAMES_A_SEGMENT = 200_000  # then a new one is begun
MOST_BYTES_A_LINE = 1_000_000  # the longest message, in JSON, is a third of this
COMPRESSION = 3  # of 9: within a tenth of the best here, at a third of the time


class Busy(RuntimeError):
    """Another process ships into this folder."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """What one run added, and how far the folder reaches now."""

    frames: int
    segments: int
    reaches: Cursor


def ship(
    engine: sa.Engine, folder: Path, now: datetime, progress: Callable[[int], object] = lambda frames: None
) -> Shipped:
    """Add to `folder` what the database has and it has not. Raises `Busy`, `Diverged`, and `Damaged` for other things.

    `progress` is told of frames as they are written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _kept(folder):
        there = segments(folder)
        reaches = _end(there[-1]) if there else Cursor()
        check(engine, reaches)
        number = int(there[-1].name.partition(".")[0]) if there else 0
        frames, written = 0, 0
        segment: _Segment | None = None
        try:
            for part in read(engine, reaches, now):
                if not part.is_news:
                    continue
                if segment is None:
                    number, segment = number + 1, _Segment(folder, number + 1, reaches)
                segment.add(part)
                frames, reaches = frames + part.frames, part.reaches
                progress(part.frames)
                if segment.frames >= FRAMES_A_SEGMENT:
                    segment.close(reaches)
                    written, segment = written + 1, None
            if segment is not None:
                segment.close(reaches)
                written, segment = written + 1, None
        finally:
            if segment is not None:
                segment.discard()
        return Shipped(frames, written, reaches)


def segments(folder: Path) -> list[Path]:
    """In the order in which they were written."""
    return sorted(folder.glob("[0-9]*.jsonl.gz"))


def load(folder: Path) -> Iterator[Entry]:
    """All that was shipped, oldest first. Raises `Damaged` for a segment that is not whole or that is missing."""
    expected: Cursor | None = None
    for path in segments(folder):
        lines = _lines(path)
        head = _parsed(next(lines, ""), path)
        if head.get("log") != FORMAT:
            raise Damaged(f"{path} is no segment of a log in format {FORMAT}")
        begins = _cursor(head.get("after"), path)
        if expected is not None and begins != expected:
            raise Damaged(f"{path} does not go on where the one before it ended: a segment is missing")
        expected = None
        for number, line in enumerate(lines, 2):
            if line.startswith('{"end"'):
                expected = _cursor(_parsed(line, path).get("end"), path)
                break
            try:
                yield from_line(line)
            except Damaged as error:
                raise Damaged(f"{path}, line {number}: {error}") from None
        if expected is None:
            raise Damaged(f"{path} has no end")


class _Segment:
    def __init__(self, folder: Path, number: int, after: Cursor) -> None:
        self._path = folder / f"{number:08d}.jsonl.gz"
        self._part = folder / f"{number:08d}.part"
        self._raw = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        self._file = gzip.GzipFile(fileobj=self._raw, mode="wb", compresslevel=COMPRESSION, mtime=0)
        self.frames = 0
        self._write(json.dumps({"log": FORMAT, "after": asdict(after)}))

    def add(self, part: Part) -> None:
        for entry in part.entries:
            self._write(to_line(entry))
        self.frames += part.frames

    def close(self, reaches: Cursor) -> None:
        self._write(json.dumps({"end": asdict(reaches)}))
        self._file.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        self._raw.close()
        self._part.rename(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def discard(self) -> None:
        self._file.close()
        self._raw.close()
        self._part.unlink(missing_ok=True)

    def _write(self, line: str) -> None:
        self._file.write(line.encode() + b"\n")


@contextmanager
def _kept(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Busy(f"another process ships into {folder}") from None
    finally:
        os.close(descriptor)


def _end(path: Path) -> Cursor:
    last = ""
    for line in _lines(path):
        last = line
    return _cursor(_parsed(last, path).get("end"), path)


def _lines(path: Path) -> Iterator[str]:
    """The lines of a segment, none longer than it may be, so that no file fills the memory."""
    try:
        with gzip.open(path, "rb") as file:
            while line := file.readline(MOST_BYTES_A_LINE):
                if not line.endswith(b"\n"):
                    raise Damaged(f"{path} ends in the middle of a line, or has one of more than {MOST_BYTES_A_LINE}")
                yield line.decode()
    except (EOFError, OSError, UnicodeDecodeError, zlib.error) as error:  # OSError: not gzip, too
        raise Damaged(f"{path} cannot be read: {type(error).__name__}") from None


def _parsed(line: str, path: Path) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise Damaged(f"{path} is no segment of a log")
    return said


def _cursor(said: Any, path: Path) -> Cursor:
    try:
        return Cursor(**{name: int(said[name]) for name in Cursor.__slots__})
    except (TypeError, KeyError, ValueError):
        raise Damaged(f"{path} does not say how far it reaches") from None
