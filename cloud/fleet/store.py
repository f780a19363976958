"""The buttons in SQL."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from cloud.database import Instant, Many, insert, metadata, milliseconds
from cloud.fleet.claims import claim_hash
from cloud.fleet.filters import LOW_MV
from cloud.fleet.model import (
    LAST_GENERATION,
    Button,
    Changed,
    Exists,
    KeysUsedUp,
    State,
    WrongState,
    check_why,
    department,
    fold,
    format_id,
)

# As text: with parameters a database does not recognise an index's condition. Batteries that are well lie outside of
# that index, as nearly every message would move them in it.
HAS_LOW_BATTERY = sa.text(f"battery_mv < {LOW_MV}")

# Text in the order of its code points, as SQLite has it, in a database of any language.
Folded = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

buttons = sa.Table(
    "buttons",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),  # the device id, 32 bits
    sa.Column("key_generation", sa.Integer, nullable=False, server_default="0"),  # 0 to 3
    sa.Column("state", sa.Text, nullable=False),  # fleet.model.State
    sa.Column("place", sa.Text),  # where it hangs, for the eye: "35 Rennes"
    sa.Column("department", sa.Text, index=True),  # that the place begins with; goes with it
    sa.Column("place_key", Folded, nullable=False, server_default=""),  # the place as `fold` has it; goes with it
    sa.Column("label", Folded, nullable=False, server_default=""),  # the group that operators put it in
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
    sa.Column("key_master", sa.Integer, nullable=False, server_default="1"),  # which master key that key comes from
    sa.Column("revoked_at", Instant),
    sa.Column("revoked_by", sa.Text),
    sa.Column("revoked_why", sa.Text),
    sa.Column("heartbeat_hours", sa.Integer),  # from one `alive` to the next, as flashed or proven; none: 24
    # How many words in a row it may miss before it is called silent: fleet.rhythm, weighed by what its link loses
    # once it is quiet. `weighed_at` before `last_seen_at`: not since.
    sa.Column("patience", sa.Integer, nullable=False, server_default="3"),
    sa.Column("weighed_at", Instant),
    sa.Column("firmware", sa.Text),  # that flashing put on its board
    sa.Column("firmware_at", Instant),
    sa.Column("rekey_planned_at", Instant),  # a new key is to be given to it
    sa.Column("rekey_planned_by", sa.Text),
)

# By when the next word is overdue: the quiet ones, longest first, and no others. The board's clock drifts by 5 % at
# most (fleet.rhythm), so a period is 63 minutes for each of its hours. As text: no parameter may stand in an index.
overdue_at = sa.literal_column("last_seen_at + coalesce(heartbeat_hours, 24) * 3780000", Instant)
sa.Index(
    "ix_buttons_overdue",
    buttons.c.state,
    sa.text("(last_seen_at + coalesce(heartbeat_hours, 24) * 3780000)"),
    buttons.c.id,
)
_FLASHED = sa.text("firmware_at IS NOT NULL")
sa.Index("ix_buttons_firmware_at", buttons.c.firmware_at, sqlite_where=_FLASHED, postgresql_where=_FLASHED)

_NOTHING_PLANNED = {"rekey_planned_at": None, "rekey_planned_by": None}
heard_ms = sa.func.coalesce(buttons.c.last_seen_at, sa.literal_column("0"), type_=sa.BigInteger)  # 0: never

# One for each way of putting the fleet in order: see fleet.listing.
sa.Index("ix_buttons_heard", heard_ms, buttons.c.id)
sa.Index("ix_buttons_place_key_id", buttons.c.place_key, buttons.c.id)
sa.Index("ix_buttons_label_id", buttons.c.label, buttons.c.id)
sa.Index(
    "ix_buttons_low_battery",
    buttons.c.battery_mv,
    buttons.c.id,
    sqlite_where=HAS_LOW_BATTERY,
    postgresql_where=HAS_LOW_BATTERY,
)


def placed(place: str | None) -> dict[str, str | None]:
    """The columns that say where a button hangs: they change together."""
    return {"place": place, "department": department(place), "place_key": fold(place)}


def add(
    conn: sa.Connection,
    *,
    id: int,
    place: str | None,
    claim_code: str,
    now: datetime,
    owner_id: int | None = None,
    key_master: int = 1,
    label: str = "",
) -> Button:
    """Take a new button into the fleet, unclaimed unless it has an owner already; raises `Exists`.

    `key_master` is the number of the newest master key.
    """
    added = conn.execute(
        insert(conn, buttons)
        .values(
            id=id,
            state=State.ACTIVE,
            **placed(place),
            label=label,
            claim_hash=claim_hash(claim_code) if owner_id is None else None,
            owner_id=owner_id,
            created_at=now,
            claimed_at=now if owner_id is not None else None,
            key_master=key_master,
        )
        .on_conflict_do_nothing(index_elements=["id"])
        .returning(buttons.c.id)  # psycopg counts no rows of an INSERT
    )
    if added.first() is None:
        raise Exists(f"button {format_id(id)} is in the fleet already")
    return _found(conn, id)


def _found(conn: sa.Connection, id: int) -> Button:
    button = find(conn, id)
    assert button is not None
    return button


def find(conn: sa.Connection, id: int) -> Button | None:
    row = conn.execute(sa.select(buttons).where(buttons.c.id == id)).first()
    return None if row is None else from_row(row)


def find_many(conn: sa.Connection, ids: Collection[int]) -> dict[int, Button]:
    """Those of `ids`, a page of a list, that the fleet has."""
    return {row.id: from_row(row) for row in conn.execute(sa.select(buttons).where(buttons.c.id.in_(ids)))}


def newest(conn: sa.Connection, limit: int, offset: int = 0) -> list[Button]:
    """The buttons, last heard first, then those never heard; what lies before `offset` is read through."""
    order = (heard_ms.desc(), buttons.c.id.desc())
    return [from_row(row) for row in conn.execute(sa.select(buttons).order_by(*order).limit(limit).offset(offset))]


def generations(conn: sa.Connection) -> list[tuple[int, int, int]]:
    """(id, key generation, number of its master key) of every button that may speak, by id."""
    query = sa.select(buttons.c.id, buttons.c.key_generation, buttons.c.key_master)
    rows = conn.execute(query.where(buttons.c.state == State.ACTIVE).order_by(buttons.c.id))
    return [(row.id, row.key_generation, row.key_master) for row in rows]


def owned_by(conn: sa.Connection, owner_id: int) -> list[Button]:
    query = sa.select(buttons).where(buttons.c.owner_id == owner_id).order_by(buttons.c.id)
    return [from_row(row) for row in conn.execute(query)]


def claim(conn: sa.Connection, *, claim_code: str, owner_id: int, now: datetime) -> Button | None:
    """Make `owner_id` the owner of the button with this code; None where no unclaimed button has it."""
    row = conn.execute(
        sa.update(buttons)
        .where(buttons.c.claim_hash == claim_hash(claim_code), buttons.c.owner_id.is_(None))
        .values(owner_id=owner_id, claimed_at=now, claim_hash=None)
        .returning(buttons.c.id)
    ).first()
    return find(conn, row.id) if row else None


def revoke(conn: sa.Connection, id: int, *, why: str, by: str, now: datetime) -> bool:
    """Refuse from now on whatever the button sends; False where the fleet has no such button.

    The first reason stays, whoever revokes it again. Raises ValueError for no reason.
    """
    said = {"state": State.REVOKED, "revoked_why": check_why(why), "revoked_by": by, "revoked_at": now}
    is_active = (buttons.c.id == id, buttons.c.state == State.ACTIVE)
    revoked = conn.execute(sa.update(buttons).where(*is_active).values(**said))
    return revoked.rowcount == 1 or find(conn, id) is not None


def restore(conn: sa.Connection, id: int, *, key_master: int) -> Button:
    """A revoked button was found again: it is taken back under its next key, which no board has been given yet.

    So what was recorded under the old one stays refused, whoever had the button meanwhile. Raises `WrongState` for a
    button that is not revoked or not there, `KeysUsedUp` after the last generation.
    """
    is_revoked = (buttons.c.id == id, buttons.c.state == State.REVOKED)
    fresh = {"last_counter": 0, "key_board": None, "key_ticket": None, "key_master": key_master}
    forgotten = {"revoked_why": None, "revoked_by": None, "revoked_at": None} | _NOTHING_PLANNED
    restored = conn.execute(
        sa.update(buttons)
        .where(*is_revoked, buttons.c.key_generation < LAST_GENERATION)
        .values(state=State.ACTIVE, key_generation=buttons.c.key_generation + 1, **fresh, **forgotten)
    )
    if restored.rowcount:
        return _found(conn, id)
    button = find(conn, id)
    if button is None or button.state is not State.REVOKED:
        raise WrongState(f"button {format_id(id)} is {'not in the fleet' if button is None else 'not revoked'}")
    raise KeysUsedUp(f"button {format_id(id)} has had all of its {LAST_GENERATION + 1} keys")


def count_by_master(conn: sa.Connection) -> dict[int, int]:
    """How many buttons that are not revoked have a key from each master key."""
    query = sa.select(buttons.c.key_master, sa.func.count()).where(buttons.c.state == State.ACTIVE)
    return {row[0]: row[1] for row in conn.execute(query.group_by(buttons.c.key_master))}


def renew_claim_code(conn: sa.Connection, id: int, claim_code: str) -> bool:
    """Put this code in place of the one before; False where the button has an owner, and so needs none."""
    unclaimed = sa.update(buttons).where(buttons.c.id == id, buttons.c.owner_id.is_(None))
    return conn.execute(unclaimed.values(claim_hash=claim_hash(claim_code))).rowcount == 1


def masters_beyond(conn: sa.Connection, numbers: Collection[int]) -> int | None:
    """A master key beside `numbers` that a button in service has its key from; None where there is none."""
    other = sa.and_(buttons.c.state == State.ACTIVE, buttons.c.key_master.not_in(numbers))
    return conn.scalar(sa.select(buttons.c.key_master).where(other).limit(1))


def issue_key(
    conn: sa.Connection, button: Button, *, board: str, ticket: str, beyond: int = -1, key_master: int = 1
) -> Button:
    """Give `board` a key that no board has had: the first, if it never left the cloud, else the next generation.

    It is above generation `beyond` and comes from master key `key_master`, the newest. From here on the cloud
    understands this key alone, and counts anew with a new one. `button` is as it was read; raises `Changed` when it is
    so no more, `KeysUsedUp` after the last generation.
    """
    was_given = button.key_board is not None or button.last_counter > 0
    generation = max(button.key_generation + was_given, beyond + 1)
    if generation > LAST_GENERATION:
        raise KeysUsedUp(f"button {format_id(button.id)} has had all of its {LAST_GENERATION + 1} keys")
    given = {"key_board": board, "key_ticket": ticket, "key_generation": generation, "key_master": key_master}
    given |= _NOTHING_PLANNED
    if generation != button.key_generation:
        given["last_counter"] = 0
    if not conn.execute(_as_read(button).values(**given)).rowcount:
        raise Changed(f"button {format_id(button.id)} was changed by somebody else just now")
    return _found(conn, button.id)


def note_arrival(conn: sa.Connection, button: Button, board: str) -> bool:
    """Note that this board has the key, its ticket being used; False where `button` is no more as it was read."""
    return conn.execute(_as_read(button).values(key_board=board, key_ticket=None)).rowcount == 1


def note_board(conn: sa.Connection, id: int, *, firmware: str, heartbeat_hours: int, now: datetime) -> None:
    """What flashing has put on the button's board."""
    told = {"firmware": firmware, "firmware_at": now, "heartbeat_hours": heartbeat_hours}
    conn.execute(sa.update(buttons).where(buttons.c.id == id).values(**told))


def note_heartbeats(conn: sa.Connection, hours: Mapping[int, int]) -> None:
    """The periods that buttons have proven, by their ids."""
    for id, period in hours.items():
        conn.execute(sa.update(buttons).where(buttons.c.id == id).values(heartbeat_hours=period))


def newest_firmware(conn: sa.Connection) -> tuple[str, datetime] | None:
    """What a board of the fleet was flashed with last, and when: the newest that anybody here has."""
    query = sa.select(buttons.c.firmware, buttons.c.firmware_at).where(buttons.c.firmware_at.is_not(None))
    row = conn.execute(query.order_by(buttons.c.firmware_at.desc()).limit(1)).first()
    return None if row is None else (row.firmware, row.firmware_at)


def plan_key(conn: sa.Connection, id: int, *, by: str, now: datetime) -> Button:
    """Mark the button as one to be given a new key; the first plan stays. `issue_key` and `restore` take it off.

    Raises `WrongState` for one that is not in the fleet, is revoked or never had a key given away, `KeysUsedUp` after
    the last generation.
    """
    button = find(conn, id)
    if button is None:
        raise WrongState(f"button {format_id(id)} is not in the fleet")
    if button.key_generation >= LAST_GENERATION:
        raise KeysUsedUp(f"button {format_id(id)} has had all of its {LAST_GENERATION + 1} keys")
    if not button.may_be_rekeyed:
        said = "is revoked" if button.state is State.REVOKED else "has a key that never left the cloud"
        raise WrongState(f"button {format_id(id)} {said}: there is nothing to plan")
    conn.execute(
        sa.update(buttons)
        .where(buttons.c.id == id, buttons.c.state == State.ACTIVE, buttons.c.rekey_planned_at.is_(None))
        .values(rekey_planned_at=now, rekey_planned_by=by)
    )
    return _found(conn, id)


def drop_key_plan(conn: sa.Connection, id: int) -> bool:
    """Take the mark off; False where there is none."""
    planned = sa.update(buttons).where(buttons.c.id == id, buttons.c.rekey_planned_at.is_not(None))
    return conn.execute(planned.values(**_NOTHING_PLANNED)).rowcount == 1


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


class Standing(NamedTuple):
    """What ingest has to know of a button before it believes a message; the counts are of one UTC day."""

    id: int
    key_generation: int
    key_master: int
    state: str  # fleet.model.State
    owner_id: int | None
    last_counter: int
    uplinks: int
    downlinks: int


_STANDINGS = Many(
    """SELECT buttons.id, key_generation, key_master, state, owner_id, last_counter,
        CASE WHEN budget_day = new.day THEN uplinks_today ELSE 0 END,
        CASE WHEN budget_day = new.day THEN downlinks_today ELSE 0 END
    FROM {new} CROSS JOIN buttons WHERE buttons.id = new.id""",
    "id bigint, day date",
)


def standings(conn: sa.Connection, ids: Iterable[int], day: date) -> dict[int, Standing]:
    """Those of `ids` that are in the fleet, with what each has used on the UTC day `day`."""
    today = day.isoformat()
    rows = _STANDINGS.rows(conn, [(id, today) for id in ids])
    return {row[0]: Standing._make(row) for row in rows}


def used_today(conn: sa.Connection, id: int, now: datetime) -> tuple[int, int]:
    """The uplinks and downlinks of the button on the UTC day of `now`."""
    standing = standings(conn, [id], now.date()).get(id)
    return (standing.uplinks, standing.downlinks) if standing else (0, 0)


class Heard(NamedTuple):
    """What a batch of accepted uplinks leaves to remember of one button."""

    button_id: int
    key_generation: int
    counter: int
    battery_mv: int
    temperature_c: int
    uplinks: int
    downlinks: int


# One that was given a new key meanwhile counts anew, so it is not found.
_NOTE = Many(
    """UPDATE buttons SET
        last_seen_at = new.at,
        battery_mv = CASE WHEN new.counter > last_counter THEN new.battery ELSE battery_mv END,
        temperature_c = CASE WHEN new.counter > last_counter THEN new.temperature ELSE temperature_c END,
        last_counter = CASE WHEN new.counter > last_counter THEN new.counter ELSE last_counter END,
        uplinks_today = new.uplinks + CASE WHEN budget_day = new.day THEN uplinks_today ELSE 0 END,
        downlinks_today = new.downlinks + CASE WHEN budget_day = new.day THEN downlinks_today ELSE 0 END,
        budget_day = new.day
    FROM {new} WHERE buttons.id = new.id AND buttons.key_generation = new.generation""",
    "id bigint, generation integer, counter bigint, battery integer, temperature integer, uplinks integer,"
    " downlinks integer, at bigint, day date",
)


def note(conn: sa.Connection, heard: Sequence[Heard], now: datetime) -> None:
    """Remember what was heard. Only the counter's own order decides: an overtaken uplink never turns it back."""
    when = milliseconds(now), now.date().isoformat()
    _NOTE.run(conn, [one + when for one in heard])


def from_row(row: sa.Row[Any]) -> Button:
    return Button(
        id=row.id,
        key_generation=row.key_generation,
        state=State(row.state),
        place=row.place,
        department=row.department,
        owner_id=row.owner_id,
        created_at=row.created_at,
        claimed_at=row.claimed_at,
        last_seen_at=row.last_seen_at,
        last_counter=row.last_counter,
        battery_mv=row.battery_mv,
        temperature_c=row.temperature_c,
        key_board=row.key_board,
        key_ticket=row.key_ticket,
        key_master=row.key_master,
        revoked_at=row.revoked_at,
        revoked_by=row.revoked_by,
        revoked_why=row.revoked_why,
        heartbeat_hours=row.heartbeat_hours,
        firmware=row.firmware,
        firmware_at=row.firmware_at,
        rekey_planned_at=row.rekey_planned_at,
        rekey_planned_by=row.rekey_planned_by,
        label=row.label,
    )
