"""The first tables: accounts, buttons, frames, pickups, stamps"""

import sqlalchemy as sa
from alembic import op

from cloud.database import BigId

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", BigId, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("name", name=op.f("uq_accounts_name")),
    )
    op.create_table(
        "api_tokens",
        sa.Column("id", BigId, nullable=False),
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_api_tokens_token_hash")),
    )
    op.create_table(
        "buttons",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key_generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=True),
        sa.Column("claim_hash", sa.LargeBinary(length=32), nullable=True),
        sa.Column("owner_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("claimed_at", sa.BigInteger(), nullable=True),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=True),
        sa.Column("last_counter", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("battery_mv", sa.Integer(), nullable=True),
        sa.Column("temperature_c", sa.Integer(), nullable=True),
        sa.Column("budget_day", sa.Date(), nullable=True),
        sa.Column("uplinks_today", sa.Integer(), server_default="0", nullable=False),
        sa.Column("downlinks_today", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["accounts.id"], name=op.f("fk_buttons_owner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_buttons")),
        sa.UniqueConstraint("claim_hash", name=op.f("uq_buttons_claim_hash")),
    )
    op.create_index("ix_buttons_owner_id", "buttons", ["owner_id"], unique=False)

    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("account_id", BigId, nullable=False),
        sa.Column("csrf", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_sessions_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_sessions")),
    )
    op.create_index("ix_sessions_account_id", "sessions", ["account_id"], unique=False)

    op.create_table(
        "pickups",
        sa.Column("id", BigId, nullable=False),
        sa.Column("button_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("parcels", sa.Integer(), nullable=False),
        sa.Column("addressee", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["button_id"], ["buttons.id"], name=op.f("fk_pickups_button_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pickups")),
    )
    op.create_index("ix_pickups_button_id", "pickups", ["button_id"], unique=False)
    op.create_index("ix_pickups_state", "pickups", ["state"], unique=False)
    op.create_index(
        "uq_pickups_open_request",
        "pickups",
        ["button_id"],
        unique=True,
        sqlite_where=sa.text("state = 'requested'"),
        postgresql_where=sa.text("state = 'requested'"),
    )

    op.create_table(
        "frames",
        sa.Column("id", BigId, nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("carrier", sa.Text(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("raw_size", sa.Integer(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("device", sa.BigInteger(), nullable=True),
        sa.Column("data", sa.LargeBinary(), nullable=True),
        sa.Column("heard_at", sa.BigInteger(), nullable=True),
        sa.Column("seq_number", sa.Integer(), nullable=True),
        sa.Column("listens", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("lqi", sa.Text(), nullable=True),
        sa.Column("copies", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("key_generation", sa.Integer(), nullable=True),
        sa.Column("counter", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("pickup_id", BigId, nullable=True),
        sa.Column("downlink", sa.LargeBinary(length=8), nullable=True),
        sa.ForeignKeyConstraint(["pickup_id"], ["pickups.id"], name=op.f("fk_frames_pickup_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_frames")),
    )
    op.create_index("ix_frames_device_id", "frames", ["device", "id"], unique=False)
    op.create_index("ix_frames_pickup_id", "frames", ["pickup_id"], unique=False)
    op.create_index("ix_frames_received_at", "frames", ["received_at"], unique=False)

    op.create_table(
        "pickup_events",
        sa.Column("id", BigId, nullable=False),
        sa.Column("pickup_id", BigId, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["pickup_id"], ["pickups.id"], name=op.f("fk_pickup_events_pickup_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pickup_events")),
    )
    op.create_index("ix_pickup_events_pickup_id", "pickup_events", ["pickup_id"], unique=False)

    op.create_table(
        "stamps",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("pickup_id", BigId, nullable=True),
        sa.Column("minted_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("pair0", sa.Text(), sa.Computed("substr(code, 1, 2)", persisted=True)),
        sa.Column("pair1", sa.Text(), sa.Computed("substr(code, 3, 2)", persisted=True)),
        sa.Column("pair2", sa.Text(), sa.Computed("substr(code, 5, 2)", persisted=True)),
        sa.Column("pair3", sa.Text(), sa.Computed("substr(code, 7, 2)", persisted=True)),
        sa.ForeignKeyConstraint(["pickup_id"], ["pickups.id"], name=op.f("fk_stamps_pickup_id")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_stamps")),
        sa.UniqueConstraint("pickup_id", name=op.f("uq_stamps_pickup_id")),
    )
    op.create_index("ix_stamps_pairs01", "stamps", ["pair0", "pair1"], unique=False)
    op.create_index("ix_stamps_pairs02", "stamps", ["pair0", "pair2"], unique=False)
    op.create_index("ix_stamps_pairs03", "stamps", ["pair0", "pair3"], unique=False)
    op.create_index("ix_stamps_pairs12", "stamps", ["pair1", "pair2"], unique=False)
    op.create_index("ix_stamps_pairs13", "stamps", ["pair1", "pair3"], unique=False)
    op.create_index("ix_stamps_pairs23", "stamps", ["pair2", "pair3"], unique=False)
    op.create_index("ix_stamps_state", "stamps", ["state"], unique=False)

    op.create_table(
        "uplinks",
        sa.Column("button_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key_generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("counter", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("heard_at", sa.BigInteger(), nullable=True),
        sa.Column("seq_number", sa.Integer(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("parcels", sa.Integer(), nullable=False),
        sa.Column("battery_mv", sa.Integer(), nullable=False),
        sa.Column("temperature_c", sa.Integer(), nullable=False),
        sa.Column("reset_cause", sa.Integer(), nullable=False),
        sa.Column("link_failures", sa.Integer(), nullable=False),
        sa.Column("pickup_id", BigId, nullable=True),
        sa.Column("downlink", sa.LargeBinary(length=8), nullable=True),
        sa.ForeignKeyConstraint(["button_id"], ["buttons.id"], name=op.f("fk_uplinks_button_id")),
        sa.ForeignKeyConstraint(["pickup_id"], ["pickups.id"], name=op.f("fk_uplinks_pickup_id")),
        sa.PrimaryKeyConstraint("button_id", "key_generation", "counter", name=op.f("pk_uplinks")),
    )


def downgrade() -> None:
    op.drop_table("uplinks")
    op.drop_table("stamps")
    op.drop_table("pickup_events")
    op.drop_table("frames")
    op.drop_table("pickups")
    op.drop_table("sessions")
    op.drop_table("buttons")
    op.drop_table("api_tokens")
    op.drop_table("accounts")
