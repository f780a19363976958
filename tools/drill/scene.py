"""One drill, from the first press to the verdict: load on the system, what happens to it, and what is left of it."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from tools.children import ACK_WAIT_S
from tools.drill.audit import SHOWN, Findings, judge
from tools.drill.disk import Disk, small_disk
from tools.drill.network import Network
from tools.drill.presses import Delivery, Message, damaged, make_fleet, make_presses
from tools.drill.senders import HttpSender, MqttSender
from tools.drill.system import BROKER, DATABASE, GENERATOR, WORKER, Layout, System, system
from tools.drill.witness import Notes, Witness, read_notes

TICK_S = 0.1
GIVE_UP_S = 60.0  # without any progress; only ever waited out by what is broken
SETTLE_S, SHORT_SETTLE_S = 25.0, 8.0  # without progress while presses are missing: longer than any retry
SHORT_ACK_WAIT_S = 1.0  # of nats-server: five is right for a service, and long for a test
CALM_S, SHORT_CALM_S = 6.0, 0.5  # in the end without a new message: longer than a broker waits to repeat one

Happens = Callable[["Scene"], None]
Progress = Callable[[str, int, int], object]  # what is done, presses taken in, of how many


@dataclass(frozen=True, slots=True)
class Drill:
    """What is drilled: which parts, which load, what happens, and what must be true in the end besides the counts."""

    name: str
    what: str  # one sentence
    happens: Happens
    databases: tuple[str, ...] = ("sqlite", "postgresql")  # the first is the default
    brokers: tuple[str, ...] = ("nats", "mosquitto")
    presses: int = 20_000
    short: int = 1200  # presses of the short form
    per_second: int = 2000  # presses sent, long form
    short_s: float = 2.0  # in which the short form's are sent
    each: int = 4  # presses of one button
    callbacks: float = 0.25  # share of the presses that comes over HTTP
    damaged: float = 0.0  # damaged messages on top, as a share of the presses
    delivery: Delivery = field(default_factory=Delivery)
    needs: tuple[str, ...] = ()  # programs, `root`, `libfaketime`
    small_disk: str | None = None  # which part has one: database or broker
    megabytes: int = 64  # of it
    in_namespaces: bool = False
    fakes_clock: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    forgetful: tuple[str, ...] = ()  # brokers that this makes forget what they acknowledged: counted, not ours


@dataclass(frozen=True, slots=True)
class Chosen:
    """How a drill is to be run."""

    database: str
    broker: str
    presses: int
    seed: int = 1
    short: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict in words, the counts behind it, and what happened when (seconds from the start)."""

    drill: str
    what: str
    chosen: Chosen
    passed: bool
    verdict: list[str]
    pressed: int
    acknowledged: int
    by_carrier: dict[str, int]
    taken_in: int
    lost: int
    forgotten_by_broker: int
    doubled: int
    wrong: int
    orders: int
    stamps: int
    results: dict[str, int]
    figures: dict[str, float]
    happened: list[tuple[float, str]]
    seconds: float

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)


class Stuck(RuntimeError):
    """Nothing goes on any more; the text says what was waited for."""


class Scene:
    """What a drill's `happens` works with. Everything here is called by the main thread."""

    def __init__(self, running: System, drill: Drill, chosen: Chosen, presses: int, disk: Disk | None) -> None:
        self.system, self.drill, self.chosen = running, drill, chosen
        self.presses = presses
        self.dice = random.Random(chosen.seed)
        self.figures: dict[str, float] = {}
        self.complaints: list[str] = []
        self.happened: list[tuple[float, str]] = []
        self.health: list[tuple[float, str]] = []  # each change of what /health says
        self.kept = 0
        self.broker_new_at: float | None = None  # Unix seconds, the last start after a kill
        self.senders: list[MqttSender | HttpSender] = []
        self.witness: Witness | None = None
        self.progress: Progress = lambda *_: None
        self._disk = disk
        self._started = time.monotonic()
        self._ended = threading.Event()
        self._longest_pause_s = 0.0

    # What a drill may do

    @property
    def short(self) -> bool:
        return self.chosen.short

    @property
    def disk(self) -> Disk:
        assert self._disk
        return self._disk

    @property
    def network(self) -> Network:
        assert self.system.network
        return self.system.network

    def note(self, text: str) -> None:
        self.happened.append((round(time.monotonic() - self._started, 2), text))
        self._show(text)

    def moments(self, count: int) -> list[float]:
        """So many shares of the whole, in order, spread with some chance."""
        return [(n + self.dice.random()) / (count + 0.5) for n in range(count)]

    def wait_kept(self, share: float) -> None:
        """Until this share of all presses is in the database."""
        self._wait(lambda: self.kept >= share * self.presses, f"{share:.0%} of the presses in the database")

    def wait_acknowledged(self, share: float) -> None:
        assert self.witness
        witness = self.witness
        self._wait(lambda: witness.acknowledged >= share * self.presses, f"{share:.0%} of the presses acknowledged")

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        self._wait(condition, what)

    def wait_health(self, says: str) -> None:
        """Until /health says this: `well`, or which part is down."""
        self._wait(lambda: bool(self.health) and says in self.health[-1][1], f"/health to say {says}")

    def wait_taken_in(self) -> None:
        """Until something more is in the database than is there now."""
        before = self.kept
        self._wait(lambda: self.kept > before, "a press to be taken in again")

    def wait_flowing(self) -> None:
        """Until acknowledgements come and presses are taken in again; at once where none is left."""
        assert self.witness
        witness, kept, acknowledged = self.witness, self.kept, self.witness.acknowledged

        def flows() -> bool:
            sent = witness.acknowledged > acknowledged or witness.acknowledged == self.presses
            return sent and (self.kept > kept or self.kept >= witness.acknowledged)

        self._wait(flows, "presses to come in again")

    def wait_senders(self) -> None:
        """Until every press is acknowledged."""
        for sender in self.senders:
            self._wait(lambda sender=sender: not sender.is_alive(), "the last press to be acknowledged")

    def pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self._wait(lambda: time.monotonic() >= until, "")

    def kill(self, name: str) -> None:
        """kill -9."""
        self.note(f"kill -9 the {name}")
        self.system.parts[name].kill()

    def stop(self, name: str) -> None:
        self.note(f"the {name} is stopped")
        self.system.parts[name].stop()

    def start(self, name: str) -> None:
        if name == BROKER:  # not a node of a cluster, which forgets nothing
            # What it acknowledged at its end may still be on its way.
            on_it = [one for one in self.senders if isinstance(one, MqttSender) and one.is_alive()]
            self.wait_until(lambda: not any(one.is_connected for one in on_it), "the senders to see the broker gone")
            self.broker_new_at = time.time()  # what was acknowledged before this was acknowledged by a killed one
        self.system.parts[name].start()
        self.note(f"the {name} is up again")

    def check(self, holds: bool, complaint: str) -> None:
        """The drill fails with `complaint` where something that it promises does not hold."""
        if not holds:
            self.complaints.append(complaint)

    def was_said(self, words: str) -> bool:
        """Whether /health ever said this."""
        return any(words in said for _, said in self.health)

    def log_of(self, name: str) -> str:
        return (self.system.data_dir / f"{name}.log").read_text(errors="replace")

    # What goes on beside it

    @contextmanager
    def watched(self) -> Iterator[None]:
        watchers = [threading.Thread(target=one, daemon=True) for one in (self._watch_database, self._watch_health)]
        for watcher in watchers:
            watcher.start()
        try:
            yield
        finally:
            self._ended.set()
            for watcher in watchers:
                watcher.join()

    def _watch_database(self) -> None:
        progressed = time.monotonic()
        while not self._ended.is_set():
            asked = time.monotonic()
            kept = self.system.audit.count_accepted()
            now = time.monotonic()
            assert self.witness
            self._longest_pause_s = max(self._longest_pause_s, now - progressed)
            if (kept is not None and kept > self.kept) or self.kept >= self.witness.acknowledged:
                progressed = now
            self.kept = self.kept if kept is None else kept
            self._ended.wait(max(TICK_S, 5 * (now - asked)))

    def _watch_health(self) -> None:
        with self.system.generator():
            while not self._ended.is_set():
                said = self._ask_health()
                if not self.health or self.health[-1][1] != said:
                    self.health.append((round(time.monotonic() - self._started, 2), said))
                self._ended.wait(2 * TICK_S)

    def _ask_health(self) -> str:
        connection = HTTPConnection(self.system.callee.host, self.system.callee.port, timeout=5)
        try:
            connection.request("GET", "/health")
            answer = connection.getresponse()
            body = json.loads(answer.read())
        except TimeoutError:
            return "no answer"
        except (OSError, HTTPException, ValueError):
            return "away"
        finally:
            connection.close()
        if answer.status == 200:
            return "well"
        return f"down: {', '.join(name for name, state in body['parts'].items() if state != 'up')}"

    def _wait(self, until: Callable[[], bool], what: str) -> None:
        seen, last = (-1, -1), time.monotonic()
        while not until():
            for said in self.system.mend():
                self.note(said)
            assert self.witness
            now = (self.kept, self.witness.acknowledged)
            if now != seen:
                seen, last = now, time.monotonic()
            if what and time.monotonic() - last > GIVE_UP_S:
                raise Stuck(f"waited for {what}, and nothing goes on: {self.kept} in the database")
            self._show(what)
            time.sleep(TICK_S / 2)

    def _show(self, what: str) -> None:
        self.progress(what, self.kept, self.presses)

    def settle(self) -> None:
        """Until all that was acknowledged is in the database with its stamp and no message comes any more."""
        calm_s, settle_s = (SHORT_CALM_S, SHORT_SETTLE_S) if self.short else (CALM_S, SETTLE_S)
        state, since = None, time.monotonic()
        while True:
            for said in self.system.mend():
                self.note(said)
            assert self.witness
            frame, waiting = self.system.audit.last_frame(), self.system.audit.count_waiting()
            kept = self.system.audit.count_accepted()
            complete = waiting == 0 and kept is not None and kept >= self.witness.acknowledged
            if (frame, waiting, kept) != state:
                state, since = (frame, waiting, kept), time.monotonic()
            if time.monotonic() - since > (calm_s if complete else settle_s):
                return
            self._show("waits until all is calm")
            time.sleep(TICK_S)


def run(drill: Drill, chosen: Chosen, folder: Path, progress: Progress = lambda *_: None) -> Report:
    """Do it, in an empty `folder`; the report has the verdict."""
    started = time.monotonic()
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk(drill.megabytes)) if drill.small_disk else None
        names = (GENERATOR, BROKER, WORKER, *([DATABASE] if chosen.database == "postgresql" else []))
        network = stack.enter_context(Network(names).built()) if drill.in_namespaces else None
        layout = Layout(
            database=chosen.database,
            broker=chosen.broker,
            database_disk=disk if drill.small_disk == DATABASE else None,
            broker_disk=disk if drill.small_disk == BROKER else None,
            network=network,
            fakes_clock=drill.fakes_clock,
            settings=drill.settings,
            ack_wait_s=SHORT_ACK_WAIT_S if chosen.short else ACK_WAIT_S,
        )
        progress("parts are started", 0, 1)
        running = stack.enter_context(system(layout, folder))
        devices = make_fleet(max(chosen.presses // drill.each, 1), chosen.seed)
        running.add_buttons(devices)
        presses = make_presses(devices, running.keys, each=drill.each, seed=chosen.seed)
        scene = Scene(running, drill, chosen, len(presses), disk)
        scene.progress = progress
        scene.witness = Witness(folder / "witness")
        stack.callback(scene.witness.close)
        scene.witness.note_pressed(presses)
        scene.senders = _senders(scene, presses)
        with scene.watched():
            for sender in scene.senders:
                sender.start()
            stuck = _play(scene)
        notes = read_notes(scene.witness.path)
        findings = judge(notes, running.audit.read())
    return _report(scene, notes, findings, stuck, time.monotonic() - started)


def _senders(scene: Scene, presses: Sequence[Message]) -> list[MqttSender | HttpSender]:
    drill, chosen = scene.drill, scene.chosen
    over_http = random.Random(chosen.seed + 5)
    by_http = {message.key for message in presses if over_http.random() < drill.callbacks}
    sent = drill.delivery.disturb(damaged(presses, drill.damaged, chosen.seed), chosen.seed)
    mqtt = [message for message in sent if message.key not in by_http]
    http = [message for message in sent if message.key in by_http]
    per_second = len(sent) / drill.short_s if chosen.short else drill.per_second
    assert scene.witness
    at = {"witness": scene.witness, "where": scene.system.generator}
    share = len(mqtt) / len(sent)
    senders: list[MqttSender | HttpSender] = [
        MqttSender(
            scene.system.brokers,
            mqtt,
            per_second=per_second * share,
            client_id="drill",
            login=scene.system.login,
            **at,
        )
    ]
    if http:
        senders.append(HttpSender(scene.system.callee, http, per_second=per_second * (1 - share), **at))
    return senders


def _play(scene: Scene) -> str | None:
    """Let it happen, wait for everybody; gives what got stuck."""
    try:
        scene.drill.happens(scene)
        scene.wait_senders()
        scene.settle()
        scene.wait_health("well")
    except Stuck as stuck:
        return str(stuck)
    finally:
        for sender in scene.senders:
            sender.stop()
        for sender in scene.senders:
            sender.join()
    return None


def _report(scene: Scene, notes: Notes, findings: Findings, stuck: str | None, seconds: float) -> Report:
    drill, chosen = scene.drill, scene.chosen
    forgotten = []
    if chosen.broker in drill.forgetful and scene.broker_new_at:
        # It had them before it was killed and never passed them on: nobody else has ever seen them.
        forgotten = [key for key in findings.lost if notes.acknowledged[key] <= scene.broker_new_at]
    lost = len(findings.lost) - len(forgotten)
    complaints = list(scene.complaints)
    if stuck:
        complaints.append(f"it got stuck: {stuck}")
    if lost:
        complaints.append(f"{lost} acknowledged presses were lost: {findings.lost[:SHOWN]}")
    if findings.doubled:
        complaints.append(f"{len(findings.doubled)} doubled: {'; '.join(findings.doubled[:SHOWN])}")
    if findings.wrong:
        complaints.append(f"{len(findings.wrong)} wrong: {'; '.join(findings.wrong[:SHOWN])}")
    verdict = [
        f"{len(notes.acknowledged)} of {len(notes.pressed)} presses were acknowledged, {findings.accepted} are in the "
        f"press log: {lost} lost, {len(findings.doubled)} doubled.",
        f"{findings.orders} orders with {findings.stamps} stamps, {len(findings.wrong)} of them wrong.",
    ]
    if chosen.broker in drill.forgetful and scene.broker_new_at:
        verdict.append(f"The broker itself ({chosen.broker}) forgot {len(forgotten)} that it had acknowledged.")
    figures = {"longest pause, s": round(scene._longest_pause_s, 2)}
    for sender in scene.senders:
        if isinstance(sender, MqttSender):
            figures |= {"connections to the broker": sender.connections, "sent again": sender.repeated}
        else:
            figures |= {"slowest callback, s": round(sender.slowest_s, 2)}
            answers = {(str(code) if code else "none"): n for code, n in sorted(sender.statuses.items())}
            figures |= {f"callbacks answered {code}": count for code, count in answers.items()}
    return Report(
        drill=drill.name,
        what=drill.what,
        chosen=chosen,
        passed=not complaints,
        verdict=[*verdict, *complaints],
        pressed=len(notes.pressed),
        acknowledged=len(notes.acknowledged),
        by_carrier=notes.by_carrier,
        taken_in=findings.accepted,
        lost=lost,
        forgotten_by_broker=len(forgotten),
        doubled=len(findings.doubled),
        wrong=len(findings.wrong),
        orders=findings.orders,
        stamps=findings.stamps,
        results=findings.results,
        figures=figures | scene.figures,
        happened=sorted([*scene.happened, *((at, f"/health: {said}") for at, said in scene.health)]),
        seconds=round(seconds, 1),
    )
