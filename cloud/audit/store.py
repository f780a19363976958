"""The audit trail in SQL: an entry is written in the transaction of the deed that it tells of, or not at all."""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from cloud.audit.model import BEFORE_ALL, Entry, digest
from cloud.database import Instant, metadata

_CHAIN_LOCK = 0x4155_4449_54  # "AUDIT"

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("detail", sa.JSON, nullable=False),
    sa.Column("digest", sa.LargeBinary(32), nullable=False),
    sa.Index("ix_audit_subject_id", "subject", "id"),
    sa.Index("ix_audit_actor_id", "actor", "id"),
)

# What the database itself holds, beside the chain that tells when somebody got around it.
SQLITE = tuple(
    f"CREATE TRIGGER audit_never_{word} BEFORE {verb} ON audit "
    "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
    for word, verb in (("changes", "UPDATE"), ("shrinks", "DELETE"))
)
POSTGRESQL = (
    "CREATE OR REPLACE FUNCTION keep_audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'integrity_constraint_violation'; END $$",
    "CREATE TRIGGER audit_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
    "FOR EACH STATEMENT EXECUTE FUNCTION keep_audit()",
)
for dialect, statements in (("sqlite", SQLITE), ("postgresql", POSTGRESQL)):
    for statement in statements:
        event.listen(audit, "after_create", sa.DDL(statement).execute_if(dialect=dialect))


def record(conn: sa.Connection, *, actor: str, action: str, subject: str, now: datetime, **detail: object) -> Entry:
    """Add an entry to the chain, as part of `conn`'s transaction; `detail` is what JSON can say, and no secret."""
    if conn.dialect.name == "postgresql":  # on SQLite only one writes
        conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_CHAIN_LOCK)))
    last = conn.execute(sa.select(audit.c.id, audit.c.digest).order_by(audit.c.id.desc()).limit(1)).first()
    id, before = (last.id + 1, last.digest) if last else (1, BEFORE_ALL)
    entry = Entry(id, now, actor, action, subject, detail, digest(before, id, now, actor, action, subject, detail))
    conn.execute(
        sa.insert(audit).values(
            id=id, at=now, actor=actor, action=action, subject=subject, detail=detail, digest=entry.digest
        )
    )
    return entry


def newest(conn: sa.Connection, *, limit: int = 50, before: int | None = None) -> list[Entry]:
    """Entries with an id below `before`, newest first."""
    query = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(audit.c.id < before)
    return [_entry(row) for row in conn.execute(query)]


def about(conn: sa.Connection, subjects: Collection[str], limit: int) -> list[Entry]:
    """The newest entries about any of `subjects`, newest first."""
    query = sa.select(audit).where(audit.c.subject.in_(subjects)).order_by(audit.c.id.desc()).limit(limit)
    return [_entry(row) for row in conn.execute(query)]


def chain(conn: sa.Connection) -> Iterator[Entry]:
    """All entries, oldest first, read as they are asked for."""
    rows = conn.execution_options(yield_per=1000).execute(sa.select(audit).order_by(audit.c.id))
    yield from map(_entry, rows)


def _entry(row: sa.Row[Any]) -> Entry:
    return Entry(row.id, row.at, row.actor, row.action, row.subject, row.detail, row.digest)
