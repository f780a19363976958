"""The stamp codes in SQL, and the index that keeps them three apart."""

import sqlalchemy as sa

from cloud.database import BigId, Instant, metadata

stamps = sa.Table(
    "stamps",
    metadata,
    sa.Column("code", sa.Text, primary_key=True),  # eight symbols of stamps.model.ALPHABET
    sa.Column("state", sa.Text, nullable=False, index=True),  # stamps.model.State
    sa.Column("pickup_id", BigId, sa.ForeignKey("pickups.id"), unique=True),
    sa.Column("minted_at", Instant, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    # The code again as its four pairs, 10 bits each, for the search below.
    *(sa.Column(f"pair{i}", sa.SmallInteger, nullable=False) for i in range(4)),
)
# Two codes that differ in at most two of eight symbols agree in at least two of their four pairs, so one look into
# each of these six finds every code nearer than three.
for _i in range(4):
    for _j in range(_i + 1, 4):
        sa.Index(f"ix_stamps_pairs{_i}{_j}", stamps.c[f"pair{_i}"], stamps.c[f"pair{_j}"])
