"""Sealed codes move to the newest master key, a batch a transaction, beside a service that runs on.

It can be stopped at any moment and begun again: what is done lies under the newest key and is passed over.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from cloud.stamps.vault import Vault

AT_ONCE = 1000  # rows a transaction, so that no press waits long for the one writer


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step looked at. `last_id` is where the next one begins; None when the table is done."""

    last_id: int | None
    looked_at: int
    resealed: int


def reseal(conn: sa.Connection, table: sa.Table, vault: Vault, after_id: int = 0, limit: int = AT_ONCE) -> Batch:
    """Seal anew what lies under an older key among the next `limit` rows of `table`, which has `id` and `sealed`.

    Raises `vault.WrongKey` where a block is of none of the vault's keys.
    """
    rows = _next(conn, table, after_id, limit)
    old = [row for row in rows if vault.key_number_of(row.sealed) != vault.number]
    if old:
        move = (
            sa.update(table)
            .where(table.c.id == sa.bindparam("b_id"), table.c.sealed == sa.bindparam("b_old"))
            .values(sealed=sa.bindparam("b_new"))
        )
        conn.execute(
            move,
            [{"b_id": row.id, "b_old": row.sealed, "b_new": vault.seal(vault.open(row.sealed))} for row in old],
        )
    return Batch(rows[-1].id if len(rows) == limit else None, len(rows), len(old))


def count(conn: sa.Connection, table: sa.Table, vault: Vault, limit: int = 10 * AT_ONCE) -> Counter[int]:
    """How many codes of `table` lie under each master key."""
    found: Counter[int] = Counter()
    after_id = 0
    while rows := _next(conn, table, after_id, limit):
        found.update(vault.key_number_of(row.sealed) for row in rows)
        after_id = rows[-1].id
    return found


def _next(conn: sa.Connection, table: sa.Table, after_id: int, limit: int) -> Sequence[Any]:
    query = sa.select(table.c.id, table.c.sealed).where(table.c.id > after_id, table.c.sealed.is_not(None))
    return conn.execute(query.order_by(table.c.id).limit(limit)).all()
