"""The cloud's one composition root: `python -m cloud` runs ingest and web in one process, beside a broker by URL.

`domino serve` calls `run` too, after it has started a broker and the radio model of its own.
"""

import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import prometheus_client
import sqlalchemy as sa
import structlog
import uvicorn
from sqlalchemy.exc import OperationalError
from starlette.types import ASGIApp, Receive, Scope, Send

import cloud.accounts.store as accounts
import cloud.stamps.store as stamps
from cloud import database
from cloud.accounts.model import Role
from cloud.ingest.callbacks import PATH, Callbacks
from cloud.ingest.inlet import open_inlet, without_password
from cloud.ingest.keys import make_keys, read_keys
from cloud.ingest.receive import Limits
from cloud.ingest.writer import Writer
from cloud.live import Bell
from cloud.pages import STATIC
from cloud.secret import write_secret
from cloud.settings import FIRST_SIGN_IN, Settings, load
from cloud.stamps.allowance import Allowance
from cloud.stamps.desk import Desk
from cloud.stamps.keeper import Keeper, Terms
from cloud.stamps.lease import Lease
from cloud.stamps.vault import Vault, WrongKey
from cloud.web import create_app

BROKER_S = 20.0  # for the broker to answer at the start
STREAMS_END_S = 3  # how long open event streams may hold up a stop

log = structlog.get_logger(__name__)


class CannotStart(RuntimeError):
    """The settings or the machine do not allow a start; the message says what to change."""


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
    set_up_logs(settings.log_format)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)  # uvicorn raises the signal once more when it has stopped
    listener = _listen(settings.host, settings.http_port)
    keys = read_keys(settings.master_key_file) if settings.master_key_file else make_keys(settings.master_key)
    database.migrate(settings.database, keys.stamp_key)
    engine = database.connect(settings.database)
    vault, lease = Vault(keys.stamp_key()), Lease()
    _check_key(engine, vault, settings.master_key)
    _first_account(engine, settings.data_dir)

    registry = prometheus_client.CollectorRegistry()
    bell = Bell()
    terms = Terms(
        settings.stamp_pool,
        timedelta(days=settings.stamp_lifetime_days),
        timedelta(days=settings.stamp_quarantine_days),
    )
    keeper = Keeper(engine, vault, lease, terms, registry=registry, stamped=bell.ring)

    def committed() -> None:
        bell.ring()
        keeper.wake()

    limits = Limits(settings.uplinks_per_day, settings.downlinks_per_day)
    writer = Writer(engine, keys, limits=limits, lease=lease, registry=registry, committed=committed)
    inlet = open_inlet(
        broker_url,
        writer,
        registry=registry,
        partitions=settings.broker_partitions,
        replicas=settings.broker_replicas,
    )
    parts = (inlet, writer, keeper)
    threads = [threading.Thread(target=part.run, name=type(part).__name__, daemon=True) for part in parts]
    for thread in threads:
        thread.start()
    try:
        # Before anything publishes for it: a broker keeps nothing for a session that it has not met.
        if not inlet.wait_connected(BROKER_S):
            raise CannotStart(f"the broker does not answer: {without_password(broker_url)}")
        beside = start_beside()
        checks = {
            "database": lambda: not writer.held_up and _answers(engine),
            "broker": lambda: inlet.connected,
            "stamps": lambda: keeper.is_well,
            **beside,
        }
        desk = Desk(
            engine,
            vault,
            lambda: keeper.register,
            lambda: keeper.live,
            alpha=settings.stamp_false_accepts,
            allowance=Allowance(settings.stamp_misses_at_once, settings.stamp_misses_per_hour),
        )
        app = create_app(
            engine=engine,
            bell=bell,
            health=lambda: {name: is_well() for name, is_well in checks.items()},
            facts=lambda: {"stamps": keeper.facts()},
            registry=registry,
            vault=vault,
            desk=desk,
            vendor=STATIC / "vendor",
        )
        config = uvicorn.Config(
            _beside_callbacks(app, writer, settings),
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=STREAMS_END_S,
            server_header=False,
        )
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        ready = Ready(f"http://{host}:{listener.getsockname()[1]}")
        server = _Server(config, lambda: announce(ready), beside)
        app.state.stopping = lambda: server.should_exit  # open event streams end by themselves
        server.run(sockets=[listener])
        if server.missed:
            raise PartEnded(f"{server.missed} has ended by itself, and this service with it")
    finally:
        for part in parts:
            part.stop()
        for thread in threads:
            thread.join()
        engine.dispose()


def _beside_callbacks(pages: ASGIApp, writer: Writer, settings: Settings) -> ASGIApp:
    """The callbacks' inlet, where there is a secret for it, in front of the pages and none of their machinery."""
    if settings.callback_secret is None:
        return pages
    callbacks = Callbacks(
        writer,
        secret=settings.callback_secret.get_secret_value(),
        networks=settings.callback_addresses,
        renamed=settings.callback_fields,
    )

    async def divide(scope: Scope, receive: Receive, send: Send) -> None:
        is_callback = scope["type"] == "http" and (scope["path"] + "/").startswith(f"{PATH}/")
        await (callbacks if is_callback else pages)(scope, receive, send)

    return divide


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, started: Callable[[], object], beside: Mapping[str, Callable[[], bool]]
    ) -> None:
        super().__init__(config)
        self._announce = started
        self._beside = beside
        self.missed: str | None = None  # the process beside this one that ended and took the service with it

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._announce()

    async def on_tick(self, counter: int) -> bool:
        self.missed = next((name for name, is_running in self._beside.items() if not is_running()), None)
        self.should_exit = self.should_exit or self.missed is not None
        return await super().on_tick(counter)


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
        accounts.add(conn, name="admin", display_name="Administrator", role=Role.ADMIN, password=password, now=now)


def _check_key(engine: sa.Engine, vault: Vault, master_key: Path) -> None:
    try:
        with database.reading(engine) as conn:
            stamps.check_key(conn, vault)
    except WrongKey as error:
        raise CannotStart(f"{error}: {master_key}. Put back the one that belongs to this database") from None


def _answers(engine: sa.Engine) -> bool:
    try:
        with database.reading(engine) as conn:
            return conn.execute(sa.text("SELECT 1")).scalar() == 1
    except OperationalError:
        return False


def set_up_logs(log_format: str) -> None:
    """Structured logs on standard error: for people, or one JSON object a line."""
    structlog.configure(
        processors=[
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


def main() -> None:
    settings = load()
    if settings.broker_url is None:
        sys.exit("cloud: DOMINO_BROKER_URL is not set; `domino serve` starts a broker of its own")
    try:
        run(settings, settings.broker_url.get_secret_value(), lambda ready: log.info("ready", url=ready.http_url))
    except (CannotStart, PartEnded, ValueError, OSError) as error:
        sys.exit(f"cloud: {error}")


if __name__ == "__main__":
    main()
