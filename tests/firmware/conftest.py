"""A button on the desk, a real broker, and a cloud that seals its answers with another library than the firmware's."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import paho.mqtt.client as mqtt
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from paho.mqtt.enums import CallbackAPIVersion

from simulator.board.vm import Board, Surroundings
from tests import sealing

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/wire-format.json").read_text())
DEVICE_ID = 0x0012AB34
KEY = bytes.fromhex("c2548232035d54ebce408e40d4502faa")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def broker_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder, port = tmp_path_factory.mktemp("nats"), free_port()
    (folder / "nats.conf").write_text(
        f'server_name: tests\nhost: "127.0.0.1"\nport: -1\njetstream {{ store_dir: "{folder}" }}\n'
        f'mqtt {{ host: "127.0.0.1", port: {port} }}\n'
    )
    binary = Path(sys.executable).with_name("nats-server")
    server = subprocess.Popen([str(binary), "-c", str(folder / "nats.conf")], stderr=subprocess.PIPE, text=True)
    assert server.stderr
    ready = next((line for line in server.stderr if "Server is ready" in line), None)
    assert ready, "nats-server did not start"
    yield port
    server.kill()
    server.wait()


class Cloud:
    """Hears every uplink and answers with the downlinks that a test has laid out, in their order."""

    def __init__(self, port: int) -> None:
        self.uplinks: SimpleQueue[bytes] = SimpleQueue()
        self.answers: list[bytes] = []
        subscribed: SimpleQueue[None] = SimpleQueue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self.client.on_message = self._on_message
        self.client.on_subscribe = lambda *_: subscribed.put(None)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.client.subscribe(f"air/{DEVICE_ID:08X}/up", 1)
        subscribed.get(timeout=10)

    def _on_message(self, client: mqtt.Client, userdata: object, message: mqtt.MQTTMessage) -> None:
        self.uplinks.put(bytes(message.payload))
        for downlink in self.answers:
            client.publish(f"air/{DEVICE_ID:08X}/down", downlink, 1)

    def heard(self) -> bytes:
        return self.uplinks.get(timeout=10)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def cloud(broker_port: int) -> Iterator[Cloud]:
    cloud = Cloud(broker_port)
    yield cloud
    cloud.close()


@pytest.fixture
def board(tmp_path: Path, broker_port: int) -> Board:
    board = Board(tmp_path / "board", Surroundings(speed=3))
    board.provision(DEVICE_ID, KEY, 0, "127.0.0.1", broker_port, counter=1)
    return board


def sealed_answer(counter: int, status: int, argument: int = 0) -> bytes:
    nonce = b"\x01" + DEVICE_ID.to_bytes(4, "big") + counter.to_bytes(4, "big") + bytes(4)
    body = bytes((status,)) + argument.to_bytes(2, "big")
    return b"\x00" + AESCCM(KEY, tag_length=4).encrypt(nonce, body, b"\x00")


def opened_uplink(counter: int, uplink: bytes) -> int:
    """The body's 24 bits; raises InvalidTag."""
    return sealing.opened(uplink, device=DEVICE_ID, key=KEY, counter=counter)
