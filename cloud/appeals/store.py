"""Appeals in SQL. The code that one names lies sealed, like every code."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cloud.appeals.model import TRANSITIONS, Appeal, Claim, NotFound, State, WrongState
from cloud.database import BigId, Instant, metadata
from cloud.fleet.claims import new_claim_code
from cloud.stamps.vault import BLOCK, Vault
from cloud.words import N_, Said

_IS_SEALED, _HAS_PIECE = sa.text("sealed IS NOT NULL"), sa.text("piece IS NOT NULL")

appeals = sa.Table(
    "appeals",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("reference", sa.Text, nullable=False, unique=True),  # 60 random bits
    sa.Column("state", sa.Text, nullable=False),  # appeals.model.State
    sa.Column("filed_at", Instant, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("contact", sa.Text, nullable=False),
    sa.Column("piece", sa.Text),
    sa.Column("sealed", sa.LargeBinary(BLOCK)),  # the code, stamps.vault
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("decided_at", Instant),
    sa.Column("decided_by", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Index("ix_appeals_state_id", "state", "id"),
    sa.Index("ix_appeals_sealed", "sealed", sqlite_where=_IS_SEALED, postgresql_where=_IS_SEALED),
    sa.Index("ix_appeals_piece", "piece", sqlite_where=_HAS_PIECE, postgresql_where=_HAS_PIECE),
)


def file(conn: sa.Connection, vault: Vault, claim: Claim, now: datetime) -> str:
    """Write it down, whatever it names; gives the reference by which its outcome is read."""
    reference = new_claim_code()
    conn.execute(
        appeals.insert().values(
            reference=reference,
            state=State.OPEN,
            filed_at=now,
            name=claim.name,
            contact=claim.contact,
            piece=claim.piece,
            sealed=None if claim.code is None else vault.seal(claim.code),
            text=claim.text,
        )
    )
    return reference


def decide(conn: sa.Connection, vault: Vault, id: int, to: State, *, by: str, reason: str, at: datetime) -> Appeal:
    """Once: of two who decide at once, the second has `WrongState`. Raises `NotFound`."""
    origins = [state for state, ends in TRANSITIONS.items() if to in ends]
    row = conn.execute(
        appeals.update()
        .where(appeals.c.id == id, appeals.c.state.in_(origins))
        .values(state=to, decided_at=at, decided_by=by, reason=reason)
        .returning(appeals)
    ).one_or_none()
    if row is not None:
        return _appeal(vault, row)
    there = find(conn, vault, id)
    said = {"id": id, "state": Said(there.state), "to": Said(to)}
    raise WrongState(N_("appeal %(id)s is %(state)s and cannot become %(to)s", **said))


def find(conn: sa.Connection, vault: Vault, id: int) -> Appeal:
    """Raises `NotFound`."""
    row = conn.execute(sa.select(appeals).where(appeals.c.id == id)).one_or_none()
    if row is None:
        raise NotFound(N_("there is no appeal %(id)s", id=id))
    return _appeal(vault, row)


def by_reference(conn: sa.Connection, vault: Vault, reference: str) -> Appeal | None:
    if not reference.isascii() or not reference.isprintable():
        return None
    row = conn.execute(sa.select(appeals).where(appeals.c.reference == reference.strip().upper())).one_or_none()
    return None if row is None else _appeal(vault, row)


def id_of(conn: sa.Connection, reference: str) -> int:
    """The number of an appeal that was just filed."""
    return conn.scalars(sa.select(appeals.c.id).where(appeals.c.reference == reference)).one()


def newest(
    conn: sa.Connection, vault: Vault, *, limit: int, state: State | None = None, before: int | None = None
) -> list[Appeal]:
    query = sa.select(appeals).order_by(appeals.c.id.desc()).limit(limit)
    if state is not None:
        query = query.where(appeals.c.state == state)
    if before is not None:
        query = query.where(appeals.c.id < before)
    return [_appeal(vault, row) for row in conn.execute(query)]


def about(
    conn: sa.Connection, vault: Vault, *, code: str | None, pieces: Collection[str], since: datetime, limit: int = 20
) -> list[Appeal]:
    """Those filed since then that name this code or one of these mail pieces, oldest first."""
    named = [appeals.c.piece.in_(pieces)]
    if code is not None:
        named.append(appeals.c.sealed.in_(vault.seals(code)))
    query = sa.select(appeals).where(sa.or_(*named), appeals.c.filed_at >= since).order_by(appeals.c.id).limit(limit)
    return [_appeal(vault, row) for row in conn.execute(query)]


def count_open(conn: sa.Connection) -> int:
    return conn.execute(
        sa.select(sa.func.count()).select_from(appeals).where(appeals.c.state == State.OPEN)
    ).scalar_one()


def _appeal(vault: Vault, row: sa.Row[Any]) -> Appeal:
    return Appeal(
        row.id,
        row.reference,
        State(row.state),
        row.filed_at,
        row.name,
        row.contact,
        row.piece,
        None if row.sealed is None else vault.open(row.sealed),
        row.text,
        row.decided_at,
        row.decided_by,
        row.reason,
    )
