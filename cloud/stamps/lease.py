"""The block of the pool that one process may take from, so that an order's stamp costs one row update and no search."""

import threading
from collections import deque
from collections.abc import Iterable


class Lease:
    """Ids of minted rows that are leased to this process. The database decides: an id here is only worth a try.

    The keeper fills it, ingest takes from it; threads may share it.
    """

    def __init__(self, id: int = 0) -> None:
        self.id = id  # of the row in stamp_leases; 0 until the keeper has opened it
        self.short = True  # an order may wait for a stamp
        self._ids: deque[int] = deque()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._ids)

    def take(self, count: int) -> list[int]:
        """At most `count` ids, which are not offered again."""
        with self._lock:
            return [self._ids.popleft() for _ in range(min(count, len(self._ids)))]

    def add(self, ids: Iterable[int]) -> None:
        with self._lock:
            self._ids.extend(ids)

    def fill(self, ids: Iterable[int]) -> None:
        """Take `ids` for all there is, as the database has it."""
        with self._lock:
            self._ids = deque(ids)
