"""The key under a finger that is there now: the host appends its movements to a file as they are made.

Each is four bytes of ms since the reset and one that is 1 when the key is down from then on, so it counts by the
board's own clock, however late the host or this VM is.
"""

SIZE = 5


class Key:
    """In the shape of surroundings["key"]: one event, the newest that has come."""

    def __init__(self, path, now_ms):
        self._file = open(path, "rb")
        self._now_ms = now_ms
        self._next = b""
        self._is_down = 0

    def __iter__(self):
        while True:
            self._next += self._file.read(SIZE - len(self._next)) or b""
            if len(self._next) < SIZE or int.from_bytes(self._next[:4], "big") > self._now_ms():
                return iter(((0, self._is_down),))
            self._is_down, self._next = self._next[4], b""
