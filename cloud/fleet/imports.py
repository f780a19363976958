"""Imports of buttons from a file: looked at first, written in one transaction, kept, and undone as a whole.

A file that was sent is kept as it came, for `LASTS`, and what it would do is worked out anew from it and the fleet each
time it is asked; the digest of what was shown goes with the order to write, so that nothing is written which was not
shown. An undo takes back what still is as the import made it: a button that was heard, claimed or given to a board
since is kept, and so is what somebody changed since.

Claim codes of new buttons follow from 32 random bytes which are handed out once and kept nowhere (`claims.code_by`).
"""

import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa

import cloud.audit.store
from cloud.database import BigId, Instant, Many, metadata, milliseconds
from cloud.fleet.claims import claim_hash, code_by
from cloud.fleet.model import DEPARTMENTS, State, department, fold
from cloud.fleet.sheet import Fault, Line, Sheet, read
from cloud.fleet.store import buttons
from cloud.words import N_, Said

LASTS = timedelta(hours=1)  # from the look at a file to its import
BATCH = 2000  # lines a statement
MOST = 50_000  # changes at once: SQLite's other writers wait for 2 to 4 s then, of the 10 that they would
MAX_NAME = 100  # characters of a file's name
SECRET = 32  # bytes

T = TypeVar("T")
OnDone = Callable[[int, int], object]  # lines done, of how many


class ImportState(StrEnum):
    CHECKED = "checked"  # looked at; nothing is written
    DONE = "imported"
    UNDONE = "undone"


class Kept(StrEnum):
    """Why an undo left something as it is."""

    HEARD = "heard since"
    CLAIMED = "claimed since"
    KEYED = "its key was given to a board"
    REVOKED = "revoked since"
    CHANGED = "changed since"
    USED = "used since"
    GONE = "no longer in the fleet"


class NotFound(Exception):
    """There is no such import, or it was looked at too long ago."""


class WrongState(Exception):
    """The import was written, undone or handed out already."""


class Outdated(Exception):
    """The fleet is not any more as it was when what the file does was shown: look again."""


class Faulty(ValueError):
    """Some lines have faults, and nobody said to leave them out; or there is too much to do at once."""


fleet_imports = sa.Table(
    "fleet_imports",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),  # ImportState
    sa.Column("file_name", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),  # when it came to this state, less an undo
    sa.Column("content", sa.LargeBinary),  # of the file, deflated; gone once it is imported
    sa.Column("added", sa.Integer, nullable=False),
    sa.Column("changed", sa.Integer, nullable=False),
    sa.Column("unchanged", sa.Integer, nullable=False),
    sa.Column("faulty", sa.Integer, nullable=False),
    sa.Column("codes_taken_at", Instant),
    sa.Column("undone_at", Instant),
    sa.Column("undone_by", sa.Text),
    sa.Column("kept", sa.Integer),  # lines that the undo could not take back
)

fleet_import_lines = sa.Table(
    "fleet_import_lines",
    metadata,
    sa.Column(
        "import_id",
        sa.BigInteger,
        sa.ForeignKey("fleet_imports.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column("line", sa.Integer, primary_key=True, autoincrement=False),  # of the file
    sa.Column("button_id", sa.BigInteger, nullable=False),  # no foreign key: an undo takes the button away
    sa.Column("is_new", sa.Boolean, nullable=False),
    sa.Column("place_before", sa.Text),
    sa.Column("label_before", sa.Text, nullable=False),
    sa.Column("place", sa.Text),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("kept", sa.Text),  # Kept
)


class Change(NamedTuple):
    """What one line does: a new button, or another place or label."""

    line: int
    id: int
    is_new: bool
    place_before: str | None
    label_before: str
    place: str | None
    label: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What a file would do to the fleet as it is."""

    changes: Sequence[Change]
    unchanged: Sequence[Line]
    faults: Sequence[Fault]

    @property
    def added(self) -> int:
        return sum(change.is_new for change in self.changes)

    @property
    def digest(self) -> str:
        """The same for plans that do the same."""
        told = hashlib.sha256()
        for change in self.changes:
            told.update(repr(tuple(change)).encode())
        for fault in self.faults:
            told.update(repr((fault.number, fault.why.text)).encode())
        return told.hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Import:
    id: int
    state: ImportState
    file_name: str
    actor: str
    at: datetime
    added: int
    changed: int
    unchanged: int
    faulty: int
    codes_taken_at: datetime | None
    undone_at: datetime | None
    undone_by: str | None
    kept: int | None

    @property
    def written(self) -> int:
        return self.added + self.changed


@dataclass(frozen=True, slots=True)
class Written:
    """An import just written, with what its new buttons' claim codes follow from: to be handed out, and forgotten."""

    of: Import
    secret: bytes = field(repr=False)


# What a file would do


_CURRENT = Many("SELECT buttons.id, place, label FROM {new} CROSS JOIN buttons WHERE buttons.id = new.id", "id bigint")


def plan(conn: sa.Connection, sheet: Sheet) -> Plan:
    current: dict[int, tuple[str | None, str]] = {}
    for some in _batches(sheet.lines):
        current |= {row[0]: (row[1], row[2]) for row in _CURRENT.rows(conn, [(line.id,) for line in some])}
    changes: list[Change] = []
    unchanged: list[Line] = []
    faults = list(sheet.faults)
    for line in sheet.lines:
        before = current.get(line.id, (None, ""))
        place = before[0] if line.place is None else line.place or None
        label = before[1] if line.label is None else line.label
        if line.id in current and (place, label) == before:
            unchanged.append(line)
        elif place != before[0] and (fault := _strange_department(line.number, place)):
            faults.append(fault)
        else:
            changes.append(Change(line.number, line.id, line.id not in current, *before, place, label))
    return Plan(changes, unchanged, sorted(faults, key=lambda fault: fault.number))


def _strange_department(number: int, place: str | None) -> Fault | None:
    """A place that begins with a number begins with its department's."""
    first = (place or "").partition(" ")[0]
    if not first[:1].isdigit() or first.upper() in DEPARTMENTS:
        return None
    if re.fullmatch("[0-9]{5}", first):
        why = N_("A place begins with its department, not a postcode: %(number)s …", number=_of_postcode(first))
    else:
        why = N_("There is no department %(number)s: a place begins with one, as in 35 Rennes.", number=first)
    return Fault(number, why, place or "")


def _of_postcode(code: str) -> str:
    """Its department; Corsica's two share 20."""
    return code[:3] if code.startswith("97") else {"20": "2A"}.get(code[:2], code[:2])


# The way of an import


def check(conn: sa.Connection, *, content: bytes, file_name: str, actor: str, now: datetime) -> tuple[Import, Plan]:
    """Keep a file until it is imported, in place of the one that its sender had left; raises `sheet.Unreadable`."""
    found = plan(conn, read(content))
    table = fleet_imports.c
    is_left = sa.and_(table.state == ImportState.CHECKED, sa.or_(table.at <= now - LASTS, table.actor == actor))
    conn.execute(sa.delete(fleet_imports).where(is_left))
    name = "".join(sign for sign in file_name if sign.isprintable())[-MAX_NAME:]
    row = conn.execute(
        sa.insert(fleet_imports)
        .values(
            state=ImportState.CHECKED,
            file_name=name,
            actor=actor,
            at=now,
            content=zlib.compress(content, 1),
            added=found.added,
            changed=len(found.changes) - found.added,
            unchanged=len(found.unchanged),
            faulty=len(found.faults),
        )
        .returning(fleet_imports)
    ).one()
    return _import(row), found


def find(conn: sa.Connection, id: int, now: datetime) -> Import:
    """Raises `NotFound`."""
    row = conn.execute(sa.select(fleet_imports).where(fleet_imports.c.id == id)).first()
    if row is None or (row.state == ImportState.CHECKED and row.at <= now - LASTS):
        text = N_("there is no import %(id)s, or its file was looked at more than an hour ago: send it again", id=id)
        raise NotFound(text)
    return _import(row)


def sheet_of(conn: sa.Connection, id: int) -> Sheet:
    """The file of an import that is not written yet; raises `WrongState`."""
    content = conn.scalar(sa.select(fleet_imports.c.content).where(fleet_imports.c.id == id))
    if content is None:
        raise WrongState(N_("the file of import %(id)s is not kept any more", id=id))
    return read(zlib.decompress(content))


def newest(conn: sa.Connection, limit: int, before: int | None = None) -> list[Import]:
    """Those that were written, newest first, with an id below `before`."""
    query = sa.select(fleet_imports).where(fleet_imports.c.state != ImportState.CHECKED)
    if before is not None:
        query = query.where(fleet_imports.c.id < before)
    return [_import(row) for row in conn.execute(query.order_by(fleet_imports.c.id.desc()).limit(limit))]


def lines(
    conn: sa.Connection, id: int, limit: int | None = None, after: int = 0, *, kept: bool = False
) -> list[tuple[Change, Kept | None]]:
    """What the import wrote, by the file's lines above `after`; with `kept` only what its undo left."""
    table = fleet_import_lines.c
    query = sa.select(fleet_import_lines).where(table.import_id == id, table.line > after)
    if kept:
        query = query.where(table.kept.is_not(None))
    rows = conn.execute(query.order_by(table.line).limit(limit))
    return [(_change(row), None if row.kept is None else Kept(row.kept)) for row in rows]


def drop(conn: sa.Connection, id: int) -> None:
    """Forget a file that is not imported."""
    pending = sa.delete(fleet_imports).where(fleet_imports.c.state == ImportState.CHECKED)
    conn.execute(pending.where(fleet_imports.c.id == id))


_ADD = Many(
    """INSERT INTO buttons (id, state, place, department, place_key, label, claim_hash, created_at, key_master)
    SELECT new.id, new.state, new.place, new.department, new.place_key, new.label, new.claim_hash, new.at, new.master
    FROM {new} WHERE true ON CONFLICT (id) DO NOTHING""",
    "id bigint, state text, place text, department text, place_key text, label text, claim_hash bytea, at bigint,"
    " master integer",
)
_CHANGE = Many(
    """UPDATE buttons SET place = new.place, department = new.department, place_key = new.place_key, label = new.label
    FROM {new} WHERE buttons.id = new.id AND buttons.label = new.label_before
        AND coalesce(buttons.place, '') = coalesce(new.place_before, '')""",
    "id bigint, place_before text, label_before text, place text, department text, place_key text, label text",
)
_NOTE_LINE = Many(
    """INSERT INTO fleet_import_lines
        (import_id, line, button_id, is_new, place_before, label_before, place, label)
    SELECT new.import_id, new.line, new.button_id, new.is_new, new.place_before, new.label_before, new.place, new.label
    FROM {new}""",
    "import_id bigint, line integer, button_id bigint, is_new boolean, place_before text, label_before text,"
    " place text, label text",
)


def write(
    conn: sa.Connection,
    id: int,
    sheet: Sheet,
    *,
    digest: str,
    clean_only: bool,
    actor: str,
    key_master: int,
    now: datetime,
    on_done: OnDone = lambda *_: None,
) -> Written:
    """Do what the file of import `id` says, `sheet`, in `conn`'s transaction: all of it or, by `clean_only`, its lines
    without faults.

    Raises `Outdated` where that is not what `digest` stood for, `Faulty`, `NotFound`, and `WrongState` for one that is
    written already.
    """
    found = find(conn, id, now)
    taken = sa.update(fleet_imports).where(fleet_imports.c.id == id, fleet_imports.c.state == ImportState.CHECKED)
    if not conn.execute(taken.values(state=ImportState.DONE, content=None, actor=actor, at=now)).rowcount:
        raise WrongState(N_("import %(id)s is %(state)s already", id=id, state=Said(found.state)))
    planned = plan(conn, sheet)
    if not hmac.compare_digest(planned.digest, digest):
        raise Outdated(N_("the fleet has changed since this was shown"))
    if planned.faults and not clean_only:
        raise Faulty(N_("%(n)s lines have faults", n=len(planned.faults)))
    if len(planned.changes) > MOST:
        raise Faulty(N_("an import writes at most %(n)s lines: cut the file in several", n=MOST))
    secret = secrets.token_bytes(SECRET)
    by_id = sorted(planned.changes, key=lambda change: change.id)  # as others take their rows, so none waits in a ring
    for done, some in enumerate(_batches(by_id)):
        _write(conn, id, some, secret, key_master, now)
        on_done(done * BATCH + len(some), len(planned.changes))
    counts = {
        "added": planned.added,
        "changed": len(planned.changes) - planned.added,
        "unchanged": len(planned.unchanged),
        "faulty": len(planned.faults),
    }
    conn.execute(sa.update(fleet_imports).where(fleet_imports.c.id == id).values(**counts))
    cloud.audit.store.record(
        conn, actor=actor, action="fleet.import", subject=f"import {id}", now=now, file=found.file_name, **counts
    )
    return Written(find(conn, id, now), secret)


def _write(conn: sa.Connection, id: int, some: Sequence[Change], secret: bytes, key_master: int, now: datetime) -> None:
    added = [
        (one.id, State.ACTIVE.value, *_placed(one.place), one.label, claim_hash(code_by(secret, one.id)))
        for one in some
        if one.is_new
    ]
    changed = [
        (one.id, one.place_before, one.label_before, *_placed(one.place), one.label) for one in some if not one.is_new
    ]
    after = (milliseconds(now), key_master)
    if _ADD.run(conn, [one + after for one in added]) < len(added) or _CHANGE.run(conn, changed) < len(changed):
        raise Outdated(N_("somebody changed these very buttons at this moment"))
    _NOTE_LINE.run(conn, [(id, *one) for one in some])


def _placed(place: str | None) -> tuple[str | None, str | None, str]:
    """As `store.placed`, for `Many`."""
    return place, department(place), fold(place)


def codes(conn: sa.Connection, id: int, secret: bytes, now: datetime) -> list[tuple[Change, str]]:
    """The claim codes of the import's new buttons that wait for an owner: once.

    Raises `WrongState` for a secret that is not this import's, and when they were handed out already.
    """
    taken = sa.update(fleet_imports).where(
        fleet_imports.c.id == id,
        fleet_imports.c.state == ImportState.DONE,
        fleet_imports.c.codes_taken_at.is_(None),
    )
    if not conn.execute(taken.values(codes_taken_at=now)).rowcount:
        raise WrongState(N_("these claim codes were handed out already, and are kept nowhere"))
    table = fleet_import_lines
    rows = conn.execute(
        sa.select(table, buttons.c.claim_hash)
        .join(buttons, buttons.c.id == table.c.button_id)
        .where(table.c.import_id == id, table.c.is_new, buttons.c.claim_hash.is_not(None))
        .order_by(table.c.line)
    )
    drawn = [(_change(row), code_by(secret, row.button_id), row.claim_hash) for row in rows]
    found = [(change, code) for change, code, kept in drawn if hmac.compare_digest(claim_hash(code), kept)]
    if drawn and not found:
        raise WrongState(N_("this is not what import %(id)s was answered with", id=id))
    return found


_TAKE_OUT = Many("DELETE FROM buttons WHERE id IN (SELECT new.id FROM {new})", "id bigint")
_NOTE_KEPT = Many(
    "UPDATE fleet_import_lines SET kept = new.kept FROM {new} "
    "WHERE fleet_import_lines.import_id = new.import_id AND fleet_import_lines.line = new.line",
    "import_id bigint, line integer, kept text",
)


def undo(conn: sa.Connection, id: int, *, actor: str, now: datetime, on_done: OnDone = lambda *_: None) -> Import:
    """Take back what the import wrote, less what was used or changed since; raises `NotFound`, `WrongState`."""
    found = find(conn, id, now)
    undone = sa.update(fleet_imports).where(fleet_imports.c.id == id, fleet_imports.c.state == ImportState.DONE)
    said = {"state": ImportState.UNDONE, "undone_at": now, "undone_by": actor}
    if not conn.execute(undone.values(**said)).rowcount:
        raise WrongState(N_("import %(id)s is %(state)s", id=id, state=Said(found.state)))
    mine = sa.select(fleet_import_lines.c.button_id).where(fleet_import_lines.c.import_id == id)
    # Held fast, so that none is heard or claimed between this look and its end.
    held = conn.execute(sa.select(buttons).where(buttons.c.id.in_(mine)).order_by(buttons.c.id).with_for_update())
    current = {row.id: row for row in held}
    used = set(_used(conn, id))
    kept = 0
    changes = [change for change, _ in lines(conn, id)]
    for done, some in enumerate(_batches(changes)):
        judged = [(change, _judge(change, current.get(change.id), used)) for change in some]
        _TAKE_OUT.run(conn, [(change.id,) for change, why in judged if why is None and change.is_new])
        _CHANGE.run(
            conn,
            [
                (change.id, change.place, change.label, *_placed(change.place_before), change.label_before)
                for change, why in judged
                if why is None and not change.is_new
            ],
        )
        left = [(id, change.line, why.value) for change, why in judged if why is not None]
        _NOTE_KEPT.run(conn, left)
        kept += len(left)
        on_done(done * BATCH + len(some), len(changes))
    conn.execute(sa.update(fleet_imports).where(fleet_imports.c.id == id).values(kept=kept))
    cloud.audit.store.record(
        conn,
        actor=actor,
        action="fleet.undo",
        subject=f"import {id}",
        now=now,
        taken_back=len(changes) - kept,
        kept=kept,
    )
    return find(conn, id, now)


def _judge(change: Change, now: sa.Row[Any] | None, used: set[int]) -> Kept | None:
    """Why this line's work has to stay; None where it can be taken back."""
    if now is None:
        return Kept.GONE
    if change.is_new:
        if now.last_seen_at is not None or now.last_counter:
            return Kept.HEARD
        if now.owner_id is not None:
            return Kept.CLAIMED
        if now.key_board is not None or now.key_generation:
            return Kept.KEYED
        if now.state != State.ACTIVE:
            return Kept.REVOKED
        if change.id in used:
            return Kept.USED
    return None if (now.place, now.label) == (change.place, change.label) else Kept.CHANGED


def _used(conn: sa.Connection, id: int) -> Iterator[int]:
    """New buttons of the import that any other table speaks of: orders, downlinks, notes, whatever there will be."""
    line = fleet_import_lines.c
    for table in metadata.sorted_tables:
        for key in table.foreign_keys:
            if key.column is buttons.c.id:
                is_named = sa.exists().where(key.parent == line.button_id)
                yield from conn.scalars(sa.select(line.button_id).where(line.import_id == id, line.is_new, is_named))


def _batches(some: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(some), BATCH):
        yield some[start : start + BATCH]


def _change(row: sa.Row[Any]) -> Change:
    return Change(row.line, row.button_id, row.is_new, row.place_before, row.label_before, row.place, row.label)


def _import(row: sa.Row[Any]) -> Import:
    return Import(
        id=row.id,
        state=ImportState(row.state),
        file_name=row.file_name,
        actor=row.actor,
        at=row.at,
        added=row.added,
        changed=row.changed,
        unchanged=row.unchanged,
        faulty=row.faulty,
        codes_taken_at=row.codes_taken_at,
        undone_at=row.undone_at,
        undone_by=row.undone_by,
        kept=row.kept,
    )
