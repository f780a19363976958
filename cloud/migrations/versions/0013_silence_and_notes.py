"""What tells a silent button from a quiet one, its firmware, a planned key, and notes on it"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

COLUMNS = {
    "heartbeat_hours": sa.Integer(),
    "weighed_at": sa.BigInteger(),
    "firmware": sa.Text(),
    "firmware_at": sa.BigInteger(),
    "rekey_planned_at": sa.BigInteger(),
    "rekey_planned_by": sa.Text(),
}


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        op.add_column("buttons", sa.Column(name, kind, nullable=True))
    op.add_column("buttons", sa.Column("patience", sa.Integer(), server_default="3", nullable=False))
    # The period that each button has proven last.
    op.execute(
        "UPDATE buttons SET heartbeat_hours = (SELECT hours FROM downlinks WHERE button_id = buttons.id "
        "AND proven_at IS NOT NULL ORDER BY proven_at DESC, downlinks.id DESC LIMIT 1) "
        "WHERE id IN (SELECT button_id FROM downlinks WHERE proven_at IS NOT NULL)"
    )
    overdue = "(last_seen_at + coalesce(heartbeat_hours, 24) * 3780000)"
    op.create_index("ix_buttons_overdue", "buttons", ["state", sa.text(overdue), "id"], unique=False)
    flashed = sa.text("firmware_at IS NOT NULL")
    op.create_index(
        "ix_buttons_firmware_at", "buttons", ["firmware_at"], sqlite_where=flashed, postgresql_where=flashed
    )
    op.create_table(
        "button_notes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("button_id", sa.BigInteger(), nullable=False),
        sa.Column("author_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["author_id"], ["accounts.id"], name=op.f("fk_button_notes_author_id")),
        sa.ForeignKeyConstraint(["button_id"], ["buttons.id"], name=op.f("fk_button_notes_button_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_button_notes")),
    )
    op.create_index("ix_button_notes_button_id_id", "button_notes", ["button_id", "id"], unique=False)


def downgrade() -> None:
    op.drop_table("button_notes")
    op.drop_index("ix_buttons_firmware_at", table_name="buttons")
    op.drop_index("ix_buttons_overdue", table_name="buttons")
    for name in (*COLUMNS, "patience"):
        op.drop_column("buttons", name)
