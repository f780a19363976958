"""Thousands of buttons as sealed traffic: no VM, but their own keys and counters, by the wire format, on the same air.

Who presses when, and what, follows from the seed alone; how fast it is played is another matter.
"""

import heapq
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from simulator.bench import wire
from simulator.bench.air import Air
from simulator.bench.wire import Identity, Uplink
from simulator.radio.core import Fate

DAY_S = 86_400
HEARTBEAT_S = DAY_S
GESTURES = (("pickup", 85), ("ask", 10), ("cancel", 5))  # of a hundred presses
PARCELS = ((1, 70), (2, 20), (3, 10))
MOST_IN_FLIGHT = 1000  # then it waits for the broker
TOLD_S = 1.0  # how often whoever looks on is told
WAIT_S = 0.2
PUBACK_S = 20.0
FIRST_DEVICE = 0x00B10000
MOST_BUTTONS = 10_000


@dataclass(frozen=True, slots=True)
class Plan:
    """`speed`: how many of the buttons' seconds go into one of ours."""

    presses_a_day: float = 2.0
    speed: float = 60.0
    seed: int = 1
    until_s: float | None = None  # of the buttons' time; None: until it is stopped

    def __post_init__(self) -> None:
        if not 0 <= self.presses_a_day <= 140:
            raise ValueError("a button presses 0 to 140 times a day")
        if not 1 <= self.speed <= 86_400:
            raise ValueError("time runs at 1 to 86 400")


@dataclass(frozen=True, slots=True)
class Message:
    at_s: float  # of the buttons' time
    button: Identity
    counter: int
    said: Uplink

    @property
    def is_press(self) -> bool:
        return self.said.kind in ("pickup", "cancel", "ask")


def messages(buttons: Sequence[Identity], plan: Plan) -> Iterator[Message]:
    """All that they say, in the order of time, without an end unless the plan has one; the same seed says the same."""
    due: list[tuple[float, int, str]] = []
    dice = [random.Random(f"{plan.seed}/{button.name}") for button in buttons]  # noqa: S311  repeatable, no secret
    battery = [one.randrange(2700, 3300) for one in dice]
    counters = [button.counter for button in buttons]

    def next_press(at: int, since_s: float) -> None:
        if plan.presses_a_day:
            wait_s = dice[at].expovariate(1) * DAY_S / plan.presses_a_day
            heapq.heappush(due, (since_s + wait_s, at, "press"))

    for at in range(len(buttons)):
        heapq.heappush(due, (dice[at].uniform(0, HEARTBEAT_S), at, "alive"))
        next_press(at, 0.0)
    while due:
        at_s, at, what = heapq.heappop(due)
        if plan.until_s is not None and at_s >= plan.until_s:
            return
        rng, counters[at] = dice[at], counters[at] + 1
        if what == "alive":
            kind, parcels = "alive", 0
            heapq.heappush(due, (at_s + HEARTBEAT_S, at, "alive"))
        else:
            kind = rng.choices([one for one, _ in GESTURES], [weight for _, weight in GESTURES])[0]
            sizes = [size for size, _ in PARCELS], [weight for _, weight in PARCELS]
            parcels = rng.choices(*sizes)[0] if kind == "pickup" else 0
            next_press(at, at_s)
        yield Message(at_s, buttons[at], counters[at], Uplink(kind, parcels, battery[at], rng.randrange(5, 25)))


class Traffic:
    """Plays a plan on the air in a thread of its own."""

    def __init__(self, air: Air, on_change: Callable[[], object] = lambda: None) -> None:
        self._air = air
        self._on_change = on_change
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._names: frozenset[str] = frozenset()
        self.plan = Plan()
        self.counts: Counter[str] = Counter()  # presses, heartbeats, radiated, heard, lost, twice, answered
        self.at_s = 0.0
        self.buttons: tuple[Identity, ...] = ()
        self._counters: dict[int, int] = {}
        self.problem = ""
        air.on_fate(self._on_fate)

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, buttons: Sequence[Identity], plan: Plan) -> None:
        """Once more, it counts anew; the buttons' own counters go on."""
        if self.is_running:
            raise RuntimeError("the traffic runs already")
        with self._lock:
            self.buttons = tuple(
                Identity(one.device, one.generation, one.key, max(one.counter, self._counters.get(one.device, 0)))
                for one in buttons
            )
            self._names = frozenset(one.name for one in buttons)
            self.plan, self.counts, self.at_s, self.problem = plan, Counter(), 0.0, ""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self._thread.start()
        self._on_change()

    def stop(self) -> None:
        """Sends no more, and returns when the broker has all."""
        self._stop.set()
        self.join()

    def join(self, within_s: float | None = None) -> bool:
        """Whether the plan has been played to its end, or stopped."""
        if self._thread:
            self._thread.join(within_s)
        return not self.is_running

    def _run(self) -> None:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, "domino-bench-traffic", protocol=mqtt.MQTTv311)
        client.max_inflight_messages_set(MOST_IN_FLIGHT)
        client.on_connect = _subscribe
        client.on_message = self._on_answer
        sent: list[mqtt.MQTTMessageInfo] = []
        try:
            client.connect(self._air.air.host, self._air.air.port)
            client.loop_start()
            self._play(client, sent)
            ends_at = time.monotonic() + PUBACK_S
            while any(not one.is_published() for one in sent) and time.monotonic() < ends_at:
                time.sleep(0.02)
        except (OSError, RuntimeError) as error:
            self.problem = str(error)
        finally:
            client.disconnect()
            client.loop_stop()
            self._on_change()

    def _play(self, client: mqtt.Client, sent: list[mqtt.MQTTMessageInfo]) -> None:
        began, told_at = time.monotonic(), 0.0
        for message in messages(self.buttons, self.plan):
            while not self._stop.is_set():
                self.at_s = (time.monotonic() - began) * self.plan.speed
                ahead_s = (message.at_s - self.at_s) / self.plan.speed
                sent[:] = [one for one in sent if not one.is_published()]
                if ahead_s <= 0 and len(sent) < MOST_IN_FLIGHT:
                    break
                self._stop.wait(min(max(ahead_s, 0.01), WAIT_S))
                if time.monotonic() - told_at > TOLD_S:
                    told_at = time.monotonic()
                    self._on_change()
            if self._stop.is_set():
                return
            data = wire.seal(message.button, message.counter, message.said)
            self._counters[message.button.device] = message.counter
            with self._lock:
                self.counts["presses" if message.is_press else "heartbeats"] += 1
            sent.append(client.publish(f"air/{message.button.name}/up", data, qos=1))

    def _on_fate(self, fate: Fate) -> None:
        if fate.device in self._names:
            with self._lock:
                self.counts["radiated"] += 1
                self.counts["heard" if fate.delays_s else "lost"] += 1
                self.counts["twice"] += len(fate.delays_s) > 1

    def _on_answer(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        if message.topic.split("/")[1] in self._names:
            with self._lock:
                self.counts["answered"] += 1


def _subscribe(client: mqtt.Client, *_: object) -> None:
    client.subscribe("air/+/down", 1)
