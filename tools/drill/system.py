"""The system that is drilled, as processes of its own: a broker, a database, a worker; each can be killed and started.

They are children of the thread that starts them (see `tools.children`), so only the main thread starts them.
"""

import os
import secrets
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from cloud import database
from cloud.fleet.model import State
from cloud.fleet.store import buttons
from cloud.ingest.keys import Keys, make_keys
from tools import children, cluster, postgres
from tools.children import Child, NotStarted
from tools.drill.audit import Database
from tools.drill.disk import Disk
from tools.drill.network import Network
from tools.drill.senders import Callee, Login

GENERATOR, BROKER, WORKER, DATABASE = "generator", "broker", "worker", "database"
CAP_SYS_ADMIN = 21  # <linux/capability.h>
TRIES = 10  # to start beside what a killed one has left behind
POSTGRES_PORT = 5432
# Debian's defaults keep what was committed through a power cut; the rest is for a small machine.
POSTGRES = {
    "listen_addresses": "",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "max_wal_size": "256MB",
    "recovery_init_sync_method": "syncfs",
}
SMALL_POSTGRES = POSTGRES | {"shared_buffers": "16MB", "max_wal_size": "8MB", "min_wal_size": "2MB"}

Where = Callable[[], AbstractContextManager[object]]


class Part:
    """A process of the system. It is started again by hand, or by `mend` when it ended by itself."""

    def __init__(
        self, name: str, running: Callable[[], AbstractContextManager[Child]], where: Where = nullcontext
    ) -> None:
        self.name = name
        self._running, self._where = running, where
        self._stack: ExitStack | None = None
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        assert self._child
        return self._child.pid

    @property
    def has_ended(self) -> bool:
        """Whether it is gone and nobody told it to."""
        return self._child is not None and not self._child.is_running()

    def start(self, tries: int = TRIES) -> None:
        for left in reversed(range(tries)):
            stack = ExitStack()
            try:
                with self._where():
                    self._child = stack.enter_context(self._running())
                self._stack = stack
                return
            except NotStarted:
                if not left:
                    raise
                time.sleep(0.3)

    def kill(self) -> None:
        """SIGKILL to it and all that it started."""
        for pid in [self.pid, *descendants(self.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        """As a supervisor does: SIGTERM, and SIGKILL for who does not go. Nothing when it is not there."""
        self._child = None
        if self._stack:
            self._stack.close()
        self._stack = None


@dataclass
class System:
    """All parts, running."""

    parts: dict[str, Part]
    keys: Keys
    callee: Callee
    brokers: list[tuple[str, int]]  # where the generator finds them
    login: Login | None  # there
    audit: Database
    database_kind: str
    database_url: str  # for whoever sits on the database's own machine
    data_dir: Path
    generator: Where = nullcontext
    network: Network | None = None
    clock: Path | None = None  # the file that says how far the worker's clock is off
    add_buttons: Callable[[Sequence[int]], None] = field(default=lambda _: None)

    def mend(self) -> list[str]:
        """Start what ended by itself, as a supervisor does; gives what was started, or could not be."""
        said = []
        for part in self.parts.values():
            if part.has_ended:
                part.stop()
                try:
                    part.start(tries=1)
                    said.append(f"the {part.name} had ended by itself and was started again")
                except NotStarted:
                    part._child = _Ended()  # tried again later
                    said.append(f"the {part.name} ended by itself and does not start yet")
        return said


class _Ended(Child):
    """Stands for a part that could not be started."""

    def __init__(self) -> None:
        pass

    def is_running(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Layout:
    """Which parts, and where they keep their things."""

    database: str = "sqlite"
    broker: str = "nats"
    database_disk: Disk | None = None
    broker_disk: Disk | None = None
    network: Network | None = None
    fakes_clock: bool = False
    ack_wait_s: float = children.ACK_WAIT_S  # of nats-server
    settings: Mapping[str, str] = field(default_factory=dict)  # of the worker, by its variables


@contextmanager
def system(layout: Layout, folder: Path) -> Iterator[System]:
    """Every part up and answering, an empty fleet; all ended at the end."""
    data_dir = folder / "data"
    data_dir.mkdir(mode=0o700)
    with ExitStack() as stack:
        # Last in, first out: the worker goes first.
        if layout.database == "postgresql":
            database_part, url, worker_url, audit = _postgresql(layout, stack)
        else:
            file = (layout.database_disk.folder if layout.database_disk else data_dir) / "domino.db"
            database_part, audit = None, Database(file)
            url = worker_url = f"sqlite:///{file}"
        keys = make_keys(data_dir / "master.key")
        database.migrate(url, keys.stamp_key)

        broker_parts, brokers, login, worker_broker_url = _brokers(layout, folder, stack)
        secret = secrets.token_hex(16)
        address = layout.network.address(WORKER, GENERATOR) if layout.network else children.LOOPBACK
        callee = Callee(address, free_port(), secret)
        clock = folder / "clock" if layout.fakes_clock else None
        environment = {
            "DOMINO_DATA_DIR": str(data_dir),
            "DOMINO_DATABASE_URL": worker_url,
            "DOMINO_BROKER_URL": worker_broker_url,
            "DOMINO_HOST": "0.0.0.0" if layout.network else children.LOOPBACK,  # noqa: S104  in its own namespace
            "DOMINO_HTTP_PORT": str(callee.port),
            "DOMINO_CALLBACK_SECRET": secret,
            "DOMINO_UPLINKS_PER_DAY": "0",
            "DOMINO_LOG_FORMAT": "json",
            **layout.settings,
            **(_faked(clock) if clock else {}),
        }

        def worker() -> AbstractContextManager[Child]:
            return _worker(environment, data_dir / "worker.log")

        parts = {part.name: part for part in (*broker_parts, *([database_part] if database_part else []))}
        parts[WORKER] = Part(WORKER, worker, _where(layout, WORKER))
        stack.callback(parts[WORKER].stop)
        parts[WORKER].start()
        yield System(
            parts=parts,
            keys=keys,
            callee=callee,
            brokers=brokers,
            login=login,
            audit=audit,
            database_kind=layout.database,
            database_url=url,
            data_dir=data_dir,
            generator=_where(layout, GENERATOR),
            network=layout.network,
            clock=clock,
            add_buttons=lambda devices: add_buttons(url, devices),
        )


def _where(layout: Layout, name: str) -> Where:
    network = layout.network
    return nullcontext if network is None else lambda: network.inside(name)


def _postgresql(layout: Layout, stack: ExitStack) -> tuple[Part, str, str, Database]:
    small = layout.database_disk is not None
    data = layout.database_disk.folder / "data" if layout.database_disk else None
    options = ("--wal-segsize=1",) if small else ()
    home = stack.enter_context(postgres.prepared(data, *options))
    running = SMALL_POSTGRES if small else POSTGRES
    worker_url = home.url("domino")
    if layout.network:
        address = layout.network.address(DATABASE, WORKER)
        running = running | {"listen_addresses": address, "port": str(POSTGRES_PORT)}
        home.take_connections_from("10.213.0.0/16")
        worker_url = f"postgresql+psycopg://domino@{address}:{POSTGRES_PORT}/domino"
    part = Part(DATABASE, lambda: home.running(running), _where(layout, DATABASE))
    part.start()
    stack.callback(part.stop)
    engine = sa.create_engine(home.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as conn:
        conn.exec_driver_sql("CREATE DATABASE domino")
    return part, home.url("domino"), worker_url, Database(f"host={home.folder} user=domino dbname=domino")


Brokers = tuple[list[Part], list[tuple[str, int]], Login | None, str]  # and the URL that the worker is given


def _brokers(layout: Layout, folder: Path, stack: ExitStack) -> Brokers:
    if layout.broker == "cluster":
        return _cluster(folder, stack)
    host = "0.0.0.0" if layout.network else children.LOOPBACK  # noqa: S104  in its own namespace
    store = layout.broker_disk.folder if layout.broker_disk else folder / "broker"
    store.mkdir(mode=0o700, exist_ok=True)
    port = free_port()

    def running() -> AbstractContextManager[Child]:
        if layout.broker == "mosquitto":
            return children.mosquitto(store, port, host)
        return children.broker(store, port, folder / "nats.log", host, layout.ack_wait_s)

    part = Part(BROKER, running, _where(layout, BROKER))
    part.start()
    stack.callback(part.stop)
    reached = {peer: layout.network.address(BROKER, peer) if layout.network else host for peer in (GENERATOR, WORKER)}
    return [part], [(reached[GENERATOR], port)], None, f"mqtt://{reached[WORKER]}:{port}"


def _cluster(folder: Path, stack: ExitStack) -> Brokers:
    """Three nats-servers. Whoever is killed is up again once it takes MQTT, for which it has to meet the others."""
    made = stack.enter_context(cluster.cluster(folder / "cluster"))
    login = ("network", made.passwords["network"])

    def running(node: cluster.Node) -> Callable[[], AbstractContextManager[Child]]:
        @contextmanager
        def runs() -> Iterator[Child]:
            try:
                if not node.is_running:
                    node.start()
                made.wait_ready()
                assert node.process
                yield Child(node.process)
            finally:
                node.stop()

        return runs

    parts = [Part(node.name, running(node)) for node in made.nodes]
    for part in parts:
        part.start()
        stack.callback(part.stop)
    return parts, [(children.LOOPBACK, node.mqtt_port) for node in made.nodes], login, made.url


@contextmanager
def _worker(environment: Mapping[str, str], log_file: Path) -> Iterator[Child]:
    command = [sys.executable, "-m", "cloud"]
    with children.started("the worker", command, log_file, is_worker_ready, environment=environment) as process:
        yield Child(process)


def is_worker_ready(log: str) -> bool:
    return '"event": "ready"' in log


def _faked(clock: Path) -> dict[str, str]:
    """The worker's wall clock is as far off as the file says; its monotonic clock is not, as on a real machine."""
    clock.write_text("+0\n")
    return {
        "LD_PRELOAD": str(faketime()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",  # files keep their times, as on a real machine
        # What it does for an old glibc makes each wait of Python's threads for one another end at once: they spin.
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    }


def faketime() -> Path | None:
    """Debian's library, if it is there. Not its variant for threads, which takes as long as all else: 50 µs a look."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)


def add_buttons(url: str, devices: Sequence[int]) -> None:
    """A made fleet, straight into its table: a hundred thousand by the command line would take an hour."""
    engine = database.connect(url)
    now = database.now()
    with engine.begin() as conn:
        conn.execute(sa.insert(buttons), [{"id": one, "state": State.ACTIVE, "created_at": now} for one in devices])
    engine.dispose()


def descendants(pid: int) -> list[int]:
    found = []
    try:
        children_of = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return found
    for child in map(int, children_of):
        found += [child, *descendants(child)]
    return found


def free_port() -> int:
    with socket.create_server((children.LOOPBACK, 0)) as probe:
        return probe.getsockname()[1]


def missing(needs: Iterable[str]) -> list[str]:
    """What this machine lacks for a drill that `needs` these: `root`, `loop devices`, `libfaketime`, or a program."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    there = {
        "root": is_mighty,
        "loop devices": Path("/dev/loop-control").exists,
        "libfaketime": lambda: faketime() is not None,
    }
    return [
        need for need in needs if not there.get(need, lambda need=need: shutil.which(need, path=path) is not None)()
    ]


def is_mighty() -> bool:
    """Whether this process may mount and make networks, which root in a container often may not."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            return bool(int(value, 16) >> CAP_SYS_ADMIN & 1)
    return False
