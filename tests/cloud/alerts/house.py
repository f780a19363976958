"""A service whose alerts are watched at a time that the test tells: a real database, filled by the real ingest."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import prometheus_client
import sqlalchemy as sa

from cloud import database
from cloud.alerts import routes, store
from cloud.alerts.checks import Around
from cloud.alerts.keeper import Watch
from cloud.alerts.model import BY_NAME, Alert, Found, Severity, State, terms
from cloud.alerts.post import Post
from cloud.alerts.routes import Kind, Route
from cloud.alerts.safe import Safe
from cloud.fleet import store as fleet
from cloud.fleet.claims import new_claim_code
from cloud.ingest.keys import Keys
from cloud.ingest.receive import Limits, Message, Outcome, receive
from cloud.stamps.lease import Lease
from tests.sealing import callback, seal
from tests.stock import stock

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
ONE, TWO = 0x00A17C52, 0x00D1F3A7
SAFE = Safe(bytes(range(32)))
AROUND = Around(host="trial", disk=lambda: (50, 100))
KEYS = Keys(bytes(range(32)))


@dataclass
class House:
    """One service and its clock."""

    engine: sa.Engine
    lease: Lease
    now: datetime = NOW
    around: Around = AROUND
    given: dict[str, dict[str, Any]] = field(default_factory=dict)
    counters: dict[int, Iterator[int]] = field(default_factory=lambda: defaultdict(lambda: count(1)))
    _watch: Watch | None = None

    def pass_(self, **span: float) -> None:
        self.now += timedelta(**span)

    def watcher(self, name: str = "one") -> Watch:
        registry = prometheus_client.CollectorRegistry()
        return Watch(self.engine, self.around, registry=registry, given=self.given, name=name)

    def look(self) -> list[Alert]:
        """One round; gives what is open."""
        self._watch = self._watch or self.watcher()
        assert self._watch.tend(self.now)
        return self.open()

    def look_on(self, *, minutes: float, each_s: float = 30) -> list[Alert]:
        """Rounds, for so long."""
        end = self.now + timedelta(minutes=minutes)
        while self.now < end:
            self.pass_(seconds=each_s)
            self.look()
        return self.open()

    def open(self) -> list[Alert]:
        with database.reading(self.engine) as conn:
            return [line.alert for line in store.open_lines(conn, self.now)]

    def every(self, state: State | None = None) -> list[Alert]:
        with database.reading(self.engine) as conn:
            return store.newest(conn, limit=1000, state=state)

    def post(self, **how: Any) -> Post:
        how = {"registry": prometheus_client.CollectorRegistry(), "clock": lambda: self.now} | how
        return Post(self.engine, SAFE, **how)

    def route(self, name: str = "shop-rennes", to: str = "https://shop.example/in", **how: Any) -> Route:
        return self.route_and_secret(name, to, **how)[0]

    def route_and_secret(self, name: str, to: str, **how: Any) -> tuple[Route, bytes | None]:
        kind = Kind.WEBHOOK if to.startswith("http") else Kind.MAIL
        said = {"least": Severity.WARNING, "rules": None, "lang": "en", "by": "staff n.arnaud", "now": self.now} | how
        with self.engine.begin() as conn:
            return routes.add_route(conn, name=name, kind=kind, to=to, safe=SAFE, **said)

    def outbox(self) -> list[Mapping[str, Any]]:
        with database.reading(self.engine) as conn:
            rows = conn.execute(sa.select(routes.alert_deliveries).order_by(routes.alert_deliveries.c.id))
            return [dict(row._mapping) for row in rows]

    def button(self, id: int = ONE, place: str | None = "35 Rennes", owner: bool = False, **row: Any) -> int:
        with self.engine.begin() as conn:
            if fleet.find(conn, id) is None:
                fleet.add(conn, id=id, place=place, claim_code=new_claim_code(), now=self.now)
            if owner:
                row["owner_id"] = owner_of(conn, self.now)
            if row:
                conn.execute(fleet.buttons.update().where(fleet.buttons.c.id == id).values(row))
        return id

    def press(self, device: int = ONE, **how: Any) -> bytes:
        """The button's next message, taken in; gives it."""
        payload = self.message(device, **how)
        self.hear(payload, device=device)
        return payload

    def message(
        self, device: int = ONE, *, skip: int = 0, late_s: float = 0, stations: tuple[str, ...] = ("1F08",), **said: Any
    ) -> bytes:
        for _ in range(skip):
            next(self.counters[device])
        number = next(self.counters[device])
        said = {"kind": "alive", "battery_mv": 3000} | said
        data = seal(device=device, key=KEYS.device_key(device, 0), counter=number, **said)
        heard_at = int((self.now - timedelta(seconds=late_s)).timestamp())
        message = json.loads(callback(device, data, seq=number & 0xFFF, time=heard_at))
        message["duplicates"] = [{"bsId": name, "rssi": -110.0, "nbRep": 1} for name in stations]
        return json.dumps(message).encode()

    def hear(self, *payloads: bytes, device: int = ONE) -> list[Outcome]:
        return self.hear_all([(device, payload) for payload in payloads])

    def hear_all(self, heard: list[tuple[int, bytes]]) -> list[Outcome]:
        batch = [Message("mqtt", f"{device:08X}", payload) for device, payload in heard]
        with self.engine.begin() as conn:
            return receive(conn, batch, keys=KEYS, limits=Limits(0), lease=self.lease, now=self.now)

    def forge(self, device: int = ONE, count: int = 1) -> None:
        """Messages in the button's name with a seal that is not its."""
        said = [seal(device=device, key=bytes(16), counter=n, kind="alive") for n in range(1, count + 1)]
        self.hear(*(callback(device, one) for one in said), device=device)

    def around_with(self, **how: Any) -> None:
        self.around = replace(self.around, **how)
        self._watch = None


def owner_of(conn: sa.Connection, now: datetime) -> int:
    from cloud.accounts import store as accounts
    from cloud.accounts.model import Role
    from tests.cloud.console.service import NO_PASSWORD

    name = "c.morvan@example.org"
    found = conn.scalar(sa.select(accounts.accounts.c.id).where(accounts.accounts.c.name == name))
    if found is not None:
        return found
    said = {"display_name": "C. Morvan", "role": Role.CUSTOMER, "password": NO_PASSWORD}
    return accounts.add(conn, name=name, now=now, **said).id


@contextmanager
def house(url: str) -> Iterator[House]:
    engine = database.connect(url)
    with engine.begin() as conn:
        lease = stock(conn, 400)
    yield House(engine, lease)
    engine.dispose()


def open_alert(conn: sa.Connection, department: str, now: datetime) -> None:
    """One more that is open there."""
    button = conn.scalar(sa.select(sa.func.count()).select_from(store.alerts)) or 0
    values = {"button": f"{button:08X}", "count": 38, "minutes": 30}
    found = Found("replays", f"button {button:08X}", values, [("list", "/live")], department)
    open_now = [
        Found(one.rule, one.subject, one.values, [("list", "/live")], one.department)
        for one in store.newest(conn, limit=50)
    ]
    store.apply(conn, [*open_now, found], {"replays": terms(BY_NAME["replays"], {"lasts_s": 0})}, now)
