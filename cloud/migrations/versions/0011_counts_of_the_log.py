"""Counts of the log, samples of what is slow to count, and the orders' history by its time"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0009"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "frame_counts",
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("span", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("which", sa.Text(), nullable=False),
        sa.Column("frames", BIG_ID, nullable=False),
        sa.PrimaryKeyConstraint("what", "span", "at", "which", name=op.f("pk_frame_counts")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "frame_tally",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("through", BIG_ID, nullable=False),
        sa.Column("newest", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_frame_tally_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_frame_tally")),
    )
    op.create_table(
        "gauges",
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("which", sa.Text(), nullable=False),
        sa.Column("value", BIG_ID, nullable=False),
        sa.PrimaryKeyConstraint("what", "at", "which", name=op.f("pk_gauges")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_pickup_events_at", "pickup_events", ["at", "event", "pickup_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_pickup_events_at", table_name="pickup_events")
    op.drop_table("gauges")
    op.drop_table("frame_tally")
    op.drop_table("frame_counts")
