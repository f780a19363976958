"""How much anybody may guess: a bucket of readings that fills again by the hour.

A reading that finds no stamp has tried codes, and each tried code is a guess: it finds one of N live stamps with
probability N / 32⁸. The list's budget B makes that α a reading, however many are live. So a reading that tried all B
strings in vain counts as one, and a single code that was looked up as a B-th. The bucket is kept as one moment, the one
at which it will be full again (the generic cell rate algorithm of ITU-T I.371, with the burst as its tolerance):
whoever guesses moves it on.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Allowance:
    """Of readings in vain: `burst` at once, then `per_hour`."""

    burst: int
    per_hour: int

    def open_again_at(self, full_at: datetime, now: datetime) -> datetime | None:
        """When the next reading is heard; None: now. Anything in the bucket is enough for a reading."""
        again = full_at - self.burst * self._each
        return again if again > now else None

    def after(self, full_at: datetime, spent: float, now: datetime) -> datetime:
        """When the bucket is full, once `spent` readings are taken out. It may owe: a batch is read to its end."""
        return max(full_at, now) + spent * self._each

    @property
    def _each(self) -> timedelta:
        return timedelta(hours=1) / self.per_hour
