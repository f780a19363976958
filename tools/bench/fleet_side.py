"""The cloud's side of the bench, by the cloud's own stores: a `simulator.bench.cloud.Cloud`."""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

import cloud.accounts.store as accounts
import cloud.fleet.store as fleet
import cloud.frames.store as frames
import cloud.pickups.store as pickups
from cloud import database
from cloud.accounts.model import Role
from cloud.fleet.claims import new_claim_code
from cloud.fleet.model import Button, format_id
from cloud.frames.model import Result
from cloud.settings import Settings
from simulator.bench.cloud import Outcome
from simulator.bench.wire import Identity
from simulator.board.vm import Board
from tools.buttons import open_board
from tools.terminal import Failure

CUSTOMER = "bench@example.org"  # to whom all buttons of the bench belong, so that a press becomes an order
NEWEST = 50  # frames of one button among which a message is looked for
PLACES = (
    "35 Rennes", "69 Lyon", "63 Riom", "29 Quimper", "59 Lille", "33 Bordeaux", "67 Strasbourg", "44 Nantes",
    "13 Marseille", "31 Toulouse", "76 Rouen", "38 Voiron", "25 Besançon", "06 Nice", "34 Sète", "87 Limoges",
    "80 Amiens", "54 Nancy", "21 Dijon", "37 Tours", "64 Pau", "2A Ajaccio", "14 Caen", "45 Orléans",
)  # fmt: skip


class Logged(NamedTuple):
    """One line of the log."""

    device: int
    data: bytes | None
    result: str
    order: int | None


class FleetSide:
    """`mqtt_port`: of the broker that the boards radiate to."""

    def __init__(self, engine: sa.Engine, chosen: Settings, url: str, mqtt_port: int) -> None:
        self.url = url
        self.engine = engine
        self._chosen = chosen
        self._keys = chosen.keys(make=True)
        self._mqtt_port = mqtt_port

    def add_board(self, device: int) -> tuple[Board, Identity]:
        self._add(device, 1)
        board = open_board(self.engine, self._chosen, device, self._mqtt_port)
        with database.reading(self.engine) as conn:
            button = fleet.find(conn, device)
        assert button is not None
        return board, self._identity(button, board.counter)

    def add_traffic(self, first: int, count: int) -> Sequence[Identity]:
        return [self._identity(button, button.last_counter) for button in self._add(first, count)]

    def board_folder(self, device: int) -> Path:
        return self._chosen.data_dir / "boards" / format_id(device)

    def outcome(self, device: int, data: bytes) -> Outcome | None:
        with database.reading(self.engine) as conn:
            found = [frame for frame in frames.newest(conn, limit=NEWEST, device=device) if frame.data == data]
            if not found:
                return None
            frame = next((one for one in found if one.result is Result.ACCEPTED), found[-1])
            order = pickups.find(conn, frame.pickup_id) if frame.pickup_id is not None else None
        joined = order is not None and order.requested_at < frame.received_at
        link = f"{self.url}/frames/{frame.id}"
        return Outcome(frame.result, frame.reason, frame.pickup_id, joined, link)

    def count_kept(self, first: int, count: int) -> int:
        of_these = frames.uplinks.c.button_id.between(first, first + count - 1)
        with database.reading(self.engine) as conn:
            return conn.execute(sa.select(sa.func.count()).where(of_these)).scalar_one()

    def last_frame(self) -> int:
        with database.reading(self.engine) as conn:
            return frames.last_id(conn)

    def log_since(self, id: int, devices: Sequence[range]) -> list[Logged]:
        """What the log has taken of these buttons since frame `id`, oldest first."""
        log = frames.frames.c
        of_these = sa.or_(*(log.device.between(one.start, one.stop - 1) for one in devices))
        query = sa.select(log.device, log.data, log.result, log.pickup_id).where(log.id > id, of_these)
        with database.reading(self.engine) as conn:
            return [Logged(*row) for row in conn.execute(query.order_by(log.id))]

    def _add(self, first: int, count: int) -> list[Button]:
        """Those that are there stay as they are; a `Failure` for one that hangs in a letterbox."""
        with self.engine.begin() as conn:
            owner = accounts.find(conn, CUSTOMER) or accounts.add(
                conn,
                name=CUSTOMER,
                display_name="Bench",
                role=Role.CUSTOMER,
                password=secrets.token_urlsafe(24),
                now=database.now(),
            )
            return [self._find_or_add(conn, first + at, PLACES[at % len(PLACES)], owner.id) for at in range(count)]

    def _find_or_add(self, conn: sa.Connection, device: int, place: str, owner_id: int) -> Button:
        button = fleet.find(conn, device)
        if button is None:
            return fleet.add(
                conn,
                id=device,
                place=place,
                claim_code=new_claim_code(),
                now=database.now(),
                owner_id=owner_id,
                key_master=self._keys.number,
            )
        if button.owner_id != owner_id or button.key_board is not None:
            raise Failure(f"button {format_id(device)} is somebody’s: the bench needs its ids for itself")
        return button

    def _identity(self, button: Button, counter: int) -> Identity:
        return Identity(button.id, button.key_generation, self._keys.key_of(button), counter)
