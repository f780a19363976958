"""How many requests an address may make: a bucket each, by the generic cell rate algorithm (ITU-T I.371)."""

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

KEPT = 10_000  # addresses; those longest unused are forgotten first
BURST_S = 2.0  # as many at once as come in this time

Address = IPv4Address | IPv6Address | None


class Pace:
    """`per_second` for each address, and a burst of BURST_S; 0: no limit. For one thread."""

    def __init__(self, per_second: int, *, clock: Callable[[], float] = time.monotonic, kept: int = KEPT) -> None:
        self._each_s = 1 / per_second if per_second else 0.0
        self._clock, self._kept = clock, kept
        self._empty_at: OrderedDict[int | None, float] = OrderedDict()  # when the bucket will have drained

    def wait_s(self, address: Address) -> float:
        """0 for a request that may come in, which counts; else after how many seconds the next one may."""
        if not self._each_s:
            return 0.0
        now, key = self._clock(), _key(address)
        empty_at = max(self._empty_at.get(key, now), now)
        if empty_at - now > BURST_S - self._each_s:
            return empty_at - now - (BURST_S - self._each_s)
        self._empty_at[key] = empty_at + self._each_s
        self._empty_at.move_to_end(key)
        if len(self._empty_at) > self._kept:
            self._empty_at.popitem(last=False)
        return 0.0

    def __len__(self) -> int:
        """How many addresses are counted."""
        return len(self._empty_at)


def _key(address: Address) -> int | None:
    """An IPv6 caller has a whole /64 to call from, so that is what is counted."""
    if isinstance(address, IPv6Address):
        return -(int(address) >> 64) - 1
    return None if address is None else int(address)
