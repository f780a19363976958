"""Kill -9 in the middle of a burst: every acknowledged press is one order, none lost, none doubled."""

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import paho.mqtt.client as paho
import pytest
import sqlalchemy as sa
from paho.mqtt.enums import CallbackAPIVersion

import cloud.fleet.store as fleet
from cloud import database
from cloud.ingest.keys import read_keys
from cloud.pickups.store import pickups
from cloud.stamps.store import stamps
from tests.end_to_end.service import domino, engine_of, serving
from tests.sealing import seal

PRESSES = 2000
FIRST_ID = 0x01000000
WAIT_S = 120


class Buttons:
    """All the buttons of the burst on one connection: each presses once, and we note which press got its PUBACK."""

    def __init__(self, uplinks: dict[int, bytes]) -> None:
        self.uplinks = uplinks
        self.acknowledged: set[int] = set()
        self._progress = threading.Condition()
        self._alive = True

    def publish(self, port: int, devices: list[int]) -> None:
        """Publish the presses of `devices` until all are acknowledged or the broker is gone."""
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311, reconnect_on_failure=False)
        client.max_inflight_messages_set(200)
        client.max_queued_messages_set(0)
        sent: dict[int, int] = {}
        ended = threading.Event()

        def on_publish(_client: object, _data: object, mid: int, *_: object) -> None:
            with self._progress:
                self.acknowledged.add(sent[mid])
                if len(self.acknowledged) == len(self.uplinks) or not set(devices) - self.acknowledged:
                    ended.set()
                self._progress.notify_all()

        client.on_publish = on_publish
        client.on_disconnect = lambda *_: ended.set()
        client.connect("127.0.0.1", port)
        for device in devices:  # queued before the loop runs, so that every id is known when its PUBACK comes
            info = client.publish(f"air/{device:08X}/up", self.uplinks[device], qos=1)
            sent[info.mid] = device
        client.loop_start()
        assert ended.wait(WAIT_S)
        client.loop_stop()

    def wait_acknowledged(self, count: int) -> None:
        with self._progress:
            assert self._progress.wait_for(lambda: len(self.acknowledged) >= count, WAIT_S)


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "data"


def make_buttons(folder: Path) -> Buttons:
    domino("migrate", "--data-dir", str(folder))
    with serving(folder):
        pass  # the first start makes the master key
    keys = read_keys(folder / "master.key")
    devices = range(FIRST_ID, FIRST_ID + PRESSES)
    with engine_of(folder).begin() as conn:
        for device in devices:
            fleet.add(conn, id=device, place=None, claim_code=f"code {device}", now=database.now())
    return Buttons({device: seal(device=device, key=keys.device_key(device, 0), counter=1) for device in devices})


def orders(folder: Path) -> Counter[int]:
    with database.reading(engine_of(folder)) as conn:
        return Counter(conn.execute(sa.select(pickups.c.button_id)).scalars())


def wait_orders(folder: Path, devices: set[int]) -> Counter[int]:
    deadline = time.monotonic() + WAIT_S
    while True:
        found = orders(folder)
        if devices <= set(found) or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def wait_stamps(folder: Path) -> list[bytes]:
    """The codes of all orders, as they are kept; those that came when the pool was empty have theirs a little later."""
    deadline = time.monotonic() + WAIT_S
    while True:
        with database.reading(engine_of(folder)) as conn:
            codes = list(conn.scalars(sa.select(stamps.c.sealed).where(stamps.c.pickup_id.is_not(None))))
        if len(codes) >= PRESSES or time.monotonic() > deadline:
            return codes
        time.sleep(0.1)


@pytest.mark.parametrize("kill_at", [100, 1000])
def test_an_acknowledged_press_survives_kill_9_of_everything(folder, kill_at):
    buttons = make_buttons(folder)
    with serving(folder) as running:
        burst = threading.Thread(target=buttons.publish, args=(running.mqtt_port, list(buttons.uplinks)))
        burst.start()
        buttons.wait_acknowledged(kill_at)
        os.kill(running.pid, signal.SIGKILL)
        burst.join()
    before = set(buttons.acknowledged)
    assert kill_at <= len(before) < PRESSES, "the kill must hit the burst"

    with serving(folder) as running:
        left = [device for device in buttons.uplinks if device not in before]
        buttons.publish(running.mqtt_port or 0, left)  # those without PUBACK press again, as a button does
        found = wait_orders(folder, set(buttons.uplinks))
        codes = wait_stamps(folder)
    assert buttons.acknowledged == set(buttons.uplinks)
    assert set(found) == set(buttons.uplinks), f"{len(set(buttons.uplinks) - set(found))} presses were lost"
    assert set(found.values()) == {1}, "a press was doubled"
    assert len(set(codes)) == PRESSES
