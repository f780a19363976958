"""The ingest's workers on one machine: started, minded, started again when they die, ended together.

Each is a process of its own, `python -m cloud worker N`, and says on its standard output where it is reached once it
takes messages; its log goes where ours goes. The broker keeps a session for each number, with messages in it while the
worker is away. So a number that is no more wanted is not just left out: its worker is run once more to take what the
session holds and to end it. Which numbers have sessions is noted in the data folder.
"""

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tools.children import END_S, NotStarted, inherited, tied

START_S = 60  # for all to be ready: a database to bring up to date, a broker to wait for, a loaded machine
BACK_OFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # before the next start of one that died, by how often it did
WELL_S = 60.0  # a worker that has run so long has earned a quick start again

NOTE = "workers.json"

# A session's name at the broker: what this machine's workers are called, and the number.
Session = tuple[str, int]


@dataclass
class Worker:
    """One of the processes, or the place of one that is to be started again."""

    session: Session
    retiring: bool
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    http_url: str | None = None  # once it is ready
    starts: int = 0
    deaths: int = 0  # since it last ran well
    start_at: float = 0.0  # by the monotonic clock
    said: bytes = field(default=b"", repr=False)

    @property
    def number(self) -> int:
        return self.session[1]

    @property
    def pid(self) -> int | None:
        return None if self.process is None else self.process.pid

    def start(self) -> IO[bytes]:
        """Gives its standard output, which ends when it does."""
        how = ["--retire"] if self.retiring else []
        self.starts += 1
        self.start_at, self.said = time.monotonic(), b""
        self.process = subprocess.Popen(
            tied([sys.executable, "-m", "cloud", "worker", str(self.number), *how]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=inherited({**self.environment, "DOMINO_WORKER_NAME": self.session[0]}),
            process_group=0,
        )
        assert self.process.stdout is not None
        return self.process.stdout

    def hear(self, said: bytes) -> bool:
        """Whether it became ready with that."""
        self.said += said
        line, newline, _ = self.said.partition(b"\n")
        if not newline or self.http_url is not None:
            return False
        self.http_url = json.loads(line)["http_url"]
        return True

    def note_end(self) -> int:
        """After its output ended: its exit code, and when it is to be started again."""
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.stdout.close()
        code = self.process.wait()
        ran_s = time.monotonic() - self.start_at
        self.deaths = 1 if self.http_url and ran_s > WELL_S else self.deaths + 1
        self.process = self.http_url = None
        self.start_at = time.monotonic() + BACK_OFF_S[min(self.deaths, len(BACK_OFF_S)) - 1]
        return code


class Workers:
    """Minds the workers 1 to `count` called `name`, and retires the other sessions that `note` knows.

    `environment` is what they have on top of ours: their settings, passwords included. Use it from the main thread,
    whose end the kernel takes for the parent's; the properties may be read from any.
    """

    def __init__(self, count: int, name: str, note: Path, environment: Mapping[str, str]) -> None:
        self._note = note
        wanted = [(name, number) for number in range(1, count + 1)]
        left = [session for session in read_note(note) if session not in wanted]
        self.wanted = [Worker(session, False, environment) for session in wanted]
        self.retiring = [Worker(session, True, environment) for session in left]
        self._selector = selectors.DefaultSelector()
        write_note(note, [*wanted, *left])

    def run(self, announce: Callable[[], object]) -> None:
        """Until this process is told to end; `announce` is called once all are ready.

        Raises `NotStarted` where one is not: later deaths are mended, a setting that is wrong from the start is not.
        """
        give_up_at = time.monotonic() + START_S
        is_announced = False
        try:
            while True:
                self._start_due()
                for key, _ in self._selector.select(self._pause_s(None if is_announced else give_up_at)):
                    self._hear(key.data, is_announced)
                if is_announced:
                    continue
                if all(worker.http_url for worker in self.wanted):
                    is_announced = True
                    announce()
                elif time.monotonic() > give_up_at:
                    slow = [str(worker.number) for worker in self.wanted if not worker.http_url]
                    raise NotStarted(f"worker {', '.join(slow)} is not ready after {START_S} s")
        finally:
            self.end()

    def retire(self) -> None:
        """Until the broker holds nothing more for any; raises `NotStarted` where that was not to be had."""
        self.retiring += [Worker(worker.session, True, worker.environment) for worker in self.wanted]
        self.wanted = []
        try:
            while self.retiring:
                self._start_due()
                for key, _ in self._selector.select(self._pause_s(None)):
                    self._hear(key.data, is_announced=False)
        finally:
            self.end()

    def end(self) -> None:
        """SIGTERM to all at once: each ends its inlet first. SIGKILL to those that have not ended in time."""
        left = [worker.process for worker in (*self.wanted, *self.retiring) if worker.process]
        for process in left:
            process.terminate()
        give_up_at = time.monotonic() + END_S
        for process in left:
            try:
                process.wait(max(give_up_at - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for worker in (*self.wanted, *self.retiring):
            worker.process = None

    def _start_due(self) -> None:
        for worker in (*self.wanted, *self.retiring):
            if worker.process is None and worker.start_at <= time.monotonic():
                self._selector.register(worker.start(), selectors.EVENT_READ, worker)

    def _pause_s(self, give_up_at: float | None) -> float | None:
        """Until the next start or the end of patience; None where only a worker can make something happen."""
        times = [worker.start_at for worker in (*self.wanted, *self.retiring) if worker.process is None]
        times += [] if give_up_at is None else [give_up_at]
        return max(min(times) - time.monotonic(), 0) + 0.01 if times else None

    def _hear(self, worker: Worker, is_announced: bool) -> None:
        process = worker.process
        assert process is not None
        assert process.stdout is not None
        said = os.read(process.stdout.fileno(), 4096)
        if said:
            worker.hear(said)
            return
        self._selector.unregister(process.stdout)
        code = worker.note_end()
        if worker.retiring and code == 0:
            self.retiring.remove(worker)
            write_note(self._note, [one.session for one in (*self.wanted, *self.retiring)])
        elif not is_announced and (not worker.retiring or not self.wanted):
            raise NotStarted(f"worker {worker.number} ended at its start with exit code {code}; its log says why")
        else:
            print(f"domino: worker {worker.number} ended with exit code {code} and is started again", file=sys.stderr)


def read_note(note: Path) -> list[Session]:
    with contextlib.suppress(OSError, ValueError, TypeError):
        return [(str(name), int(number)) for name, number in json.loads(note.read_text())]
    return []


def write_note(note: Path, sessions: Iterable[Session]) -> None:
    fresh = note.with_suffix(".new")
    fresh.write_text(json.dumps(sorted(set(sessions))))
    fresh.replace(note)
