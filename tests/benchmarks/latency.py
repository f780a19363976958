"""How long a press takes from the broker to its answer, which is sent once its order is committed, at half load."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from tests.benchmarks import open_loop, process
from tests.benchmarks.drain import at_work, full_broker
from tests.benchmarks.fleets import Opened
from tests.benchmarks.measure import Role, Way
from tests.benchmarks.traffic import Traffic, first_presses

DRAINS = 3  # to know what full load is
DRAINED = 4000  # messages in each


@contextmanager
def prepare(folder: Path, count: int, *, opened: Opened) -> Iterator[Sequence[Way]]:
    """Presses of `count` buttons, each the first of its own, half as many a second as one worker drains."""
    sent = first_presses(count)
    nothing = Traffic([], 0, 0)
    with opened(folder, sent.buttons, [sent.presses]) as fleets:
        some = Traffic(sent.messages[:DRAINED], sent.buttons, sent.presses)

        def drained() -> float:
            with (
                fleets.fresh() as fleet,
                full_broker(folder, some, ["worker"]) as broker,
                at_work(broker, fleet) as one,
            ):
                return process.drain([one], len(some.messages))["messages/s"][0]

        half = median(drained() for _ in range(DRAINS)) / 2

        def worker() -> list[float]:
            with (
                fleets.fresh() as fleet,
                full_broker(folder, nothing, ["worker"]) as broker,
                at_work(broker, fleet) as one,
            ):
                one.go()
                return open_loop.ask(port=broker.port, rate=half, count=count, answered="down")

        def broker_alone() -> list[float]:
            with full_broker(folder, nothing, []) as broker:
                return open_loop.ask(port=broker.port, rate=half, count=count, answered="up")

        at = f"at {half:,.0f} a second"
        yield (
            Way(Role.OURS, f"from a press to its answer, {at}", worker),
            Way(Role.LIMIT, f"the broker alone, {at}", broker_alone),
        )
