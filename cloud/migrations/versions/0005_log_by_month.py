"""The log of frames is one table a month on PostgreSQL"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INDEXES = ("ix_frames_device_id", "ix_frames_pickup_id", "ix_frames_received_at")
AHEAD = 2  # months that are made beside those that have rows, up to the present


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return  # SQLite keeps one table
    _set_aside()
    op.execute(
        "CREATE TABLE frames (LIKE frames_before INCLUDING DEFAULTS,"
        " CONSTRAINT pk_frames PRIMARY KEY (id, received_at),"
        " CONSTRAINT fk_frames_pickup_id FOREIGN KEY (pickup_id) REFERENCES pickups (id))"
        " PARTITION BY RANGE (received_at)"
    )
    op.execute("CREATE TABLE frames_default PARTITION OF frames DEFAULT")
    for table, start, end in _months():
        op.execute(f"CREATE TABLE {table} PARTITION OF frames FOR VALUES FROM ({start}) TO ({end})")
    _take_back()


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    _set_aside()
    op.execute(
        "CREATE TABLE frames (LIKE frames_before INCLUDING DEFAULTS, CONSTRAINT pk_frames PRIMARY KEY (id),"
        " CONSTRAINT fk_frames_pickup_id FOREIGN KEY (pickup_id) REFERENCES pickups (id))"
    )
    _take_back()


def _set_aside() -> None:
    """The table under another name, without the names that the new one takes; the ids' sequence belongs to neither."""
    op.execute("ALTER SEQUENCE frames_id_seq OWNED BY NONE")
    op.execute("ALTER TABLE frames RENAME TO frames_before")
    op.execute("ALTER TABLE frames_before DROP CONSTRAINT fk_frames_pickup_id")
    op.execute("ALTER TABLE frames_before DROP CONSTRAINT pk_frames")
    for index in INDEXES:
        op.execute(f"DROP INDEX {index}")


def _take_back() -> None:
    """All rows into the new table, then its indexes: an index made at the end is half the work of one kept up."""
    op.execute("INSERT INTO frames SELECT * FROM frames_before")
    op.execute("DROP TABLE frames_before")
    op.execute("ALTER SEQUENCE frames_id_seq OWNED BY frames.id")
    op.create_index("ix_frames_device_id", "frames", ["device", "id"])
    op.create_index("ix_frames_pickup_id", "frames", ["pickup_id"])
    op.create_index("ix_frames_received_at", "frames", ["received_at"])


def _months() -> list[tuple[str, int, int]]:
    """(table, first, end in ms) of each UTC month with rows, this and the next; a later one is a clock's error."""
    rows = op.get_bind().execute(
        sa.text(
            "WITH months AS ("
            " SELECT DISTINCT date_trunc('month', to_timestamp(received_at / 1000.0) AT TIME ZONE 'UTC') AS at"
            " FROM frames_before"
            " UNION SELECT date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => ahead)"
            " FROM generate_series(0, :ahead) AS ahead)"
            " SELECT 'frames_' || to_char(at, 'YYYY_MM'), CAST(extract(epoch FROM at) * 1000 AS bigint),"
            " CAST(extract(epoch FROM at + interval '1 month') * 1000 AS bigint) FROM months"
            " WHERE at >= '1970-01-01' AND at <= (now() AT TIME ZONE 'UTC') + make_interval(months => :ahead)"
            " ORDER BY at"
        ),
        {"ahead": AHEAD},
    )
    return [tuple(row) for row in rows]
