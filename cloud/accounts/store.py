"""Accounts, sessions and API tokens in SQL."""

import functools
import hashlib
import secrets
from datetime import datetime

import sqlalchemy as sa

from cloud import database
from cloud.accounts import passwords
from cloud.accounts.model import SESSION_LASTS, Account, Exists, Role, Session, Token, check_new_password, fold_name
from cloud.database import BigId, Instant, metadata

accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),  # a short name or an e-mail address, lower case
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),  # accounts.model.Role
    sa.Column("password_hash", sa.Text, nullable=False),  # argon2id, with its parameters
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("disabled_at", Instant),
)

sessions = sa.Table(
    "sessions",
    metadata,
    # SHA-256 of the cookie: a stolen table opens nothing.
    sa.Column("token_hash", sa.LargeBinary(32), primary_key=True),
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


def add(
    conn: sa.Connection, *, name: str, display_name: str, role: Role, password: str | passwords.Hash, now: datetime
) -> Account:
    """Raises Exists, and PasswordRefused where `password` is not hashed yet."""
    name = fold_name(name)
    if isinstance(password, str):
        check_new_password(password, name)
        password = passwords.digest(password)
    row = conn.execute(
        database.insert(conn, accounts)
        .values(name=name, display_name=display_name, role=role, password_hash=password.text, created_at=now)
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(accounts)
    ).one_or_none()
    if row is None:
        raise Exists(f"there is an account {name} already")
    return _account(row)


def find(conn: sa.Connection, name: str) -> Account | None:
    if "\0" in name:
        return None  # and PostgreSQL would not even look for it
    row = conn.execute(
        sa.select(accounts).where(accounts.c.name == fold_name(name), accounts.c.disabled_at.is_(None))
    ).one_or_none()
    return None if row is None else _account(row)


def by_id(conn: sa.Connection, id: int) -> Account | None:
    """Also one that is disabled."""
    row = conn.execute(sa.select(accounts).where(accounts.c.id == id)).one_or_none()
    return None if row is None else _account(row)


def check_password(conn: sa.Connection, name: str, password: str) -> Account | None:
    """The account if name and password fit; an unknown name costs the same time as a wrong password."""
    account = find(conn, name)
    fits = passwords.matches(account.password_hash if account else _nobodys_hash(), password)
    return account if fits else None


@functools.cache
def _nobodys_hash() -> str:
    return passwords.digest(secrets.token_urlsafe()).text


def set_password(conn: sa.Connection, account: Account, password: str | passwords.Hash) -> None:
    """A new password ends the account's sessions; a Hash is the same one hashed anew and ends none."""
    if isinstance(password, str):
        check_new_password(password, account.name)
        password = passwords.digest(password)
        conn.execute(sa.delete(sessions).where(sessions.c.account_id == account.id))
    conn.execute(sa.update(accounts).where(accounts.c.id == account.id).values(password_hash=password.text))


def any_staff(conn: sa.Connection) -> bool:
    return bool(conn.scalar(sa.select(sa.exists().where(accounts.c.role != Role.CUSTOMER))))


def open_session(conn: sa.Connection, account_id: int, now: datetime) -> tuple[str, str]:
    """The cookie's token, kept only as its hash, and the token that the session's forms carry."""
    role = Role(conn.scalars(sa.select(accounts.c.role).where(accounts.c.id == account_id)).one())
    token, csrf = secrets.token_urlsafe(), secrets.token_urlsafe()
    conn.execute(sa.delete(sessions).where(sessions.c.expires_at <= now))
    conn.execute(
        sa.insert(sessions).values(
            token_hash=_sha256(token),
            account_id=account_id,
            csrf=csrf,
            created_at=now,
            expires_at=now + SESSION_LASTS[role],
        )
    )
    return token, csrf


def find_session(conn: sa.Connection, token: str, now: datetime) -> Session | None:
    row = conn.execute(
        sa.select(accounts, sessions.c.csrf)
        .join(sessions, sessions.c.account_id == accounts.c.id)
        .where(sessions.c.token_hash == _sha256(token), sessions.c.expires_at > now, accounts.c.disabled_at.is_(None))
    ).one_or_none()
    return None if row is None else Session(_account(row), row.csrf)


def close_session(conn: sa.Connection, token: str) -> None:
    conn.execute(sa.delete(sessions).where(sessions.c.token_hash == _sha256(token)))


def create_token(
    conn: sa.Connection, *, name: str, role: Role, now: datetime, expires_at: datetime | None = None
) -> str:
    """A new bearer token of the API. Only its hash is kept, so this is the one time it is seen."""
    token = "domino_" + secrets.token_urlsafe()
    conn.execute(
        sa.insert(api_tokens).values(
            token_hash=_sha256(token), name=name, role=role, created_at=now, expires_at=expires_at
        )
    )
    return token


def find_token(conn: sa.Connection, token: str, now: datetime) -> Token | None:
    tokens = api_tokens.c
    row = conn.execute(
        sa.select(tokens.name, tokens.role).where(
            tokens.token_hash == _sha256(token),
            tokens.revoked_at.is_(None),
            sa.or_(tokens.expires_at.is_(None), tokens.expires_at > now),
        )
    ).one_or_none()
    return None if row is None else Token(row.name, Role(row.role))


def _account(row: sa.Row) -> Account:
    return Account(row.id, row.name, row.display_name, Role(row.role), row.created_at, row.password_hash)


def _sha256(token: str) -> bytes:
    # The tokens are 256 random bits, so a fast hash is enough, and an index may look them up.
    return hashlib.sha256(token.encode()).digest()
