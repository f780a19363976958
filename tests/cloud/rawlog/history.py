"""A service's days for tests: presses and people on a real database, by drawn steps, and comparisons of two."""

import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa

import cloud.fleet.store as fleet
import cloud.pickups.store as pickups
import cloud.stamps.store as stamps
from cloud import database
from cloud.accounts.store import accounts
from cloud.ingest.keys import Keys
from cloud.ingest.receive import Limits, Message, Outcome, receive
from cloud.pickups.model import Detail, Event, Handover, Reason, WrongState
from cloud.places.model import Address
from cloud.rawlog.model import Cursor, Entry
from cloud.rawlog.store import read
from cloud.stamps.model import Redeemed
from cloud.stamps.vault import Vault
from cloud.tables import cloud as _tables  # noqa: F401  all tables, before they are made
from tests.sealing import callback, seal
from tests.stock import lease_of, new_rows, stock

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
BUTTONS = (0x0012AB34, 0x00D1F3A7, 0xFFFFFFFF)
KEYS = Keys(bytes(range(32)))
VAULT = Vault(KEYS.stamp_key())
TOLD = {
    Event.PUT_ON_ROUND: Detail(round="Rennes 07", stop=23, stops=61),
    Event.COLLECTED: Detail(place="9 m from the box", photo="ab" * 32, notice=True),
    Event.FAILED: Detail(reason=Reason.NO_ACCESS),
    Event.DELIVERED: Detail(handover=Handover.RELAY, place="Lyon 1er"),
}
ADDRESS = Address.of(["Mme Claire Morvan", "", "", "12 rue de l'Eglise", "", "35400 Saint-Malo"])


@cache
def _empty() -> sa.Engine:
    engine = database.connect("sqlite://")
    database.metadata.create_all(engine)
    return engine


def make_engine(url: str = "sqlite://") -> sa.Engine:
    """An empty database; in memory as a copy of one that was made before, since a law wants many."""
    return copy_of(_empty()) if url == "sqlite://" else database.connect(url)


@dataclass
class Service:
    """The lost one: its own clock, its counters, and what it acknowledged."""

    engine: sa.Engine
    now: datetime = NOW
    limits: Limits = field(default_factory=Limits)
    counters: dict[int, int] = field(default_factory=dict)
    generations: dict[int, int] = field(default_factory=dict)
    sent: list[Message] = field(default_factory=list)
    acknowledged: set[tuple[int, int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        with self.engine.begin() as conn:
            conn.execute(
                sa.insert(accounts).values(
                    id=1, name="claire", display_name="Claire", role="customer", password_hash="-", created_at=NOW
                )
            )
            for device in BUTTONS:
                owner = 1 if device == BUTTONS[0] else None
                fleet.add(conn, id=device, place=None, claim_code=f"code {device}", now=NOW, owner_id=owner)
            stock(conn, 3, NOW, VAULT)

    def message(self, device: int, kind: str = "pickup", parcels: int = 1, **said: Any) -> Message:
        """The button's next message."""
        counter = self.counters[device] = self.counters.get(device, 0) + 1
        generation = self.generations.get(device, 0)
        key = KEYS.device_key(device, generation)
        data = seal(device=device, key=key, counter=counter, kind=kind, parcels=parcels, generation=generation)
        heard = callback(device, data, seq=counter & 0xFFF, time=int(self.now.timestamp()), **said)
        return Message("mqtt", f"{device:08X}", heard)

    def take(self, *batch: Message) -> list[Outcome]:
        self.sent += batch
        with self.engine.begin() as conn:
            lease = lease_of(conn)
            outcomes = receive(conn, batch, keys=KEYS, limits=self.limits, lease=lease, now=self.now)
        for outcome in outcomes:
            if outcome.uplink is not None and outcome.pickup_id is not None:
                uplink = outcome.uplink
                self.acknowledged.add((uplink.device, uplink.key_generation, uplink.counter))
        return outcomes

    def mint(self) -> None:
        """As the keeper does: stamp those that wait, and fill the pool."""
        with self.engine.begin() as conn:
            lease = lease_of(conn)
            lease.add(new_rows(conn, lease, 2, self.now, VAULT))
            stamps.serve_waiting(conn, lease, self.now)

    def confirm(self, pickup_id: int) -> None:
        with self.engine.begin() as conn:
            pickups.confirm(conn, pickup_id, ADDRESS, "customer claire", self.now)

    def cancel(self, pickup_id: int) -> None:
        with self.engine.begin() as conn:
            pickups.cancel(conn, pickup_id, "staff admin", self.now)

    def redeem(self) -> None:
        """Some live stamp pays for a mail piece."""
        with self.engine.begin() as conn:
            live = conn.scalar(sa.select(stamps.stamps.c.sealed).where(stamps.stamps.c.state == "live").limit(1))
            if live is not None:
                code = VAULT.open(live)
                done = stamps.redeem(conn, VAULT, code, piece="P1", place="35 Rennes PIC", by="token t", at=self.now)
                assert isinstance(done, Redeemed)
                pickups.redeemed(conn, done.stamp, 1240, self.now)

    def tell(self, pickup_id: int, event: Event) -> None:
        """By a handset that was without a network for some minutes."""
        told = {"key": f"{event} {self.now:%H%M%S%f}", "actor": "token postman", "now": self.now}
        with self.engine.begin() as conn:
            pickups.tell(conn, pickup_id, event, TOLD[event], happened_at=self.now - timedelta(minutes=3), **told)

    def rekey(self, device: int) -> None:
        with self.engine.begin() as conn:
            button = fleet.find(conn, device)
            assert button is not None
            if button.key_generation < 3:
                given = fleet.issue_key(conn, button, board=f"b{button.key_generation}", ticket="t", beyond=-1)
                self.counters[device], self.generations[device] = 0, given.key_generation

    def orders(self) -> list[int]:
        with database.reading(self.engine) as conn:
            return list(conn.scalars(sa.select(pickups.pickups.c.id).order_by(pickups.pickups.c.id)))

    def do(self, step: tuple[Any, ...]) -> None:
        """One step of a history; one that cannot be done is passed over, as a page would say no."""
        what, *with_ = step
        self.now += timedelta(milliseconds=with_.pop())
        match what:
            case "batch":
                self.take(*[self.message(BUTTONS[b], kind, parcels, ack=ack) for b, kind, parcels, ack in with_[0]])
            case "shuffled":
                made = [self.message(BUTTONS[b], kind, parcels, ack=ack) for b, kind, parcels, ack in with_[0]]
                self.take(*reversed(made))
            case "again" if self.sent:
                self.take(*[self.sent[place % len(self.sent)] for place in with_[0]])
            case "noise":
                self.take(*[Message("http", None, payload, {"device": "id"}) for payload in with_[0]])
            case "confirm" | "cancel" if orders := self.orders():
                # Of a press and a person in the same millisecond the log does not know who came first.
                self.now += timedelta(milliseconds=1)
                with suppress(WrongState):
                    getattr(self, what)(orders[with_[0] % len(orders)])
                self.now += timedelta(milliseconds=1)
            case "tell" if orders := self.orders():
                self.now += timedelta(milliseconds=1)
                with suppress(WrongState):
                    self.tell(orders[with_[1] % len(orders)], with_[0])
                self.now += timedelta(milliseconds=1)
            case "mint" | "redeem":
                getattr(self, what)()
                self.now += timedelta(milliseconds=1)
            case "rekey":
                self.rekey(BUTTONS[with_[0]])


def copy_of(engine: sa.Engine, into: str = "sqlite://") -> sa.Engine:
    """SQLite's own online backup."""
    copied = database.connect(into)
    with engine.connect() as source, copied.connect() as target:
        there, here = source.connection.dbapi_connection, target.connection.dbapi_connection
        assert isinstance(there, sqlite3.Connection)
        assert isinstance(here, sqlite3.Connection)
        there.backup(here)
    return copied


def log_of(engine: sa.Engine, now: datetime, after: Cursor = Cursor(), at_once: int = 5000) -> list[Entry]:  # noqa: B008
    return [entry for part in read(engine, after, now, at_once=at_once) for entry in part.entries]


WHERE_NOT = {
    "frames": (),
    "uplinks": (),
    "pickups": (),
    "pickup_events": ("id",),
    "pickup_words": (),
    "stamps": ("id", "lease_id"),
    "buttons": (),
}


def state_of(engine: sa.Engine, *tables: str, without: Iterable[str] = ()) -> dict[str, list[tuple[Any, ...]]]:
    """What presses decide, table by table, in an order of its own; and of stamps those that orders have."""
    said = {}
    with database.reading(engine) as conn:
        for name in tables or WHERE_NOT:
            table = database.metadata.tables[name]
            columns = [c for c in table.c if c.name not in (*WHERE_NOT[name], *without)]
            query = sa.select(*columns)
            if name == "stamps":
                query = query.where(table.c.pickup_id.is_not(None))
            said[name] = sorted((tuple(row) for row in conn.execute(query)), key=repr)
    return said
