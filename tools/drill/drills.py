"""The drills: what happens to the system in each, and what must hold besides the counts."""

import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from statistics import quantiles
from typing import Any

import psycopg

from tools.drill.network import Cut
from tools.drill.presses import Delivery, forgeries, make_fleet
from tools.drill.scene import Drill, Scene
from tools.drill.senders import SIGFOX_WAITS_S, HttpSender, Listener, MqttSender
from tools.drill.system import BROKER, DATABASE, GENERATOR, WORKER


def kill_worker(scene: Scene) -> None:
    for share in scene.moments(2 if scene.short else 20):
        scene.wait_kept(share)
        scene.kill(WORKER)
        scene.pause(scene.dice.random() / 2)
        scene.start(WORKER)


def kill_broker(scene: Scene) -> None:
    for share in scene.moments(2 if scene.short else 10):
        scene.wait_acknowledged(share)
        scene.kill(BROKER)
        scene.pause(scene.dice.random() / 2)
        scene.start(BROKER)


def kill_broker_with_backlog(scene: Scene) -> None:
    """The worker is away, so that everything waits at the broker when it is killed."""
    scene.stop(WORKER)
    scene.wait_acknowledged(0.6)
    scene.kill(BROKER)
    scene.start(BROKER)
    scene.start(WORKER)


def kill_database(scene: Scene) -> None:
    for share in scene.moments(2 if scene.short else 10):
        scene.wait_kept(share)
        scene.kill(DATABASE)
        scene.pause(scene.dice.random())
        scene.start(DATABASE)


def kill_node(scene: Scene) -> None:
    """Of three servers one, which is up again before the next is killed."""
    nodes = [name for name in scene.system.parts if name not in (DATABASE, WORKER)]
    for share in scene.moments(2 if scene.short else 12):
        scene.wait_acknowledged(share)
        node = scene.dice.choice(nodes)
        scene.kill(node)
        scene.pause(3 * scene.dice.random())
        scene.wait_flowing()
        scene.start(node)


def all_in_turn(scene: Scene) -> None:
    parts = list(scene.system.parts)
    for share in scene.moments(1 if scene.short else 5):
        scene.wait_acknowledged(share)
        scene.dice.shuffle(parts)
        for name in parts:
            scene.kill(name)
            scene.pause(scene.dice.random() / 4)
            scene.start(name)


def everything_at_once(scene: Scene) -> None:
    """As in a power cut, but that the disk keeps what was written."""
    for share in scene.moments(1 if scene.short else 5):
        scene.wait_acknowledged(share)
        for name in scene.system.parts:
            scene.kill(name)
        for name in (BROKER, DATABASE, WORKER):
            if name in scene.system.parts:
                scene.start(name)


def full_disk(scene: Scene) -> None:
    """Full twice, each time until /health has noticed, and for a while after."""
    part = scene.drill.small_disk
    for share in scene.moments(1 if scene.short else 3):
        scene.wait_kept(share)
        scene.disk.fill()
        scene.note(f"the {part}'s disk is full, {scene.disk.bytes_left()} bytes left")
        scene.wait_health(f"down: {part}")
        scene.pause(1 if scene.short else 10)
        scene.disk.free()
        scene.note(f"there is room again, {scene.disk.bytes_left() >> 20} MiB")
        if part == BROKER and scene.chosen.broker == "nats":  # it takes nothing more until it is started anew
            scene.stop(BROKER)
            scene.start(BROKER)
        scene.wait_taken_in()
        scene.note("presses are taken in again")


def read_only(scene: Scene) -> None:
    scene.wait_kept(scene.dice.random() / 2)
    if scene.system.database_kind == "postgresql":
        _set_read_only(scene, True)
    else:
        scene.disk.fail()
    scene.note("the database is read-only")
    scene.wait_health("down: database")
    scene.pause(1 if scene.short else 10)
    if scene.system.database_kind == "postgresql":
        _set_read_only(scene, False)
    else:
        scene.stop(WORKER)  # it has the file open; what an operator does
        scene.disk.repair()
        scene.start(WORKER)
    scene.note("the database takes writes again")
    scene.wait_taken_in()
    scene.note("presses are taken in again")


def _set_read_only(scene: Scene, on: bool) -> None:
    with _administrating(scene) as connection:
        connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if on else 'off'}")
        connection.execute("SELECT pg_reload_conf()")


def slow_database(scene: Scene) -> None:
    """Somebody else's transaction holds the orders for seconds, again and again; once for longer than a keep-alive."""
    lost_before = scene.log_of(WORKER).count("broker lost")
    holds_s = [9.5] if scene.short else [2, 12, 50, 5, 12]
    for share, held_s in zip(scene.moments(len(holds_s)), holds_s, strict=True):
        scene.wait_kept(share)
        scene.note(f"a transaction holds everything for {held_s} s")
        with _holding(scene):
            scene.pause(held_s)
        scene.wait_taken_in()
        scene.note("presses are taken in again")
    slowest_s = max(sender.slowest_s for sender in scene.senders if isinstance(sender, HttpSender))
    refused = sum(sender.statuses[503] for sender in scene.senders if isinstance(sender, HttpSender))
    scene.check(slowest_s < SIGFOX_WAITS_S, f"a callback was answered after {slowest_s:.1f} s, too late for Sigfox")
    scene.check(refused > 0, "no callback was told 503 while nothing could be kept")
    lost = scene.log_of(WORKER).count("broker lost") - lost_before
    scene.check(lost == 0, f"the worker lost its broker {lost} times while the database was slow")


@contextmanager
def _holding(scene: Scene) -> Iterator[None]:
    if scene.system.database_kind == "postgresql":
        with _administrating(scene) as connection, connection.transaction():
            connection.execute("LOCK TABLE uplinks IN ACCESS EXCLUSIVE MODE")
            yield
        return
    file = scene.system.database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@contextmanager
def _administrating(scene: Scene) -> Iterator[psycopg.Connection[Any]]:
    url = scene.system.database_url.replace("postgresql+psycopg", "postgresql", 1)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        yield connection


def clock_jumps(scene: Scene) -> None:
    """The worker's wall clock goes back an hour, forward a year, and back to what it was."""
    jumps = (("an hour back", -3600), ("a year ahead", 365 * 86_400), ("right again", 0))
    for share, (where, offset_s) in zip(scene.moments(len(jumps)), jumps, strict=True):
        scene.wait_kept(share / 2)  # and so presses are left to show the last jump
        assert scene.system.clock
        scene.system.clock.write_text(f"{offset_s:+d}\n")  # the worker looks once a second
        scene.wait_until(lambda off=offset_s: _log_is_off_by(scene, off), f"a press when the clock is {where}")
        scene.note(f"the worker's clock is {where}")


def _log_is_off_by(scene: Scene, seconds: int) -> bool:
    newest = scene.system.audit.last_time_s()
    return newest is not None and abs(newest - time.time() - seconds) < 60


def network_cuts(scene: Scene) -> None:
    """Each cable is drawn, and then each is silent, one after the other."""
    pairs = [(GENERATOR, BROKER), (BROKER, WORKER), (GENERATOR, WORKER)]
    if scene.system.database_kind == "postgresql":
        pairs.append((WORKER, DATABASE))
    cuts = [(one, other, how) for how in Cut for one, other in pairs]
    if scene.short:
        cuts = [(one, other, list(Cut)[n % 2]) for n, (one, other) in enumerate(pairs)]
    for share, (one, other, how) in zip(scene.moments(len(cuts)), cuts, strict=True):
        scene.wait_acknowledged(share)
        scene.network.cut(one, other, how)
        scene.note(f"between {one} and {other}: {how}")
        scene.pause(1 if scene.short else scene.dice.choice((2, 10, 40)))
        scene.network.heal(one, other, how)
        scene.note(f"between {one} and {other}: whole again")
        scene.wait_flowing()


def nothing(scene: Scene) -> None:
    """The load itself is the trouble."""


def damaged_payloads(scene: Scene) -> None:
    """Every damaged message must be in the log under the name of what is wrong with it."""
    scene.wait_senders()
    scene.settle()
    refused = {
        name: n for name, n in scene.system.audit.read().results.items() if name not in ("accepted", "duplicate")
    }
    expected = round(scene.presses * scene.drill.damaged)
    scene.figures["damaged"] = expected
    scene.figures["refused by name"] = sum(refused.values())
    scene.check(sum(refused.values()) >= expected, f"{expected} were damaged, {sum(refused.values())} are in the log")


FORGED_PER_SECOND = 1000.0  # in the name of one button, and as many in those of unknown ones
UNKNOWN = 10_000
MOST_SLOWER = 2.0  # of the good buttons' p99


def flood(scene: Scene) -> None:
    """Each button presses once in peace, and once while others forge: both times it waits for its answer."""
    (broker, *_), (sender, *_) = scene.system.brokers, scene.senders
    assert isinstance(sender, MqttSender)
    listener = Listener(broker, scene.system.generator)
    listener.start()
    scene.wait_kept(0.5)
    scene.pause(0.2)  # the last answers of the peace
    known = next(iter(sender.sent_at))[0]
    unknown = make_fleet(UNKNOWN, scene.chosen.seed + 6)
    count = round(FORGED_PER_SECOND * (3 if scene.short else 0.5 * scene.presses / scene.drill.per_second + 2))
    floods = [
        MqttSender(
            scene.system.brokers,
            forgeries(devices, count, scene.chosen.seed),
            per_second=FORGED_PER_SECOND,
            client_id=name,
            where=scene.system.generator,
        )
        for name, devices in (("one-button", [known]), ("unknown-buttons", unknown))
    ]
    scene.note(f"a flood of {len(floods) * count} forgeries begins")
    flooded_at = time.monotonic()
    for one in floods:
        one.start()
    scene.wait_senders()
    scene.wait_kept(1.0)
    for one in floods:
        one.join()
    scene.note("the flood is over")
    scene.pause(0.5)
    listener.stop()
    listener.join()
    waited: dict[bool, list[float]] = {False: [], True: []}
    answers = {device: sorted(at for one, at in listener.heard if one == device) for device, _ in listener.heard}
    for (device, _, counter), sent_at in sender.sent_at.items():
        until = sender.sent_at.get((device, 0, counter + 1), math.inf)
        answered = next((at for at in answers.get(device, ()) if sent_at <= at < until), None)
        if answered is not None:
            waited[sent_at >= flooded_at].append(answered - sent_at)
    calm, flooded = (quantiles(waited[when], n=100)[98] for when in (False, True))
    scene.figures |= {"p99 in peace, ms": round(1000 * calm, 1), "p99 in the flood, ms": round(1000 * flooded, 1)}
    scene.figures["forgeries refused"] = sum(
        n for name, n in scene.system.audit.read().results.items() if name not in ("accepted", "duplicate")
    )
    # Under 50 ms nobody waits: there a ratio says how noisy the machine is.
    slower = flooded / max(calm, 0.05)
    scene.check(slower <= MOST_SLOWER, f"good buttons waited {slower:.1f} times as long for their answer")


DRILLS = {
    drill.name: drill
    for drill in (
        Drill("kill-worker", "kill -9 the worker again and again", kill_worker, presses=100_000),
        Drill(
            "kill-broker",
            "kill -9 the broker again and again",
            kill_broker,
            forgetful=("mosquitto",),
        ),
        Drill(
            "kill-broker-with-backlog",
            "kill -9 the broker when everything waits in it",
            kill_broker_with_backlog,
            callbacks=0,
            presses=50_000,
            per_second=20_000,
            forgetful=("mosquitto",),
        ),
        Drill(
            "kill-database",
            "kill -9 the database, and all its processes, again and again",
            kill_database,
            databases=("postgresql",),
        ),
        Drill(
            "nats-node",
            "kill -9 one of three nats-servers, again and again",
            kill_node,
            brokers=("cluster",),
            short=600,
            per_second=800,
        ),
        Drill(
            "all-in-turn",
            "kill -9 broker, database and worker, one after the other",
            all_in_turn,
            databases=("postgresql", "sqlite"),
            brokers=("nats", "mosquitto", "cluster"),
            forgetful=("mosquitto",),
        ),
        Drill(
            "everything-at-once",
            "kill -9 everything at once",
            everything_at_once,
            forgetful=("mosquitto",),
        ),
        Drill(
            "full-disk-database",
            "fill the database's disk to the last byte, and make room again",
            full_disk,
            needs=("root", "loop devices", "mkfs.ext4"),
            small_disk=DATABASE,
            megabytes=128,
        ),
        Drill(
            "full-disk-broker",
            "fill the broker's disk to the last byte, and make room again",
            full_disk,
            brokers=("nats",),  # Mosquitto goes on in memory, and tells nobody
            presses=40_000,
            per_second=400,  # so that presses are left for the last full disk
            needs=("root", "loop devices", "mkfs.ext4"),
            small_disk=BROKER,
            megabytes=64,
        ),
        Drill(
            "read-only",
            "the database takes no more writes, and does again",
            read_only,
            needs=("root", "loop devices", "mkfs.ext4"),
            small_disk=DATABASE,
            megabytes=128,
        ),
        Drill(
            "slow-database",
            "another transaction holds up the database for seconds, again and again",
            slow_database,
        ),
        Drill(
            "clock-jumps",
            "the worker's clock goes back an hour, a year ahead, and back",
            clock_jumps,
            needs=("libfaketime",),
            fakes_clock=True,
            short_s=8.0,
        ),
        Drill(
            "network-cuts",
            "cut the network between each two parts, with and without a word",
            network_cuts,
            databases=("postgresql", "sqlite"),
            needs=("root", "ip", "nft"),
            in_namespaces=True,
        ),
        Drill(
            "damaged-payloads",
            "one message in a hundred is damaged: bits flipped, cut short, noise",
            damaged_payloads,
            damaged=0.01,
        ),
        Drill(
            "bad-delivery",
            "messages come twice and more, late, and in any order",
            nothing,
            each=20,
            callbacks=0.0,
            delivery=Delivery(copies=0.3, delayed=0.5),
        ),
        Drill(
            "flood",
            "forgeries without end in the name of one button and of 10 000 unknown ones",
            flood,
            presses=4000,
            per_second=200,
            each=2,
            callbacks=0.0,
        ),
    )
}
