"""The air above the bench: the radio model in a thread, between the boards' own broker and the cloud's.

The boards radiate to a broker of the bench's own, where nothing but this model listens; what it hears goes to the
cloud's as `sigfox/`. So its impairments are the bench's alone, and they may be changed while it runs
(docs/decisions/0100-the-bench-has-an-air-of-its-own.md).
"""

import asyncio
import logging
import string
import threading
from collections.abc import Callable
from dataclasses import replace

from simulator.radio import model, service
from simulator.radio.core import Core, Fate

log = logging.getLogger(__name__)

CLIENT_ID = "domino-bench-radio"
LISTEN_S = 25.0  # Sigfox's window, as `domino serve` has it
START_S = 20.0
CALM = model.Impairments()
MOST_DELAY_S = 600


class NotReady(RuntimeError):
    """The radio model found no broker."""


class Air:
    """Entered, it carries; left, it has ended."""

    def __init__(
        self,
        air: service.BrokerAddress,
        network: service.BrokerAddress,
        *,
        seed: int = 1,
        stations: int = 3,
        impairments: model.Impairments = CALM,
    ) -> None:
        self.air = air
        self.core = Core(
            seed=seed, stations=stations, impairments=impairments, listen_s=LISTEN_S, on_fate=self._tell_fate
        )
        self._brokers = service.Brokers(air, network, CLIENT_ID)
        self._listeners: list[Callable[[Fate], object]] = []
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Future[None] | None = None
        self._down: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="radio", daemon=True)

    def __enter__(self) -> "Air":
        self._thread.start()
        if not self._ready.wait(START_S):
            self._end()
            raise NotReady(f"the radio model is not subscribed after {START_S:.0f} s")
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def on_fate(self, listener: Callable[[Fate], object]) -> None:
        """`listener` is told of every message that is radiated, in the radio's own thread."""
        self._listeners.append(listener)

    @property
    def impairments(self) -> model.Impairments:
        return self.core.impairments

    def impair(self, **changes: float) -> None:
        """From the next message on; raises ValueError for what is no probability or time."""
        self.core.impairments = replace(self.core.impairments, **changes)

    @property
    def stations(self) -> dict[str, str]:
        """A letter for each station's id."""
        return {one.id: string.ascii_uppercase[at % 26] for at, one in enumerate(self.core.stations)}

    @property
    def down(self) -> frozenset[str]:
        return frozenset(self._down)

    def set_station(self, id: str, *, is_up: bool) -> None:
        """Raises ValueError for a station that is not there."""
        down = self._down - {id} if is_up else self._down | {id}
        self.core.take_down(down)
        self._down = set(down)

    def calm(self) -> None:
        """Nothing goes wrong any more."""
        self.core.impairments = CALM
        self._down = set()
        self.core.take_down(self._down)

    def copies(self, device: str) -> int:
        """How many copies of one message of this device there are to hear, over all stations that are up."""
        return model.REPLICAS * len(self.core.stations_in_reach(device))

    def _tell_fate(self, fate: Fate) -> None:
        for listener in self._listeners:
            listener(fate)

    def _run(self) -> None:
        asyncio.run(self._carry())

    async def _carry(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = self._loop.create_future()
        try:
            await service.carry(self._brokers, self.core, self._ready.set, self._stop)
        except Exception:
            log.exception("the bench's radio model has ended")
            raise

    def _end(self) -> None:
        loop, stop = self._loop, self._stop
        if loop and stop and not loop.is_closed():
            loop.call_soon_threadsafe(lambda: stop.done() or stop.set_result(None))
        self._thread.join(5)
