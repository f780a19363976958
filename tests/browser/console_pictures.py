"""Makes the pictures of the operators' pages in docs/images/console, light and dark. `make pictures`.

A made-up fleet of sixty buttons, whose day was taken in by ingest itself under an earlier clock; one of them has lived
for a year, and one of its parcels is on its way.
"""

import contextlib
import io
import random
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import prometheus_client
from PIL import Image
from playwright.sync_api import sync_playwright

import cloud.accounts.store
import cloud.fleet.notes
import cloud.pickups.store
from cloud import database
from cloud.accounts.model import Role
from cloud.alerts import store as alerts
from cloud.alerts.model import BY_NAME, Found, terms
from cloud.alerts.pages import Means
from cloud.console.keeper import FigureKeeper
from cloud.pickups.model import Detail, Event, WrongState
from cloud.pickups.model import State as PickupState
from tests.browser.desk import Desk
from tests.cloud.alerts.house import SAFE
from tests.cloud.console import button_lives
from tests.cloud.console.lives import ADDRESSEE, make_life
from tests.cloud.console.service import BUTTON, NO_PASSWORD, Service, running_service, serving
from tests.sealing import callback, seal

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images" / "console"
PLACES = (
    *("35 Rennes", "69 Lyon", "63 Riom", "29 Quimper", "59 Lille", "33 Bordeaux", "67 Strasbourg", "44 Nantes"),
    *("13 Marseille", "31 Toulouse", "76 Rouen", "38 Voiron", "25 Besançon", "06 Nice", "34 Sète", "87 Limoges"),
    *("75 Paris", "80 Amiens", "2B Bastia", "974 Saint-Denis"),
)
FLEET = 60
SENDER = 0x00C81E42
COLOURS = 192  # of a picture: pages have few, and so it is small
FRAME = 2000  # of the 2 670 that are made
PAGES = {
    "overview": "/",
    "stream": "/live",
    "refused": "/live?result=bad+seal",
    "thread": "/pickups/{order}",
    "orders": "/pickups",
    "button": "/buttons/00D1F3A7",
    "silent": "/silent",
    "fleet": "/buttons?sort=place",
    "import": "/buttons/import",
    "frame": "/frames/{frame}",
    "found": "/find?q=navettes",
    "decode": "/decode?data={data}&button=00D1F3A7",
    "alerts": "/alerts",
    "alert": "/alerts/1",
    "rules": "/alerts/rules",
    "routes": "/alerts/routes",
    "history": "/alerts/history",
    "stamps": "/stamps",
    "appeals": "/appeals",
    "audit": "/audit",
    "access": "/access",
    "account": "/access/accounts/new",
    "token": "/access/tokens/new",
    "me": "/me",
    "traffic": "/traffic",
    "days": "/traffic/days",
    "departments": "/departments?map=presses",
    "replay": "/replay?leap=-3600&to=/",
    "replayed": "/replay?leap=-3600&to=/pickups/{order}",
    "french": "/?lang=fr",
}


def make_fleet(service: Service, chance: random.Random) -> list[int]:
    devices = [0x00B00000 + chance.randrange(1 << 20) for _ in range(FLEET)]
    for at, device in enumerate(devices):
        service.add_button(device, PLACES[at % len(PLACES)])
    return devices


def make_day(service: Service, devices: list[int], now: datetime, chance: random.Random) -> Iterator[bytes]:
    """Heartbeats and presses, and now and then what is refused; gives the data of what was accepted."""
    silent = set(devices[:5])
    counters = dict.fromkeys(devices, 40)
    long_ago = now - timedelta(hours=90)
    for device in silent:
        data = bytes(seal(device=device, key=service.keys.device_key(device, 0), counter=40, kind="alive", parcels=0))
        service.hear(_heard(device, data, long_ago, chance), device=device, now=long_ago)
    at = now - timedelta(hours=30)
    replayed = b""
    while at < now - timedelta(seconds=40):
        device = chance.choice(devices)
        if device not in silent:
            counters[device] += 1
            kind = chance.choices(("alive", "pickup", "cancel", "ask", "boot"), (60, 30, 3, 4, 3))[0]
            said = {"kind": kind, "parcels": chance.choice((1, 1, 2)), "battery_mv": 50 * chance.randrange(54, 66)}
            generation = 1 if chance.random() < 0.02 else 0
            key = service.keys.device_key(device, generation)
            celsius = chance.randrange(2, 14)
            data = bytes(
                seal(
                    device=device,
                    key=key,
                    counter=counters[device],
                    temperature_c=celsius,
                    generation=generation,
                    **said,
                )
            )
            service.hear(_heard(device, data, at, chance), device=device, now=at)
            yield data
            replayed = replayed or data
        if chance.random() < 0.01:
            service.hear(_heard(devices[9], replayed, at, chance), device=devices[9], now=at)
        at += timedelta(seconds=chance.expovariate(1 / 45))


def carry_out(service: Service, now: datetime, chance: random.Random) -> None:
    """Most requests are confirmed, those of the day before put on a round, and most of these collected."""
    with service.engine.begin() as conn:
        for pickup in cloud.pickups.store.newest(conn, 500, PickupState.REQUESTED):
            if chance.random() < 0.85 and (at := pickup.requested_at + timedelta(minutes=9)) < now:
                cloud.pickups.store.confirm(conn, pickup.id, ADDRESSEE, "customer 7", at)
            if pickup.requested_at > now - timedelta(hours=20) or chance.random() > 0.9:
                continue
            round_of = Detail(round="Rennes 07", stop=chance.randrange(1, 60))
            for event, detail, hours in ((Event.PUT_ON_ROUND, round_of, 3), (Event.COLLECTED, Detail(notice=True), 5)):
                with contextlib.suppress(WrongState):
                    key, later = f"{event} {pickup.id}".replace(" ", "-"), pickup.requested_at + timedelta(hours=hours)
                    cloud.pickups.store.tell(conn, pickup.id, event, detail, key=key, actor="token a.legoff", now=later)


def _heard(device: int, data: bytes, at: datetime, chance: random.Random) -> bytes:
    return callback(device, data, seq=chance.randrange(4096), time=int(at.timestamp()))


def open_alerts(service: Service, now: datetime) -> None:
    found = [
        Found(
            "replays", "button 00A17C52", {"button": "00A17C52", "count": 38, "minutes": 30}, [("list", "/live")], "63"
        ),
        Found(
            "silence", "department 2B", {"department": "2B", "silent": 14, "buttons": 31}, [("list", "/silent")], "2B"
        ),
        Found("disk", "machine rennes-1", {"percent": "8\u00a0%", "free": 12, "host": "rennes-1"}),
    ]
    of = {name: terms(BY_NAME[name], {"lasts_s": 0}) for name in ("replays", "silence", "disk")}
    with service.engine.begin() as conn:
        alerts.apply(conn, found, of, now - timedelta(minutes=12))


def fill(service: Service) -> tuple[int, bytes]:
    """An order on its way, and the bytes of a press."""
    chance, now = random.Random(20261125), database.now()
    service.app.state.alerts = Means(SAFE)
    devices = make_fleet(service, chance)
    button_lives.Life(service, now, is_lost=lambda back: back in (3, 19)).tell(390, press_every=8, lasts=800)
    service.add_button(SENDER, "35 Rennes")
    life = make_life(service, "sorted", pressed_at=now - timedelta(days=1, hours=17), device=SENDER)
    *_, last = make_day(service, devices, now, chance)
    carry_out(service, now, chance)
    with service.engine.begin() as conn:
        blanc = {"name": "p.blanc", "display_name": "P. Blanc", "role": Role.OPERATOR, "password": NO_PASSWORD}
        author = cloud.accounts.store.add(conn, **blanc, now=now)
        said = "The box hangs behind the gate: ring first. The lid sticks when it rains."
        cloud.fleet.notes.write(conn, BUTTON, said, author=author, now=now - timedelta(days=9))
    open_alerts(service, now)
    keeper = FigureKeeper(service.engine, 0, prometheus_client.CollectorRegistry())
    for _ in range(60):
        keeper.tend()
    return life.pickup_id, last


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, running_service(Path(folder)) as service, sync_playwright() as play:
        order, data = fill(service)
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        with serving(service.app) as url:
            for theme in ("light", "dark"):
                desk = Desk(
                    browser, service, url, Role.ADMIN, viewport={"width": 1440, "height": 900}, color_scheme=theme
                )
                for name, path in PAGES.items():
                    page = desk.open(path.format(order=order, frame=FRAME, data=data.hex()))
                    page.wait_for_timeout(1500)  # for what htmx and the stream bring
                    save(page.screenshot(), IMAGES / f"{name}-{theme}.png")
                    page.close()
                desk.context.close()
                assert desk.complaints == [], desk.complaints
        browser.close()


def save(shot: bytes, path: Path) -> None:
    with Image.open(io.BytesIO(shot)) as picture:
        picture.convert("RGB").quantize(COLOURS).save(path, optimize=True)


if __name__ == "__main__":
    main()
