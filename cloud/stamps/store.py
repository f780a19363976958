"""The stamp codes in SQL, and the index that keeps them three apart."""

import secrets
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from cloud.database import BigId, Instant, metadata
from cloud.stamps.model import (
    LENGTH,
    TRANSITIONS,
    TWO_OF_FOUR_PAIRS,
    Stamp,
    State,
    WrongState,
    format_pairs,
    from_random,
    spaced,
)

stamps = sa.Table(
    "stamps",
    metadata,
    sa.Column("code", sa.Text, primary_key=True),  # eight symbols of stamps.model.ALPHABET
    sa.Column("state", sa.Text, nullable=False, index=True),  # stamps.model.State
    sa.Column("pickup_id", BigId, sa.ForeignKey("pickups.id"), unique=True),
    sa.Column("minted_at", Instant, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    # The code again as its four pairs, for the search below.
    *(sa.Column(f"pair{i}", sa.Text, sa.Computed(f"substr(code, {2 * i + 1}, 2)", persisted=True)) for i in range(4)),
)
_PAIRS = [stamps.c[f"pair{i}"] for i in range(4)]
# One look into each of these six finds every code nearer than three: see stamps.model.TWO_OF_FOUR_PAIRS.
for _i, _j in TWO_OF_FOUR_PAIRS:
    sa.Index(f"ix_stamps_pairs{_i}{_j}", _PAIRS[_i], _PAIRS[_j])

_DRAW = 500  # codes looked up and put in at once
_MINT_LOCK = 0x5354_414D_5053  # "STAMPS"


def mint(conn: sa.Connection, count: int, now: datetime) -> int:
    """Put `count` new codes into the pool."""
    minted = 0
    while minted < count:
        noise = secrets.token_bytes(LENGTH * min(count - minted, _DRAW))
        minted += add(conn, from_random(noise), now)
    return minted


def add(conn: sa.Connection, codes: Sequence[str], now: datetime) -> int:
    """Put those of `codes` into the pool that keep their distance from each other and all there; how many they were."""
    if conn.dialect.name == "postgresql":  # two workers must not mint neighbours at once; on SQLite only one writes
        conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_MINT_LOCK)))
    fresh = spaced(codes, conn.scalars(_agreeing_in_two_pairs(codes)))
    if fresh:
        conn.execute(
            stamps.insert().values(state=State.MINTED, minted_at=now, changed_at=now),
            [{"code": code} for code in fresh],
        )
    return len(fresh)


def _agreeing_in_two_pairs(codes: Sequence[str]) -> sa.CompoundSelect[str]:
    # `json_each` takes them all as one value, and SQLite and PostgreSQL both know it.
    wanted = sa.func.json_each(sa.literal(dict.fromkeys(codes, 0), sa.JSON)).table_valued("key")
    wanted_pairs = [sa.func.substr(wanted.c.key, 2 * i + 1, 2) for i in range(4)]
    return sa.union_all(
        *(
            sa.select(stamps.c.code).join(wanted, sa.and_(_PAIRS[i] == wanted_pairs[i], _PAIRS[j] == wanted_pairs[j]))
            for i, j in TWO_OF_FOUR_PAIRS
        )
    )


def pool_left(conn: sa.Connection) -> int:
    return conn.execute(sa.select(sa.func.count()).where(stamps.c.state == State.MINTED)).scalar_one()


def reserve(conn: sa.Connection, pickup_ids: Sequence[int], now: datetime) -> dict[int, str]:
    """One code for each pickup, from the pool; what the pool lacks is minted here."""
    if not pickup_ids:
        return {}
    # Locked codes are another worker's. On SQLite, which knows no row locks, only one writes at a time.
    pool = (
        sa.select(stamps.c.code)
        .where(stamps.c.state == State.MINTED)
        .limit(len(pickup_ids))
        .with_for_update(skip_locked=True)
    )
    codes = conn.scalars(pool).all()
    if len(codes) < len(pickup_ids):
        mint(conn, len(pickup_ids) - len(codes), now)
        codes = conn.scalars(pool).all()
    conn.execute(
        stamps.update()
        .where(stamps.c.code == sa.bindparam("taken"))
        .values(state=State.RESERVED, pickup_id=sa.bindparam("pickup"), changed_at=now),
        [{"taken": code, "pickup": pickup_id} for code, pickup_id in zip(codes, pickup_ids, strict=True)],
    )
    return dict(zip(pickup_ids, codes, strict=True))


def go_live(conn: sa.Connection, pickup_id: int, now: datetime) -> None:
    """The pickup is confirmed. Raises `WrongState`."""
    _move(conn, pickup_id, State.LIVE, now)


def void(conn: sa.Connection, pickup_id: int, now: datetime) -> None:
    """The pickup is cancelled. Raises `WrongState`."""
    _move(conn, pickup_id, State.VOID, now)


def _move(conn: sa.Connection, pickup_id: int, to: State, now: datetime) -> None:
    origins = [state for state, ends in TRANSITIONS.items() if to in ends]
    moved = conn.execute(
        stamps.update()
        .where(stamps.c.pickup_id == pickup_id, stamps.c.state.in_(origins))
        .values(state=to, changed_at=now)
    )
    if moved.rowcount == 0:
        stamp = of_pickup(conn, pickup_id)
        if stamp is None:
            raise WrongState(f"pickup {pickup_id} has no stamp")
        raise WrongState(f"stamp {format_pairs(stamp.code)} is {stamp.state} and cannot become {to}")


def find(conn: sa.Connection, code: str) -> Stamp | None:
    return _one(conn, stamps.c.code == code)


def of_pickup(conn: sa.Connection, pickup_id: int) -> Stamp | None:
    return _one(conn, stamps.c.pickup_id == pickup_id)


def _one(conn: sa.Connection, which: sa.ColumnElement[bool]) -> Stamp | None:
    row = conn.execute(sa.select(stamps).where(which)).one_or_none()
    return None if row is None else Stamp(row.code, State(row.state), row.pickup_id, row.minted_at, row.changed_at)


def codes_of(conn: sa.Connection, pickup_ids: Sequence[int]) -> dict[int, str]:
    """The codes of these pickups, of those that have one."""
    rows = conn.execute(sa.select(stamps.c.pickup_id, stamps.c.code).where(stamps.c.pickup_id.in_(pickup_ids)))
    return {row.pickup_id: row.code for row in rows}


def count_by_state(conn: sa.Connection) -> dict[State, int]:
    """Every state is there, if only with 0."""
    rows = conn.execute(sa.select(stamps.c.state, sa.func.count().label("stamps")).group_by(stamps.c.state))
    return dict.fromkeys(State, 0) | {State(row.state): row.stamps for row in rows}
