"""The past of one button for its page: its accepted words, the days of its link, the counters that never came.

Each is read by the button's own index, newest first, and at most so many rows: a button that says much shows less time.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from itertools import pairwise

import sqlalchemy as sa

from cloud.frames.model import Result, read_copies
from cloud.frames.store import frames, uplinks

WORDS = 2000  # five years of heartbeats
LINK_ROWS = 400  # frames for the days of the link
MOST_GAPS = 12  # counters told one by one
LQI = ("limit", "average", "good", "excellent")  # worst first, as a Sigfox callback names them


@dataclass(frozen=True, slots=True)
class Said:
    """An accepted uplink, as the press log keeps it for ever."""

    at: datetime  # when the network heard it, or when it was taken in
    kind: str
    key_generation: int
    counter: int
    battery_mv: int
    temperature_c: int
    reset_cause: int
    pickup_id: int | None
    answered: bool


def words(conn: sa.Connection, button_id: int, limit: int = WORDS, *, until: datetime | None = None) -> list[Said]:
    """The newest `limit` by key generation and counter, oldest first; of those taken in by `until`, if it is given."""
    of = uplinks.c
    query = (
        sa.select(
            of.received_at,
            of.heard_at,
            of.kind,
            of.key_generation,
            of.counter,
            of.battery_mv,
            of.temperature_c,
            of.reset_cause,
            of.pickup_id,
            of.downlink.is_not(None).label("answered"),
        )
        .where(of.button_id == button_id, of.received_at <= until if until is not None else sa.true())
        .order_by(of.key_generation.desc(), of.counter.desc())
        .limit(limit)
    )
    return [
        Said(
            row.heard_at or row.received_at,
            row.kind,
            row.key_generation,
            row.counter,
            row.battery_mv,
            row.temperature_c,
            row.reset_cause,
            row.pickup_id,
            bool(row.answered),
        )
        for row in conn.execute(query)
    ][::-1]


@dataclass(frozen=True, slots=True)
class Gaps:
    """Counters that no accepted word had, from `since` on. `shown` are the newest; `cuts`: how often power was cut."""

    count: int = 0
    shown: tuple[int, ...] = ()
    since: int | None = None  # the first counter looked at
    cuts: int = 0


BLOCK = 16  # counters that a board takes at once: the rest of a block is passed over when its power is cut


def gaps(said: Sequence[Said], generation: int) -> Gaps:
    """What is missing under this key: words that were lost. What a power cut passed over was never sent.

    >>> heard = [(3, "boot"), (4, "alive"), (6, "alive"), (17, "boot"), (18, "alive")]
    >>> gaps([Said(datetime(2026, 1, 1), kind, 0, n, 3000, 20, 0, None, False) for n, kind in heard], 0)
    Gaps(count=1, shown=(5,), since=3, cuts=1)
    """
    kinds = {one.counter: one.kind for one in said if one.key_generation == generation}
    counters = sorted(kinds)
    missing: list[int] = []
    count = cuts = 0
    for one, other in pairwise(counters):
        size = other - one - 1
        if size >= BLOCK or (size and kinds[other] == "boot"):
            cuts += 1
        elif size:
            count += size
            missing += range(one + 1, other)
    return Gaps(count, tuple(missing[-MOST_GAPS:]), counters[0] if counters else None, cuts)


@dataclass(frozen=True, slots=True)
class LinkDay:
    """The best message of a day: `rssi` in dBm at its best station, `stations` that heard it, the network's class."""

    date: date
    rssi: float
    stations: int
    lqi: str | None
    best: str  # the station


def link_days(
    conn: sa.Connection, button_id: int, zone: tzinfo, limit: int = LINK_ROWS, *, until: int | None = None
) -> list[LinkDay]:
    """The days among the button's newest `limit` frames on which an accepted one named its stations, oldest first.

    With `until`, of the frames up to that id.
    """
    newest = (
        sa.select(frames.c.received_at, frames.c.heard_at, frames.c.result, frames.c.lqi, frames.c.copies)
        .where(frames.c.device == button_id, frames.c.id <= until if until is not None else sa.true())
        .order_by(frames.c.id.desc())
        .limit(limit)
    )
    days: dict[date, LinkDay] = {}
    for row in conn.execute(newest):
        if row.result not in (Result.ACCEPTED, Result.DUPLICATE) or not (copies := read_copies(row.copies or ())):
            continue
        on = (row.heard_at or row.received_at).astimezone(zone).date()
        best = days.get(on)
        if best is None or copies[0].rssi > best.rssi:
            lqi = (row.lqi or "").lower()
            days[on] = LinkDay(on, copies[0].rssi, len(copies), lqi if lqi in LQI else None, copies[0].station)
    return [days[on] for on in sorted(days)]


def usual_stations(days: Iterable[LinkDay], most: int = 2) -> list[str]:
    """The stations that heard it best on most days."""
    counted: defaultdict[str, int] = defaultdict(int)
    for day in days:
        counted[day.best] += 1
    return sorted(counted, key=lambda station: (-counted[station], station))[:most]
