"""A press by way of a Sigfox modem: AT command, real frames, radio model, ingest, answer, real frame, AT line."""

import json
import socket
import sys

import cloud.frames.store as frames
from cloud import database
from cloud.ingest.keys import read_keys
from tests.end_to_end.service import domino, engine_of, serving
from tests.mqtt import PATIENCE_S
from tests.sealing import seal
from tools.children import started

DEVICE, DEVICE_ID, NETWORK_KEY = "0012AB34", 0x12AB34, bytes(range(16))


def test_a_press_through_a_sigfox_modem_becomes_an_order_and_is_answered(tmp_path):
    data_dir, keys = tmp_path / "data", tmp_path / "keys.json"
    keys.write_text(json.dumps({DEVICE: NETWORK_KEY.hex()}))
    domino("button", "add", DEVICE, "--data-dir", str(data_dir))
    command = [sys.executable, "-m", "simulator.modem", "--device", DEVICE, "--keys", str(keys)]
    command += ["--counter", str(tmp_path / "counter"), "--tcp", "0", "--scale", "0.1"]
    with serving(data_dir, "--network-keys", str(keys)) as running:
        button_key = read_keys(data_dir / "master.key").device_key(DEVICE_ID, 0)
        press = seal(device=DEVICE_ID, key=button_key, counter=1, parcels=2)
        broker = {"DOMINO_BROKER_URL": f"mqtt://127.0.0.1:{running.mqtt_port}"}
        log = tmp_path / "modem.log"
        with started("the modem", command, log, lambda said: "ready" in said, environment=broker):
            port = int(log.read_text().split()[-1])
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as line:
                line.sendall(f"AT$SF={press.hex()},1\r".encode())
                with line.makefile() as said:
                    assert said.readline() == "OK\n"
                    answer = said.readline()
        with database.reading(engine_of(data_dir)) as conn:
            frame = next(f for f in frames.newest(conn) if f.kind == "pickup")
    assert (frame.result, frame.parcels, frame.data) == ("accepted", 2, press)
    assert answer.startswith("RX=")
    assert bytes.fromhex(answer[3:]) == frame.downlink


def test_a_file_of_network_keys_that_is_not_there_is_a_clear_error(tmp_path):
    done = domino("serve", "--data-dir", str(tmp_path), "--network-keys", str(tmp_path / "none"), check=False)
    assert done.returncode == 2
    assert "--network-keys" in done.stderr
