"""The stamps in SQL: their codes sealed, the pool and its leases, every move a compare-and-set."""

import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cloud.database import BigId, Instant, Many, insert, metadata, milliseconds
from cloud.stamps.lease import Lease
from cloud.stamps.model import (
    SPENT,
    TRANSITIONS,
    AlreadyUsed,
    NotFound,
    NotLive,
    Redeemed,
    Redemption,
    Stamp,
    State,
    Unknown,
    WrongState,
)
from cloud.stamps.vault import BLOCK, Vault

# Conditions of partial indexes, as text: with parameters a database does not recognise them.
_KEPT = sa.text("released_at IS NULL")
_MINTED = sa.text("state = 'minted'")
_HAS_PIECE = sa.text("piece IS NOT NULL")

stamps = sa.Table(
    "stamps",
    metadata,
    sa.Column("id", BigId, primary_key=True),  # in the order of minting, see `lock_minting`
    sa.Column("sealed", sa.LargeBinary(BLOCK), nullable=False),  # the code, stamps.vault
    sa.Column("state", sa.Text, nullable=False),  # stamps.model.State
    sa.Column("pickup_id", BigId, sa.ForeignKey("pickups.id"), unique=True),
    sa.Column("lease_id", sa.BigInteger),  # the process that may take it, while it is minted
    sa.Column("minted_at", Instant, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),  # when it came to its state
    # Of its end: the mail piece that was paid with it, where, and by whom it was redeemed or made void.
    sa.Column("piece", sa.Text),
    sa.Column("place", sa.Text),
    sa.Column("actor", sa.Text),
    sa.Column("released_at", Instant),  # the code may be another stamp's since then; the row stays, for the order
    sa.Index("uq_stamps_sealed", "sealed", unique=True, sqlite_where=_KEPT, postgresql_where=_KEPT),
    # Counts by state, what changed lately, what is to expire and to be released.
    sa.Index("ix_stamps_state_changed_at", "state", "changed_at", sqlite_where=_KEPT, postgresql_where=_KEPT),
    sa.Index("ix_stamps_lease_id", "lease_id", sqlite_where=_MINTED, postgresql_where=_MINTED),
    sa.Index("ix_stamps_piece", "piece", sqlite_where=_HAS_PIECE, postgresql_where=_HAS_PIECE),
)

# Who has leased from the pool. A process that died renews no more, and its rows go back.
stamp_leases = sa.Table(
    "stamp_leases",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),  # random: never another's, ever
    sa.Column("holder", sa.Text, nullable=False),  # host and process id, for people
    sa.Column("until", Instant, nullable=False),
    sa.Column("key_number", sa.Integer, nullable=False, server_default="1"),  # the newest master key that it knows
)

# Pickups that came when the pool was empty, and the state their stamp is to have. Nearly always without rows.
stamp_waits = sa.Table(
    "stamp_waits",
    metadata,
    sa.Column("pickup_id", BigId, sa.ForeignKey("pickups.id"), primary_key=True, autoincrement=False),
    sa.Column("state", sa.Text, nullable=False),  # reserved, or live where the customer was quicker than the mint
)

_MINT_LOCK = 0x5354_414D_5053  # "STAMPS"


# The pool


def lock_minting(conn: sa.Connection) -> None:
    """Until the commit nobody else puts codes in: so a new row has a higher id than any that others can see."""
    if conn.dialect.name == "postgresql":  # on SQLite only one writes
        conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_MINT_LOCK)))


def put(conn: sa.Connection, sealed: Sequence[bytes], lease_id: int | None, now: datetime) -> list[int]:
    """New codes into the pool, leased at once or free; gives their ids. Under `lock_minting`, each three from all."""
    values = {"state": State.MINTED, "lease_id": lease_id, "minted_at": now, "changed_at": now}
    rows = [values | {"sealed": one} for one in sealed]
    return list(conn.scalars(stamps.insert().returning(stamps.c.id), rows))


def open_lease(conn: sa.Connection, holder: str, until: datetime, key_number: int = 1) -> int:
    lease_id = secrets.randbits(63)
    conn.execute(stamp_leases.insert().values(id=lease_id, holder=holder, until=until, key_number=key_number))
    return lease_id


def holders_without_key(conn: sa.Connection, key_number: int, now: datetime) -> list[str]:
    """Who runs, with a lease in force, and has not read master key `key_number` yet: what is sealed under it, they
    would take for damaged."""
    query = sa.select(stamp_leases.c.holder).where(stamp_leases.c.until >= now, stamp_leases.c.key_number < key_number)
    return list(conn.scalars(query.order_by(stamp_leases.c.holder)))


def renew_lease(conn: sa.Connection, lease_id: int, until: datetime) -> bool:
    """False where it has run out and was closed: a new one is to be opened."""
    renewed = stamp_leases.update().where(stamp_leases.c.id == lease_id).values(until=until)
    return conn.execute(renewed).rowcount == 1


def close_lease(conn: sa.Connection, lease_id: int) -> None:
    """What it has left goes back to the pool."""
    conn.execute(stamps.update().where(_MINTED, stamps.c.lease_id == lease_id).values(lease_id=None))
    conn.execute(stamp_leases.delete().where(stamp_leases.c.id == lease_id))


def close_leases_before(conn: sa.Connection, now: datetime) -> int:
    """Give back what processes had that died; how many they were."""
    dead = conn.scalars(sa.select(stamp_leases.c.id).where(stamp_leases.c.until < now)).all()
    for lease_id in dead:
        close_lease(conn, lease_id)
    return len(dead)


def lease_free(conn: sa.Connection, lease_id: int, count: int) -> list[int]:
    """Lease up to `count` rows of the pool that nobody has; gives their ids."""
    free = (
        sa.select(stamps.c.id)
        .where(_MINTED, stamps.c.lease_id.is_(None))
        .limit(count)
        .with_for_update(skip_locked=True)
    )
    take = stamps.update().where(stamps.c.id.in_(free)).values(lease_id=lease_id)
    return list(conn.scalars(take.returning(stamps.c.id)))


def leased(conn: sa.Connection, lease_id: int) -> list[int]:
    """The ids that the lease has left."""
    return list(conn.scalars(sa.select(stamps.c.id).where(_MINTED, stamps.c.lease_id == lease_id)))


def pool_left(conn: sa.Connection) -> int:
    return conn.execute(sa.select(sa.func.count()).select_from(stamps).where(_MINTED)).scalar_one()


@dataclass(frozen=True, slots=True)
class Demand:
    """What other processes want of whoever mints."""

    leases: int  # that are open, the asker's own included
    free: int  # codes that nobody has leased, counted up to a limit
    waits: bool  # whether an order waits for its stamp


def demand(conn: sa.Connection, count_to: int) -> Demand:
    free = sa.select(stamps.c.id).where(_MINTED, stamps.c.lease_id.is_(None)).limit(count_to).subquery()
    row = conn.execute(
        sa.select(
            sa.select(sa.func.count()).select_from(stamp_leases).scalar_subquery(),
            sa.select(sa.func.count()).select_from(free).scalar_subquery(),
            sa.select(stamp_waits.c.pickup_id).exists(),
        )
    ).one()
    return Demand(row[0], row[1], bool(row[2]))


def stock(conn: sa.Connection, count_to: int) -> tuple[int, int]:
    """How many codes lie in the pool, leased or not, and how many orders wait for one: both up to a limit."""
    minted = sa.select(stamps.c.id).where(_KEPT, stamps.c.state == State.MINTED).limit(count_to).subquery()
    waits = sa.select(stamp_waits.c.pickup_id).limit(count_to).subquery()
    counts = [sa.select(sa.func.count()).select_from(one).scalar_subquery() for one in (minted, waits)]
    row = conn.execute(sa.select(*counts)).one()
    return row[0], row[1]


_RESERVE = Many(
    """UPDATE stamps SET state = 'reserved', pickup_id = new.pickup, lease_id = NULL, changed_at = new.at
    FROM {new} WHERE stamps.id = new.id AND stamps.lease_id = new.lease AND state = 'minted'""",
    "id bigint, pickup bigint, lease bigint, at bigint",
)


def reserve(conn: sa.Connection, lease: Lease, pickup_ids: Sequence[int], now: datetime) -> None:
    """One stamp for each pickup, from the lease. For whom it has none left, `serve_waiting` will: nobody waits here."""
    waiting, at = list(pickup_ids), milliseconds(now)
    while waiting and (ids := lease.take(len(waiting))):
        served = waiting[: len(ids)]
        rows = [(id, pickup, lease.id, at) for id, pickup in zip(ids, served, strict=True)]
        if _RESERVE.run(conn, rows) == len(rows):
            waiting = waiting[len(rows) :]
        else:  # some ids were taken before: by a transaction that was thought undone, or after the lease ran out
            stamped = set(conn.scalars(sa.select(stamps.c.pickup_id).where(stamps.c.pickup_id.in_(served))))
            waiting = [pickup for pickup in waiting if pickup not in stamped]
    if waiting:
        lease.short = True
        rows = [{"pickup_id": pickup} for pickup in waiting]
        conn.execute(insert(conn, stamp_waits).values(state=State.RESERVED).on_conflict_do_nothing(), rows)


def serve_waiting(conn: sa.Connection, lease: Lease, now: datetime) -> int:
    """Stamp pickups that wait, as far as the lease goes; how many still wait."""
    wait = stamp_waits.c
    first = sa.select(wait.pickup_id).order_by(wait.pickup_id).limit(len(lease)).with_for_update(skip_locked=True)
    taken = conn.execute(
        stamp_waits.delete().where(wait.pickup_id.in_(first)).returning(wait.pickup_id, wait.state)
    ).all()
    reserve(conn, lease, [row.pickup_id for row in taken], now)
    for row in taken:
        if row.state == State.LIVE:
            go_live(conn, row.pickup_id, now)
    return conn.execute(sa.select(sa.func.count()).select_from(stamp_waits)).scalar_one()


def waiting(conn: sa.Connection, limit: int) -> list[int]:
    """The pickups that have waited longest for a stamp."""
    return list(conn.scalars(sa.select(stamp_waits.c.pickup_id).order_by(stamp_waits.c.pickup_id).limit(limit)))


def stamped(conn: sa.Connection, pickup_ids: Collection[int]) -> list[int]:
    """Those of `pickup_ids` that have a stamp."""
    return list(conn.scalars(sa.select(stamps.c.pickup_id).where(stamps.c.pickup_id.in_(pickup_ids))))


# The life of a pickup's stamp


def go_live(conn: sa.Connection, pickup_id: int, now: datetime) -> None:
    """The pickup is confirmed. Raises `WrongState`."""

    def in_advance() -> int:
        wait = stamp_waits.update().where(stamp_waits.c.pickup_id == pickup_id).values(state=State.LIVE)
        return conn.execute(wait).rowcount

    if not _move_or_wait(conn, pickup_id, State.LIVE, now, in_advance):
        state = conn.scalar(sa.select(stamps.c.state).where(stamps.c.pickup_id == pickup_id))
        raise WrongState(f"the stamp of pickup {pickup_id} is {state or 'not there'} and cannot become {State.LIVE}")


def void(conn: sa.Connection, pickup_id: int, now: datetime) -> None:
    """The pickup is cancelled. A stamp that is spent stays as it is, and one that is awaited is not made."""
    not_made = stamp_waits.delete().where(stamp_waits.c.pickup_id == pickup_id)
    _move_or_wait(conn, pickup_id, State.VOID, now, lambda: conn.execute(not_made).rowcount)


def _move_or_wait(
    conn: sa.Connection, pickup_id: int, to: State, now: datetime, change_wait: Callable[[], int]
) -> bool:
    move = (
        stamps.update()
        .where(stamps.c.pickup_id == pickup_id, stamps.c.state.in_(_origins(to)))
        .values(state=to, changed_at=now)
    )
    # Once more, because the wait may have ended with a stamp just between the two.
    return bool(conn.execute(move).rowcount or change_wait() or conn.execute(move).rowcount)


# By its code


def redeem(
    conn: sa.Connection, vault: Vault, code: str, *, piece: str, place: str, by: str, at: datetime
) -> Redemption:
    """Pay for the mail piece `piece` with a live stamp, once; the same piece again gets the same answer."""
    row = _end(conn, vault, code, State.REDEEMED, at, piece=piece, place=place, actor=by)
    if row is not None:
        return Redeemed(_stamp(vault, row))
    stamp = find(conn, vault, code)
    if stamp is None:
        return Unknown()
    if stamp.state is not State.REDEEMED:
        return NotLive(stamp)
    return Redeemed(stamp) if stamp.piece == piece else AlreadyUsed(stamp)


def void_code(conn: sa.Connection, vault: Vault, code: str, *, by: str, at: datetime) -> Stamp:
    """Make a stamp worthless that is not spent; its order stays. Raises `NotFound` and `WrongState`."""
    row = _end(conn, vault, code, State.VOID, at, actor=by)
    if row is not None:
        return _stamp(vault, row)
    stamp = find(conn, vault, code)
    if stamp is None:
        raise NotFound("no stamp has this code")
    raise WrongState(f"the stamp is {stamp.state} and cannot become {State.VOID}")


def _end(conn: sa.Connection, vault: Vault, code: str, to: State, at: datetime, **values: str) -> sa.Row[Any] | None:
    """One compare-and-set: of several at once, one gets the row and the others None."""
    return conn.execute(
        stamps.update()
        .where(stamps.c.sealed.in_(vault.seals(code)), _KEPT, stamps.c.state.in_(_origins(to)))
        .values(state=to, changed_at=at, **values)
        .returning(stamps)
    ).one_or_none()


def _origins(to: State) -> list[State]:
    return [state for state, ends in TRANSITIONS.items() if to in ends]


def find(conn: sa.Connection, vault: Vault, code: str) -> Stamp | None:
    """Of the stamps that had this code, the one that has it still."""
    return _one(conn, vault, sa.and_(stamps.c.sealed.in_(vault.seals(code)), _KEPT))


def of_pickup(conn: sa.Connection, vault: Vault, pickup_id: int) -> Stamp | None:
    return _one(conn, vault, stamps.c.pickup_id == pickup_id)


def paid_for(conn: sa.Connection, pieces: Collection[str]) -> list[int]:
    """The pickups whose stamps paid for a mail piece that was given by one of these names."""
    query = sa.select(stamps.c.pickup_id).where(stamps.c.piece.in_(pieces), stamps.c.pickup_id.is_not(None))
    return list(conn.scalars(query.order_by(stamps.c.pickup_id).limit(50)))


def _one(conn: sa.Connection, vault: Vault, which: sa.ColumnElement[bool]) -> Stamp | None:
    row = conn.execute(sa.select(stamps).where(which)).one_or_none()
    return None if row is None else _stamp(vault, row)


def _stamp(vault: Vault, row: sa.Row[Any]) -> Stamp:
    return Stamp(
        vault.open(row.sealed),
        State(row.state),
        row.pickup_id,
        row.minted_at,
        row.changed_at,
        row.piece,
        row.place,
        row.actor,
        row.released_at,
    )


def codes_of(conn: sa.Connection, vault: Vault, pickup_ids: Collection[int]) -> dict[int, str]:
    """The codes of these pickups, of those that have one."""
    rows = conn.execute(sa.select(stamps.c.pickup_id, stamps.c.sealed).where(stamps.c.pickup_id.in_(pickup_ids)))
    return {row.pickup_id: vault.open(row.sealed) for row in rows}


def check_key(conn: sa.Connection, vault: Vault) -> None:
    """Raises `stamps.vault.WrongKey` where the vault does not open what is there."""
    newest = conn.scalar(sa.select(stamps.c.sealed).order_by(stamps.c.id.desc()).limit(1))
    if newest is not None:
        vault.open(newest)


# In a replay of the log


def restore(conn: sa.Connection, sealed: bytes, pickup_id: int, **was: Any) -> bool:
    """Give the pickup the very stamp that it had, in the state `was` says; False where it has another already.

    `was` is the rest of the row. What is in the table and newer stays. The code is taken from the pool if it lies
    there; and if the table thinks it another's, that one's quarantine must have ended since.
    """
    held = conn.execute(sa.select(stamps).where(stamps.c.pickup_id == pickup_id)).one_or_none()
    if held is not None:
        newer = (stamps.c.id == held.id, stamps.c.changed_at <= was["changed_at"])
        if held.sealed == sealed:
            conn.execute(stamps.update().where(*newer).values(lease_id=None, **was))
        return held.sealed == sealed
    kept = (stamps.c.sealed == sealed, _KEPT)
    taken = stamps.update().where(*kept, _MINTED).values(pickup_id=pickup_id, lease_id=None, **was)
    if not conn.execute(taken).rowcount:
        conn.execute(stamps.update().where(*kept).values(released_at=was["minted_at"]))
        conn.execute(stamps.insert().values(sealed=sealed, pickup_id=pickup_id, **was))
    conn.execute(stamp_waits.delete().where(stamp_waits.c.pickup_id == pickup_id))
    return True


# What time does


def expire(conn: sa.Connection, live_before: datetime, now: datetime, limit: int) -> int:
    """The stamps that went live before then and were not used expire, at most `limit`; how many did."""
    overdue = _oldest(State.LIVE, live_before, limit)
    return conn.execute(
        stamps.update().where(stamps.c.id.in_(overdue)).values(state=State.EXPIRED, changed_at=now)
    ).rowcount


def release(conn: sa.Connection, spent_before: datetime, now: datetime, limit: int) -> list[bytes]:
    """End the quarantine of what was spent before then, at most `limit` of each end; the sealed codes that are free."""
    freed: list[bytes] = []
    for state in sorted(SPENT):
        done = stamps.c.id.in_(_oldest(state, spent_before, limit))
        freed += conn.scalars(stamps.update().where(done).values(released_at=now).returning(stamps.c.sealed))
    return freed


def _oldest(state: State, before: datetime, limit: int) -> sa.Select[tuple[int]]:
    return (
        sa.select(stamps.c.id)
        .where(_KEPT, stamps.c.state == state, stamps.c.changed_at < before)
        .order_by(stamps.c.changed_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


# What the register in memory is made from

KEPT_AS = {"HELD": frozenset({State.MINTED, State.RESERVED}), "LIVE": frozenset({State.LIVE}), "SPENT": SPENT}
_READ_AT_ONCE = 50_000  # ids

# The sealed codes one after the other, by how the register keeps them.
Blocks = dict[str, bytes]


def kept(conn: sa.Connection, after_id: int = 0, at_once: int = _READ_AT_ONCE) -> Iterator[tuple[int, Blocks]]:
    """All with a higher id that is not released, in parts; with each the id up to which this is all."""
    last = conn.scalar(sa.select(sa.func.max(stamps.c.id))) or 0
    for start in range(after_id, last, at_once):
        end = min(start + at_once, last)
        yield end, _blocks(conn, stamps.c.id > start, stamps.c.id <= end)


def changed_since(conn: sa.Connection, moment: datetime) -> Blocks:
    """What went live or was spent since."""
    moved = stamps.c.state.in_([State.LIVE, *sorted(SPENT)])
    return _blocks(conn, moved, stamps.c.changed_at >= moment)


def _blocks(conn: sa.Connection, *which: sa.ColumnElement[bool]) -> Blocks:
    """Put together by the database: a row for each code, made in Python, would take ten times as long."""
    sealed = stamps.c.sealed
    if conn.dialect.name == "postgresql":
        joined = sa.func.string_agg(sealed, sa.literal(b""))
    else:  # which joins text alone
        joined = sa.func.group_concat(sa.func.hex(sealed), "")
    columns = [joined.filter(stamps.c.state.in_(sorted(states))).label(name) for name, states in KEPT_AS.items()]
    row = conn.execute(sa.select(*columns).where(_KEPT, *which)).one()
    return {name: bytes.fromhex(said) if isinstance(said, str) else said or b"" for name, said in row._mapping.items()}


def count_live(conn: sa.Connection) -> int:
    query = sa.select(sa.func.count()).select_from(stamps)
    return conn.execute(query.where(_KEPT, stamps.c.state == State.LIVE)).scalar_one()


def count_by_state(conn: sa.Connection) -> dict[State, int]:
    """Every state is there, if only with 0; released ones are not counted."""
    counts = sa.select(stamps.c.state, sa.func.count().label("stamps")).where(_KEPT).group_by(stamps.c.state)
    return dict.fromkeys(State, 0) | {State(row.state): row.stamps for row in conn.execute(counts)}
