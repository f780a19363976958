"""What the next colleague should know of a button, in SQL. A note is never changed; who wrote it may take it away."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

import cloud.audit.store
from cloud.accounts.model import Account, Forbidden, Right
from cloud.accounts.store import accounts
from cloud.database import BigId, Instant, metadata
from cloud.fleet.model import format_id
from cloud.fleet.store import buttons
from cloud.words import N_

MAX_NOTE = 2000  # characters
PAGE = 20  # notes shown at once

button_notes = sa.Table(
    "button_notes",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("button_id", sa.BigInteger, sa.ForeignKey("buttons.id"), nullable=False),
    sa.Column("author_id", sa.BigInteger, sa.ForeignKey("accounts.id"), nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Index("ix_button_notes_button_id_id", "button_id", "id"),
)


class NotFound(LookupError):
    """There is no such note, or no such button."""


class Faulty(ValueError):
    """A note cannot be so; the text says why."""


@dataclass(frozen=True, slots=True)
class Note:
    id: int
    button_id: int
    author_id: int
    author: str  # the name that is shown
    at: datetime
    text: str

    def may_be_removed_by(self, account: Account) -> bool:
        return account.id == self.author_id or Right.ADMINISTER in account.rights


def check_note(text: str) -> str:
    """With the line breaks that were typed, and nothing else that a terminal would obey."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").strip().split("\n")
    note = "\n".join(line.rstrip().replace("\t", " ") for line in lines)
    if not 1 <= len(note) <= MAX_NOTE:
        raise Faulty(N_("a note has 1 to %(most)s characters", most=MAX_NOTE))
    if not note.replace("\n", "").isprintable():
        raise Faulty(N_("a note has printable characters and line breaks only"))
    return note


def write(conn: sa.Connection, button_id: int, text: str, *, author: Account, now: datetime) -> int:
    """Add a note; gives its id. Raises `Faulty`, `NotFound`."""
    text = check_note(text)
    if conn.scalar(sa.select(buttons.c.id).where(buttons.c.id == button_id)) is None:
        raise NotFound(N_("The fleet has no button %(button)s.", button=format_id(button_id)))
    values = {"button_id": button_id, "author_id": author.id, "at": now, "text": text}
    id = conn.execute(sa.insert(button_notes).values(values).returning(button_notes.c.id)).scalar_one()
    _record(conn, "button.note.write", button_id, id, author, now)
    return id


def remove(conn: sa.Connection, button_id: int, id: int, *, by: Account, now: datetime) -> None:
    """Take a note away: its author, or an administrator. Raises `NotFound`, `Forbidden`."""
    note = next((one for one in _read(conn, button_notes.c.id == id, button_notes.c.button_id == button_id)), None)
    if note is None:
        raise NotFound(N_("Button %(button)s has no note %(id)s.", button=format_id(button_id), id=id))
    if not note.may_be_removed_by(by):
        raise Forbidden(N_("A note is removed by who wrote it, or by an administrator."))
    if conn.execute(sa.delete(button_notes).where(button_notes.c.id == id)).rowcount != 1:
        raise NotFound(N_("Button %(button)s has no note %(id)s.", button=format_id(button_id), id=id))
    _record(conn, "button.note.remove", button_id, id, by, now, author_id=note.author_id)


def newest(
    conn: sa.Connection, button_id: int, *, before: int | None = None, until: datetime | None = None, limit: int = PAGE
) -> list[Note]:
    """Notes with an id below `before`, newest first; with `until`, of those written by then that are there still."""
    which = [button_notes.c.button_id == button_id]
    if until is not None:
        which.append(button_notes.c.at <= until)
    if before is not None:
        which.append(button_notes.c.id < before)
    return _read(conn, *which, limit=limit)


def _read(conn: sa.Connection, *which: sa.ColumnElement[bool], limit: int = 1) -> list[Note]:
    query = (
        sa.select(button_notes, accounts.c.display_name)
        .join(accounts, accounts.c.id == button_notes.c.author_id)
        .where(*which)
        .order_by(button_notes.c.id.desc())
        .limit(limit)
    )
    return [
        Note(row.id, row.button_id, row.author_id, row.display_name, row.at, row.text) for row in conn.execute(query)
    ]


def _record(
    conn: sa.Connection, action: str, button_id: int, note: int, by: Account, now: datetime, **detail: object
) -> None:
    subject = f"button {format_id(button_id)}"
    cloud.audit.store.record(
        conn, actor=f"staff {by.name}", action=action, subject=subject, now=now, note=note, **detail
    )
