"""The fleet as a list: labels, orders to list it in, saved views, imports that can be undone"""

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

BATCH = 5000  # rows


def _fold(text: str) -> str:
    """As `cloud.fleet.model.fold` had it then."""
    parts = unicodedata.normalize("NFKD", text.upper().replace("Œ", "OE").replace("Æ", "AE"))
    return "".join(sign for sign in parts if not unicodedata.combining(sign)).replace("-", " ")


def upgrade() -> None:
    folded = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("buttons", sa.Column("place_key", folded, nullable=False, server_default=""))
    op.add_column("buttons", sa.Column("label", folded, nullable=False, server_default=""))
    conn, after = op.get_bind(), -1
    places = sa.text("SELECT id, place FROM buttons WHERE id > :after AND place IS NOT NULL ORDER BY id LIMIT :batch")
    fill = sa.text("UPDATE buttons SET place_key = :key WHERE id = :id")
    while rows := conn.execute(places, {"after": after, "batch": BATCH}).all():
        conn.execute(fill, [{"id": id, "key": _fold(place)} for id, place in rows])
        after = rows[-1].id
    op.create_index("ix_buttons_heard", "buttons", [sa.text("coalesce(last_seen_at, 0)"), "id"])
    op.create_index("ix_buttons_place_key_id", "buttons", ["place_key", "id"])
    op.create_index("ix_buttons_label_id", "buttons", ["label", "id"])
    low = sa.text("battery_mv < 2700")
    op.create_index("ix_buttons_low_battery", "buttons", ["battery_mv", "id"], sqlite_where=low, postgresql_where=low)
    op.create_table(
        "fleet_views",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("is_shared", sa.Boolean(), nullable=False),
        sa.Column("saved_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_fleet_views_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fleet_views")),
        sa.UniqueConstraint("account_id", "name", name=op.f("uq_fleet_views_account_id_name")),
    )
    op.create_table(
        "fleet_imports",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.Column("added", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Integer(), nullable=False),
        sa.Column("unchanged", sa.Integer(), nullable=False),
        sa.Column("faulty", sa.Integer(), nullable=False),
        sa.Column("codes_taken_at", sa.BigInteger(), nullable=True),
        sa.Column("undone_at", sa.BigInteger(), nullable=True),
        sa.Column("undone_by", sa.Text(), nullable=True),
        sa.Column("kept", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fleet_imports")),
    )
    op.create_table(
        "fleet_import_lines",
        sa.Column("import_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("button_id", sa.BigInteger(), nullable=False),
        sa.Column("is_new", sa.Boolean(), nullable=False),
        sa.Column("place_before", sa.Text(), nullable=True),
        sa.Column("label_before", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=True),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("kept", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["import_id"], ["fleet_imports.id"], name=op.f("fk_fleet_import_lines_import_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("import_id", "line", name=op.f("pk_fleet_import_lines")),
    )


def downgrade() -> None:
    op.drop_table("fleet_import_lines")
    op.drop_table("fleet_imports")
    op.drop_table("fleet_views")
    for name in ("low_battery", "label_id", "place_key_id", "heard"):
        op.drop_index(f"ix_buttons_{name}", table_name="buttons")
    op.drop_column("buttons", "label")
    op.drop_column("buttons", "place_key")
