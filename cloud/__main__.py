"""The cloud's one composition root: `python -m cloud` runs ingest and web in one process, beside a broker by URL.

`domino serve` calls `run` too, after it has started a broker and the radio model of its own. `python -m cloud web` is
the pages alone, and `python -m cloud worker N` ingest alone, one of any number that share the work: `domino ingest`
starts and minds those of one machine.
"""

import json
import math
import secrets
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import prometheus_client
import sqlalchemy as sa
import structlog
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

import cloud.accounts.store as accounts
import cloud.fleet.store as fleet
import cloud.stamps.store as stamps
from cloud import database
from cloud.accounts.model import Role
from cloud.accounts.notes import Notes
from cloud.audit.store import record
from cloud.audit.watch import Watch
from cloud.console.keeper import FigureKeeper
from cloud.frames import store as frames
from cloud.frames.keeper import LogKeeper
from cloud.frames.metrics import Links
from cloud.frames.patience import Scales
from cloud.health import Check, Health, WriteProbe
from cloud.ingest.callbacks import PATH, Callbacks
from cloud.ingest.inlet import Inlet, is_shared, open_inlet, speaks_mqtt, without_password
from cloud.ingest.keys import Keys, sign_in
from cloud.ingest.probe import BrokerProbe
from cloud.ingest.receive import Limits
from cloud.ingest.writer import Writer, spare_the_collector
from cloud.live import Bell, Ear
from cloud.secret import write_secret
from cloud.settings import FIRST_SIGN_IN, Settings, load
from cloud.stamps.keeper import Keeper, Terms
from cloud.stamps.lease import Lease
from cloud.stamps.vault import Vault, WrongKey
from cloud.status import Status

if TYPE_CHECKING:
    from fastapi import FastAPI

BROKER_S = 20.0  # for the broker to answer at the start
STREAMS_END_S = 3  # how long open event streams may hold up a stop

# Of a broker by which several workers would each get every message, or none.
NOT_SHARED = (
    "this broker has no shared subscriptions ($share), so it takes one worker alone:"
    " Mosquitto, EMQX and HiveMQ have them, nats-server has not"
)

log = structlog.get_logger(__name__)


class CannotStart(RuntimeError):
    """The settings or the machine do not allow a start; the message says what to change."""


class NotRetired(RuntimeError):
    """A worker that was to end for good ended too early: the broker still keeps messages for it."""


class PartEnded(RuntimeError):
    """A process that the service cannot do without has ended, and the service with it: a supervisor starts it anew."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Where the service is reached."""

    http_url: str


Announce = Callable[[Ready], None]


def run(
    settings: Settings,
    broker_url: str,
    announce: Announce,
    start_beside: Callable[[], Mapping[str, Callable[[], bool]]] = dict,
) -> None:
    """Serve until SIGINT or SIGTERM; `announce` is called once everything answers. Raises `CannotStart`, `PartEnded`.

    `start_beside` starts what needs a listening ingest, such as the radio model, and gives what each process beside
    this one is called and whether it runs: /health tells it, and the service ends with the first that does not.
    """
    set_up_logs(settings.log_format, settings.log_level)
    _end_on_signals()
    listener = _listen(settings.host, settings.http_port)
    opened = _open(settings)
    _first_account(opened.engine, settings.data_dir)

    registry = _registry(settings)
    registry.register(Links(opened.engine))
    bell = Bell()
    keeper = _keeper(opened, settings, registry, stamped=bell.ring)

    def committed() -> None:
        bell.ring()
        keeper.wake()

    writer = _writer(opened, settings, registry, committed)
    inlet = _inlet(settings, broker_url, writer, registry=registry)
    health = _health(opened, registry, keeper, writer)
    probes = _watch_broker(health, broker_url, inlet, registry)
    parts = (
        inlet,
        writer,
        keeper,
        Ear(opened.engine, committed),
        LogKeeper(opened.engine, settings.frames_kept_days),
        Scales(opened.engine),
        FigureKeeper(opened.engine, settings.frames_kept_days, registry),
        trail := Watch(opened.engine, registry=registry),
        notes := Notes(opened.engine),
        *probes,
        *health.parts,
        *_alerts(opened, settings, registry, health.whole, bell, writer.waited_s),
    )
    with _running(opened, parts) as runs:
        # Before anything publishes for it: a broker keeps nothing for a session that it has not met.
        if not inlet.wait_connected(BROKER_S):
            raise CannotStart(f"the broker does not answer: {without_password(broker_url)}")
        for probe in probes:
            probe.wait_tried(1, BROKER_S)
        beside = start_beside()
        for name, is_running in beside.items():
            health.whole.add(name, _running_check(is_running))
        app = _pages(opened, settings, bell, keeper, registry, health.whole, runs, notes, trail)
        spare_the_collector()
        server = _Server(_beside_callbacks(app, writer, settings, registry), listener, announce, beside)
        app.state.stopping = lambda: server.should_exit  # open event streams end by themselves
        server.serve_until_ended()
        if server.missed:
            raise PartEnded(f"{server.missed} has ended by itself, and this service with it")


def run_web(settings: Settings, announce: Announce) -> None:
    """The pages without ingest, which runs elsewhere on the same database; else as `run`."""
    set_up_logs(settings.log_format, settings.log_level)
    _end_on_signals()
    listener = _listen(settings.host, settings.http_port)
    opened = _open(settings)
    _first_account(opened.engine, settings.data_dir)

    registry = _registry(settings)
    registry.register(Links(opened.engine))
    bell = Bell()
    keeper = _keeper(opened, settings, registry, stamped=bell.ring)

    def heard() -> None:
        bell.ring()
        keeper.wake()  # the workers may want codes

    health = _health(opened, registry, keeper)
    parts = (
        keeper,
        Ear(opened.engine, heard),
        LogKeeper(opened.engine, settings.frames_kept_days),
        Scales(opened.engine),
        FigureKeeper(opened.engine, settings.frames_kept_days, registry),
        trail := Watch(opened.engine, registry=registry),
        notes := Notes(opened.engine),
        *health.parts,
        *_alerts(opened, settings, registry, health.whole, bell),
    )
    with _running(opened, parts) as runs:
        app = _pages(opened, settings, bell, keeper, registry, health.whole, runs, notes, trail)
        server = _Server(app, listener, announce)
        app.state.stopping = lambda: server.should_exit
        server.serve_until_ended()


@dataclass(frozen=True, slots=True)
class Worker:
    """One of those that share the ingest: `number` counts from 1 on its machine, and with the name is its session's."""

    number: int
    retiring: bool = False  # takes what the broker still holds for it, and ends for good


def run_worker(settings: Settings, broker_url: str, worker: Worker, announce: Announce) -> None:
    """Ingest without pages, until SIGINT or SIGTERM, or until it is retired; else as `run`.

    It mints no stamps, and so loads no register: it leases from what a process with pages has minted.
    """
    set_up_logs(settings.log_format, settings.log_level, worker=worker.number)
    _end_on_signals()
    listener = _listen(settings.host, settings.ingest_port and settings.ingest_port + worker.number)
    shares = is_shared(broker_url)
    if worker.number > 1 and not shares:
        raise CannotStart(NOT_SHARED)
    opened = _open(settings)
    registry = _registry(settings)
    keeper = _keeper(opened, settings, registry, mints=False)
    writer = _writer(opened, settings, registry, keeper.wake)
    inlet = _inlet(
        settings,
        broker_url,
        writer,
        registry=registry,
        client_id=f"domino-{settings.worker_name}-{worker.number}",
        group=settings.share_group if shares else None,
        retiring=worker.retiring,
    )
    health = _health(opened, registry, keeper, writer)
    probes = _watch_broker(health, broker_url, inlet, registry, retiring=worker.retiring)
    try:
        with _running(opened, (inlet, writer, keeper, *probes, *health.parts)) as runs:
            if not worker.retiring and not inlet.wait_connected(BROKER_S):
                raise CannotStart(f"the broker does not answer: {without_password(broker_url)}")
            for probe in probes:
                probe.wait_tried(1, BROKER_S)
            status = Status(health.whole.look, registry, runs=runs, worker=worker.number)
            ends = {"the session": lambda: not inlet.retired} if worker.retiring else {}
            spare_the_collector()
            _Server(_beside_callbacks(status, writer, settings, registry), listener, announce, ends).serve_until_ended()
    finally:
        if worker.retiring and not inlet.retired:
            raise NotRetired(f"worker {worker.number} ended before the broker had nothing left for it")


@dataclass(frozen=True, slots=True)
class _Opened:
    """The database, up to date, and the secrets that belong to it."""

    engine: sa.Engine
    keys: Keys
    vault: Vault
    lease: Lease


def _open(settings: Settings) -> _Opened:
    keys = settings.keys(make=True)
    database.migrate(settings.database, keys.stamp_key)
    engine = database.connect(settings.database)
    vault = keys.vault()
    _check_keys(engine, keys, vault, settings.master_key)
    return _Opened(engine, keys, vault, Lease())


def _keeper(opened: _Opened, settings: Settings, registry: prometheus_client.CollectorRegistry, **how: Any) -> Keeper:
    terms = Terms(
        settings.stamp_pool,
        timedelta(days=settings.stamp_lifetime_days),
        timedelta(days=settings.stamp_quarantine_days),
    )
    return Keeper(opened.engine, opened.vault, opened.lease, terms, registry=registry, traces=frames.traces, **how)


def _writer(
    opened: _Opened,
    settings: Settings,
    registry: prometheus_client.CollectorRegistry,
    committed: Callable[[], object],
) -> Writer:
    limits = Limits(settings.uplinks_per_day, settings.downlinks_per_day)
    return Writer(
        opened.engine,
        opened.keys,
        limits=limits,
        lease=opened.lease,
        registry=registry,
        committed=committed,
        lines_per_second=settings.log_messages_per_second,
    )


def _inlet(settings: Settings, broker_url: str, writer: Writer, **how: Any) -> Inlet:
    return open_inlet(
        broker_url, writer, partitions=settings.broker_partitions, replicas=settings.broker_replicas, **how
    )


@dataclass(frozen=True, slots=True)
class _Watch:
    """What every role is asked after."""

    whole: Health
    writes: WriteProbe

    @property
    def parts(self) -> tuple["_Part", ...]:
        return self.writes, self.whole


def _health(
    opened: _Opened, registry: prometheus_client.CollectorRegistry, keeper: Keeper, writer: Writer | None = None
) -> _Watch:
    writes = WriteProbe(
        opened.engine,
        registry=registry,
        written_at=lambda: -math.inf if writer is None else writer.written_at,
        trouble=lambda: None if writer is None else writer.trouble,
    )
    return _Watch(Health({"database": writes.why, "stamps": keeper.why}, registry=registry), writes)


def _watch_broker(
    watch: _Watch,
    broker_url: str,
    inlet: Inlet,
    registry: prometheus_client.CollectorRegistry,
    *,
    retiring: bool = False,
) -> list[BrokerProbe]:
    """What has to run for it. `retiring`: its subscription is to end."""
    probes = [BrokerProbe(broker_url, registry=registry)] if speaks_mqtt(broker_url) else []
    for probe in probes:
        watch.whole.add("broker", probe.why)
    if not retiring:
        watch.whole.add("inlet", lambda: None if inlet.connected else "not subscribed at the broker")
    return probes


def _alerts(
    opened: _Opened,
    settings: Settings,
    registry: prometheus_client.CollectorRegistry,
    health: Health,
    bell: Bell,
    waited_s: Callable[[], float] = lambda: 0.0,
) -> "tuple[_Part, ...]":
    """Who watches and who sends. They are no part of the health: a webhook that is away makes nobody unready."""
    # Here, as with the pages: a worker watches nothing.
    from cloud.alerts import mail
    from cloud.alerts.checks import Around
    from cloud.alerts.keeper import Watch
    from cloud.alerts.metrics import Alerts
    from cloud.alerts.post import Post

    def space() -> tuple[int, int]:
        here = shutil.disk_usage(settings.data_dir)
        return here.free, here.total

    around = Around(
        host=socket.gethostname(), health=health.look, waited_s=waited_s, disk=space, pool=settings.stamp_pool
    )
    server = None
    if settings.smtp_url is not None and settings.mail_from is not None:
        server = mail.Server(settings.smtp_url.get_secret_value(), settings.mail_from)
    registry.register(Alerts(opened.engine))
    watch = Watch(opened.engine, around, registry=registry, given=settings.alert_rules, changed=bell.ring)
    post = Post(opened.engine, opened.keys.safe(), registry=registry, server=server, url=settings.public_url or "")
    return watch, post


def _running_check(is_running: Callable[[], bool]) -> Check:
    return lambda: None if is_running() else "the process has ended"


def _registry(settings: Settings) -> prometheus_client.CollectorRegistry:
    """With what Prometheus is told of every process and its machine, whatever its role."""
    registry, data_dir = prometheus_client.CollectorRegistry(), settings.data_dir
    prometheus_client.ProcessCollector(registry=registry)
    info = prometheus_client.Info("domino_build", "The version that runs", registry=registry)
    info.info({"version": version("domino")})
    free = prometheus_client.Gauge("domino_disk_free_bytes", "Free space at the data folder", registry=registry)
    free.set_function(lambda: shutil.disk_usage(data_dir).free)
    size = prometheus_client.Gauge("domino_disk_size_bytes", "All space at the data folder", registry=registry)
    size.set_function(lambda: shutil.disk_usage(data_dir).total)
    return registry


class _Part(Protocol):
    """What runs in a thread of its own until it is stopped."""

    def run(self) -> None: ...
    def stop(self) -> None: ...


@contextmanager
def _running(opened: _Opened, parts: Sequence[_Part]) -> Iterator[Callable[[], dict[str, bool]]]:
    """The parts in their threads, and what tells whether each runs.

    They are stopped one after the other, so that nothing comes in when its reader has ended.
    """
    threads = [threading.Thread(target=part.run, name=type(part).__name__, daemon=True) for part in parts]
    for thread in threads:
        thread.start()
    try:
        yield lambda: {thread.name: thread.is_alive() for thread in threads}
    finally:
        for part, thread in zip(parts, threads, strict=True):
            part.stop()
            thread.join()
        opened.engine.dispose()


def _pages(
    opened: _Opened,
    settings: Settings,
    bell: Bell,
    keeper: Keeper,
    registry: prometheus_client.CollectorRegistry,
    health: Health,
    runs: Callable[[], dict[str, bool]],
    notes: Notes,
    trail: Watch,
) -> "FastAPI":
    # Here, because a worker needs none of it, and it is half of what this process holds in memory.
    from cloud.alerts.pages import Means
    from cloud.pages import STATIC
    from cloud.pickups.store import redeemed
    from cloud.stamps.allowance import Allowance
    from cloud.stamps.desk import Desk
    from cloud.web import create_app

    desk = Desk(
        opened.engine,
        opened.vault,
        lambda: keeper.register,
        lambda: keeper.live,
        alpha=settings.stamp_false_accepts,
        allowance=Allowance(settings.stamp_misses_at_once, settings.stamp_misses_per_hour),
        paid=redeemed,
    )
    return create_app(
        engine=opened.engine,
        bell=bell,
        health=health.look,
        runs=runs,
        facts=lambda: {"stamps": keeper.facts(), "audit": trail.facts()},
        registry=registry,
        vault=opened.vault,
        desk=desk,
        vendor=STATIC / "vendor",
        downlinks_per_day=settings.downlinks_per_day,
        key_master=opened.keys.number,
        keys=opened.keys,
        alerts=Means(opened.keys.safe(), settings.alert_rules, settings.smtp_url is not None),
        notes=notes,
        trail=lambda: trail.seen,
        bench_url=settings.bench_url,
    )


def _beside_callbacks(
    pages: ASGIApp, writer: Writer, settings: Settings, registry: prometheus_client.CollectorRegistry
) -> ASGIApp:
    """The callbacks' inlet, where there is a secret for it, in front of the pages and none of their machinery."""
    if settings.callback_secret is None:
        return pages
    callbacks = Callbacks(
        writer,
        secret=settings.callback_secret.get_secret_value(),
        networks=settings.callback_addresses,
        renamed=settings.callback_fields,
        per_second=settings.callbacks_per_second,
        registry=registry,
    )

    async def divide(scope: Scope, receive: Receive, send: Send) -> None:
        is_callback = scope["type"] == "http" and (scope["path"] + "/").startswith(f"{PATH}/")
        await (callbacks if is_callback else pages)(scope, receive, send)

    return divide


class _Server(uvicorn.Server):
    """Serves `app` on `listener` until a signal, or until one of `beside` runs no more, which `missed` then names."""

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        announce: Announce,
        beside: Mapping[str, Callable[[], bool]] = MappingProxyType({}),
    ) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=STREAMS_END_S,
            server_header=False,
        )
        super().__init__(config)
        host, port = listener.getsockname()[:2]
        self._listener = listener
        self._announce = announce
        self._ready = Ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
        self._beside = beside
        self.missed: str | None = None

    def serve_until_ended(self) -> None:
        self.run(sockets=[self._listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._announce(self._ready)

    async def on_tick(self, counter: int) -> bool:
        self.missed = next((name for name, is_running in self._beside.items() if not is_running()), None)
        self.should_exit = self.should_exit or self.missed is not None
        return await super().on_tick(counter)


def _end_on_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)  # uvicorn raises the signal once more when it has stopped


def _end(*_: object) -> None:
    sys.exit(0)


def _listen(host: str, port: int) -> socket.socket:
    # With its protocol named: asyncio turns Nagle's algorithm off only then, and it costs 40 ms an answer.
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        raise CannotStart(f"the web pages cannot listen on {host}:{port}: {error.strerror}; try --http-port") from None
    return listener


def _first_account(engine: sa.Engine, data_dir: Path) -> None:
    """Give an empty service its first administrator; the password goes to a file that only its owner reads."""
    with engine.begin() as conn:
        if accounts.any_staff(conn):
            return
        password = secrets.token_urlsafe(12)
        (data_dir / FIRST_SIGN_IN).unlink(missing_ok=True)  # of a database that is no more
        write_secret(data_dir / FIRST_SIGN_IN, f"admin\n{password}\n")
        now = database.now()
        admin = accounts.add(
            conn, name="admin", display_name="Administrator", role=Role.ADMIN, password=password, now=now
        )
        record(conn, actor="service", action="account.add", subject=admin.subject, now=now, role=admin.role)


def _check_keys(engine: sa.Engine, keys: Keys, vault: Vault, master_key: Path) -> None:
    """Whoever lacks a master key that is in use would refuse good presses; who has one more would be misunderstood."""
    with database.reading(engine) as conn:
        try:
            stamps.check_key(conn, vault)
        except WrongKey as error:
            raise CannotStart(f"{error}: {master_key}. Put back the one that belongs to this database") from None
        if missing := fleet.masters_beyond(conn, keys.numbers):
            raise CannotStart(f"buttons have keys from master key {missing}, which is not here: {master_key}")
        if behind := stamps.holders_without_key(conn, keys.number, database.now()):
            raise CannotStart(f"{', '.join(behind)} runs without master key {keys.number}: stop it, then start both")


def set_up_logs(log_format: str, level: str = "info", **always: object) -> None:
    """Structured logs on standard error, from `level` on: for people, or one JSON object a line.

    Each has what is `always` said, and what its thread has bound: the writer's batch.
    """

    def say_always(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return {**event, **always}

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        processors=[
            structlog.contextvars.merge_contextvars,
            say_always,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("iso", utc=True),
            structlog.processors.format_exc_info if log_format == "json" else _as_is,
            structlog.processors.JSONRenderer() if log_format == "json" else structlog.dev.ConsoleRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _as_is(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return event


def main(arguments: Sequence[str]) -> None:
    """`python -m cloud [web | worker N [--retire]]`; each says where it is reached on a line of standard output."""
    settings = load()

    def announce(ready: Ready) -> None:
        log.info("ready", url=ready.http_url)

    def tell(ready: Ready) -> None:
        print(json.dumps(asdict(ready)), flush=True)  # noqa: T201  `domino ingest` reads it

    broker_url = None if settings.broker_url is None else settings.broker_url.get_secret_value()
    try:
        if broker_url is not None:
            broker_url = sign_in(broker_url, settings.keys)
        match arguments:
            case ["web"]:
                run_web(settings, announce)
            case _ if broker_url is None:
                sys.exit("cloud: DOMINO_BROKER_URL is not set; `domino serve` starts a broker of its own")
            case []:
                run(settings, broker_url, announce)
            case ["worker", number, *how] if number.isdecimal() and int(number) and how in ([], ["--retire"]):
                run_worker(settings, broker_url, Worker(int(number), retiring=bool(how)), tell)
            case _:
                sys.exit("usage: python -m cloud [web | worker N [--retire]]")
    except (CannotStart, NotRetired, PartEnded, ValueError, OSError) as error:
        sys.exit(f"cloud: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
