"""Accounts, sessions and API tokens in SQL."""

import sqlalchemy as sa

from cloud.database import BigId, Instant, metadata

accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column(
        "name", sa.Text, nullable=False, unique=True
    ),  # what one signs in with: a short name or an e-mail address, lower case
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),  # accounts.model.Role
    sa.Column("password_hash", sa.Text, nullable=False),  # argon2id, with its parameters
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("disabled_at", Instant),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column(
        "token_hash", sa.LargeBinary(32), primary_key=True
    ),  # SHA-256 of the cookie: a stolen table opens nothing
    sa.Column("account_id", BigId, sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("csrf", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
)

api_tokens = sa.Table(
    "api_tokens",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("token_hash", sa.LargeBinary(32), nullable=False, unique=True),  # SHA-256 of the bearer token
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant),
    sa.Column("revoked_at", Instant),
)
