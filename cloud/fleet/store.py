"""The buttons in SQL."""

import sqlalchemy as sa

from cloud.database import Instant, metadata

buttons = sa.Table(
    "buttons",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),  # the device id, 32 bits
    sa.Column("key_generation", sa.Integer, nullable=False, server_default="0"),  # 0 to 3
    sa.Column("state", sa.Text, nullable=False),  # fleet.model.State
    sa.Column("place", sa.Text),  # where it hangs, for the eye: "35 Rennes"
    sa.Column("claim_hash", sa.LargeBinary(32), unique=True),  # SHA-256 of the claim code; none once claimed
    sa.Column("owner_id", sa.BigInteger, sa.ForeignKey("accounts.id"), index=True),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("claimed_at", Instant),
    sa.Column("last_seen_at", Instant),
    sa.Column(
        "last_counter", sa.BigInteger, nullable=False, server_default="0"
    ),  # the highest accepted, 0 = never heard
    sa.Column("battery_mv", sa.Integer),
    sa.Column("temperature_c", sa.Integer),
    sa.Column("budget_day", sa.Date),  # the UTC day that the two counts below speak of
    sa.Column("uplinks_today", sa.Integer, nullable=False, server_default="0"),
    sa.Column("downlinks_today", sa.Integer, nullable=False, server_default="0"),
)
