"""What `domino bench` and `domino simulate` stand on: a running service, a broker for the boards, and the air between.

Both brokers and the service are processes of their own; the air is the radio model in this one
(docs/decisions/0100-the-bench-has-an-air-of-its-own.md).
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from cloud import database
from cloud.ingest.keys import sign_in
from cloud.settings import Settings
from simulator.bench.air import Air, NotReady
from simulator.radio.model import Impairments
from simulator.radio.service import BrokerAddress
from tools.bench.fleet_side import FleetSide
from tools.children import InUse, NotStarted, broker, locked, started
from tools.running import Running, find_running
from tools.terminal import Failure, settings

LOCK = "bench.lock"  # one bench or simulation a data folder: two would drive the same boards
# What a service that is started for the bench takes a day from one button: days pass quickly there.
OWN_LIMITS = {"DOMINO_UPLINKS_PER_DAY": "0", "DOMINO_DOWNLINKS_PER_DAY": "100000"}


@dataclass(frozen=True, slots=True)
class Stand:
    running: Running
    data_dir: Path
    fleet: FleetSide
    air: Air
    is_own: bool  # the service was started here, and ends with this


@contextmanager
def standing(
    data_dir: Path | None,
    *,
    seed: int,
    stations: int,
    impairments: Impairments,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Stand]:
    """Beside the service that runs on `data_dir`; without a folder, and none in the usual one, over one of its own.

    `environment` is for a service that is started here.
    """
    with ExitStack() as parts:
        try:
            chosen, running, is_own = _service(parts, data_dir, environment)
            parts.enter_context(locked(chosen.data_dir, LOCK))
            engine = database.connect(chosen.database)
            parts.callback(engine.dispose)
            folder = chosen.data_dir / "bench"
            own = parts.enter_context(broker(folder, 0, folder / "nats.log"))
            fleet = FleetSide(engine, chosen, running.http_url, own.port)
            air = Air(
                BrokerAddress.parse(own.url),
                BrokerAddress.parse(_network(chosen, running)),
                seed=seed,
                stations=stations,
                impairments=impairments,
            )
            parts.enter_context(air)
        except (InUse, NotStarted, NotReady) as error:
            raise Failure(str(error)) from None
        yield Stand(running, chosen.data_dir, fleet, air, is_own)


def _service(parts: ExitStack, data_dir: Path | None, environment: Mapping[str, str]) -> tuple[Settings, Running, bool]:
    chosen = settings(data_dir=data_dir)
    try:
        return chosen, find_running(chosen.data_dir), False
    except Failure:
        if data_dir is not None:
            raise
    folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="domino-bench-")))
    command = [sys.executable, "-m", "tools.main", "serve", "--json", "--data-dir", str(folder)]
    command += ["--http-port", "0", "--mqtt-port", "0", "--no-radio"]
    log = folder / "serve.log"
    parts.enter_context(
        started("domino serve", command, log, lambda log: '{"pid"' in log, environment={**OWN_LIMITS, **environment})
    )
    return settings(data_dir=folder), find_running(folder), True


def _network(chosen: Settings, running: Running) -> str:
    """The cloud's broker, as the radio model reaches it."""
    if running.mqtt_port is not None:
        return f"mqtt://127.0.0.1:{running.mqtt_port}"
    url = sign_in(chosen.broker_url.get_secret_value(), lambda: chosen.keys(make=True)) if chosen.broker_url else ""
    if not url.startswith("mqtt://"):
        raise Failure("the bench’s radio model speaks MQTT: it needs a service on an mqtt:// broker")
    return url
