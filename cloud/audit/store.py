"""The audit trail in SQL: an entry is written in the transaction of the deed that it tells of, or not at all."""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from cloud.audit.model import BEFORE_ALL, Entry, digest, plain
from cloud.database import Instant, metadata, milliseconds, moment

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
    sa.Index("ix_audit_action_id", "action", "id"),
    sa.Index("ix_audit_at", "at"),
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


# What an actor and a subject may be, so that a name alone finds them.
ACTORS = ("staff", "token", "customer", "command line")
SUBJECTS = ("button", "order", "stamp of order", "account", "customer", "token", "appeal", "master key")


def record(conn: sa.Connection, *, actor: str, action: str, subject: str, now: datetime, **detail: object) -> Entry:
    """Add an entry to the chain, as part of `conn`'s transaction; `detail` is what JSON can say, and no secret.

    Call it last: on PostgreSQL whoever records next waits for this transaction's end, and one that took its rows only
    then might wait in a ring.
    """
    if conn.dialect.name == "postgresql":  # on SQLite only one writes
        conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_CHAIN_LOCK)))
    last, before = end(conn)
    id = last + 1
    at = moment(milliseconds(now) or 0)  # as it will be read again
    actor, action, subject, detail = plain(actor), plain(action), plain(subject), plain(detail)
    entry = Entry(id, at, actor, action, subject, detail, digest(before, id, at, actor, action, subject, detail))
    conn.execute(
        sa.insert(audit).values(
            id=id, at=at, actor=actor, action=action, subject=subject, detail=detail, digest=entry.digest
        )
    )
    return entry


def newest(
    conn: sa.Connection,
    *,
    limit: int = 50,
    before: int | None = None,
    actor: str | None = None,
    action: str | None = None,
    subject: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Entry]:
    """Entries with an id below `before`, newest first. A name such as "n.arnaud" finds every kind of actor of it."""
    query = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(audit.c.id < before)
    if actor is not None:
        query = query.where(audit.c.actor.in_(_there(conn, audit.c.actor, ACTORS, actor)))
    if subject is not None:
        query = query.where(audit.c.subject.in_(_there(conn, audit.c.subject, SUBJECTS, subject)))
    if action is not None:
        query = query.where(audit.c.action == action)
    if since is not None:
        query = query.where(audit.c.at >= since)
    if until is not None:
        query = query.where(audit.c.at < until)
    return [_entry(row) for row in conn.execute(query)]


def about(conn: sa.Connection, subjects: Collection[str], limit: int) -> list[Entry]:
    """The newest entries about any of `subjects`, newest first."""
    query = sa.select(audit).where(audit.c.subject.in_(subjects)).order_by(audit.c.id.desc()).limit(limit)
    return [_entry(row) for row in conn.execute(query)]


def _there(conn: sa.Connection, column: sa.Column[str], kinds: tuple[str, ...], text: str) -> list[str]:
    """`text` as it stands or after one of `kinds`, as far as an entry has it: mostly one, so that its index serves."""
    asked = [plain(text), *(plain(f"{kind} {text}") for kind in kinds)]
    found = [one for one in asked if conn.scalar(sa.select(audit.c.id).where(column == one).limit(1))]
    return found or asked[:1]


def chain(conn: sa.Connection, after: int = 0, limit: int | None = None) -> Iterator[Entry]:
    """All entries with a higher id, oldest first, read as they are asked for."""
    query = sa.select(audit).where(audit.c.id > after).order_by(audit.c.id).limit(limit)
    rows = conn.execution_options(yield_per=1000).execute(query)
    yield from map(_entry, rows)


def end(conn: sa.Connection) -> tuple[int, bytes]:
    """Id and digest of the newest entry; 0 and BEFORE_ALL where there is none."""
    last = conn.execute(sa.select(audit.c.id, audit.c.digest).order_by(audit.c.id.desc()).limit(1)).first()
    return (last.id, last.digest) if last else (0, BEFORE_ALL)


def digest_of(conn: sa.Connection, id: int) -> bytes | None:
    return conn.scalar(sa.select(audit.c.digest).where(audit.c.id == id))


def _entry(row: sa.Row[Any]) -> Entry:
    return Entry(row.id, row.at, row.actor, row.action, row.subject, row.detail, row.digest)
