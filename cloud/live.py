"""The bell between the ingest thread and the live pages: it says that there is something new, never what.

What is new is read from the log by its id, so a missed ring costs a moment, not an event; a page on another process
hears no bell and simply looks again after `wait`'s time-out.
"""

import asyncio
import threading


class Bell:
    """Rung from any thread, awaited from any event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rings = 0
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    @property
    def rings(self) -> int:
        """How often it has rung. Taken before a look at the log, it tells `wait` what that look may have missed."""
        return self._rings

    def ring(self) -> None:
        with self._lock:
            self._rings += 1
            waiting, self._waiting = self._waiting, set()
        for loop, event in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    async def wait(self, rings: int, timeout_s: float) -> bool:
        """Whether the bell has rung more than `rings` times, waiting for that up to `timeout_s` seconds."""
        entry = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            if self._rings > rings:
                return True
            self._waiting.add(entry)
        try:
            await asyncio.wait_for(entry[1].wait(), timeout_s)
        except TimeoutError:
            return False
        finally:
            with self._lock:
                self._waiting.discard(entry)
        return True
