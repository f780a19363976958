"""Readings of stamps, their counts, what was guessed; appeals"""

import sqlalchemy as sa
from alembic import op

from cloud.database import BigId

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stamp_readings",
        sa.Column("id", BigId, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("form", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("listed", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(length=16), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stamp_readings")),
    )
    op.create_index("ix_stamp_readings_at", "stamp_readings", ["at"])
    op.create_table(
        "stamp_counts",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("readings", sa.Integer(), nullable=False),
        sa.Column("unknown_clear", sa.Integer(), nullable=False),
        sa.Column("already_used", sa.Integer(), nullable=False),
        sa.Column("near_spent", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("day", "place", name=op.f("pk_stamp_counts")),
    )
    op.create_table(
        "stamp_guesses",
        sa.Column("party", sa.Text(), nullable=False),
        sa.Column("full_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("party", name=op.f("pk_stamp_guesses")),
    )
    op.create_table(
        "appeals",
        sa.Column("id", BigId, nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("filed_at", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("piece", sa.Text(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(length=16), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_appeals")),
        sa.UniqueConstraint("reference", name=op.f("uq_appeals_reference")),
    )
    op.create_index("ix_appeals_state_id", "appeals", ["state", "id"])


def downgrade() -> None:
    for table in ("appeals", "stamp_guesses", "stamp_counts", "stamp_readings"):
        op.drop_table(table)
