"""Accounts, sessions and API tokens in SQL."""

import functools
import hashlib
import ipaddress
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from cloud import database
from cloud.accounts import passwords
from cloud.accounts.model import (
    SESSION_IDLE,
    SESSION_LASTS,
    Account,
    Exists,
    LastAdmin,
    Network,
    NotFound,
    OpenSession,
    Right,
    Role,
    Session,
    Token,
    TokenRecord,
    check_new_password,
    fold_name,
)
from cloud.database import BigId, Instant, metadata
from cloud.words import N_

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
    sa.Column("password_until", Instant),  # of a password for once, which its owner has to change by then
)

MOST = 500  # accounts or tokens in a list
NOTED = timedelta(minutes=1)  # how exactly it is known when a session or a token was used last

sessions = sa.Table(
    "sessions",
    metadata,
    # SHA-256 of the cookie: a stolen table opens nothing.
    sa.Column("token_hash", sa.LargeBinary(32), primary_key=True),
    sa.Column("account_id", BigId, sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("csrf", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("seen_at", Instant),  # the last page opened or form sent, see accounts.notes; none: not since it began
    sa.Column("network", sa.Text),  # whence it was opened
    sa.Column("browser", sa.Text),
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
    sa.Column("scopes", sa.JSON(none_as_null=True)),  # accounts.model.Right; none: all that the role may
    sa.Column("networks", sa.JSON(none_as_null=True)),  # whence it may come; none: from anywhere
    sa.Column("last_used_at", Instant),
    sa.Column("made_by", sa.Text),
)


def add(
    conn: sa.Connection,
    *,
    name: str,
    display_name: str,
    role: Role,
    password: str | passwords.Hash,
    now: datetime,
    password_until: datetime | None = None,
) -> Account:
    """Raises Exists, and PasswordRefused where `password` is not hashed yet. `password_until`: it is for once."""
    name = fold_name(name)
    if isinstance(password, str):
        check_new_password(password, name)
        password = passwords.digest(password)
    row = conn.execute(
        database.insert(conn, accounts)
        .values(
            name=name,
            display_name=display_name,
            role=role,
            password_hash=password.text,
            created_at=now,
            password_until=password_until,
        )
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(accounts)
    ).one_or_none()
    if row is None:
        raise Exists(N_("there is an account %(name)s already", name=name))
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
    new: dict[str, Any] = {}
    if isinstance(password, str):
        check_new_password(password, account.name)
        password = passwords.digest(password)
        end_sessions(conn, account.id)
        new["password_until"] = None
    conn.execute(sa.update(accounts).where(accounts.c.id == account.id).values(password_hash=password.text, **new))


def change_password(
    conn: sa.Connection, account: Account, password: passwords.Hash, *, until: datetime | None = None
) -> None:
    """A new password, checked and hashed beforehand; it ends the account's sessions. `until`: it is for once."""
    new = {"password_hash": password.text, "password_until": until}
    conn.execute(sa.update(accounts).where(accounts.c.id == account.id).values(**new))
    end_sessions(conn, account.id)


def staff(conn: sa.Connection) -> list[Account]:
    """By name, those that may sign in first."""
    query = sa.select(accounts).where(accounts.c.role != Role.CUSTOMER)
    order = (accounts.c.disabled_at.is_not(None), accounts.c.name)
    return [_account(row) for row in conn.execute(query.order_by(*order).limit(MOST))]


def one_of_staff(conn: sa.Connection, name_or_id: str | int) -> Account:
    """Disabled or not; raises NotFound."""
    which = accounts.c.id == name_or_id if isinstance(name_or_id, int) else accounts.c.name == fold_name(name_or_id)
    row = conn.execute(sa.select(accounts).where(which, accounts.c.role != Role.CUSTOMER)).one_or_none()
    if row is None:
        raise NotFound(N_("staff has no account %(name)s", name=name_or_id))
    return _account(row)


def set_role(conn: sa.Connection, id: int, role: Role) -> Account:
    """Ends the account's sessions, so that nothing goes on with other rights. Raises LastAdmin, NotFound."""
    before = one_of_staff(conn, id)
    if role is not Role.ADMIN:
        _check_another_admin(conn, id)
    conn.execute(sa.update(accounts).where(accounts.c.id == id).values(role=role))
    end_sessions(conn, id)
    return before


def disable(conn: sa.Connection, id: int, now: datetime) -> bool:
    """Ends the account's sessions; False where it was disabled already. Raises LastAdmin, NotFound."""
    one_of_staff(conn, id)
    _check_another_admin(conn, id)
    able = sa.update(accounts).where(accounts.c.id == id, accounts.c.disabled_at.is_(None))
    end_sessions(conn, id)
    return conn.execute(able.values(disabled_at=now)).rowcount == 1


def enable(conn: sa.Connection, id: int) -> bool:
    """False where it was not disabled. Raises NotFound."""
    one_of_staff(conn, id)
    disabled = sa.update(accounts).where(accounts.c.id == id, accounts.c.disabled_at.is_not(None))
    return conn.execute(disabled.values(disabled_at=None)).rowcount == 1


def _check_another_admin(conn: sa.Connection, id: int) -> None:
    """The rows stay locked, so that of two admins who remove each other at once one is told LastAdmin."""
    query = sa.select(accounts.c.id).where(accounts.c.role == Role.ADMIN, accounts.c.disabled_at.is_(None))
    admins = set(conn.scalars(query.order_by(accounts.c.id).with_for_update()))
    if admins == {id}:
        raise LastAdmin


def any_staff(conn: sa.Connection) -> bool:
    return bool(conn.scalar(sa.select(sa.exists().where(accounts.c.role != Role.CUSTOMER))))


def open_session(
    conn: sa.Connection, account_id: int, now: datetime, *, network: str | None = None, browser: str | None = None
) -> tuple[str, str]:
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
            network=network,
            browser=browser,
        )
    )
    return token, csrf


def find_session(conn: sa.Connection, token: str, now: datetime) -> Session | None:
    row = conn.execute(
        sa.select(accounts, sessions.c.csrf, _SEEN)
        .join(sessions, sessions.c.account_id == accounts.c.id)
        .where(sessions.c.token_hash == _sha256(token), sessions.c.expires_at > now, accounts.c.disabled_at.is_(None))
    ).one_or_none()
    if row is None or database.moment(row.seen) <= now - SESSION_IDLE[Role(row.role)]:
        return None
    return Session(_account(row), row.csrf)


_SEEN = sa.type_coerce(sa.func.coalesce(sessions.c.seen_at, sessions.c.created_at), sa.BigInteger).label("seen")


def sessions_of(conn: sa.Connection, account: Account, now: datetime, this: str) -> list[OpenSession]:
    """Those that are open, seen last first; `this` is the cookie of who asks."""
    query = sa.select(sessions, _SEEN).where(sessions.c.account_id == account.id, sessions.c.expires_at > now)
    idle_since = now - SESSION_IDLE[account.role]
    return [
        OpenSession(
            _name_of(row.token_hash),
            row.created_at,
            database.moment(row.seen),
            row.network,
            row.browser,
            row.token_hash == _sha256(this),
        )
        for row in conn.execute(query.order_by(_SEEN.desc()).limit(MOST))
        if database.moment(row.seen) > idle_since
    ]


def _name_of(token_hash: bytes) -> str:
    return token_hash.hex()[:16]


def end_session(conn: sa.Connection, account_id: int, name: str) -> None:
    """One of the account's own, by its name. Raises NotFound."""
    for token_hash in conn.scalars(sa.select(sessions.c.token_hash).where(sessions.c.account_id == account_id)):
        if _name_of(token_hash) == name:
            conn.execute(sa.delete(sessions).where(sessions.c.token_hash == token_hash))
            return
    raise NotFound(N_("you have no such session; perhaps it has ended by now"))


def end_sessions(conn: sa.Connection, account_id: int, *, but: str = "") -> int:
    """All of the account's, but the one with this cookie; how many."""
    others = (sessions.c.account_id == account_id, sessions.c.token_hash != _sha256(but))
    return conn.execute(sa.delete(sessions).where(*others)).rowcount


def note_seen(conn: sa.Connection, seen: Mapping[bytes, datetime]) -> None:
    """When sessions were seen last, by the hash of their token."""
    for token_hash, at in seen.items():
        conn.execute(sa.update(sessions).where(sessions.c.token_hash == token_hash).values(seen_at=at))


def hash_of(token: str) -> bytes:
    return _sha256(token)


def close_session(conn: sa.Connection, token: str) -> None:
    conn.execute(sa.delete(sessions).where(sessions.c.token_hash == _sha256(token)))


def create_token(
    conn: sa.Connection,
    *,
    name: str,
    role: Role,
    now: datetime,
    expires_at: datetime | None = None,
    scopes: Iterable[Right] | None = None,
    networks: Iterable[Network] = (),
    made_by: str | None = None,
) -> str:
    """A new bearer token of the API. Only its hash is kept, so this is the one time it is seen."""
    token = "domino_" + secrets.token_urlsafe()
    conn.execute(
        sa.insert(api_tokens).values(
            token_hash=_sha256(token),
            name=name,
            role=role,
            created_at=now,
            expires_at=expires_at,
            scopes=None if scopes is None else sorted(scopes),
            networks=[str(network) for network in networks] or None,
            made_by=made_by,
        )
    )
    return token


def check_unused(conn: sa.Connection, name: str) -> None:
    """The audit trail tells tokens apart by their names, so no token ever had this one; else raises Exists."""
    if conn.scalar(sa.select(api_tokens.c.id).where(api_tokens.c.name == name).limit(1)) is not None:
        raise Exists(N_("there is, or was, a token %(name)s: give it another name", name=name))


def find_token(conn: sa.Connection, token: str, now: datetime) -> Token | None:
    tokens = api_tokens.c
    row = conn.execute(
        sa.select(api_tokens).where(
            tokens.token_hash == _sha256(token),
            tokens.revoked_at.is_(None),
            sa.or_(tokens.expires_at.is_(None), tokens.expires_at > now),
        )
    ).one_or_none()
    return None if row is None else _token(row)


def tokens(conn: sa.Connection, now: datetime) -> list[TokenRecord]:
    """Those in force first, then newest first."""
    tokens = api_tokens.c
    is_over = sa.or_(tokens.revoked_at.is_not(None), sa.and_(tokens.expires_at.is_not(None), tokens.expires_at <= now))
    query = sa.select(api_tokens).order_by(sa.case((is_over, 1), else_=0), tokens.id.desc()).limit(MOST)
    return [_record(row) for row in conn.execute(query)]


def token_named(conn: sa.Connection, name: str, now: datetime) -> TokenRecord:
    """The one in force, as names are used once. Raises NotFound, and Exists where old tokens share the name."""
    found = [_record(row) for row in conn.execute(sa.select(api_tokens).where(api_tokens.c.name == name))]
    found = [one for one in found if one.is_in_force(now)]
    if len(found) > 1:
        raise Exists(f"{len(found)} tokens are called {name}: say its number")
    if not found:
        raise NotFound(f"no token {name} is in force")
    return found[0]


def revoke_token(conn: sa.Connection, id: int, now: datetime) -> TokenRecord | None:
    """The token, from now on refused; None where it was revoked already. Raises NotFound."""
    in_force = sa.update(api_tokens).where(api_tokens.c.id == id, api_tokens.c.revoked_at.is_(None))
    row = conn.execute(in_force.values(revoked_at=now).returning(api_tokens)).one_or_none()
    if row is None and conn.scalar(sa.select(api_tokens.c.id).where(api_tokens.c.id == id)) is None:
        raise NotFound(N_("there is no token %(id)s", id=id))
    return None if row is None else _record(row)


def note_used(conn: sa.Connection, used: Mapping[int, datetime]) -> None:
    """When tokens were used last, by their ids."""
    for id, at in used.items():
        conn.execute(sa.update(api_tokens).where(api_tokens.c.id == id).values(last_used_at=at))


def _token(row: sa.Row[Any]) -> Token:
    scopes = None if row.scopes is None else frozenset(map(Right, row.scopes))
    networks = tuple(map(ipaddress.ip_network, row.networks or ()))
    return Token(row.name, Role(row.role), scopes, networks, row.id)


def _record(row: sa.Row[Any]) -> TokenRecord:
    return TokenRecord(_token(row), row.created_at, row.made_by, row.expires_at, row.last_used_at, row.revoked_at)


def _account(row: sa.Row) -> Account:
    return Account(
        row.id,
        row.name,
        row.display_name,
        Role(row.role),
        row.created_at,
        row.password_hash,
        row.disabled_at,
        row.password_until,
    )


def _sha256(token: str) -> bytes:
    # The tokens are 256 random bits, so a fast hash is enough, and an index may look them up.
    return hashlib.sha256(token.encode()).digest()
