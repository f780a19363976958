"""A pool of stamps without a register: codes drawn as they come, for tests that mind orders and not distances."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from cloud.pickups.store import redeemed
from cloud.stamps import store
from cloud.stamps.allowance import Allowance
from cloud.stamps.desk import Desk
from cloud.stamps.lease import Lease
from cloud.stamps.model import CODE_BITS, code_of
from cloud.stamps.vault import Vault

VAULT = Vault(bytes(range(32)))
MINTED_AT = datetime(2026, 3, 2, 7, 0, tzinfo=UTC)
ALLOWANCE = Allowance(burst=45, per_hour=3)
LEASED_FOR = timedelta(days=36_500)


def stock(conn: sa.Connection, count: int, now: datetime = MINTED_AT, vault: Vault = VAULT) -> Lease:
    """A new lease on so many new codes."""
    lease = Lease(store.open_lease(conn, "a test", now + LEASED_FOR))
    lease.fill(new_rows(conn, lease, count, now, vault))
    lease.short = False
    return lease


def new_rows(
    conn: sa.Connection, lease: Lease, count: int, now: datetime = MINTED_AT, vault: Vault = VAULT
) -> list[int]:
    codes = [code_of(secrets.randbits(CODE_BITS)) for _ in range(count)]
    return store.put(conn, [vault.seal(code) for code in codes], lease.id, now) if codes else []


def lease_of(conn: sa.Connection) -> Lease:
    """The one that `stock` opened, with what the database says it has left."""
    lease = Lease(conn.scalar(sa.select(store.stamp_leases.c.id)) or 0)
    lease.fill(store.leased(conn, lease.id))
    lease.short = False
    return lease


def desk(engine: sa.Engine, register: Callable[[], Any] = lambda: None, live: int = 0) -> Desk:
    """Without a register it looks up, redeems and voids; only reading needs one."""
    return Desk(engine, VAULT, register, lambda: live, alpha=1e-4, allowance=ALLOWANCE, paid=redeemed)
