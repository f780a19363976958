"""Stamps whose codes the test knows, in the database and in a register."""

from datetime import datetime

import sqlalchemy as sa

from cloud import database
from cloud.stamps import store
from cloud.stamps.desk import Desk
from cloud.stamps.model import State
from cloud.stamps.register import Keeping, Register, pack
from tests.stock import VAULT, desk

LIVE = "7K4F2M9X"
HELD = "A1B2C3D4"
USED = "CDEFGHJK"
VOID = "00001111"
NEAR_USED = "CDEFGHJL"  # one symbol from USED
NOBODYS = "WWWW8888"

PIECE, PLACE = "CD604127935FR", "35 Rennes PIC"


def put_out(engine: sa.Engine, now: datetime | None = None) -> Register:
    """The four stamps above; gives the register that knows them."""
    now = now or database.now()
    with engine.begin() as conn:
        for code, state in ((LIVE, State.LIVE), (HELD, State.RESERVED), (USED, State.LIVE), (VOID, State.VOID)):
            conn.execute(
                store.stamps.insert().values(
                    sealed=VAULT.seal(code), state=state, minted_at=now, changed_at=now, lease_id=None
                )
            )
        store.redeem(conn, VAULT, USED, piece=PIECE, place=PLACE, by="staff n.arnaud", at=now)
    register = Register()
    register.add(pack([LIVE]), Keeping.LIVE)
    register.add(pack([HELD]), Keeping.HELD)
    register.add(pack([USED, VOID]), Keeping.SPENT)
    return register


def desk_with(engine: sa.Engine, live: int = 5_000_000) -> Desk:
    register = put_out(engine)
    return desk(engine, lambda: register, live)
