"""What is known of each move of an order, and the words of streets by which orders are found"""

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

AT_ONCE = 5000  # orders
COMMON = {"A", "AU", "AUX", "D", "DE", "DES", "DU", "ET", "EN", "L", "LA", "LE", "LES", "RUE"}


def upgrade() -> None:
    op.add_column("pickup_events", sa.Column("detail", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("pickup_events", sa.Column("happened_at", sa.BigInteger(), nullable=True))
    op.add_column("pickup_events", sa.Column("key", sa.Text(), nullable=True))
    _index("uq_pickup_events_key", "pickup_events", ["pickup_id", "key"], "key IS NOT NULL", unique=True)
    op.create_table(
        "pickup_words",
        sa.Column("word", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column(
            "pickup_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.ForeignKeyConstraint(["pickup_id"], ["pickups.id"], name=op.f("fk_pickup_words_pickup_id")),
        sa.PrimaryKeyConstraint("word", "pickup_id", name=op.f("pk_pickup_words")),
        sqlite_with_rowid=False,
    )
    _fill()
    op.create_index("ix_pickup_words_pickup_id_word", "pickup_words", ["pickup_id", "word"], unique=False)
    _index("ix_stamps_piece", "stamps", ["piece"], "piece IS NOT NULL")
    _index("ix_stamp_readings_sealed_id", "stamp_readings", ["sealed", "id"], "sealed IS NOT NULL")
    _index("ix_appeals_sealed", "appeals", ["sealed"], "sealed IS NOT NULL")
    _index("ix_appeals_piece", "appeals", ["piece"], "piece IS NOT NULL")


def _index(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def _fill() -> None:
    conn = op.get_bind()
    pickups = sa.table("pickups", sa.column("id", sa.BigInteger), sa.column("addressee", sa.JSON))
    words = sa.table("pickup_words", sa.column("word", sa.Text), sa.column("pickup_id", sa.BigInteger))
    last = -1
    while True:
        query = sa.select(pickups).where(pickups.c.id > last, pickups.c.addressee.is_not(None))
        found = conn.execute(query.order_by(pickups.c.id).limit(AT_ONCE)).all()
        rows = [
            {"word": word, "pickup_id": row.id}
            for row in found
            if row.addressee
            for word in _words(f"{row.addressee[3]} {row.addressee[5]}")
        ]
        if rows:
            conn.execute(sa.insert(words), rows)
        if len(found) < AT_ONCE:
            return
        last = found[-1].id


def _words(text: str) -> list[str]:
    """As cloud.places.model had them."""
    upper = unicodedata.normalize("NFC", text).upper().replace("Œ", "OE").replace("Æ", "AE")
    plain = (sign for sign in unicodedata.normalize("NFKD", upper) if not unicodedata.combining(sign))
    folded = "".join(sign if sign.isalnum() else " " for sign in plain).split()
    return list(dict.fromkeys(word for word in folded if word not in COMMON))


def downgrade() -> None:
    op.drop_index("ix_appeals_piece", table_name="appeals")
    op.drop_index("ix_appeals_sealed", table_name="appeals")
    op.drop_index("ix_stamp_readings_sealed_id", table_name="stamp_readings")
    op.drop_index("ix_stamps_piece", table_name="stamps")
    op.drop_table("pickup_words")
    op.drop_index("uq_pickup_events_key", table_name="pickup_events")
    for name in ("key", "happened_at", "detail"):
        op.drop_column("pickup_events", name)
