"""What is to happen later, in one thread, however many buttons sleep."""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)


class Timers:
    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="timers", daemon=True)
        self._thread.start()

    def after(self, delay_s: float, do: Callable[[], object]) -> None:
        """Call `do` from the timers' thread; it is to be quick."""
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + delay_s, next(self._order), do))
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(10)

    def _run(self) -> None:
        while (do := self._next()) is not None:
            try:
                do()
            except Exception:
                log.exception("a timer failed")

    def _next(self) -> Callable[[], object] | None:
        with self._changed:
            while not self._is_closed:
                wait_s = self._due[0][0] - time.monotonic() if self._due else None
                if wait_s is not None and wait_s <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(wait_s)
        return None
