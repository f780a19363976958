"""The drills: what happens to the system in each, and what must hold besides the counts."""

from tools.drill.scene import Drill, Scene
from tools.drill.system import BROKER, DATABASE, WORKER


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


def all_in_turn(scene: Scene) -> None:
    parts = [name for name in (BROKER, DATABASE, WORKER) if name in scene.system.parts]
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
            "all-in-turn",
            "kill -9 broker, database and worker, one after the other",
            all_in_turn,
            databases=("postgresql", "sqlite"),
            forgetful=("mosquitto",),
        ),
        Drill(
            "everything-at-once",
            "kill -9 everything at once",
            everything_at_once,
            forgetful=("mosquitto",),
        ),
    )
}
