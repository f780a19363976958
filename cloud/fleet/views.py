"""Saved views of the list of buttons: a name for what an address asks for, one's own or everybody's."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from cloud.accounts.store import accounts
from cloud.database import BigId, Instant, insert, metadata
from cloud.words import N_

MAX_NAME = 40  # characters
MOST = 30  # views of one account

fleet_views = sa.Table(
    "fleet_views",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("account_id", sa.BigInteger, sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("query", sa.Text, nullable=False),  # of the address, as `filters.Asked.address` writes it
    sa.Column("is_shared", sa.Boolean, nullable=False),  # with all staff
    sa.Column("saved_at", Instant, nullable=False),
    sa.UniqueConstraint("account_id", "name"),
)


class TooMany(ValueError):
    """The account has as many views as it may."""


@dataclass(frozen=True, slots=True)
class View:
    id: int
    name: str
    query: str
    is_shared: bool
    maker_id: int
    maker: str  # their display name


def check_name(text: str) -> str:
    """The name of a view, on one line."""
    name = " ".join(text.split())
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise ValueError(N_("a view’s name has 1 to %(most)s characters, all of them printable", most=MAX_NAME))
    return name


def save(conn: sa.Connection, *, account_id: int, name: str, query: str, is_shared: bool, now: datetime) -> None:
    """Keep it for the account, in place of its view of this name; raises ValueError for a bad name, `TooMany`."""
    said = {"query": query, "is_shared": is_shared, "saved_at": now}
    saved = insert(conn, fleet_views).values(account_id=account_id, name=check_name(name), **said)
    conn.execute(saved.on_conflict_do_update(index_elements=["account_id", "name"], set_=said))
    mine = sa.select(sa.func.count()).where(fleet_views.c.account_id == account_id)
    if (conn.scalar(mine) or 0) > MOST:
        raise TooMany(N_("an account has at most %(most)s views: remove one first", most=MOST))


def seen_by(conn: sa.Connection, account_id: int) -> list[View]:
    """One's own and the shared ones, by name."""
    view, maker = fleet_views.c, accounts.c.display_name.label("maker")
    query = (
        sa.select(fleet_views, maker)
        .join(accounts, accounts.c.id == view.account_id)
        .where(sa.or_(view.account_id == account_id, view.is_shared))
        .order_by(view.name, view.id)
    )
    return [View(row.id, row.name, row.query, row.is_shared, row.account_id, row.maker) for row in conn.execute(query)]


def remove(conn: sa.Connection, id: int, account_id: int) -> str | None:
    """Forget a view of this account's; gives its name, None where the account has none such."""
    mine = sa.delete(fleet_views).where(fleet_views.c.id == id, fleet_views.c.account_id == account_id)
    return conn.scalar(mine.returning(fleet_views.c.name))
