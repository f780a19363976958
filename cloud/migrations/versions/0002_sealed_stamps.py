"""Stamp codes are sealed; leases of the pool, and pickups that wait for a stamp"""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import context, op

from cloud.database import BigId
from cloud.stamps.vault import Vault

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

AT_ONCE = 10_000  # rows
BOTH_WAYS = ("state", "pickup_id", "minted_at", "changed_at")


def upgrade() -> None:
    _set_aside()
    kept, minted = sa.text("released_at IS NULL"), sa.text("state = 'minted'")
    op.create_table(
        "stamps",
        sa.Column("id", BigId, nullable=False),
        sa.Column("sealed", sa.LargeBinary(length=16), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("pickup_id", BigId, nullable=True),
        sa.Column("lease_id", sa.BigInteger(), nullable=True),
        sa.Column("minted_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("piece", sa.Text(), nullable=True),
        sa.Column("place", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("released_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["pickup_id"], ["pickups.id"], name=op.f("fk_stamps_pickup_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stamps")),
        sa.UniqueConstraint("pickup_id", name=op.f("uq_stamps_pickup_id")),
    )
    op.create_table(
        "stamp_leases",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stamp_leases")),
    )
    op.create_table(
        "stamp_waits",
        sa.Column("pickup_id", BigId, autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["pickup_id"], ["pickups.id"], name=op.f("fk_stamp_waits_pickup_id")),
        sa.PrimaryKeyConstraint("pickup_id", name=op.f("pk_stamp_waits")),
    )
    _move("code", "sealed", lambda vault, code: vault.seal(code))
    op.create_index("uq_stamps_sealed", "stamps", ["sealed"], unique=True, sqlite_where=kept, postgresql_where=kept)
    op.create_index(
        "ix_stamps_state_changed_at", "stamps", ["state", "changed_at"], sqlite_where=kept, postgresql_where=kept
    )
    op.create_index("ix_stamps_lease_id", "stamps", ["lease_id"], sqlite_where=minted, postgresql_where=minted)


def downgrade() -> None:
    """Released codes are forgotten: there a code has one row."""
    op.drop_table("stamp_waits")
    op.drop_table("stamp_leases")
    op.execute("DELETE FROM stamps WHERE released_at IS NOT NULL")
    _set_aside()
    op.create_table(
        "stamps",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("pickup_id", BigId, nullable=True),
        sa.Column("minted_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        *(
            sa.Column(f"pair{i}", sa.Text(), sa.Computed(f"substr(code, {2 * i + 1}, 2)", persisted=True))
            for i in range(4)
        ),
        sa.ForeignKeyConstraint(["pickup_id"], ["pickups.id"], name=op.f("fk_stamps_pickup_id")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_stamps")),
        sa.UniqueConstraint("pickup_id", name=op.f("uq_stamps_pickup_id")),
    )
    _move("sealed", "code", lambda vault, block: vault.open(bytes(block)))
    for i, j in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)):
        op.create_index(f"ix_stamps_pairs{i}{j}", "stamps", [f"pair{i}", f"pair{j}"])
    op.create_index("ix_stamps_state", "stamps", ["state"])


def _set_aside() -> None:
    """The table's rows under another name, without its constraints, whose names the new table takes."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("PRAGMA secure_delete = ON")  # or the pages of the old table would lie about with what was in them
    op.execute("CREATE TABLE stamps_before AS SELECT * FROM stamps")
    op.drop_table("stamps")


def _move(before: str, after: str, change: Callable[[Vault, Any], object]) -> None:
    conn = op.get_bind()
    old = sa.table("stamps_before", sa.column(before), *map(sa.column, BOTH_WAYS))
    new = sa.table("stamps", sa.column(after), *map(sa.column, BOTH_WAYS))
    vault: Vault | None = None
    for part in conn.execute(sa.select(old)).partitions(AT_ONCE):
        vault = vault or Vault(context.config.attributes["stamp_key"]())
        rows = ({**row._mapping, after: change(vault, getattr(row, before))} for row in part)
        conn.execute(new.insert(), [{name: row[name] for name in (after, *BOTH_WAYS)} for row in rows])
    op.drop_table("stamps_before")
