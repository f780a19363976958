"""`domino simulate`: a fleet that presses by itself, real boards among it, and a verdict on what the cloud kept.

The verdict is on what stations heard: of that, each message is to be in the log, and taken in once. What the air was
told to lose is counted, and is nobody's fault.
"""

import random
import threading
import time
from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

from simulator.bench import boards as boards_on_desk
from simulator.bench import traffic
from simulator.bench.boards import HOLD_MS, Boards, NotNow, State
from simulator.bench.desk import Bench, bench
from simulator.bench.traffic import DAY_S, Plan
from simulator.radio.core import Fate
from tools.bench.fleet_side import FleetSide, Logged
from tools.bench.stand import Stand

START_S = 60.0  # until all boards have told that they are there
SETTLE_S = 60.0  # until the last of them sleeps
PATIENCE_S = 30.0  # from the last delivery to the log
LOOK_S = 0.2
GESTURES = (((1, None), 55), ((2, None), 20), ((3, None), 10), ((1, HOLD_MS), 7), ((2, HOLD_MS), 8))


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be simulated; `for_s` is time on this machine."""

    buttons: int
    real: int
    for_s: float
    presses_a_day: float
    speed: float
    seed: int
    awake: int = 12

    @property
    def until_s(self) -> float:
        """Of the buttons' own time."""
        return self.for_s * self.speed


@dataclass(slots=True)
class Tally:
    """Every message that was radiated, by button and bytes: whether a station heard it."""

    heard: dict[tuple[int, bytes], bool] = field(default_factory=dict)
    twice: int = 0
    last_s: float = 0.0  # when the newest of its deliveries is due, monotonic
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, fate: Fate) -> None:
        key = int(fate.device, 16), fate.payload
        with self.lock:
            self.heard[key] = self.heard.get(key, False) or bool(fate.delays_s)
            self.twice += len(fate.delays_s) > 1
            self.last_s = max(self.last_s, time.monotonic() + max(fate.delays_s, default=0))


@dataclass(frozen=True, slots=True)
class Progress:
    share: float  # of the time
    pressed: int
    radiated: int
    heard: int
    awake: int
    doing: str


@dataclass(frozen=True, slots=True)
class Counts:
    """What the bench did: gestures, heartbeats and boots radiated, messages that boards still keep in flash."""

    pressed: int
    heartbeats: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Summary:
    buttons: int
    real: int
    seed: int
    seconds: float
    simulated_h: float
    pressed: int
    heartbeats: int  # alive and boot
    waiting: int  # messages that real boards still keep in flash
    radiated: int
    heard: int
    lost_on_the_air: int  # on purpose
    delivered_twice: int
    kept: int
    orders: int
    refused: dict[str, int]  # by the log's result; copies of what was kept are no refusals
    lost: int  # heard, and not in the log
    doubled: int  # taken in more than once
    passed: bool
    ended_early: bool
    verdict: str

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def presses_of(names: Sequence[str], order: Order) -> list[tuple[float, str, int, int | None]]:
    """(time, board, clicks, hold) of all presses of the real boards, in order; the same seed gives the same."""
    due: list[tuple[float, str, int, int | None]] = []
    for name in names:
        dice, at_s = random.Random(f"{order.seed}/{name}"), 0.0  # noqa: S311  repeatable, no secret
        while (
            order.presses_a_day and (at_s := at_s + dice.expovariate(1) * DAY_S / order.presses_a_day) < order.until_s
        ):
            clicks, hold_ms = dice.choices([one for one, _ in GESTURES], [weight for _, weight in GESTURES])[0]
            due.append((at_s, name, clicks, hold_ms))
    return sorted(due, key=_when)


def simulate(stand: Stand, order: Order, tell: Callable[[Progress], object] = lambda progress: None) -> Summary:
    """Until the time is over and the last message is in the log; Ctrl-C ends it early, with what there is so far."""
    started, tally = time.monotonic(), Tally()
    stand.air.on_fate(tally.note)
    first_frame = stand.fleet.last_frame()
    with bench(stand.fleet, stand.air, most_awake=order.awake, speed=order.speed) as desk:
        run = _Run(desk, order, tally, tell)
        ended_early = False
        try:
            run.play()
        except KeyboardInterrupt:
            ended_early = True
        try:
            run.settle()
            logged = _drain(stand.fleet, first_frame, tally)
        except KeyboardInterrupt:  # twice: as it stands
            logged = stand.fleet.log_since(first_frame, _devices())
        counts = Counts(
            run.pressed + desk.traffic.counts["presses"],
            desk.traffic.counts["heartbeats"] + sum(one.heartbeats for one in desk.boards.all),
            sum(memory.waiting for one in desk.boards.all if (memory := one.memory)),
        )
        simulated_s = min(order.until_s, run.at_s)
    return judge(order, tally, logged, counts, time.monotonic() - started, simulated_s, ended_early=ended_early)


def judge(
    order: Order,
    tally: Tally,
    logged: Sequence[Logged],
    counts: Counts,
    seconds: float,
    simulated_s: float,
    *,
    ended_early: bool,
) -> Summary:
    """Holds what was heard against what the log has."""
    with tally.lock:
        heard = {key for key, is_heard in tally.heard.items() if is_heard}
        radiated = len(tally.heard)
    accepted = Counter((one.device, one.data) for one in logged if one.result == "accepted")
    in_log = {(one.device, one.data) for one in logged}
    refused = Counter(
        {(one.device, one.data): one.result for one in logged if (one.device, one.data) not in accepted}.values()
    )
    lost, doubled = len(heard - in_log), sum(times > 1 for times in accepted.values())
    orders = len({one.order for one in logged if one.result == "accepted" and one.order is not None})
    passed = not (lost or doubled)
    kept = len(accepted)
    verdict = (
        f"all {len(heard)} messages that were heard are in the log, {kept} of them kept, none twice"
        if passed
        else f"of {len(heard)} messages that were heard {lost} are lost, {doubled} are doubled"
    )
    return Summary(
        order.buttons, order.real, order.seed, round(seconds, 1), round(simulated_s / 3600, 2),
        counts.pressed, counts.heartbeats, counts.waiting, radiated, len(heard), radiated - len(heard),
        tally.twice, kept, orders, dict(refused), lost, doubled, passed, ended_early, verdict,
    )  # fmt: skip


class _Run:
    """One simulation as it goes on."""

    def __init__(self, desk: Bench, order: Order, tally: Tally, tell: Callable[[Progress], object]) -> None:
        self._desk, self._order, self._tally, self._tell_progress = desk, order, tally, tell
        self.pressed = 0
        self.at_s = 0.0
        self._doing = "starting"

    def play(self) -> None:
        boards, order = self._desk.boards, self._order
        names = [boards.add().name for _ in range(order.real)]
        self._wait(lambda: all(not one.is_awake for one in boards.all), START_S, "boards start")
        if order.buttons:
            self._doing = "buttons are taken into the fleet"
            self._tell()
            plan = Plan(order.presses_a_day, order.speed, order.seed, order.until_s)
            self._desk.start_traffic(order.buttons, plan)
        began, due = time.monotonic(), presses_of(names, order)
        self._doing = "running"
        while self.at_s < order.until_s:
            self.at_s = (time.monotonic() - began) * order.speed
            for press in _take_due(due, min(self.at_s, order.until_s)):
                if self._press(boards, *press[1:]):
                    self.pressed += 1
                else:  # it is awake: as soon as it sleeps
                    insort(due, (self.at_s + LOOK_S * order.speed, *press[1:]), key=_when)
            self._tell()
            next_s = (due[0][0] - self.at_s) / order.speed if due else LOOK_S
            time.sleep(max(0.01, min(LOOK_S, next_s, (order.until_s - self.at_s) / order.speed)))
        while due:  # those that had to wait for their board
            for press in _take_due(due, float("inf")):
                name = press[1]
                self._wait(lambda name=name: boards.find(name).state is State.ASLEEP, SETTLE_S, "last presses")
                self.pressed += self._press(boards, *press[1:])
        self._wait(lambda: not self._desk.traffic.is_running, SETTLE_S + order.for_s, "last messages")

    def settle(self) -> None:
        """Nothing new; what is under way comes to its end."""
        self._desk.traffic.stop()
        boards = self._desk.boards
        self._wait(lambda: all(not one.is_awake for one in boards.all), SETTLE_S, "boards fall asleep")
        self._doing = "the log is read"
        self._tell()

    @staticmethod
    def _press(boards: Boards, name: str, clicks: int, hold_ms: int | None) -> bool:
        if boards.find(name).state is not State.ASLEEP:
            return False
        try:
            boards.press(name, clicks, hold_ms)
        except NotNow:
            return False
        return True

    def _wait(self, is_so: Callable[[], bool], within_s: float, doing: str) -> None:
        self._doing, gives_up_at = doing, time.monotonic() + within_s
        while not is_so() and time.monotonic() < gives_up_at:
            self._tell()
            time.sleep(LOOK_S / 2)

    def _tell(self) -> None:
        with self._tally.lock:
            heard = sum(self._tally.heard.values())
            radiated = len(self._tally.heard)
        awake = sum(one.is_awake for one in self._desk.boards.all)
        share = min(1.0, self.at_s / self._order.until_s) if self._order.until_s else 1.0
        pressed = self.pressed + self._desk.traffic.counts["presses"]
        self._tell_progress(Progress(share, pressed, radiated, heard, awake, self._doing))


def _when(press: tuple[float, str, int, int | None]) -> tuple[float, str]:
    """By which presses are in order; two of a board may wait for the same moment."""
    return press[:2]


def _take_due(
    due: list[tuple[float, str, int, int | None]], now_s: float
) -> Iterator[tuple[float, str, int, int | None]]:
    """Those that are due by now; what is put back meanwhile waits for the next look."""
    ready = []
    while due and due[0][0] <= now_s:
        ready.append(due.pop(0))
    yield from ready


def _drain(fleet: FleetSide, first_frame: int, tally: Tally) -> list[Logged]:
    """The log, once all that was heard is in it, or it has had its time."""
    gives_up_at = max(tally.last_s, time.monotonic()) + PATIENCE_S
    while True:
        logged = fleet.log_since(first_frame, _devices())
        in_log = {(one.device, one.data) for one in logged}
        with tally.lock:
            is_all = all(key in in_log for key, is_heard in tally.heard.items() if is_heard)
        if (is_all and time.monotonic() > tally.last_s) or time.monotonic() > gives_up_at:
            return fleet.log_since(first_frame, _devices())
        time.sleep(LOOK_S)


def _devices() -> list[range]:
    boards, buttons = boards_on_desk.FIRST_DEVICE, traffic.FIRST_DEVICE
    return [range(boards, boards + boards_on_desk.MOST_BOARDS), range(buttons, buttons + traffic.MOST_BUTTONS)]
