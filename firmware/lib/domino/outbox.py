"""The presses that have not reached the link yet, in flash: a press is kept here before its light confirms it.

In flash and not in RTC memory, because a press that the light has confirmed must outlive the battery. Each is sealed
once and radiated as those bytes, however often. What may already have been heard is never changed. Presses that never
left the board are folded into one message with the parcels of both, under a new counter; the old bytes never leave
the board. A cancel is kept behind the presses it takes back, because only in that order does the cloud take back the
right one; a second one behind it is the same wish. One blob holds everything: a power cut leaves the old or the new.
"""

import struct

from domino import counter, uplink

DAY_S = 24 * 3600  # after a day a parcel is no longer waiting for a forgotten press
MOST = 8  # letters
MOST_PARCELS = 7
HEAD, LETTER = ">H", ">BBBII12s"  # how many were ever dropped; then each letter's fields, below


class Full(Exception):
    """Nothing more can be promised: MOST messages wait already."""


class Letter:
    """One sealed message. `may_be_heard`: it was radiated, or the power went as it was about to be."""

    def __init__(self, kind, parcels, may_be_heard, since, count, message):
        self.kind, self.parcels, self.may_be_heard = kind, parcels, may_be_heard
        self.since = since  # s, when it was first kept
        self.count = count
        self.message = message


class Outbox:
    def __init__(self, nvs, button, memory, now):
        self._nvs, self._button, self._memory, self._now = nvs, button, memory, now
        self.dropped = 0  # in all its life
        self.letters = []  # oldest first
        self._read()
        # A clock that began anew, or was set, says nothing of their age: their day begins anew, too.
        if self.letters and (memory.is_new or max(letter.since for letter in self.letters) > now):
            for letter in self.letters:
                letter.since = now
            self._write()

    def seal(self, kind, parcels, readings):
        """A letter that is not kept: what it says is worth nothing later."""
        count = counter.advance(self._nvs, self._memory)
        return Letter(kind, parcels, 0, self._now, count, uplink.seal(self._button, count, kind, parcels, *readings))

    def keep(self, kind, parcels, readings):
        """Seal a letter and keep it until `radiated`; it is in flash when this returns. Raises Full."""
        last = self.letters[-1] if self.letters else None
        if last and kind == last.kind == "cancel":
            return
        total = parcels
        if last and kind == last.kind == "pickup" and not last.may_be_heard:
            total += last.parcels
        is_folded = last and parcels < total <= MOST_PARCELS
        if not is_folded and len(self.letters) >= MOST:
            raise Full
        letter = self.seal(kind, total if is_folded else parcels, readings)
        self.letters = (self.letters[:-1] if is_folded else self.letters) + [letter]
        self._write()

    def about_to_radiate(self, letter):
        """From here on it may be heard, whatever happens, so its bytes are final."""
        if letter in self.letters and not letter.may_be_heard:
            letter.may_be_heard = 1
            self._write()

    def radiated(self, letter):
        if letter in self.letters:
            self.letters.remove(letter)
            self._write()

    def drop_stale(self):
        """How many were given up after a day."""
        fresh = [letter for letter in self.letters if self._now - letter.since < DAY_S]
        stale = len(self.letters) - len(fresh)
        if stale:
            self.dropped += stale
            self.letters = fresh
            self._write()
        return stale

    def _read(self):
        data = bytearray(struct.calcsize(HEAD) + MOST * struct.calcsize(LETTER))
        try:
            size = self._nvs.get_blob("kept", data)
        except OSError:
            return
        self.dropped = struct.unpack_from(HEAD, data)[0]
        for at in range(struct.calcsize(HEAD), size, struct.calcsize(LETTER)):
            _, *fields = struct.unpack_from(LETTER, data, at)
            kind = uplink.kind_of(self._button, *fields[-2:])
            if kind:
                self.letters.append(Letter(kind, *fields))
            else:  # of another key, or of an older layout
                self.dropped += 1
        self._memory.waiting = len(self.letters)

    def _write(self):
        self._memory.waiting = len(self.letters)
        data = struct.pack(HEAD, min(self.dropped, 0xFFFF))
        for one in self.letters:
            kind = uplink.KINDS.index(one.kind)
            data += struct.pack(LETTER, kind, one.parcels, one.may_be_heard, one.since, one.count, one.message)
        self._nvs.set_blob("kept", data)
        self._nvs.commit()
