"""Pickup orders and their history in SQL."""

import sqlalchemy as sa

from cloud.database import BigId, Instant, metadata

pickups = sa.Table(
    "pickups",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("button_id", sa.BigInteger, sa.ForeignKey("buttons.id"), nullable=False, index=True),
    sa.Column("state", sa.Text, nullable=False, index=True),  # pickups.model.State
    sa.Column("parcels", sa.Integer, nullable=False),
    sa.Column(
        "addressee", sa.JSON(none_as_null=True)
    ),  # the six lines of the envelope, places.model.Address; none until confirmed
    sa.Column("requested_at", Instant, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
)
# A press makes the button's open request or joins it: the database holds that there is one at most.
sa.Index(
    "uq_pickups_open_request",
    pickups.c.button_id,
    unique=True,
    sqlite_where=pickups.c.state == "requested",
    postgresql_where=pickups.c.state == "requested",
)

pickup_events = sa.Table(
    "pickup_events",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("pickup_id", BigId, sa.ForeignKey("pickups.id"), nullable=False, index=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("event", sa.Text, nullable=False),  # pickups.model.Event
    sa.Column("state", sa.Text, nullable=False),  # the state it led to
    sa.Column("actor", sa.Text, nullable=False),  # "button 0012AB34", "customer c.morvan@example.org", "staff admin"
)
