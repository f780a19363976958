"""What the key says: clicks, a hold, or nothing.

1 to 7 clicks say that many parcels, one long press takes the request back, clicks and then a hold ask about it.
It is fed levels and the time between them, so it needs no clock and no pin. It starts inside the click that woke the
board, which is counted already: that one may be over before the first line of Python runs.
"""

BOUNCE_MS = 20  # a key's contacts settle within 10 ms, a finger takes 50
PAUSE_MS = 700  # ends the counting: see the light, decide, click again
HOLD_MS = 1_500  # longer than any click, and short enough to wait for
STUCK_MS = 10_000  # nobody holds that long: a jammed flap, and it means nothing
GIVE_UP_MS = 20_000  # a wet contact that chatters for ever
MOST_PARCELS = 7  # three bits on the wire; more clicks still say seven


class Gesture:
    """Feed it until `is_over`; then `kind` is "pickup", "cancel", "ask" or None, and `parcels` counts for a pickup."""

    def __init__(self, is_down):
        self.is_over = False
        self.kind = None
        self.parcels = 0
        self._is_down = is_down
        self._clicks = 1
        self._steady_ms = 0  # since the key went where it is
        self._reads_otherwise = False  # which may be bounce
        self._otherwise_ms = 0  # of the steady time, how long it has been doing so
        self._age_ms = 0

    @property
    def is_hold(self):
        return self._is_down and self._steady_ms >= HOLD_MS

    def feed(self, reads_down, passed_ms):
        self._age_ms += passed_ms
        self._steady_ms += passed_ms
        otherwise = reads_down != self._is_down
        self._otherwise_ms = self._otherwise_ms + passed_ms if otherwise and self._reads_otherwise else 0
        self._reads_otherwise = otherwise
        if self._otherwise_ms >= BOUNCE_MS:
            self._turn()
        elif self._age_ms >= GIVE_UP_MS or self._is_down and self._steady_ms >= STUCK_MS:
            self._end(None)
        elif not self._is_down and self._steady_ms >= PAUSE_MS:
            self._end("pickup", min(self._clicks, MOST_PARCELS))

    def _turn(self):
        was_hold = self.is_hold
        self._is_down = not self._is_down
        self._steady_ms = self._otherwise_ms
        self._reads_otherwise = False
        if self._is_down:
            self._clicks += 1
        elif was_hold:
            self._end("cancel" if self._clicks == 1 else "ask")

    def _end(self, kind, parcels=0):
        self.is_over, self.kind, self.parcels = True, kind, parcels
