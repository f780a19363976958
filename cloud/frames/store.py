"""The log of all that was heard, accepted or not, and the press log that decides replays, in SQL."""

import sqlalchemy as sa

from cloud.database import BigId, Instant, metadata

# Append-only: the raw truth. Its id is the live pages' event id.
frames = sa.Table(
    "frames",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("received_at", Instant, nullable=False, index=True),
    sa.Column("carrier", sa.Text, nullable=False),  # mqtt, http, air
    sa.Column("raw", sa.LargeBinary, nullable=False),  # the message as it came, cut at RAW_LIMIT bytes
    sa.Column("raw_size", sa.Integer, nullable=False),  # its whole size in bytes
    sa.Column("result", sa.Text, nullable=False),  # frames.model.Result
    sa.Column("reason", sa.Text, nullable=False, server_default=""),  # why, in words; empty when accepted
    # What the network said of it, as far as it could be read.
    sa.Column("device", sa.BigInteger),  # claimed, not proven
    sa.Column("data", sa.LargeBinary),
    sa.Column("heard_at", Instant),
    sa.Column("seq_number", sa.Integer),
    sa.Column("listens", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("lqi", sa.Text),
    sa.Column("copies", sa.JSON(none_as_null=True)),  # [{"station": "1F08", "rssi": -117.0, "replicas": 3}], best first
    # What the seal opened to, and what came of it.
    sa.Column("counter", sa.BigInteger),
    sa.Column("kind", sa.Text),
    sa.Column("pickup_id", BigId, sa.ForeignKey("pickups.id"), index=True),
    sa.Column("downlink", sa.LargeBinary(8)),
    sa.Index("ix_frames_device_id", "device", "id"),
)

# One row a message that was accepted: its key is what makes a copy or a replay change nothing.
uplinks = sa.Table(
    "uplinks",
    metadata,
    sa.Column("button_id", sa.BigInteger, sa.ForeignKey("buttons.id"), primary_key=True, autoincrement=False),
    sa.Column("key_generation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("counter", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("heard_at", Instant),
    sa.Column("seq_number", sa.Integer),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("parcels", sa.Integer, nullable=False),
    sa.Column("battery_mv", sa.Integer, nullable=False),
    sa.Column("temperature_c", sa.Integer, nullable=False),
    sa.Column("reset_cause", sa.Integer, nullable=False),
    sa.Column("link_failures", sa.Integer, nullable=False),
    sa.Column("pickup_id", BigId, sa.ForeignKey("pickups.id")),
    sa.Column("downlink", sa.LargeBinary(8)),  # the one answer it may have; a repeat sends the same bytes
)
