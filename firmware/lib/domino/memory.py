"""What outlives deep sleep and the watchdog, but not the battery: one record in RTC memory.

It is written far more often than flash could bear, and losing it must be harmless: the counter then goes on behind its
block (counter.py), budgets begin anew, and the next wake makes itself known by `boot`. A record that was torn
by a reset does not fit its checksum and is as good as lost.
"""

import struct
from array import array
from binascii import crc32

MARK = 0xD1  # of this layout
LAYOUT = ">BIIBBBBBIIIBBB"  # mark, then the fields below, then the lengths of what follows
SIZE = struct.calcsize(LAYOUT)
PERIOD_S = 24 * 3600  # of `alive` before the first is due
OVERDUE_S = 30 * 24 * 3600  # nobody sleeps that long past `alive`: somebody on the cable has set the clock


class Memory:
    """`rtc()` gives the bytes kept, `rtc(bytes)` keeps them; `now` is in s, on a clock that runs while asleep."""

    def __init__(self, rtc, now):
        self._rtc = rtc
        self.ceiling = self.count = 0  # the counter: the end of its block, and the last one used
        self.link_failures = 0  # since the last success
        self.waiting = 0  # letters in the outbox
        self.attempts = 0  # to send them
        self.radio_ran = 0  # 1 from the radio's start to its end: found at a reset, the radio hung
        self.boot_cause = 0  # of the reset that no `boot` has told yet, or 0
        self.retry_at = now
        self.alive_at = now + PERIOD_S
        self.air_at = 0  # when the address in the cache below was lent
        self.air = b""  # what the link remembers of the way it came: channel, BSSID, address
        self.sent = array("I")  # when each uplink of the day was radiated
        self.asked = array("I")  # likewise each that asked for a downlink
        self.is_new = not self._load(rtc(), now)  # nothing kept, or by a clock that is no more

    def save(self):
        lengths = len(self.sent), len(self.asked), len(self.air)
        fields = self.ceiling, self.count, self.link_failures, self.waiting, self.attempts, self.radio_ran
        data = struct.pack(LAYOUT, MARK, *fields, self.boot_cause, self.retry_at, self.alive_at, self.air_at, *lengths)
        data += bytes(self.sent) + bytes(self.asked) + self.air
        self._rtc(data + struct.pack(">I", crc32(data)))

    def _load(self, data, now):
        if len(data) < SIZE + 4 or data[0] != MARK or struct.unpack(">I", data[-4:])[0] != crc32(data[:-4]):
            return False
        _, *fields, sent, asked, air = struct.unpack(LAYOUT, data[:SIZE])
        self.ceiling, self.count, self.link_failures, self.waiting, self.attempts, self.radio_ran, *rest = fields
        self.boot_cause, *times = rest
        # A clock that was set back would have us wait for years: nothing lies in the future but what we planned there.
        # One that was set on would make a day of a moment: what was sent then counts as sent now.
        was_set_on = now - times[1] > OVERDUE_S
        self.retry_at = min(times[0], now + PERIOD_S)
        self.alive_at = min(times[1], now + 7 * PERIOD_S)
        self.air_at = min(times[2], now)
        at = SIZE
        for kept, count in ((self.sent, sent), (self.asked, asked)):
            for time in array("I", data[at : at + 4 * count]):
                kept.append(now if was_set_on else min(time, now))
            at += 4 * count
        self.air = data[at : at + air]
        return not was_set_on
