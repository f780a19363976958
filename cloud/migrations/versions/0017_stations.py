"""Names of the network's stations"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("department", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_stations"),
    )


def downgrade() -> None:
    op.drop_table("stations")
