"""The department of a button, by which the fleet is listed, filtered and drawn"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("buttons", sa.Column("department", sa.Text(), nullable=True))
    if op.get_bind().dialect.name == "postgresql":
        digits = "substring(upper(place) from '^(97[1-6]|2[AB]|[0-9]{2})( |$)')"
        op.execute(f"UPDATE buttons SET department = {digits} WHERE place IS NOT NULL")  # noqa: S608  our own text
    else:
        for size, pattern in ((3, "97[1-6]"), (2, "[0-9][0-9]"), (2, "2[AB]")):
            op.execute(
                f"UPDATE buttons SET department = substr(upper(place), 1, {size}) "  # noqa: S608  our own text
                f"WHERE upper(place) || ' ' GLOB '{pattern} *'"
            )
    op.create_index("ix_buttons_department", "buttons", ["department"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_buttons_department", table_name="buttons")
    op.drop_column("buttons", "department")
