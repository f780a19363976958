"""The alerts in SQL: what is open, what was, who did what to it; silences, changed rules, the watch list, and leases.

That there is one alert of a rule and a subject is held by a partial unique index. Who looks writes the whole row, under
its lock; what people do is a compare-and-set on its state.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

import cloud.audit.store
from cloud import database
from cloud.alerts import routes
from cloud.alerts.model import (
    AGAIN,
    BY_NAME,
    RULES,
    Alert,
    Changes,
    Event,
    Found,
    NotFound,
    Rule,
    Severity,
    Silence,
    State,
    Terms,
    WrongState,
    check_changes,
    check_word,
    follow,
    more,
    sentence,
    terms,
)
from cloud.database import BigId, Instant, insert, metadata
from cloud.fleet.model import format_id
from cloud.words import N_, Said

# As text: with parameters a database does not recognise an index's condition.
_IS_CURRENT = sa.text("state <> 'ended'")
SEEN_EACH = timedelta(minutes=1)  # how exact `seen_at` is, where nothing else has changed
MOST_OPEN = 500  # rows that a page shows

alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("department", sa.Text),
    sa.Column("severity", sa.Text, nullable=False),  # alerts.model.Severity
    sa.Column("state", sa.Text, nullable=False),  # alerts.model.State
    sa.Column("values", sa.JSON, nullable=False),
    sa.Column("evidence", sa.JSON, nullable=False),
    sa.Column("first_at", Instant, nullable=False),
    sa.Column("opened_at", Instant, nullable=False),
    sa.Column("seen_at", Instant, nullable=False),
    sa.Column("times", sa.Integer, nullable=False),
    sa.Column("gone_at", Instant),
    sa.Column("ended_at", Instant),
    sa.Column("ended_by", sa.Text),
    sa.Column("ended_word", sa.Text),
    sa.Column("acked_at", Instant),
    sa.Column("acked_by", sa.Text),
    sa.Column("acked_word", sa.Text),
    sa.Column("told_at", Instant),
    sa.Column("is_told", sa.Boolean, nullable=False),
    sa.Index(
        "uq_alerts_current", "rule", "subject", unique=True, sqlite_where=_IS_CURRENT, postgresql_where=_IS_CURRENT
    ),
    sa.Index("ix_alerts_state_id", "state", "id"),
    sa.Index("ix_alerts_rule_subject_id", "rule", "subject", "id"),
    sa.Index("ix_alerts_subject_id", "subject", "id"),
    sa.Index("ix_alerts_department_id", "department", "id"),
)

# What became of it, for its own page.
alert_events = sa.Table(
    "alert_events",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("alert_id", BigId, sa.ForeignKey("alerts.id"), nullable=False, index=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("event", sa.Text, nullable=False),  # alerts.model.Event, or REOPENED
    sa.Column("actor", sa.Text),  # none: by itself
    sa.Column("word", sa.Text),
)
REOPENED = "reopened"

# Conditions that have not lasted long enough to be an alert.
alert_pending = sa.Table(
    "alert_pending",
    metadata,
    sa.Column("rule", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("since", Instant, nullable=False),
)

alert_silences = sa.Table(
    "alert_silences",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("rule", sa.Text),
    sa.Column("subject", sa.Text),
    sa.Column("department", sa.Text),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("since", Instant, nullable=False),
    sa.Column("until", Instant, nullable=False, index=True),
    sa.Column("ended_at", Instant),
    sa.Column("ended_by", sa.Text),
)

alert_settings = sa.Table(
    "alert_settings",
    metadata,
    sa.Column("rule", sa.Text, primary_key=True),  # or FILE: what the settings file said last, for the audit trail
    sa.Column("changes", sa.JSON, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Column("changed_by", sa.Text, nullable=False),
)
FILE = "settings file"

alert_watched = sa.Table(
    "alert_watched",
    metadata,
    sa.Column("button_id", sa.BigInteger, sa.ForeignKey("buttons.id"), primary_key=True, autoincrement=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("added_at", Instant, nullable=False),
    sa.Column("added_by", sa.Text, nullable=False),
)
MOST_WATCHED = 500

# Of any number of processes one looks, and one sends.
alert_leases = sa.Table(
    "alert_leases",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("until", Instant, nullable=False),
)


# Leases


def take_lease(conn: sa.Connection, name: str, holder: str, now: datetime, lasts: timedelta) -> bool:
    """Whether `holder` has it from now on for `lasts`: it had it already, or nobody else's is in force."""
    taken = insert(conn, alert_leases).values(name=name, holder=holder, until=now + lasts)
    is_free = sa.or_(alert_leases.c.holder == holder, alert_leases.c.until <= now)
    taken = taken.on_conflict_do_update(
        index_elements=["name"], set_={"holder": holder, "until": now + lasts}, where=is_free
    )
    return conn.execute(taken.returning(alert_leases.c.name)).first() is not None


def drop_lease(conn: sa.Connection, name: str, holder: str) -> None:
    """Before its time, so that another process goes on at once."""
    conn.execute(alert_leases.delete().where(alert_leases.c.name == name, alert_leases.c.holder == holder))


def has_lease(conn: sa.Connection, name: str, holder: str, now: datetime) -> bool:
    """Whether it is `holder`'s and in force at `now`."""
    of = alert_leases.c
    return conn.scalar(sa.select(of.name).where(of.name == name, of.holder == holder, of.until > now)) is not None


# What a look found


def apply(
    conn: sa.Connection, found: Sequence[Found], looked: Mapping[str, Terms], now: datetime
) -> list[tuple[Alert, Event]]:
    """Follow every alert of the rules that were `looked` at; gives what is told, which is put into the outbox, too."""
    there = {one.key: one for one in found}
    current = _current(conn, looked)
    earlier = _ended_lately(conn, [key for key in there if key not in current], looked, now)
    pending = _keep_pending(conn, there, current, looked, now)
    silences = in_force(conn, now)
    told: list[tuple[Alert, Event]] = []
    for key in sorted({*there, *current}):
        before, one, rule = current.get(key) or earlier.get(key), there.get(key), looked[key[0]]
        department = one.department if one else before.department if before else None
        is_silenced = any(silence.covers(*key, department, now) for silence in silences)
        alert, event = follow(before, one, pending.get(key, now), rule, now, is_silenced=is_silenced)
        if alert is None or alert == before:
            continue
        kept = _keep(conn, before, alert, now)
        if kept is not None and event is not None:
            told.append((kept, event))
            routes.enqueue(conn, kept, event, now)
    return told


def _current(conn: sa.Connection, looked: Collection[str]) -> dict[tuple[str, str], Alert]:
    query = sa.select(alerts).where(_IS_CURRENT, alerts.c.rule.in_(looked)).with_for_update()
    return {(alert := _alert(row)).key: alert for row in conn.execute(query)}


def _ended_lately(
    conn: sa.Connection, keys: Sequence[tuple[str, str]], looked: Mapping[str, Terms], now: datetime
) -> dict[tuple[str, str], Alert]:
    """The newest of each key, where it ended so lately that it opens again."""
    found: dict[tuple[str, str], Alert] = {}
    for rule, subject in keys:
        of = (alerts.c.rule == rule, alerts.c.subject == subject)
        row = conn.execute(sa.select(alerts).where(*of).order_by(alerts.c.id.desc()).limit(1)).first()
        if row is not None and row.ended_at is not None and now - row.ended_at <= max(AGAIN, looked[rule].quiet):
            found[rule, subject] = _alert(row)
    return found


def _keep_pending(
    conn: sa.Connection,
    there: Mapping[tuple[str, str], Found],
    current: Collection[tuple[str, str]],
    looked: Mapping[str, Terms],
    now: datetime,
) -> dict[tuple[str, str], datetime]:
    """Since when each condition is there that is no alert yet; what has gone or has become one is forgotten."""
    rows = conn.execute(sa.select(alert_pending).where(alert_pending.c.rule.in_(looked))).all()
    since = {(row.rule, row.subject): row.since for row in rows}

    def waits(key: tuple[str, str]) -> bool:
        return key in there and key not in current and now - since.get(key, now) < looked[key[0]].lasts

    for rule, subject in since:
        if not waits((rule, subject)):
            conn.execute(alert_pending.delete().where(alert_pending.c.rule == rule, alert_pending.c.subject == subject))
    new = [key for key in there if key not in since and waits(key)]
    if new:
        rows = [{"rule": rule, "subject": subject, "since": now} for rule, subject in new]
        conn.execute(insert(conn, alert_pending).on_conflict_do_nothing(), rows)
    return {key: moment for key, moment in since.items() if key in there} | dict.fromkeys(new, now)


def _keep(conn: sa.Connection, before: Alert | None, alert: Alert, now: datetime) -> Alert | None:
    """Write it down; None where somebody else was quicker, whose row then stays."""
    row = asdict(alert) | {"evidence": [list(one) for one in alert.evidence]}
    del row["id"]
    if before is None:
        row["values"] = dict(alert.values)
        added = insert(conn, alerts).values(row).on_conflict_do_nothing().returning(alerts.c.id)
        id = conn.execute(added).scalar()
        if id is None:
            return None
        alert = replace(alert, id=id)
        _note(conn, id, Event.OPENED, now)
        return alert
    if replace(before, seen_at=alert.seen_at) == alert and alert.seen_at - before.seen_at < SEEN_EACH:
        return None
    same = (alerts.c.id == before.id, alerts.c.state == before.state, alerts.c.times == before.times)
    if not conn.execute(alerts.update().where(*same).values(row)).rowcount:
        return None
    if alert.times > before.times:
        _note(conn, alert.id, REOPENED, now)
    elif alert.state is State.ENDED:
        _note(conn, alert.id, Event.RESOLVED, now)
    return alert


def _note(
    conn: sa.Connection, id: int, event: str, now: datetime, actor: str | None = None, word: str | None = None
) -> None:
    conn.execute(alert_events.insert().values(alert_id=id, at=now, event=event, actor=actor, word=word or None))


# What people do


def acknowledge(conn: sa.Connection, id: int, *, by: str, word: str, now: datetime) -> Alert:
    """Somebody sees to it. Raises `NotFound`, `WrongState` where it is not open or another was quicker, `Faulty`."""
    word = check_word(word)
    is_new = (alerts.c.id == id, alerts.c.state == State.OPEN, alerts.c.acked_at.is_(None))
    deed = {"acked_at": now, "acked_by": by, "acked_word": word or None}
    return _do(conn, id, is_new, deed, Event.ACKNOWLEDGED, by=by, word=word, now=now)


def close(conn: sa.Connection, id: int, *, by: str, word: str, now: datetime) -> Alert:
    """It is over, whether or not the condition is: that has to go and come back before there is an alert again."""
    word = check_word(word)
    is_open = (alerts.c.id == id, alerts.c.state == State.OPEN)
    deed = {"state": State.CLOSED, "ended_at": now, "ended_by": by, "ended_word": word or None}
    return _do(conn, id, is_open, deed, Event.CLOSED, by=by, word=word, now=now)


def _do(
    conn: sa.Connection,
    id: int,
    where: Iterable[sa.ColumnElement[bool]],
    deed: Mapping[str, Any],
    event: Event,
    *,
    by: str,
    word: str,
    now: datetime,
) -> Alert:
    row = conn.execute(alerts.update().where(*where).values(deed).returning(alerts)).one_or_none()
    if row is None:
        alert = find(conn, id)
        raise WrongState(_said(alert))
    alert = _alert(row)
    _note(conn, id, event, now, by, word)
    action = {Event.ACKNOWLEDGED: "alert.acknowledge", Event.CLOSED: "alert.close"}[event]
    detail = {"rule": alert.rule, "about": alert.subject} | ({"word": word} if word else {})
    cloud.audit.store.record(conn, actor=by, action=action, subject=f"alert {id}", now=now, **detail)
    if alert.is_told:
        routes.enqueue(conn, alert, event, now)
    return alert


def _said(alert: Alert) -> Said:
    if alert.state is State.OPEN:
        return N_("alert %(id)s is open, and was acknowledged by %(who)s", id=alert.id, who=alert.acked_by)
    if alert.ended_by:
        said = {"id": alert.id, "state": Said(alert.state), "who": alert.ended_by}
        return N_("alert %(id)s is %(state)s, by %(who)s", **said)
    return N_("alert %(id)s is resolved", id=alert.id)


def add_silence(conn: sa.Connection, silence: Silence) -> Silence:
    row = asdict(silence)
    del row["id"]
    id = conn.execute(alert_silences.insert().values(row).returning(alert_silences.c.id)).scalar_one()
    detail = {"rule": silence.rule, "about": silence.subject, "department": silence.department}
    cloud.audit.store.record(
        conn,
        actor=silence.by,
        action="alert.silence",
        subject=f"silence {id}",
        now=silence.since,
        until=silence.until.isoformat(),
        reason=silence.reason,
        **{name: value for name, value in detail.items() if value},
    )
    return replace(silence, id=id)


def end_silence(conn: sa.Connection, id: int, *, by: str, now: datetime) -> None:
    """Before its time. Raises `NotFound` where none of this id is in force."""
    ended = alert_silences.update().where(
        alert_silences.c.id == id, alert_silences.c.ended_at.is_(None), _is_in_force(now)
    )
    if not conn.execute(ended.values(ended_at=now, ended_by=by)).rowcount:
        raise NotFound(N_("there is no silence %(id)s in force", id=id))
    cloud.audit.store.record(conn, actor=by, action="alert.silence.end", subject=f"silence {id}", now=now)


def _is_in_force(now: datetime) -> sa.ColumnElement[bool]:
    of = alert_silences.c
    return sa.and_(of.until > now, of.since <= now, sa.or_(of.ended_at.is_(None), of.ended_at > now))


def in_force(conn: sa.Connection, now: datetime) -> list[Silence]:
    """The silences that hold now, those that end first before the others."""
    query = sa.select(alert_silences).where(_is_in_force(now)).order_by(alert_silences.c.until, alert_silences.c.id)
    return [Silence(**row._mapping) for row in conn.execute(query)]


# The rules as they are in force


def all_terms(conn: sa.Connection, given: Mapping[str, Changes]) -> dict[str, Terms]:
    """Every rule, changed by the settings file's `given`, then by what was saved on the page."""
    saved = {row.rule: row.changes for row in conn.execute(sa.select(alert_settings))}
    return {rule.name: terms(rule, given.get(rule.name, {}), saved.get(rule.name, {})) for rule in RULES}


@dataclass(frozen=True, slots=True)
class Saved:
    """What was changed of a rule on the page, by whom and when."""

    changes: Changes
    at: datetime
    by: str


def saved_changes(conn: sa.Connection) -> dict[str, Saved]:
    rows = conn.execute(sa.select(alert_settings).where(alert_settings.c.rule.in_(BY_NAME)))
    return {row.rule: Saved(row.changes, row.changed_at, row.changed_by) for row in rows}


def change_rule(
    conn: sa.Connection, rule: Rule, changes: Changes, given: Mapping[str, Changes], *, by: str, now: datetime
) -> dict[str, object]:
    """Keep what differs from the rule as code and settings file have it; gives that. Raises `Faulty`."""
    base = _as_changes(terms(rule, given.get(rule.name, {})))
    wanted = {name: value for name, value in check_changes(rule, changes).items() if base[name] != value}
    before = conn.scalar(sa.select(alert_settings.c.changes).where(alert_settings.c.rule == rule.name)) or {}
    if wanted == before:
        return wanted
    if wanted:
        kept = insert(conn, alert_settings).values(rule=rule.name, changes=wanted, changed_at=now, changed_by=by)
        columns = {name: kept.excluded[name] for name in ("changes", "changed_at", "changed_by")}
        conn.execute(kept.on_conflict_do_update(index_elements=["rule"], set_=columns))
    else:
        conn.execute(alert_settings.delete().where(alert_settings.c.rule == rule.name))
    detail = {"before": _told(before), "after": _told(wanted)}
    cloud.audit.store.record(conn, actor=by, action="alert.rule", subject=f"rule {rule.name}", now=now, **detail)
    return wanted


def _told(changes: Mapping[str, Any]) -> dict[str, Any]:
    """As the audit trail takes them: a number that is not whole as text."""
    return {
        name: _told(value) if isinstance(value, Mapping) else _whole(value) if isinstance(value, float) else value
        for name, value in changes.items()
    }


def _whole(value: float) -> int | str:
    return int(value) if value.is_integer() else repr(value)


def _as_changes(of: Terms) -> dict[str, object]:
    times = {"lasts_s": of.lasts, "holds_s": of.holds, "quiet_s": of.quiet}
    said: dict[str, object] = {"on": of.is_on, "severity": of.severity.value, **of.limits}
    return said | {name: time.total_seconds() for name, time in times.items()}


def note_file(conn: sa.Connection, given: Mapping[str, Changes], now: datetime) -> None:
    """Put into the audit trail what the settings file says of the rules, where it is not what it said before."""
    said = {name: dict(changes) for name, changes in given.items()}
    before = conn.scalar(sa.select(alert_settings.c.changes).where(alert_settings.c.rule == FILE)) or {}
    if said == before:
        return
    kept = insert(conn, alert_settings).values(rule=FILE, changes=said, changed_at=now, changed_by=FILE)
    columns = {name: kept.excluded[name] for name in ("changes", "changed_at")}
    conn.execute(kept.on_conflict_do_update(index_elements=["rule"], set_=columns))
    detail = {"before": _told(before), "after": _told(said)}
    cloud.audit.store.record(conn, actor=FILE, action="alert.rule", subject="rules", now=now, **detail)


# The watch list


@dataclass(frozen=True, slots=True)
class Watched:
    """A button whose silence is an alert of its own."""

    button_id: int
    why: str
    added_at: datetime
    added_by: str


def watched(conn: sa.Connection) -> list[Watched]:
    query = sa.select(alert_watched).order_by(alert_watched.c.button_id).limit(MOST_WATCHED)
    return [Watched(**row._mapping) for row in conn.execute(query)]


def watch(conn: sa.Connection, button_id: int, *, why: str, by: str, now: datetime) -> None:
    """Put it on the list; a second time it stays as it is. Raises `Faulty`, and `WrongState` where the list is full."""
    why = check_word(why, needed=True)
    if (conn.scalar(sa.select(sa.func.count()).select_from(alert_watched)) or 0) >= MOST_WATCHED:
        raise WrongState(N_("the watch list has room for %(most)s buttons", most=MOST_WATCHED))
    added = insert(conn, alert_watched).values(button_id=button_id, why=why, added_at=now, added_by=by)
    if conn.execute(added.on_conflict_do_nothing().returning(alert_watched.c.button_id)).first() is not None:
        about = f"button {format_id(button_id)}"
        cloud.audit.store.record(conn, actor=by, action="alert.watch", subject=about, now=now, why=why)


def unwatch(conn: sa.Connection, button_id: int, *, by: str, now: datetime) -> None:
    """Raises `NotFound` where it is not on the list."""
    if not conn.execute(alert_watched.delete().where(alert_watched.c.button_id == button_id)).rowcount:
        raise NotFound(N_("button %(button)s is not on the watch list", button=format_id(button_id)))
    subject = f"button {format_id(button_id)}"
    cloud.audit.store.record(conn, actor=by, action="alert.unwatch", subject=subject, now=now)


# For the pages


@dataclass(frozen=True, slots=True)
class Past:
    """One line of an alert's life."""

    at: datetime
    event: str
    actor: str | None
    word: str | None


def find(conn: sa.Connection, id: int) -> Alert:
    """Raises `NotFound`."""
    row = conn.execute(sa.select(alerts).where(alerts.c.id == id)).first()
    if row is None:
        raise NotFound(N_("there is no alert %(id)s", id=id))
    return _alert(row)


def life(conn: sa.Connection, id: int, limit: int = 200, *, until: datetime | None = None) -> list[Past]:
    """The newest `limit` lines, oldest first; with `until`, of those written down by then."""
    query = sa.select(alert_events).where(alert_events.c.alert_id == id).order_by(alert_events.c.id.desc()).limit(limit)
    if until is not None:
        query = query.where(alert_events.c.at <= until)
    return [Past(row.at, row.event, row.actor, row.word) for row in conn.execute(query)][::-1]


_IS_OPEN = alerts.c.state == State.OPEN


def _is_silenced(now: datetime) -> sa.ColumnElement[bool]:
    """Whether a silence in force covers the alert of the row."""
    covers = [
        sa.or_(alert_silences.c[name].is_(None), alert_silences.c[name] == alerts.c[name])
        for name in ("rule", "subject", "department")
    ]
    return sa.exists().where(_is_in_force(now), *covers).correlate(alerts)


@dataclass(frozen=True, slots=True)
class Line:
    """An alert in a list."""

    alert: Alert
    is_silenced: bool


def open_lines(conn: sa.Connection, now: datetime, limit: int = MOST_OPEN) -> list[Line]:
    """What is open: not silenced before silenced, not acknowledged before acknowledged, urgent first, then newest."""
    silenced = _is_silenced(now).label("silenced")
    order = (silenced, alerts.c.acked_at.is_not(None), alerts.c.severity != Severity.URGENT, alerts.c.opened_at.desc())
    query = sa.select(alerts, silenced).where(_IS_OPEN).order_by(*order, alerts.c.id.desc()).limit(limit)
    return [Line(_alert(row), bool(row.silenced)) for row in conn.execute(query)]


def counts(conn: sa.Connection, now: datetime) -> tuple[int, int, int]:
    """How many are open and not silenced, how many of these nobody has acknowledged, and how many are silenced."""
    silenced = _is_silenced(now)
    loud, count = ~silenced, sa.func.count()
    row = conn.execute(
        sa.select(count.filter(loud), count.filter(loud, alerts.c.acked_at.is_(None)), count.filter(silenced)).where(
            _IS_OPEN
        )
    ).one()
    return row[0], row[1], row[2]


def badge(conn: sa.Connection) -> int:
    """What the bar counts: open, not silenced, not acknowledged."""
    return counts(conn, database.now())[1]


def open_for_overview(conn: sa.Connection, now: datetime, limit: int = 4) -> dict[str, Any]:
    """What `console/alerts_open.html` shows."""
    loud, _, silenced = counts(conn, now)
    return for_overview(open_lines(conn, now, limit), loud, silenced)


def for_overview(some: Sequence[Line], loud: int, silenced: int) -> dict[str, Any]:
    lines = [line for line in some if not line.is_silenced]
    context = {"open_alerts": lines, "alerts_open": loud, "alerts_silenced": silenced, "alert_rules": BY_NAME}
    return context | {"alert_said": lambda rule, values: (sentence(rule, values), more(rule, values))}


def open_by_department(conn: sa.Connection, now: datetime) -> dict[str, int]:
    """How many alerts are open in each department that has any, silenced ones left out."""
    query = sa.select(alerts.c.department, sa.func.count()).where(
        _IS_OPEN, alerts.c.department.is_not(None), ~_is_silenced(now)
    )
    return {row[0]: row[1] for row in conn.execute(query.group_by(alerts.c.department))}


def open_by_rule(conn: sa.Connection) -> dict[str, int]:
    """Every rule is there, if only with 0."""
    query = sa.select(alerts.c.rule, sa.func.count()).where(_IS_OPEN).group_by(alerts.c.rule)
    return dict.fromkeys(BY_NAME, 0) | {row[0]: row[1] for row in conn.execute(query)}


def newest(
    conn: sa.Connection,
    *,
    limit: int,
    before: int | None = None,
    state: State | None = None,
    rule: str | None = None,
    subject: str | None = None,
    department: str | None = None,
) -> list[Alert]:
    """With an id below `before`, newest first."""
    query = sa.select(alerts).order_by(alerts.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(alerts.c.id < before)
    if state is not None:
        query = query.where(alerts.c.state == state)
    for name, value in (("rule", rule), ("subject", subject), ("department", department)):
        if value:
            query = query.where(alerts.c[name] == value)
    return [_alert(row) for row in conn.execute(query)]


def read(conn: sa.Connection, *which: sa.ColumnElement[bool]) -> list[Alert]:
    """Those that are like this, by their ids."""
    return [_alert(row) for row in conn.execute(sa.select(alerts).where(*which).order_by(alerts.c.id))]


_COLUMNS = [one.name for one in fields(Alert)]


def _alert(row: sa.Row[Any]) -> Alert:
    said: dict[str, Any] = {name: row._mapping[name] for name in _COLUMNS}
    said["evidence"] = tuple((what, which) for what, which in said["evidence"])
    said["severity"], said["state"] = Severity(row.severity), State(row.state)
    return Alert(**said)
