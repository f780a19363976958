"""Which board holds a button's key, so that no key is given out twice"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("buttons", sa.Column("key_board", sa.Text(), nullable=True))
    op.add_column("buttons", sa.Column("key_ticket", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("buttons", "key_ticket")
    op.drop_column("buttons", "key_board")
