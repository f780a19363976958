"""A shared broker with the accounts of `domino broker accounts`: what a button may do there, and what it may not."""

import base64
import json
import queue
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from typer.testing import CliRunner

from cloud.fleet.model import format_id
from cloud.ingest.keys import Keys, make_keys
from simulator.board.vm import Board
from tests.deploy.mosquitto import Secured, free_port, make_certificate, mosquitto
from tools import children
from tools.broker import Account, nats
from tools.broker import mosquitto as files_of
from tools.main import app

ONE, OTHER = 0x0012AB34, 0x0012AB35
WAIT_S = 30


class Fleet:
    """A data folder with two buttons, and the folder of its broker's accounts."""

    def __init__(self, folder: Path) -> None:
        self.data, self.accounts = folder / "data", folder / "accounts"
        self.data.mkdir()
        self.keys: Keys = make_keys(self.data / "master.key")
        for device in (ONE, OTHER):
            self.domino("button", "add", format_id(device))

    def domino(self, *arguments: str) -> str:
        done = CliRunner().invoke(app, [*arguments, "--data-dir", str(self.data)])
        assert done.exit_code == 0, done.output
        return done.stdout

    def write(self, *how: str) -> dict[str, Any]:
        return json.loads(self.domino("broker", "accounts", "--out", str(self.accounts), "--json", *how))

    def password(self, user: str) -> str:
        return self.keys.broker_password(user)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


@pytest.fixture
def shared(fleet: Fleet, tmp_path: Path) -> Iterator[Secured]:
    fleet.write()
    with mosquitto(tmp_path / "mosquitto", fleet.accounts) as running:
        yield running


class Client:
    """A client that says what the broker answered."""

    def __init__(self, port: int, user: str | None, password: str | None, ca: Path | None = None) -> None:
        self._said: queue.Queue[tuple[str, Any]] = queue.Queue()
        client = self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        if user is not None:
            client.username_pw_set(user, password)
        if ca:
            client.tls_set(str(ca))
        client.on_connect = lambda _c, _d, _f, reason, _p: self._said.put(("connected", reason.is_failure))
        client.on_subscribe = lambda _c, _d, _m, reasons, _p: self._said.put(("subscribed", reasons[0].is_failure))
        client.on_message = lambda _c, _d, message: self._said.put(("message", (message.topic, message.payload)))
        client.on_publish = lambda *_: self._said.put(("published", None))
        client.on_disconnect = lambda *_: self._said.put(("disconnected", None))
        client.connect("localhost" if ca else "127.0.0.1", port)
        client.loop_start()
        self.is_let_in = not self.wait("connected")

    def wait(self, what: str) -> Any:
        while True:
            said, value = self._said.get(timeout=WAIT_S)
            if said == what:
                return value

    def subscribe(self, topic: str) -> bool:
        self._client.subscribe(topic, 1)
        return not self.wait("subscribed")

    def send(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, 1)

    def publish(self, topic: str, payload: bytes) -> None:
        self.send(topic, payload)
        self.wait("published")

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def client(port: int, user: str | None, password: str | None, ca: Path | None = None) -> Iterator[Client]:
    one = Client(port, user, password, ca)
    try:
        yield one
    finally:
        one.close()


def check_rights(port: int, keys: Keys) -> None:
    """Buttons have their own topics alone, services theirs; whatever else is published reaches nobody."""
    one, other = format_id(ONE), format_id(OTHER)
    with (
        client(port, "radio", keys.broker_password("radio")) as radio,
        client(port, "ingest", keys.broker_password("ingest")) as ingest,
        client(port, one, keys.broker_password(one)) as button,
    ):
        assert radio.subscribe("air/+/up")
        assert ingest.subscribe("sigfox/+/up")
        assert button.subscribe(f"air/{one}/down")
        button.publish(f"air/{one}/up", b"mine")
        assert radio.wait("message") == (f"air/{one}/up", b"mine")
        radio.publish(f"sigfox/{one}/up", b"heard")
        assert ingest.wait("message") == (f"sigfox/{one}/up", b"heard")
        radio.publish(f"air/{other}/down", b"not for this one")
        radio.publish(f"air/{one}/down", b"answer")
        assert button.wait("message") == (f"air/{one}/down", b"answer")


def test_a_button_has_its_own_topics_alone(shared: Secured, fleet: Fleet):
    one, other = format_id(ONE), format_id(OTHER)
    check_rights(shared.port, fleet.keys)
    with (
        client(shared.port, "radio", fleet.password("radio")) as radio,
        client(shared.tls_port, one, fleet.password(one), shared.ca) as button,
    ):
        assert radio.subscribe("air/+/up")
        assert radio.subscribe("sigfox/+/down")
        for topic in ("#", "air/#", f"air/{other}/down", f"sigfox/{one}/down", "$SYS/#"):
            button.subscribe(topic)  # Mosquitto grants some of it, and delivers nothing
        radio.publish(f"air/{other}/down", b"not for this one")
        button.publish(f"air/{one}/up", b"mine")
        assert radio.wait("message") == (f"air/{one}/up", b"mine")
        radio.publish(f"air/{one}/down", b"answer")
        assert button.wait("message") == (f"air/{one}/down", b"answer")


@pytest.mark.parametrize("topic", ["air/0012AB35/up", "sigfox/0012AB34/up", "sigfox/0012AB34/down", "domino/probe/1"])
def test_a_button_that_publishes_elsewhere_is_cut_off_and_heard_by_nobody(shared: Secured, fleet: Fleet, topic: str):
    with client(shared.port, "radio", fleet.password("radio")) as radio:
        assert radio.subscribe("air/+/up")
        assert radio.subscribe("sigfox/+/down")
        with client(shared.port, "0012AB34", fleet.password("0012AB34")) as button:
            button.send(topic, b"forged")
            button.wait("disconnected")
        with client(shared.port, "0012AB35", fleet.password("0012AB35")) as other:
            other.publish("air/0012AB35/up", b"honest")
        assert radio.wait("message") == ("air/0012AB35/up", b"honest")


def test_workers_share_what_only_they_may_read(shared: Secured, fleet: Fleet):
    with (
        client(shared.port, "ingest", fleet.password("ingest")) as ingest,
        client(shared.port, "radio", fleet.password("radio")) as radio,
    ):
        assert ingest.subscribe("$share/domino/sigfox/+/up")
        radio.publish("sigfox/0012AB34/up", b"{}")
        assert ingest.wait("message") == ("sigfox/0012AB34/up", b"{}")


@pytest.mark.parametrize(
    ("user", "password"),
    [(None, None), ("0012AB34", "wrong"), ("0012AB34", None), ("00000000", "x"), ("ingest", ""), ("root", "root")],
)
def test_nobody_comes_in_without_their_password(shared: Secured, user: str | None, password: str | None):
    with client(shared.port, user, password) as stranger:
        assert not stranger.is_let_in


def test_the_outer_port_speaks_tls_alone(shared: Secured, fleet: Fleet, tmp_path: Path):
    one = format_id(ONE)
    with pytest.raises(ssl.SSLError):
        Client(shared.tls_port, one, fleet.password(one), ca=_another_ca(tmp_path))
    assert not children.takes_mqtt(shared.tls_port)
    with client(shared.tls_port, one, fleet.password(one), shared.ca) as button:
        assert button.is_let_in


def _another_ca(folder: Path) -> Path:
    (folder / "another").mkdir()
    return make_certificate(folder / "another")


def test_a_revoked_button_is_out_once_the_broker_has_read_the_files_anew(shared: Secured, fleet: Fleet, tmp_path: Path):
    one = format_id(ONE)
    pid_file = tmp_path / "mosquitto.pid"
    pid_file.write_text(str(shared.pid))
    with client(shared.port, one, fleet.password(one)) as button:
        assert button.is_let_in
        fleet.domino("button", "revoke", one)
        told = fleet.write("--pid-file", str(pid_file))
        assert (told["changed"], told["broker_told"], told["buttons"]) == (["passwords"], True, 1)
        button.wait("disconnected")
    again = fleet.write("--pid-file", str(pid_file))
    assert (again["changed"], again["broker_told"]) == ([], False)


def test_a_board_with_its_password_presses_through_the_shared_broker(shared: Secured, fleet: Fleet, tmp_path: Path):
    one = format_id(ONE)
    with client(shared.port, "radio", fleet.password("radio")) as radio:
        assert radio.subscribe("air/+/up")
        board = Board(tmp_path / "board")
        board.provision(ONE, fleet.keys.device_key(ONE, 0), 0, "127.0.0.1", shared.port)
        refused = board.wake(reset_cause=3)
        assert refused.value("link") == "failed broker: refused", refused.console
        board.flash = board.flash | {"pass": ["blob", fleet.password(one).encode().hex()]}
        wake = board.wake(reset_cause=3)
        assert wake.value("link") == "radiated", wake.console
        topic, payload = radio.wait("message")
    assert (topic, payload) == (f"air/{one}/up", bytes.fromhex(wake.value("uplink")))


def test_the_hashes_have_the_form_of_mosquitto_passwd(fleet: Fleet, tmp_path: Path):
    """In form; that the broker lets whoever knows the password in, the tests above say."""
    fleet.write()
    ours = dict(line.split(":", 1) for line in (fleet.accounts / "passwords").read_text().splitlines())
    _, kind, iterations, salt, hashed = ours["0012AB34"].split("$")
    assert (kind, iterations, len(base64.b64decode(salt)), len(base64.b64decode(hashed))) == ("7", "101", 12, 64)
    theirs = tmp_path / "theirs"
    theirs.write_text(f"0012AB34:{fleet.password('0012AB34')}\n")
    subprocess.run(["mosquitto_passwd", "-U", str(theirs)], check=True)
    assert theirs.read_text().split("$")[1:3] == ["7", "101"]


def test_the_files_are_the_folders_owners_alone_and_hold_no_password_of_a_button(fleet: Fleet):
    fleet.write()
    made = {path.name: path for path in fleet.accounts.iterdir()}
    assert set(made) == {"passwords", "acl", "ingest.password", "radio.password"}
    assert {path.stat().st_mode & 0o777 for path in made.values()} == {0o600}
    for name in ("0012AB34", "0012AB35", "ingest"):
        assert fleet.password(name) not in made["passwords"].read_text() + made["acl"].read_text()
    assert fleet.password("ingest") == made["ingest.password"].read_text().strip()


def test_a_button_under_another_key_has_another_password():
    keys = Keys(bytes(range(32)))
    told = {keys.broker_password(name, generation) for name in ("0012AB34", "0012AB35") for generation in range(4)}
    assert len(told) == 8


def test_a_fleet_of_tens_of_thousands_has_four_lines_of_rights():
    keys = Keys(bytes(range(32)))
    files = files_of([Account(format_id(number)) for number in range(300)], keys)
    assert files["passwords"].count("\n") == 300
    assert files["acl"] == files_of([], keys)["acl"]


def test_nats_server_holds_buttons_to_the_same_rights(fleet: Fleet, tmp_path: Path):
    one, other = format_id(ONE), format_id(OTHER)
    names = [Account("ingest"), Account("radio"), Account(one), Account(other)]
    (tmp_path / "accounts.conf").write_text(nats(names, fleet.keys)["accounts.conf"])
    port = free_port()
    conf = tmp_path / "nats.conf"
    conf.write_text(
        f'server_name: shared\nlisten: "127.0.0.1:-1"\njetstream {{ store_dir: "{tmp_path / "store"}" }}\n'
        f'mqtt {{ listen: "127.0.0.1:{port}" }}\nauthorization {{ include "accounts.conf" }}\n'
    )
    command = [str(Path(sys.executable).with_name("nats-server")), "--config", str(conf)]
    log = tmp_path / "log"
    with children.started("nats-server", command, log, lambda said: "Server is ready" in said):
        check_rights(port, fleet.keys)
        with client(port, one, "wrong") as stranger:
            assert not stranger.is_let_in
        with client(port, one, fleet.password(one)) as button:
            assert not button.subscribe(f"air/{other}/down")
            assert not button.subscribe("sigfox/+/up")
