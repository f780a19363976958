"""The real web application on a real SQLite file, with the people and buttons that the tests speak of."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import prometheus_client
import sqlalchemy as sa
from fastapi import FastAPI
from starlette.testclient import TestClient

from cloud import database, live, tables
from cloud.accounts import store as accounts
from cloud.accounts.model import Account, Role
from cloud.accounts.passwords import Hash, digest
from cloud.fleet import store as fleet
from cloud.health import Part
from cloud.pickups import store as pickups
from cloud.pickups.model import Press
from cloud.stamps.lease import Lease
from cloud.web import create_app
from tests.stock import VAULT, desk, stock

assert tables  # imported for its tables

STARTED = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
PASSWORD = "quatre navettes bleues"
CLAIM_CODE = "7K4F-2M9X-11AB"
ADDRESS = {
    "line1": "Mme Hélène Vasseur",
    "line2": "Appartement 12 Escalier B",
    "line3": "Résidence des Soyeux",
    "line4": "18, rue des Quatre Navettes",
    "line5": "",
    "line6": "69001 Lyon",
}


@cache
def hashed() -> Hash:
    """Of `PASSWORD`, made once: it is meant to take long."""
    return digest(PASSWORD)


@dataclass
class Site:
    engine: sa.Engine
    app: FastAPI
    health: dict[str, Part]
    lease: Lease

    def visitor(self, base_url: str = "http://testserver") -> TestClient:
        return TestClient(self.app, base_url, follow_redirects=False, headers={"accept-language": "en"})

    def signed_in(self, name: str) -> TestClient:
        visitor = self.visitor()
        answer = visitor.post("/sign-in", data={"name": name, "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        return visitor

    def account(self, name: str, role: Role = Role.CUSTOMER) -> Account:
        with self.engine.begin() as conn:
            return accounts.add(
                conn, name=name, display_name="Claire Morvan", role=role, password=hashed(), now=database.now()
            )

    def button(self, device: int, owner: Account | None = None, claim_code: str = CLAIM_CODE) -> None:
        with self.engine.begin() as conn:
            owner_id = owner.id if owner else None
            now = database.now()
            fleet.add(conn, id=device, place="35 Rennes", claim_code=claim_code, now=now, owner_id=owner_id)

    def press(self, device: int, minutes_ago: int = 10) -> int:
        """The id of the pickup that the press makes or joins."""
        with self.engine.begin() as conn:
            then = database.now() - timedelta(minutes=minutes_ago)
            return pickups.request(conn, [Press(device, 1)], self.lease, then)[0].pickup_id


def build(folder: Path) -> Site:
    engine = database.connect(f"sqlite:///{folder / 'domino.db'}")
    database.metadata.create_all(engine)
    health = {"database": Part(None, STARTED), "broker": Part(None, STARTED)}
    app = create_app(
        engine=engine,
        bell=live.Bell(),
        health=lambda: health,
        registry=prometheus_client.CollectorRegistry(),
        vault=VAULT,
        desk=desk(engine),
        vendor=folder / "vendor",
    )
    with engine.begin() as conn:
        lease = stock(conn, 100)
    return Site(engine, app, health, lease)


def csrf_of(page: str) -> str:
    """The hidden field of the page's first form."""
    return page.partition('name="csrf" value="')[2].partition('"')[0]
