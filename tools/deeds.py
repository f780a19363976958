"""What commands leave in the audit trail, under the name of who runs them on this machine."""

import getpass

import sqlalchemy as sa

from cloud import database
from cloud.audit.store import record


def actor() -> str:
    return f"command line {getpass.getuser()}"


def note(conn: sa.Connection, action: str, subject: str, **detail: object) -> None:
    """As part of `conn`'s transaction, and last in it; see `cloud.audit.store.record`."""
    record(conn, actor=actor(), action=action, subject=subject, now=database.now(), **detail)


def note_done(engine: sa.Engine, action: str, subject: str, **detail: object) -> None:
    """In a transaction of its own, for what was done outside of the database."""
    with engine.begin() as conn:
        note(conn, action, subject, **detail)
