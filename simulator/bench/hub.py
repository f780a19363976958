"""Who looks at the bench hears here that something has changed, whichever thread changed it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from simulator.bench.words import Said

MOST_WAITING = 500  # of one listener that does not keep up; then the rest is as good as "everything has changed"


@dataclass(frozen=True, slots=True)
class News:
    """`what`: lamp, said, board, boards, rows, air, traffic; `device` and `value` where that says more."""

    what: str
    device: str = ""
    value: str | Said = ""


class Hub:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[tuple[asyncio.AbstractEventLoop, asyncio.Queue[News | None]]] = []
        self.is_closed = False

    def tell(self, what: str, device: str = "", value: str | Said = "") -> None:
        news = News(what, device, value)
        with self._lock:
            for loop, queue in self._listeners:
                with suppress(RuntimeError):  # its loop has just ended
                    loop.call_soon_threadsafe(_put, queue, news)

    def close(self) -> None:
        """Every listener is let go."""
        with self._lock:
            self.is_closed = True
            for loop, queue in self._listeners:
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(queue.put_nowait, None)

    @contextmanager
    def listening(self) -> Iterator[asyncio.Queue[News | None]]:
        """A queue of what is told from now on; None: there will be no more."""
        queue: asyncio.Queue[News | None] = asyncio.Queue()
        entry = asyncio.get_running_loop(), queue
        with self._lock:
            self._listeners.append(entry)
        try:
            yield queue
        finally:
            with self._lock:
                self._listeners.remove(entry)


def _put(queue: asyncio.Queue[News | None], news: News) -> None:
    if queue.qsize() < MOST_WAITING:
        queue.put_nowait(news)
