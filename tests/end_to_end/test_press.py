"""The whole way on real parts: firmware on MicroPython, broker, radio model, ingest, order, stamp, answer, light."""

import pytest

import cloud.frames.store as frames
import cloud.pickups.store as pickups
from cloud import database
from tests.end_to_end.service import domino, domino_json, engine_of, serving

BUTTON = "0012AB34"


@pytest.fixture(params=["nats-server", "mosquitto"])
def broker_options(request: pytest.FixtureRequest) -> list[str]:
    """Nothing for the broker that `domino serve` starts itself, or Mosquitto by its URL."""
    if request.param == "nats-server":
        return []
    return ["--broker-url", request.getfixturevalue("mosquitto").url]


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
    assert steps["gesture"] == "pickup 2"
    assert (steps["uplink"], int(steps["counter"])) == ((frame.data or b"").hex(), frame.counter)
    assert (frame.result, frame.parcels) == ("accepted", 2)
    assert frame.copies
    assert (order.id, order.state, order.parcels) == (frame.pickup_id, "requested", 2)
    assert steps["downlink"] == (frame.downlink or b"").hex()
    assert steps["light"] == "unclaimed"  # nobody has claimed it yet, and the light says so
    stamp = domino_json("stamp", "show", frame.stamp or "", *folder)
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
