"""Every reading, in SQL: what it came to, the counts of each place and day, and what has been guessed of late.

No code stands here in plain, and of what was read nothing where no stamp of ours was found: a sealed code is kept only
where it is one, or where the reading came within one symbol of a spent one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa

from cloud.database import BigId, Instant, insert, metadata
from cloud.stamps.alarms import DAYS, Finding, Sign, Tally, judge
from cloud.stamps.allowance import Allowance
from cloud.stamps.model import Kind, Stamp, State, TooManyGuesses
from cloud.stamps.store import stamps
from cloud.stamps.vault import BLOCK, Vault

_IS_SEALED = sa.text("sealed IS NOT NULL")  # as text: a database knows an index again by its very condition

KEPT = timedelta(days=90)  # single readings; the counts of each day stay
REFUSED = (Kind.AMBIGUOUS, Kind.ALREADY_USED, Kind.UNKNOWN_CLEAR, Kind.ILLEGIBLE)


class Form(StrEnum):
    """As what it came."""

    TEXT = "text"
    PROBABILITIES = "probabilities"
    STRINGS = "strings"
    PICTURE = "picture"
    EXACT = "exact"  # a code to redeem or to look up, taken as it is


readings = sa.Table(
    "stamp_readings",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("form", sa.Text, nullable=False),  # Form
    sa.Column("kind", sa.Text, nullable=False),  # stamps.model.Kind
    sa.Column("listed", sa.Integer, nullable=False),  # strings that were tried
    sa.Column("sealed", sa.LargeBinary(BLOCK)),  # the stamp's code; of an unknown one the spent code that it is near
    sa.Index("ix_stamp_readings_at", "at"),
    sa.Index("ix_stamp_readings_sealed_id", "sealed", "id", sqlite_where=_IS_SEALED, postgresql_where=_IS_SEALED),
)

counts = sa.Table(
    "stamp_counts",
    metadata,
    sa.Column("day", sa.Date, primary_key=True),  # UTC
    sa.Column("place", sa.Text, primary_key=True),
    sa.Column("readings", sa.Integer, nullable=False),
    *(sa.Column(sign.name.lower(), sa.Integer, nullable=False) for sign in Sign),
)

guesses = sa.Table(
    "stamp_guesses",
    metadata,
    sa.Column("party", sa.Text, primary_key=True),  # "by …" or "at …"
    sa.Column("full_at", Instant, nullable=False),  # see stamps.allowance
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One reading."""

    form: Form
    kind: Kind
    listed: int
    budget: int
    sealed: bytes | None = field(default=None, repr=False)

    @property
    def spent(self) -> float:
        """Of an allowance."""
        return 0 if self.kind is Kind.ACCEPTED else max(self.listed, 1) / max(self.budget, 1)

    @property
    def signs(self) -> frozenset[Sign]:
        if self.kind is Kind.ALREADY_USED:
            return frozenset({Sign.ALREADY_USED})
        if self.kind is Kind.UNKNOWN_CLEAR:
            return frozenset({Sign.UNKNOWN_CLEAR} | ({Sign.NEAR_SPENT} if self.sealed else set()))
        return frozenset()


def check_allowance(conn: sa.Connection, allowance: Allowance, by: str, place: str, now: datetime) -> None:
    """Before anything is read; raises `TooManyGuesses`. Until the commit nobody else reads for the same parties."""
    full_at = _full_at(conn, by, place, now)
    again = [moment for party in full_at.values() if (moment := allowance.open_again_at(party, now))]
    if again:
        raise TooManyGuesses(max(again))


def enter(
    conn: sa.Connection, allowance: Allowance, entries: Sequence[Entry], *, by: str, place: str, now: datetime
) -> None:
    """Write readings down: each one, the day's counts, and what was tried in vain."""
    conn.execute(
        readings.insert().values(at=now, place=place, actor=by),
        [{"form": one.form, "kind": one.kind, "listed": one.listed, "sealed": one.sealed} for one in entries],
    )
    signs = {sign.name.lower(): sum(sign in one.signs for one in entries) for sign in Sign}
    conn.execute(_count_up(conn), {"day": now.date(), "place": place, "readings": len(entries), **signs})
    spent = sum(one.spent for one in entries)
    if spent:
        for party, full_at in _full_at(conn, by, place, now).items():
            moved = insert(conn, guesses).values(party=party, full_at=allowance.after(full_at, spent, now))
            conn.execute(
                moved.on_conflict_do_update(index_elements=["party"], set_={"full_at": moved.excluded.full_at})
            )


def _count_up(conn: sa.Connection) -> sa.Executable:
    """Made once a dialect: building it was a third of writing a reading down."""
    if conn.dialect.name not in _counting:
        new = insert(conn, counts)
        added = {name: counts.c[name] + new.excluded[name] for name in ("readings", *(s.name.lower() for s in Sign))}
        _counting[conn.dialect.name] = new.on_conflict_do_update(index_elements=["day", "place"], set_=added)
    return _counting[conn.dialect.name]


_counting: dict[str, sa.Executable] = {}


def _full_at(conn: sa.Connection, by: str, place: str, now: datetime) -> dict[str, datetime]:
    parties = sorted((f"by {by}", f"at {place}"))  # in one order, so that nobody waits crosswise
    locked = sa.select(guesses).where(guesses.c.party.in_(parties)).order_by(guesses.c.party).with_for_update()
    found = {row.party: row.full_at for row in conn.execute(locked)}
    if len(found) < len(parties):  # only a row that is there can be locked
        new = insert(conn, guesses).values(full_at=now).on_conflict_do_nothing()
        conn.execute(new, [{"party": party} for party in parties])
        found = {row.party: row.full_at for row in conn.execute(locked)}
    return found


def forget(conn: sa.Connection, now: datetime, limit: int) -> int:
    """Delete single readings older than KEPT, at most `limit`; and buckets that are full again. How many readings."""
    conn.execute(guesses.delete().where(guesses.c.full_at < now))
    old = sa.select(readings.c.id).where(readings.c.at < now - KEPT).order_by(readings.c.at).limit(limit)
    return conn.execute(readings.delete().where(readings.c.id.in_(old))).rowcount


# For the staff's page


@dataclass(frozen=True, slots=True)
class PlaceToday:
    """`place` None: all of them together."""

    place: str | None
    readings: int
    findings: tuple[Finding, ...]

    @property
    def alarms(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.is_alarm)


def today(conn: sa.Connection, day: date) -> list[PlaceToday]:
    """All places together, then each that read anything that day, those with alarms first, then the busiest."""
    first = day - timedelta(days=DAYS)
    is_today = counts.c.day == day
    columns = [counts.c.readings, *(counts.c[sign.name.lower()] for sign in Sign)]
    sums = [
        sa.func.coalesce(sa.func.sum(sa.case((which, column), else_=0)), 0).label(f"{when}_{column.name}")
        for when, which in (("now", is_today), ("past", ~is_today))
        for column in columns
    ]
    rows = conn.execute(
        sa.select(counts.c.place, *sums).where(counts.c.day.between(first, day)).group_by(counts.c.place)
    ).all()
    each = {row.place: {name: int(row._mapping[name]) for name in row._mapping if name != "place"} for row in rows}
    if not each:
        return []
    names = next(iter(each.values()))
    everywhere = {name: sum(one[name] for one in each.values()) for name in names}
    places = [_judged(place, one) for place, one in each.items() if one["now_readings"]]
    places.sort(key=lambda one: (-len(one.alarms), -one.readings, one.place))
    return [_judged(None, everywhere), *places] if places else []


def _judged(place: str | None, sums: dict[str, int]) -> PlaceToday:
    findings = tuple(
        judge(
            sign,
            Tally(sums[f"now_{sign.name.lower()}"], sums["now_readings"]),
            Tally(sums[f"past_{sign.name.lower()}"], sums["past_readings"]),
        )
        for sign in Sign
    )
    return PlaceToday(place, sums["now_readings"], findings)


@dataclass(frozen=True, slots=True)
class Read:
    """One reading that came to a stamp, or near it."""

    at: datetime
    place: str
    actor: str
    form: Form
    kind: Kind
    listed: int  # strings that were tried


def of_stamp(
    conn: sa.Connection, vault: Vault, stamp: Stamp, limit: int = 50, *, until: datetime | None = None
) -> list[Read]:
    """The newest `limit` readings of this stamp that are kept, oldest first; of the code's earlier lives none.

    With `until`, of those up to then.
    """
    newest = (
        sa.select(readings)
        .where(readings.c.sealed.in_(vault.seals(stamp.code)), readings.c.at >= stamp.minted_at)
        .where(readings.c.at <= until if until is not None else sa.true())
        .order_by(readings.c.id.desc())
        .limit(limit)
    )
    found = [
        Read(row.at, row.place, row.actor, Form(row.form), Kind(row.kind), row.listed) for row in conn.execute(newest)
    ]
    return found[::-1]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reading that was not accepted, and what is known of the stamp that it met or came near."""

    id: int
    at: datetime
    place: str
    actor: str
    form: Form
    kind: Kind
    listed: int
    state: State | None
    pickup_id: int | None
    used_at: datetime | None
    used_place: str | None
    piece: str | None

    @property
    def is_near_spent(self) -> bool:
        return self.kind is Kind.UNKNOWN_CLEAR and self.state is not None


def refusals(conn: sa.Connection, *, limit: int, before: int | None = None) -> list[Refusal]:
    """Newest first."""
    query = (
        sa.select(
            readings,
            stamps.c.state,
            stamps.c.pickup_id,
            stamps.c.changed_at,
            stamps.c.place.label("used_place"),
            stamps.c.piece,
        )
        .outerjoin(stamps, sa.and_(stamps.c.sealed == readings.c.sealed, stamps.c.released_at.is_(None)))
        .where(readings.c.kind.in_(REFUSED))
        .order_by(readings.c.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(readings.c.id < before)
    return [
        Refusal(
            row.id,
            row.at,
            row.place,
            row.actor,
            Form(row.form),
            Kind(row.kind),
            row.listed,
            None if row.state is None else State(row.state),
            row.pickup_id,
            row.changed_at,
            row.used_place,
            row.piece,
        )
        for row in conn.execute(query)
    ]
