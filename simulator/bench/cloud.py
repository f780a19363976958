"""The cloud, as the bench sees it: whoever starts the bench gives one, because the simulator imports nothing of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from simulator.bench.wire import Identity
from simulator.board.vm import Board


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the cloud made of one message: its log's result and reason, and the order that it made or joined."""

    result: str
    reason: str = ""
    order: int | None = None
    joined: bool = False  # an order that was open already
    link: str = ""  # the page of the console that tells of it

    @property
    def is_kept(self) -> bool:
        return self.result == "accepted"


class Cloud(Protocol):
    url: str  # of the console, without a slash at its end

    def add_board(self, device: int) -> tuple[Board, Identity]:
        """A button of the fleet as a board on the desk, taken into the fleet where it is not yet."""
        ...

    def add_traffic(self, first: int, count: int) -> Sequence[Identity]:
        """Buttons of the fleet with ids from `first` on, which no board holds."""
        ...

    def outcome(self, device: int, data: bytes) -> Outcome | None:
        """None: it has not come yet."""
        ...

    def count_kept(self, first: int, count: int) -> int:
        """How many messages of these buttons are in the press log, of all times."""
        ...
