"""Who takes which partition: all workers that are heard share them out alike, each for itself, without a leader.

What one of them believes is a hint alone: the broker hands a partition to one worker at a time, whoever asks.
"""

from dataclasses import dataclass, field

BEAT_S = 1.0  # how often each says that it is there
MISSED_S = 3.5  # and after how long without a word it is counted out


@dataclass
class Crew:
    """The workers that `me` has heard of; times are seconds of one monotonic clock."""

    me: str
    _heard_at: dict[str, float] = field(default_factory=dict)

    def hear(self, name: str, now: float) -> bool:
        """Note that `name` was heard; whether it is a new one, who has yet to hear of us."""
        is_new = name != self.me and name not in self._heard_at
        self._heard_at[name] = now
        return is_new

    def dismiss(self, name: str) -> None:
        self._heard_at.pop(name, None)

    def owner(self, partition: int, now: float) -> str:
        """Who is to take `partition`: the same for all who have heard the same."""
        self._heard_at = {name: at for name, at in self._heard_at.items() if now - at <= MISSED_S}
        names = sorted({self.me, *self._heard_at})
        return names[partition % len(names)]
