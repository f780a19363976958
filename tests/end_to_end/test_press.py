"""The whole way on real parts: firmware on MicroPython, broker, radio model, ingest, order, stamp, answer, light."""

import time
from pathlib import Path

import pytest

import cloud.frames.store as frames
import cloud.pickups.store as pickups
import cloud.stamps.store as stamps
from cloud import database
from cloud.ingest.keys import read_keys
from cloud.stamps.vault import Vault
from tests.end_to_end.service import domino, domino_json, engine_of, serving

BUTTON = "0012AB34"
WAIT_S = 60


@pytest.fixture(params=["nats-server", "mosquitto"])
def broker_options(request: pytest.FixtureRequest) -> list[str]:
    """Nothing for the broker that `domino serve` starts itself, or Mosquitto by its URL."""
    if request.param == "nats-server":
        return []
    return ["--broker-url", request.getfixturevalue("mosquitto").url]


def wait_code(data_dir: Path, pickup_id: int) -> str:
    """The code of an order's stamp; the first of a new folder comes when the mint has started."""
    vault, engine = Vault(read_keys(data_dir / "master.key").stamp_key()), engine_of(data_dir)
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        with database.reading(engine) as conn:
            if stamp := stamps.of_pickup(conn, vault, pickup_id):
                return stamp.code
        time.sleep(0.05)
    raise TimeoutError(f"pickup {pickup_id} has no stamp after {WAIT_S} s")


def test_a_press_becomes_a_stamped_order_and_a_light(tmp_path, broker_options):
    folder = ["--data-dir", str(tmp_path / "data")]
    domino("button", "add", BUTTON, "--place", "35 Rennes", *folder)
    with serving(tmp_path / "data", *broker_options):
        port = [] if not broker_options else ["--mqtt-port", broker_options[1].rsplit(":", 1)[1]]
        steps = domino_json("button", "press", BUTTON, "--clicks", "2", *folder, *port)
        with database.reading(engine_of(tmp_path / "data")) as conn:
            frame = next(f for f in frames.newest(conn) if f.kind == "pickup")
            (order,) = pickups.newest(conn)
            (listed,) = domino_json("button", "list", *folder)
        code = wait_code(tmp_path / "data", order.id)
    assert steps["gesture"] == "pickup 2"
    assert (steps["uplink"], int(steps["counter"])) == ((frame.data or b"").hex(), frame.counter)
    assert (frame.result, frame.parcels) == ("accepted", 2)
    assert frame.copies
    assert (order.id, order.state, order.parcels) == (frame.pickup_id, "requested", 2)
    assert steps["downlink"] == (frame.downlink or b"").hex()
    assert steps["light"] == "unclaimed"  # nobody has claimed it yet, and the light says so
    stamp = domino_json("stamp", "show", code, *folder)
    assert (stamp["state"], stamp["pickup_id"]) == ("reserved", order.id)
    assert listed["last_counter"] == frame.counter


def test_a_long_press_takes_the_request_back(tmp_path):
    folder = ["--data-dir", str(tmp_path / "data")]
    domino("button", "add", BUTTON, *folder)
    with serving(tmp_path / "data"):
        domino("button", "press", BUTTON, *folder)
        steps = domino_json("button", "press", BUTTON, "--cancel", *folder)
        with database.reading(engine_of(tmp_path / "data")) as conn:
            (order,) = pickups.newest(conn)
    assert (steps["gesture"], steps["light"], order.state) == ("cancel", "cancelled", "cancelled")
