"""Configurations on their way to buttons; which master key a button's key comes from, and why a button is revoked"""

import sqlalchemy as sa
from alembic import op

from cloud.database import BigId

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("buttons", sa.Column("key_master", sa.Integer(), server_default="1", nullable=False))
    op.add_column("buttons", sa.Column("revoked_at", sa.BigInteger(), nullable=True))
    op.add_column("buttons", sa.Column("revoked_by", sa.Text(), nullable=True))
    op.add_column("buttons", sa.Column("revoked_why", sa.Text(), nullable=True))
    op.add_column("stamp_leases", sa.Column("key_number", sa.Integer(), server_default="1", nullable=False))
    op.create_table(
        "downlinks",
        sa.Column("id", BigId, nullable=False),
        sa.Column("button_id", sa.BigInteger(), nullable=False),
        sa.Column("hours", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("queued_at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("sendings", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("key_generation", sa.Integer(), nullable=True),
        sa.Column("counter", sa.BigInteger(), nullable=True),
        sa.Column("heard_at", sa.BigInteger(), nullable=True),
        sa.Column("proven_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["button_id"], ["buttons.id"], name=op.f("fk_downlinks_button_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_downlinks")),
    )
    op.create_index("ix_downlinks_button_id_id", "downlinks", ["button_id", "id"])
    is_open = sa.text("state IN ('queued', 'sent')")
    op.create_index(
        "uq_downlinks_open", "downlinks", ["button_id"], unique=True, sqlite_where=is_open, postgresql_where=is_open
    )


def downgrade() -> None:
    op.drop_table("downlinks")
    op.drop_column("stamp_leases", "key_number")
    for column in ("revoked_why", "revoked_by", "revoked_at", "key_master"):
        op.drop_column("buttons", column)
