"""Whole lives of orders on a service, as the thread tells them: for tests and for pictures."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

import cloud.accounts.store
import cloud.appeals.store
import cloud.pickups.store
import cloud.stamps.store
from cloud import database
from cloud.accounts.model import Role
from cloud.appeals.model import claim
from cloud.fleet.store import buttons
from cloud.pickups.model import Detail, Event, Handover
from cloud.places.model import Address
from cloud.stamps import item
from cloud.stamps.desk import Item
from cloud.stamps.ledger import Form
from cloud.stamps.model import ALPHABET, Stamp
from cloud.stamps.register import Keeping, Register, pack
from tests.cloud.console.service import BUTTON, NO_PASSWORD, Service
from tests.sealing import callback, seal
from tests.stock import VAULT, desk

PRESSED_AT = datetime(2026, 11, 18, 18, 52, 12, 400_000, tzinfo=UTC)  # Wednesday, 19:52 in Paris
ADDRESSEE = Address.of(["Mme Hélène Vasseur", "", "", "18 rue des Quatre Navettes", "", "69001 Lyon"])
CENTRE = "35 Rennes PIC"
PHOTO = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
LIVE = 5_000_000  # stamps, by which a reading's budget is measured

# How far a life goes; each of these is in the ones after it.
AS_FAR_AS = ("requested", "confirmed", "on round", "collected", "sorted", "delivered")


@dataclass(frozen=True, slots=True)
class Life:
    pickup_id: int
    code: str
    piece: str
    pressed_at: datetime


def make_life(
    service: Service,
    until: str = "delivered",
    *,
    pressed_at: datetime = PRESSED_AT,
    device: int = BUTTON,
    addressee: Address = ADDRESSEE,
    appealed: bool = False,
) -> Life:
    """A press at 19:52, and what became of it up to the state `until`, over three days."""
    far = AS_FAR_AS.index(until)
    _give_owner(service, device)
    pickup_id = _press(service, device, pressed_at)
    stamp = _stamp(service, pickup_id)
    piece = str(item.parcel_number(pickup_id))
    life = Life(pickup_id, stamp.code, piece, pressed_at)
    morning = pressed_at.replace(hour=4, minute=40, second=0, microsecond=0) + timedelta(days=1)
    if far >= 1:
        with service.engine.begin() as conn:
            confirmed_at = pressed_at + timedelta(minutes=11, seconds=29)
            cloud.pickups.store.confirm(conn, pickup_id, addressee, "customer c.morvan@example.org", confirmed_at)
    if far >= 2:
        _tell(service, pickup_id, Event.PUT_ON_ROUND, Detail(round="Rennes 07", stop=23, stops=61), morning)
    if far >= 3:
        proof = Detail(place="9 m from the box", photo=PHOTO, notice=True)
        at = morning + timedelta(hours=3, minutes=7)
        _tell(service, pickup_id, Event.COLLECTED, proof, at + timedelta(minutes=8), at)
    if far >= 4:
        _sort(service, stamp, piece, morning + timedelta(hours=13, minutes=12))
    if far >= 5:
        door = Detail(handover=Handover.DOOR, place="Lyon 1er")
        _tell(service, pickup_id, Event.DELIVERED, door, morning + timedelta(days=1, hours=6, minutes=9))
    if appealed:
        text = "Refusé à Rennes, alors que le timbre était bien écrit."
        said = claim(name="Claire Morvan", contact="c.morvan@example.org", code=stamp.code, text=text)
        with service.engine.begin() as conn:
            cloud.appeals.store.file(conn, VAULT, said, morning + timedelta(hours=15))
    service.bell.ring()
    return life


def _give_owner(service: Service, device: int) -> None:
    with service.engine.begin() as conn:
        name = f"c.morvan{next(service.counters)}@example.org"
        claire = cloud.accounts.store.add(
            conn, name=name, display_name="Claire Morvan", role=Role.CUSTOMER, password=NO_PASSWORD, now=PRESSED_AT
        )
        conn.execute(buttons.update().where(buttons.c.id == device).values(owner_id=claire.id))


def _press(service: Service, device: int, at: datetime) -> int:
    """A press, whose same message then comes by another carrier."""
    counter, key = next(service.counters), service.keys.device_key(device, 0)
    data = seal(device=device, key=key, counter=counter, battery_mv=2850, temperature_c=7)
    heard = callback(device, data, seq=counter & 0xFFFF, time=int(at.timestamp()))
    pickup_id = service.hear(heard, device=device, now=at)[0].pickup_id
    assert pickup_id is not None
    service.hear(heard, device=device, now=at + timedelta(seconds=1))
    return pickup_id


def _stamp(service: Service, pickup_id: int) -> Stamp:
    with database.reading(service.engine) as conn:
        stamp = cloud.stamps.store.of_pickup(conn, VAULT, pickup_id)
    assert stamp is not None
    return stamp


def _tell(
    service: Service, id: int, event: Event, detail: Detail, at: datetime, happened_at: datetime | None = None
) -> None:
    with service.engine.begin() as conn:
        named = {"key": f"{event} {id}".replace(" ", "-"), "actor": "token a.legoff"}
        assert cloud.pickups.store.tell(conn, id, event, detail, **named, now=at, happened_at=happened_at)


def _sort(service: Service, stamp: Stamp, piece: str, at: datetime) -> None:
    """Read from a picture whose third character looked like a 9, then redeemed."""
    register = Register()
    register.add(pack([stamp.code]), Keeping.LIVE)
    centre = desk(service.engine, lambda: register, LIVE)
    item = Item(Form.PICTURE, lattice=blurred(stamp.code))
    [reading] = centre.read([item], by="token line 4", place=CENTRE, now=at)
    assert (reading.kind, reading.listed > 1) == ("accepted", True)
    centre.redeem(stamp.code, piece=piece, place=CENTRE, by="token line 4", now=at, weight_g=1240)


def blurred(code: str) -> np.ndarray:
    """What a reader makes of `code` where one place is more likely another character, as a lattice of probabilities."""
    lattice = np.full((8, 32), 0.002, np.float32)
    for place, symbol in enumerate(code):
        lattice[place, ALPHABET.index(symbol)] = 0.94
    right = ALPHABET.index(code[2])
    lattice[2, right], lattice[2, (right + 5) % 32] = 0.40, 0.54
    return lattice / lattice.sum(axis=1, keepdims=True)
