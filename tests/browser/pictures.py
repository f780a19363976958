"""Makes the pictures in docs/images: the real service on a made-up morning of a small fleet. `make pictures`.

The half hour before is taken in by ingest itself under an earlier clock; the last frames travel the whole way, live.
"""

import random
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from playwright.sync_api import Page, sync_playwright

import cloud.accounts.store as accounts
import cloud.fleet.store as fleet
import cloud.pickups.store as pickups
from cloud import database
from cloud.accounts.model import Role
from cloud.fleet.claims import new_claim_code
from cloud.ingest.keys import Keys, read_keys
from cloud.ingest.receive import Limits, Message, receive
from cloud.pickups.model import State
from cloud.places.model import Address
from cloud.stamps.vault import Vault
from simulator.radio.core import Core
from simulator.radio.model import Impairments
from tests.end_to_end.service import engine_of, serving
from tests.mqtt import publish
from tests.sealing import seal
from tests.stock import stock

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
PLACES = (
    "35 Rennes", "69 Lyon", "63 Riom", "29 Quimper", "59 Lille", "33 Bordeaux", "67 Strasbourg", "44 Nantes",
    "13 Marseille", "31 Toulouse", "76 Rouen", "38 Voiron", "25 Besançon", "06 Nice", "34 Sète", "87 Limoges",
)  # fmt: skip
PEOPLE = (
    ("MME HELENE VASSEUR", "18 RUE DES QUATRE NAVETTES", "69001 LYON"),
    ("M KARIM BENALI", "4 PLACE DU MARCHE", "35000 RENNES"),
    ("MME INES ROCHA", "27 RUE DE LA FERME", "31000 TOULOUSE"),
)
MINUTES = 30
LIVE = 6
PASSWORD = "only for these pictures"


class Fleet:
    """Sixteen buttons and the air above them."""

    def __init__(self, keys: Keys, rng: random.Random) -> None:
        self.keys, self.rng = keys, rng
        self.counters = {0x00C00000 + rng.randrange(1 << 22): rng.randrange(40, 2000) for _ in PLACES}
        self.core = Core(seed=7, stations=6, impairments=Impairments(loss=0.3), listen_s=25)

    def uplink(self) -> tuple[int, bytes]:
        """The next frame of some button; now and then one that is to be refused."""
        device = self.rng.choice(list(self.counters))
        kind = self.rng.choices(("alive", "pickup", "cancel", "ask", "boot"), (76, 14, 2, 4, 4))[0]
        self.counters[device] += 1
        generation = 0
        if self.rng.random() < 0.04:
            device, generation = self.rng.choice([(0xFE03D1A0, 0), (device, 2)])
        data = seal(
            device=device,
            key=self.keys.device_key(device, generation),
            counter=self.counters.get(device, 1),
            kind=kind,
            parcels=self.rng.choice((1, 1, 1, 2, 3)),
            battery_mv=self.rng.randrange(2700, 3300),
            temperature_c=self.rng.randrange(2, 14),
            generation=generation,
        )
        return device, bytes(data)

    def heard(self, at: datetime) -> Iterator[Message]:
        device, data = self.uplink()
        name = f"{device:08X}"
        for delivery in self.core.uplink(name, data, monotonic_s=at.timestamp(), unix_s=at.timestamp()):
            yield Message("mqtt", name, delivery.body)


def make_morning(engine: sa.Engine, flock: Fleet, now: datetime) -> None:
    with engine.begin() as conn:
        lease = stock(conn, 500, vault=Vault(flock.keys.stamp_key()))
        for name in ("claire", "paul", "anne"):
            accounts.add(conn, name=name, display_name=name.title(), role=Role.CUSTOMER, password=PASSWORD, now=now)
        accounts.add(conn, name="n.arnaud", display_name="N. Arnaud", role=Role.OPERATOR, password=PASSWORD, now=now)
        for device, place in zip(flock.counters, PLACES, strict=True):
            owner = flock.rng.choice((1, 2, 3, 3))
            fleet.add(conn, id=device, place=place, claim_code=new_claim_code(), now=now, owner_id=owner + 1)
    at = now - timedelta(minutes=MINUTES)
    while at < now - timedelta(seconds=20):
        with engine.begin() as conn:
            receive(conn, list(flock.heard(at)), keys=flock.keys, limits=Limits(), lease=lease, now=at)
            waiting = pickups.newest(conn, state=State.REQUESTED)
            if len(waiting) > 4:
                name, street, town = flock.rng.choice(PEOPLE)
                address = Address.of((name, "", "", street, "", town))
                pickups.confirm(conn, waiting[-1].id, address, "customer claire", at)
        at += timedelta(seconds=flock.rng.expovariate(1 / 9))


def sign_in(page: Page, url: str) -> None:
    page.goto(f"{url}/sign-in")
    page.fill("[name=name]", "n.arnaud")
    page.fill("[name=password]", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/")


def main() -> None:
    rng = random.Random(20261122)
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "data") as running, sync_playwright() as play:
        data_dir = Path(folder) / "data"
        flock = Fleet(read_keys(data_dir / "master.key"), rng)
        make_morning(engine_of(data_dir), flock, database.now())
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for theme in ("light", "dark"):
            context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=theme)
            page = context.new_page()
            sign_in(page, running.http_url)
            shown = page.locator("#frames tr").count()
            uplinks = [flock.uplink() for _ in range(LIVE)]
            with page.expect_response("**/figures"):  # which the page asks for once frames have come
                publish(running.mqtt_port or 0, [(f"air/{device:08X}/up", data) for device, data in uplinks])
                page.wait_for_function("n => document.querySelectorAll('#frames tr').length > n", arg=shown)
            page.wait_for_timeout(500)
            page.screenshot(path=IMAGES / f"live-{theme}.png")
            page.locator("#orders a").first.click()
            page.wait_for_load_state()
            page.screenshot(path=IMAGES / f"order-{theme}.png")
            context.close()
        browser.close()


if __name__ == "__main__":
    main()
