"""The alerts as they stood at a moment in the past, from the events that are written down of each.

The figures in an alert's words are the last that were seen of it: what they were before is not kept.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cloud.alerts import store
from cloud.alerts.model import Alert, Event, Severity, State
from cloud.alerts.routes import Delivery, Progress
from cloud.alerts.store import REOPENED, Line, Past, alert_events, alerts

SCANNED = 5_000  # of the newest alerts that have ended, each looked at for whether it was open then

_BEGINS = (Event.OPENED, REOPENED)
_ENDS = (Event.CLOSED, Event.RESOLVED)


MOST = 4  # beside the overview


@dataclass(frozen=True, slots=True)
class Open:
    """What was open, in the order of `store.open_lines`; `is_whole`: not so long ago that one may be missing."""

    lines: Sequence[Line]
    is_whole: bool = True

    @property
    def counts(self) -> tuple[int, int, int]:
        """As `store.counts`."""
        loud = [line.alert for line in self.lines if not line.is_silenced]
        return len(loud), sum(one.acked_at is None for one in loud), len(self.lines) - len(loud)

    @property
    def by_department(self) -> Mapping[str, int]:
        """As `store.open_by_department`."""
        found: defaultdict[str, int] = defaultdict(int)
        for line in self.lines:
            if line.alert.department is not None and not line.is_silenced:
                found[line.alert.department] += 1
        return found

    @property
    def for_overview(self) -> dict[str, Any]:
        """As `store.open_for_overview`."""
        loud, _, silenced = self.counts
        return store.for_overview(self.lines[:MOST], loud, silenced)


def open_at(conn: sa.Connection, at: datetime, scanned: int = SCANNED) -> Open:
    newest = conn.scalar(sa.select(sa.func.max(alerts.c.id))) or 0
    since = alerts.c.id > newest - scanned
    may_have_been = sa.or_(alerts.c.state.in_([State.OPEN, State.CLOSED]), sa.and_(since, alerts.c.ended_at > at))
    found = store.read(conn, may_have_been, alerts.c.first_at <= at)
    lives = _lives(conn, [one.id for one in found], at)
    silences = store.in_force(conn, at)
    lines = []
    for one in found:
        then = alert(one, lives.get(one.id, ()), at)
        if then is not None and then.state is State.OPEN:
            is_silenced = any(silence.covers(*then.key, then.department, at) for silence in silences)
            lines.append(Line(then, is_silenced))
    oldest = conn.scalar(sa.select(alert_events.c.at).where(alert_events.c.alert_id == newest - scanned).limit(1))
    return Open(sorted(lines, key=_rank), oldest is None or oldest <= at)


def _rank(line: Line) -> tuple[bool, bool, bool, float, int]:
    one = line.alert
    is_mild = one.severity is not Severity.URGENT
    return line.is_silenced, one.acked_at is not None, is_mild, -one.opened_at.timestamp(), -one.id


def _lives(conn: sa.Connection, ids: Sequence[int], at: datetime) -> Mapping[int, list[Past]]:
    of = alert_events.c
    lives: defaultdict[int, list[Past]] = defaultdict(list)
    for begin in range(0, len(ids), 500):  # parameters a statement
        query = sa.select(alert_events).where(of.alert_id.in_(ids[begin : begin + 500]), of.at <= at).order_by(of.id)
        for row in conn.execute(query):
            lives[row.alert_id].append(Past(row.at, row.event, row.actor, row.word))
    return lives


def alert(one: Alert, life: Sequence[Past], at: datetime) -> Alert | None:
    """As it was at `at`, when all this of its `life` had come; None: it had not been opened."""
    begins = [event for event in life if event.event in _BEGINS]
    if not begins:
        return None
    since = life[life.index(begins[-1]) :]  # its opening of then, and what became of that
    ended = next((event for event in since if event.event in _ENDS), None)
    acked = next((event for event in since if event.event == Event.ACKNOWLEDGED), None)
    return replace(
        one,
        state=State.OPEN if ended is None else State.CLOSED if ended.event == Event.CLOSED else State.ENDED,
        times=len(begins),
        opened_at=_since(one, begins),
        gone_at=one.gone_at if ended is None and one.gone_at is not None and one.gone_at <= at else None,
        ended_at=ended and ended.at,
        ended_by=ended and ended.actor,
        ended_word=ended and ended.word,
        acked_at=acked and acked.at,
        acked_by=acked and acked.actor,
        acked_word=acked and acked.word,
    )


def _since(one: Alert, begins: Sequence[Past]) -> datetime:
    """Since when the condition was there; of an opening between the first and the last it is known when it was told."""
    if len(begins) == 1:
        return one.first_at
    return one.opened_at if len(begins) == one.times else begins[-1].at


def opened_at(conn: sa.Connection, id: int) -> datetime | None:
    """When it was opened first."""
    return conn.scalar(sa.select(sa.func.min(alert_events.c.at)).where(alert_events.c.alert_id == id))


def deliveries(of: Sequence[tuple[str, Delivery]], at: datetime) -> list[tuple[str, Delivery]]:
    """What had been sent of an alert; of what was on its way, how often it had been tried is not kept."""
    return [(name, one if _has_ended(one, at) else _waiting(one)) for name, one in of if one.created_at <= at]


def _has_ended(one: Delivery, at: datetime) -> bool:
    return one.ended_at is not None and one.ended_at <= at


def _waiting(one: Delivery) -> Delivery:
    return replace(one, progress=Progress.WAITING, answer=None, tries=0, ended_at=None)
