"""What is measured runs in a process of its own, so that neither the load nor the clock takes of its time.

Parent and child speak in lines: the child is told in JSON what is wanted, says `ready`, waits to be told to go, and
then reports how far it has come, in JSON, until its standard input ends.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PATIENCE_S = 120  # only ever waited out by what is broken
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Report:
    """How far a process has come. `at_s` is the monotonic clock's, which all processes of a machine share."""

    taken: int
    at_s: float
    cpu_s: float  # user and system, of all its threads, since its start
    peak_mib: float  # the most memory that was ever resident


_NEWS = threading.Condition()  # a line has come, from whichever process


class Process:
    """The child, seen from its parent."""

    def __init__(self, module: str, asked: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self._lines: list[str] = []
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._tell(json.dumps(asked))
        self.said = self._line(0)  # once it is ready

    @property
    def pid(self) -> int:
        return self._process.pid

    def go(self) -> Report:
        """Its first report: nothing taken, and from when on it runs."""
        self._tell("go")
        return Report(**json.loads(self._line(1)))

    def newest(self) -> Report:
        assert not self._ended, "a process has ended by itself"
        return Report(**json.loads(self._lines[-1]))

    def end(self) -> Report:
        """Its last report."""
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE_S)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join()
        return Report(**json.loads(self._lines[-1]))

    def _line(self, at: int) -> str:
        with _NEWS:
            assert _NEWS.wait_for(lambda: self._ended or len(self._lines) > at, PATIENCE_S), "it does not answer"
        assert len(self._lines) > at, "the process has ended by itself"
        return self._lines[at]

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                with _NEWS:
                    self._lines.append(line.strip())
                    _NEWS.notify_all()
        with _NEWS:
            self._ended = True
            _NEWS.notify_all()

    def _tell(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


@contextmanager
def at_work(module: str, **asked: Any) -> Iterator[Process]:
    """`python -m module`, ready and not yet told to go."""
    process = Process(module, asked)
    try:
        yield process
    finally:
        process.end()


def taken_by(processes: Sequence[Process]) -> int:
    return sum(process.newest().taken for process in processes)


def drain(processes: Sequence[Process], count: int) -> dict[str, list[float]]:
    """Let them go, until together they have taken `count`; gives their speed by the clock and by what they computed."""
    first = [process.go() for process in processes]
    last, taken = first, 0
    while taken < count:
        with _NEWS:
            more = _NEWS.wait_for(lambda at=taken: taken_by(processes) > at, PATIENCE_S)
            assert more, f"nothing is taken any more after {taken} of {count}"
            last = [process.newest() for process in processes]
            taken = taken_by(processes)
    wall_s = max(report.at_s for report in last) - min(report.at_s for report in first)
    cpu_s = sum(end.cpu_s - begin.cpu_s for begin, end in zip(first, last, strict=True))
    return speed(taken, wall_s, cpu_s, max(report.peak_mib for report in last))


def speed(taken: int, wall_s: float, cpu_s: float, peak_mib: float | None = None) -> dict[str, list[float]]:
    """As samples, by unit."""
    samples = {"messages/s": [taken / wall_s], "messages/CPU-s": [taken / cpu_s]}
    return samples if peak_mib is None else samples | {"MiB": [peak_mib]}


# The child's side.


def asked() -> dict[str, Any]:
    return json.loads(sys.stdin.readline())


def ready(said: str = "ready") -> None:
    """Say so, and wait for the word to go."""
    _say(said)
    sys.stdin.readline()
    report(0)


def report(taken: int) -> None:
    _say(json.dumps(asdict(Report(taken, time.monotonic(), time.process_time(), peak_mib()))))


def wait_for_end() -> None:
    """Until the parent has heard enough, or is no more."""
    sys.stdin.read()


def peak_mib(pid: int | str = "self") -> float:
    """Of this process alone, which getrusage is not: a child's begins with its parent's."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / MIB


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
