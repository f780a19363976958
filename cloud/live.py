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
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def ring(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, set()
        for loop, event in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    async def wait(self, timeout_s: float) -> bool:
        """Whether the bell rang within `timeout_s` seconds."""
        entry = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._waiting.add(entry)
        try:
            await asyncio.wait_for(entry[1].wait(), timeout_s)
        except TimeoutError:
            return False
        finally:
            with self._lock:
                self._waiting.discard(entry)
        return True
