"""Failed attempts to sign in, counted in memory: who guesses is made to wait, and is told for how long."""

import ipaddress
import threading
from collections import OrderedDict, deque
from collections.abc import Iterable
from datetime import datetime, timedelta

from cloud.accounts.model import TooManyAttempts, fold_name

WINDOW = timedelta(minutes=15)
PER_NAME = 10  # failures a window
PER_ADDRESS = 50  # failures a window; an office or a phone network shares one address
KEPT = 10_000  # keys; those longest unused are forgotten first

Key = tuple[str, int]  # what is counted, and how many failures of it a window bears


def of_name(name: str) -> Key:
    return f"name {fold_name(name)[:254]}", PER_NAME


def of_address(host: str) -> Key:
    """An IPv6 customer has a whole /64 to call from, so that is what is counted."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"address {host}", PER_ADDRESS
    bits = 64 if address.version == 6 else 32
    return f"address {ipaddress.ip_network((address, bits), strict=False)}", PER_ADDRESS


class Attempts:
    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._taken: OrderedDict[str, deque[datetime]] = OrderedDict()

    def take(self, keys: Iterable[Key], now: datetime) -> None:
        """Count an attempt before it is made, so that many at once gain nothing; raises TooManyAttempts."""
        with self._lock:
            counted = [(self._of(key, now), limit) for key, limit in keys]
            if waits := [taken[0] + WINDOW for taken, limit in counted if len(taken) >= limit]:
                raise TooManyAttempts(max(waits))
            for taken, _ in counted:
                taken.append(now)

    def give_back(self, keys: Iterable[Key]) -> None:
        """The attempt was no failure."""
        with self._lock:
            for key, _ in keys:
                if taken := self._taken.get(key):
                    taken.pop()

    def _of(self, key: str, now: datetime) -> deque[datetime]:
        taken = self._taken.setdefault(key, deque())
        self._taken.move_to_end(key)
        if len(self._taken) > self._kept:
            self._taken.popitem(last=False)
        while taken and taken[0] <= now - WINDOW:
            taken.popleft()
        return taken
