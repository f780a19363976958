"""The bench put together: boards, traffic, air, journal, and who looks on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from simulator.bench.air import Air
from simulator.bench.boards import Boards
from simulator.bench.cloud import Cloud
from simulator.bench.hub import Hub
from simulator.bench.journal import Journal
from simulator.bench.traffic import FIRST_DEVICE, MOST_BUTTONS, Plan, Traffic


@dataclass(frozen=True, slots=True)
class Bench:
    cloud: Cloud
    air: Air
    boards: Boards
    traffic: Traffic
    journal: Journal
    hub: Hub
    _kept_before: list[int] = field(default_factory=lambda: [0])  # of the traffic's buttons, at its start

    def start_traffic(self, count: int, plan: Plan) -> None:
        """Raises ValueError for a number of buttons that is out of bounds."""
        if not 1 <= count <= MOST_BUTTONS:
            raise ValueError(f"1 to {MOST_BUTTONS} buttons")
        buttons = self.cloud.add_traffic(FIRST_DEVICE, count)
        self._kept_before[0] = self.cloud.count_kept(FIRST_DEVICE, count)
        self.traffic.start(buttons, plan)

    def count_kept(self) -> int:
        """How many of the traffic's messages the cloud has kept since its start."""
        return self.cloud.count_kept(FIRST_DEVICE, len(self.traffic.buttons)) - self._kept_before[0]


@contextmanager
def bench(cloud: Cloud, air: Air, *, most_awake: int = 12, speed: float = 1.0) -> Iterator[Bench]:
    """A bench over an air that carries; nothing of it runs any more afterwards."""
    hub = Hub()
    journal = Journal(hub)
    traffic = Traffic(air, lambda: hub.tell("traffic"))
    with Boards(cloud, air, journal, hub, most_awake=most_awake, speed=speed) as boards:
        try:
            yield Bench(cloud, air, boards, traffic, journal, hub)
        finally:
            traffic.stop()
            hub.close()
