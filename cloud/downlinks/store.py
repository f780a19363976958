"""The queue of downlinks in SQL. A button has one open configuration: a partial unique index says so."""

from collections.abc import Collection, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cloud.database import BigId, Instant, Many, insert, metadata
from cloud.downlinks.model import (
    LASTS,
    OPEN,
    TRANSITIONS,
    Alive,
    Answer,
    Configuration,
    NotFound,
    State,
    WrongState,
    check_hours,
    check_reason,
)
from cloud.fleet.model import format_id
from cloud.fleet.store import buttons, note_heartbeats
from cloud.frames.store import uplinks
from cloud.words import N_, Said

# As text: with parameters a database does not recognise an index's condition.
_IS_OPEN = sa.text("state IN ('queued', 'sent')")

downlinks = sa.Table(
    "downlinks",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("button_id", sa.BigInteger, sa.ForeignKey("buttons.id"), nullable=False),
    sa.Column("hours", sa.Integer, nullable=False),  # from one `alive` to the next
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # downlinks.model.State; time alone makes it expired, unwritten
    sa.Column("queued_at", Instant, nullable=False),
    sa.Column("until", Instant, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    # Of the uplink that it answered last.
    sa.Column("sendings", sa.Integer, nullable=False, server_default="0"),
    sa.Column("sent_at", Instant),
    sa.Column("key_generation", sa.Integer),
    sa.Column("counter", sa.BigInteger),
    sa.Column("heard_at", Instant),
    sa.Column("proven_at", Instant),
    sa.Index("ix_downlinks_button_id_id", "button_id", "id"),
    sa.Index("uq_downlinks_open", "button_id", unique=True, sqlite_where=_IS_OPEN, postgresql_where=_IS_OPEN),
)


# What people do


def configure(conn: sa.Connection, button_id: int, hours: int, *, reason: str, by: str, now: datetime) -> Configuration:
    """Queue a heartbeat period; it takes the place of one that is open. Raises `Faulty`, `NotFound`, `WrongState`."""
    hours, reason = check_hours(hours), check_reason(reason)
    if conn.scalar(sa.select(buttons.c.id).where(buttons.c.id == button_id)) is None:
        raise NotFound(N_("no button %(button)s in the fleet", button=format_id(button_id)))
    for earlier in _read(conn, downlinks.c.button_id == button_id, _IS_OPEN):
        _end(conn, earlier.id, State.EXPIRED if earlier.at(now) is State.EXPIRED else State.SUPERSEDED, now)
    values = {
        "button_id": button_id,
        "hours": hours,
        "reason": reason,
        "actor": by,
        "state": State.QUEUED,
        "queued_at": now,
        "until": now + LASTS,
        "changed_at": now,
    }
    statement = insert(conn, downlinks).values(values).on_conflict_do_nothing().returning(downlinks.c.id)
    id = conn.scalar(statement)
    if id is None:
        raise WrongState(N_("somebody else configured button %(button)s just now", button=format_id(button_id)))
    return find(conn, id)


def cancel(conn: sa.Connection, button_id: int, id: int, now: datetime) -> Configuration:
    """It is not sent, or not sent again: what was sent stays its uplink's answer. Raises `NotFound`, `WrongState`."""
    found = find(conn, id)
    if found.button_id != button_id:
        raise NotFound(N_("button %(button)s has no downlink %(id)s", button=format_id(button_id), id=id))
    if found.at(now) is State.EXPIRED or not _end(conn, id, State.CANCELLED, now):
        states = {"state": Said(find(conn, id).at(now)), "to": Said(State.CANCELLED)}
        raise WrongState(N_("the downlink is %(state)s and cannot become %(to)s", **states))
    return find(conn, id)


def _end(conn: sa.Connection, id: int, to: State, now: datetime) -> bool:
    origins = [state for state, ends in TRANSITIONS.items() if to in ends]
    move = sa.update(downlinks).where(downlinks.c.id == id, downlinks.c.state.in_(origins))
    return conn.execute(move.values(state=to, changed_at=now)).rowcount == 1


def find(conn: sa.Connection, id: int) -> Configuration:
    """Raises `NotFound`."""
    for found in _read(conn, downlinks.c.id == id):
        return found
    raise NotFound(N_("no downlink %(id)s", id=id))


def of_button(conn: sa.Connection, button_id: int, limit: int = 20) -> list[Configuration]:
    """Newest first."""
    newest = sa.select(downlinks).where(downlinks.c.button_id == button_id).order_by(downlinks.c.id.desc())
    return [_configuration(row) for row in conn.execute(newest.limit(limit))]


def answers(conn: sa.Connection, button_id: int, limit: int = 20, *, until: datetime | None = None) -> list[Answer]:
    """What the button was answered in its uplinks' own right, newest first; with `until`, up to then."""
    of = uplinks.c
    query = (
        sa.select(of.kind, of.key_generation, of.counter, of.received_at, of.pickup_id)
        .where(of.button_id == button_id, of.downlink.is_not(None), of.kind != "alive")
        .where(of.received_at <= until if until is not None else sa.true())
        .order_by(of.key_generation.desc(), of.counter.desc())
        .limit(limit)
    )
    return [Answer(*row) for row in conn.execute(query)]


def heartbeat_hours(conn: sa.Connection, button_id: int) -> int | None:
    """The period that the button has proven last; None where it has proven none."""
    newest = downlinks.c.proven_at.desc()
    proven = sa.select(downlinks.c.hours).where(downlinks.c.button_id == button_id, downlinks.c.proven_at.is_not(None))
    return conn.scalar(proven.order_by(newest, downlinks.c.id.desc()).limit(1))


# What a batch of uplinks does

_UNPROVEN = Many(
    "SELECT downlinks.id FROM {new} CROSS JOIN downlinks WHERE button_id = new.button AND proven_at IS NULL",
    "button bigint",
)


def due(conn: sa.Connection, alives: Sequence[Alive], now: datetime) -> list[tuple[Alive, Configuration]]:
    """Note what `alives`, in the order of their counters, prove; gives what is to be sent, and with which of them.

    One look by index where nothing waits. The rows stay locked, so that nobody cancels what is being sealed.
    """
    waiting = _UNPROVEN.rows(conn, [(id,) for id in {alive.button_id for alive in alives}])
    if not waiting:
        return []
    pending = _read(conn, downlinks.c.id.in_([id for (id,) in waiting]), downlinks.c.proven_at.is_(None), lock=True)
    proofs: dict[int, datetime] = {}
    periods: dict[int, int] = {}
    ready: list[tuple[Alive, Configuration]] = []
    for one in pending:
        own = [alive for alive in alives if alive.button_id == one.button_id]
        proof = next((alive for alive in own if one.is_proven_by(alive)), None)
        if proof is not None:
            proofs[one.id] = proof.heard_at
            periods[one.button_id] = one.hours
        elif one.state in OPEN and (listening := [alive for alive in own if one.may_answer(alive, now)]):
            ready.append((listening[-1], one))
    _prove(conn, proofs, now)
    note_heartbeats(conn, periods)
    return ready


def _prove(conn: sa.Connection, proofs: dict[int, datetime], now: datetime) -> None:
    if not proofs:
        return
    state, is_sent = downlinks.c.state, downlinks.c.state == State.SENT
    conn.execute(
        sa.update(downlinks)
        .where(downlinks.c.id == sa.bindparam("b_id"))
        .values(
            proven_at=sa.bindparam("b_heard_at"),
            state=sa.case((is_sent, State.PROVEN), else_=state),
            changed_at=sa.case((is_sent, sa.bindparam("b_now", type_=Instant)), else_=downlinks.c.changed_at),
        ),
        [{"b_id": id, "b_heard_at": heard_at, "b_now": now} for id, heard_at in proofs.items()],
    )


def sent(conn: sa.Connection, pairs: Collection[tuple[Alive, Configuration]], now: datetime) -> None:
    """Note which configuration answers which uplink."""
    if not pairs:
        return
    conn.execute(
        sa.update(downlinks)
        .where(downlinks.c.id == sa.bindparam("b_id"), _IS_OPEN)
        .values(
            state=State.SENT,
            changed_at=now,
            sent_at=now,
            sendings=downlinks.c.sendings + 1,
            key_generation=sa.bindparam("b_generation"),
            counter=sa.bindparam("b_counter"),
            heard_at=sa.bindparam("b_heard_at"),
        ),
        [
            {
                "b_id": one.id,
                "b_generation": alive.key_generation,
                "b_counter": alive.counter,
                "b_heard_at": alive.heard_at,
            }
            for alive, one in pairs
        ],
    )


def _read(
    conn: sa.Connection, *which: sa.ColumnElement[bool] | sa.TextClause, lock: bool = False
) -> list[Configuration]:
    query = sa.select(downlinks).where(*which).order_by(downlinks.c.id)
    return [_configuration(row) for row in conn.execute(query.with_for_update() if lock else query)]


def _configuration(row: sa.Row[Any]) -> Configuration:
    values: dict[str, Any] = {one.name: getattr(row, one.name) for one in fields(Configuration)}
    values["state"] = State(row.state)
    return Configuration(**values)
