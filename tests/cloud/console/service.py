"""The whole service without its network, for tests: a real database, filled by the real ingest, behind the real app."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path

import prometheus_client
import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

import cloud.accounts.store
import cloud.fleet.store
from cloud import database, live, pages
from cloud.accounts import guard
from cloud.accounts.model import Role
from cloud.accounts.passwords import Hash
from cloud.fleet.claims import new_claim_code
from cloud.ingest.keys import Keys
from cloud.ingest.receive import Limits, Message, Outcome, receive
from cloud.stamps.lease import Lease
from cloud.tables import cloud as _tables  # noqa: F401  all tables, before they are made
from cloud.web import create_app
from tests.sealing import callback, seal
from tests.stock import VAULT, desk, stock

BUTTON = 0x00D1F3A7
STAMPS = 200  # in the pool
NO_PASSWORD = Hash("none that would fit")  # these accounts are signed in already


@dataclass
class Service:
    engine: sa.Engine
    bell: live.Bell
    app: FastAPI
    keys: Keys = field(default_factory=lambda: Keys(bytes(range(32))))
    lease: Lease = field(default_factory=Lease)
    counters: Iterator[int] = field(default_factory=lambda: count(1))

    def hear(self, *payloads: bytes, device: int = BUTTON, now: datetime | None = None) -> list[Outcome]:
        """Take callbacks in as one batch and ring the bell, as the inlet does."""
        batch = [Message("mqtt", f"{device:08X}", payload) for payload in payloads]
        with self.engine.begin() as conn:
            outcomes = receive(
                conn, batch, keys=self.keys, limits=Limits(0), lease=self.lease, now=now or database.now()
            )
        self.bell.ring()
        return outcomes

    def press(
        self, parcels: int = 1, device: int = BUTTON, kind: str = "pickup", now: datetime | None = None
    ) -> Outcome:
        """Take in the button's next message."""
        now, counter, key = now or database.now(), next(self.counters), self.keys.device_key(device, 0)
        said = {"kind": kind, "parcels": parcels, "battery_mv": 2850, "temperature_c": 7}
        data = seal(device=device, key=key, counter=counter, **said)
        heard = callback(device, data, seq=counter & 0xFFFF, time=int(now.timestamp()))
        return self.hear(heard, device=device, now=now)[0]

    def add_button(self, device: int, place: str, owner_id: int | None = None) -> None:
        with self.engine.begin() as conn:
            cloud.fleet.store.add(
                conn, id=device, place=place, claim_code=new_claim_code(), now=database.now(), owner_id=owner_id
            )

    def cookie(self, role: Role = Role.OPERATOR) -> str:
        """The cookie of a new account of this role, signed in."""
        name = f"{role}{next(self.counters)}"
        with self.engine.begin() as conn:
            account = cloud.accounts.store.add(
                conn, name=name, display_name="N. Arnaud", role=role, password=NO_PASSWORD, now=database.now()
            )
            return cloud.accounts.store.open_session(conn, account.id, database.now())[0]

    def browser(self, role: Role = Role.OPERATOR) -> TestClient:
        return TestClient(self.app, cookies={guard.COOKIE: self.cookie(role)}, follow_redirects=False)

    def script(self, role: Role = Role.ADMIN) -> TestClient:
        """A client of the API with a token of this role."""
        with self.engine.begin() as conn:
            token = cloud.accounts.store.create_token(conn, name="script", role=role, now=database.now())
        return TestClient(self.app, headers={"Authorization": f"Bearer {token}"})


@contextmanager
def running_service(folder: Path, url: str | None = None) -> Iterator[Service]:
    """A service with one button in its fleet, in a new SQLite database or in the one at `url`, which has its tables."""
    engine = database.connect(url or f"sqlite:///{folder / 'domino.db'}")
    database.metadata.create_all(engine)
    bell = live.Bell()
    app = create_app(
        engine=engine,
        bell=bell,
        health=dict,
        registry=prometheus_client.CollectorRegistry(),
        vault=VAULT,
        desk=desk(engine),
        vendor=pages.STATIC / "vendor",
    )
    with engine.begin() as conn:
        lease = stock(conn, STAMPS)
    service = Service(engine, bell, app, lease=lease)
    service.add_button(BUTTON, "35 Rennes")
    yield service
    engine.dispose()


@contextmanager
def serving(app: FastAPI, port: int = 0) -> Iterator[str]:
    """The app behind uvicorn on loopback; gives its address."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # as the service's own
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
    app.state.stopping = lambda: server.should_exit
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "open streams keep the server from stopping"
