"""Scoped tokens, passwords for once, sessions that end when idle"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

ADDED = (
    ("accounts", "password_until", sa.BigInteger()),
    ("sessions", "seen_at", sa.BigInteger()),
    ("sessions", "network", sa.Text()),
    ("sessions", "browser", sa.Text()),
    ("api_tokens", "scopes", sa.JSON(none_as_null=True)),
    ("api_tokens", "networks", sa.JSON(none_as_null=True)),
    ("api_tokens", "last_used_at", sa.BigInteger()),
    ("api_tokens", "made_by", sa.Text()),
)


def upgrade() -> None:
    for table, name, kind in ADDED:
        op.add_column(table, sa.Column(name, kind))
    op.create_index("ix_audit_action_id", "audit", ["action", "id"])
    op.create_index("ix_audit_at", "audit", ["at"])


def downgrade() -> None:
    op.drop_index("ix_audit_at", "audit")
    op.drop_index("ix_audit_action_id", "audit")
    for table, name, _kind in reversed(ADDED):
        op.drop_column(table, name)
