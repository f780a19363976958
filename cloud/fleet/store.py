"""The buttons in SQL."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from cloud.database import Instant, insert, metadata
from cloud.fleet.claims import claim_hash
from cloud.fleet.model import LAST_GENERATION, Button, Changed, Exists, KeysUsedUp, State, format_id

buttons = sa.Table(
    "buttons",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),  # the device id, 32 bits
    sa.Column("key_generation", sa.Integer, nullable=False, server_default="0"),  # 0 to 3
    sa.Column("state", sa.Text, nullable=False),  # fleet.model.State
    sa.Column("place", sa.Text),  # where it hangs, for the eye: "35 Rennes"
    sa.Column("claim_hash", sa.LargeBinary(32), unique=True),  # SHA-256 of the claim code; none once claimed
    sa.Column("owner_id", sa.BigInteger, sa.ForeignKey("accounts.id"), index=True),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("claimed_at", Instant),
    sa.Column("last_seen_at", Instant),
    sa.Column(
        "last_counter", sa.BigInteger, nullable=False, server_default="0"
    ),  # the highest accepted, 0 = never heard
    sa.Column("battery_mv", sa.Integer),
    sa.Column("temperature_c", sa.Integer),
    sa.Column("budget_day", sa.Date),  # the UTC day that the two counts below speak of
    sa.Column("uplinks_today", sa.Integer, nullable=False, server_default="0"),
    sa.Column("downlinks_today", sa.Integer, nullable=False, server_default="0"),
    sa.Column("key_board", sa.Text),  # which board was given the key of this generation; none: it never left the cloud
    sa.Column("key_ticket", sa.Text),  # shown by that board as long as the key has not reached it
)


def add(
    conn: sa.Connection, *, id: int, place: str | None, claim_code: str, now: datetime, owner_id: int | None = None
) -> Button:
    """Take a new button into the fleet, unclaimed unless it has an owner already; raises `Exists`."""
    added = conn.execute(
        insert(conn, buttons)
        .values(
            id=id,
            state=State.ACTIVE,
            place=place,
            claim_hash=claim_hash(claim_code) if owner_id is None else None,
            owner_id=owner_id,
            created_at=now,
            claimed_at=now if owner_id is not None else None,
        )
        .on_conflict_do_nothing(index_elements=["id"])
    )
    if not added.rowcount:
        raise Exists(f"button {format_id(id)} is in the fleet already")
    return _found(conn, id)


def _found(conn: sa.Connection, id: int) -> Button:
    button = find(conn, id)
    assert button is not None
    return button


def find(conn: sa.Connection, id: int) -> Button | None:
    return next(iter(find_many(conn, [id])), None)


def find_many(conn: sa.Connection, ids: Collection[int]) -> list[Button]:
    """Those of `ids` that are in the fleet."""
    return [_button(row) for row in conn.execute(sa.select(buttons).where(buttons.c.id.in_(ids)))]


def newest(conn: sa.Connection, limit: int, offset: int = 0) -> list[Button]:
    """The buttons, last heard first, then those never heard."""
    order = (buttons.c.last_seen_at.desc().nulls_last(), buttons.c.id)
    return [_button(row) for row in conn.execute(sa.select(buttons).order_by(*order).limit(limit).offset(offset))]


def owned_by(conn: sa.Connection, owner_id: int) -> list[Button]:
    query = sa.select(buttons).where(buttons.c.owner_id == owner_id).order_by(buttons.c.id)
    return [_button(row) for row in conn.execute(query)]


def claim(conn: sa.Connection, *, claim_code: str, owner_id: int, now: datetime) -> Button | None:
    """Make `owner_id` the owner of the button with this code; None where no unclaimed button has it."""
    row = conn.execute(
        sa.update(buttons)
        .where(buttons.c.claim_hash == claim_hash(claim_code), buttons.c.owner_id.is_(None))
        .values(owner_id=owner_id, claimed_at=now, claim_hash=None)
        .returning(buttons.c.id)
    ).first()
    return find(conn, row.id) if row else None


def revoke(conn: sa.Connection, id: int) -> bool:
    """Refuse from now on whatever the button sends; False where the fleet has no such button."""
    return conn.execute(sa.update(buttons).where(buttons.c.id == id).values(state=State.REVOKED)).rowcount == 1


def renew_claim_code(conn: sa.Connection, id: int, claim_code: str) -> bool:
    """Put this code in place of the one before; False where the button has an owner, and so needs none."""
    unclaimed = sa.update(buttons).where(buttons.c.id == id, buttons.c.owner_id.is_(None))
    return conn.execute(unclaimed.values(claim_hash=claim_hash(claim_code))).rowcount == 1


def issue_key(conn: sa.Connection, button: Button, *, board: str, ticket: str, beyond: int = -1) -> Button:
    """Give `board` a key that no board has had: the first, if it never left the cloud, else the next generation.

    It is above generation `beyond`. From here on the cloud understands this key alone, and counts anew with a new
    one. `button` is as it was read; raises `Changed` when it is so no more, `KeysUsedUp` after the last generation.
    """
    was_given = button.key_board is not None or button.last_seen_at is not None
    generation = max(button.key_generation + was_given, beyond + 1)
    if generation > LAST_GENERATION:
        raise KeysUsedUp(f"button {format_id(button.id)} has had all of its {LAST_GENERATION + 1} keys")
    given = {"key_board": board, "key_ticket": ticket, "key_generation": generation}
    if generation != button.key_generation:
        given["last_counter"] = 0
    if not conn.execute(_as_read(button).values(**given)).rowcount:
        raise Changed(f"button {format_id(button.id)} was changed by somebody else just now")
    return _found(conn, button.id)


def note_arrival(conn: sa.Connection, button: Button, board: str) -> bool:
    """Note that this board has the key, its ticket being used; False where `button` is no more as it was read."""
    return conn.execute(_as_read(button).values(key_board=board, key_ticket=None)).rowcount == 1


def follow(conn: sa.Connection, id: int, *, generation: int, last_counter: int, now: datetime) -> None:
    """Have the button know this key, as an accepted message proves that it did; in a replay of the log alone.

    One that is not in the fleet is taken in, unclaimed and without a claim code: `renew_claim_code` gives it one.
    """
    known = {"key_generation": generation, "last_counter": last_counter}
    added = insert(conn, buttons).values(id=id, state=State.ACTIVE, created_at=now, **known)
    conn.execute(added.on_conflict_do_update(index_elements=["id"], set_=known))


def _as_read(button: Button) -> sa.Update:
    """An update of its row that finds it only as it was read."""
    return sa.update(buttons).where(
        buttons.c.id == button.id,
        buttons.c.state == State.ACTIVE,
        buttons.c.key_generation == button.key_generation,
        buttons.c.key_board.is_not_distinct_from(button.key_board),
        buttons.c.key_ticket.is_not_distinct_from(button.key_ticket),
    )


@dataclass(frozen=True, slots=True)
class Budget:
    """What a button has used of its day on the link."""

    uplinks: int
    downlinks: int


def budgets(conn: sa.Connection, ids: Collection[int], day: date) -> dict[int, Budget]:
    """What each of `ids` has used on the UTC day `day`."""
    query = sa.select(buttons.c.id, buttons.c.uplinks_today, buttons.c.downlinks_today)
    rows = conn.execute(query.where(buttons.c.id.in_(ids), buttons.c.budget_day == day))
    used = {row.id: Budget(row.uplinks_today, row.downlinks_today) for row in rows}
    return {id: used.get(id, Budget(0, 0)) for id in ids}


@dataclass(frozen=True, slots=True)
class Heard:
    """What a batch of accepted uplinks leaves to remember of one button."""

    button_id: int
    key_generation: int
    counter: int
    battery_mv: int
    temperature_c: int
    uplinks: int
    downlinks: int


def note(conn: sa.Connection, heard: Sequence[Heard], now: datetime) -> None:
    """Remember what was heard. Only the counter's own order decides: an overtaken uplink never turns it back."""
    if not heard:
        return
    newer = sa.bindparam("b_counter") > buttons.c.last_counter
    same_day = buttons.c.budget_day == now.date()
    conn.execute(
        sa.update(buttons)
        # One that was given a new key meanwhile counts anew.
        .where(buttons.c.id == sa.bindparam("b_id"), buttons.c.key_generation == sa.bindparam("b_generation"))
        .values(
            last_seen_at=now,
            battery_mv=sa.case((newer, sa.bindparam("b_battery")), else_=buttons.c.battery_mv),
            temperature_c=sa.case((newer, sa.bindparam("b_temperature")), else_=buttons.c.temperature_c),
            last_counter=sa.case((newer, sa.bindparam("b_counter")), else_=buttons.c.last_counter),
            uplinks_today=sa.case((same_day, buttons.c.uplinks_today), else_=0) + sa.bindparam("b_uplinks"),
            downlinks_today=sa.case((same_day, buttons.c.downlinks_today), else_=0) + sa.bindparam("b_downlinks"),
            budget_day=now.date(),
        ),
        [
            {
                "b_id": one.button_id,
                "b_generation": one.key_generation,
                "b_counter": one.counter,
                "b_battery": one.battery_mv,
                "b_temperature": one.temperature_c,
                "b_uplinks": one.uplinks,
                "b_downlinks": one.downlinks,
            }
            for one in heard
        ],
    )


def _button(row: sa.Row[Any]) -> Button:
    return Button(
        id=row.id,
        key_generation=row.key_generation,
        state=State(row.state),
        place=row.place,
        owner_id=row.owner_id,
        created_at=row.created_at,
        claimed_at=row.claimed_at,
        last_seen_at=row.last_seen_at,
        last_counter=row.last_counter,
        battery_mv=row.battery_mv,
        temperature_c=row.temperature_c,
        key_board=row.key_board,
        key_ticket=row.key_ticket,
    )
