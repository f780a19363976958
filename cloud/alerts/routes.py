"""Where alerts are sent, in SQL: routes by webhook or mail, and the outbox in which each event waits for each of them.

An event is put into the outbox in the transaction of what it tells of, once a route: its name is unique there. From
there it is sent at least once. Who sends it takes it first, by a compare-and-set with a time limit: so two processes do
not send it at once, and what a dead process had taken is taken again. A receiver that gets it twice knows it by its id.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

import cloud.audit.store
from cloud.accounts.model import is_email
from cloud.alerts.model import (
    BY_NAME,
    Alert,
    Event,
    Faulty,
    NotFound,
    Severity,
    check_word,
    message_id,
)
from cloud.alerts.safe import Safe, number_of
from cloud.alerts.signing import SECRET_BYTES
from cloud.database import BigId, Instant, insert, metadata
from cloud.words import N_

CLAIM = timedelta(minutes=2)  # how long a sender has what it took: longer than any try may last
BACKOFF = (1, 2, 4, 8, 16, 32, 60)  # minutes after the first failure, the second, …; then each hour
KEPT_TRYING = timedelta(days=3)  # then an event is given up, and told as such
KEPT = timedelta(days=90)  # what has been sent or given up
GATHER = timedelta(seconds=20)  # that a mail waits, for what happens at the same time
MAIL_GAP = timedelta(minutes=5)  # between two mails of a route
BOTH = timedelta(hours=24)  # after a new secret, in which the one before signs as well
MOST_ROUTES = 50
MOST_RECIPIENTS = 20
MOST_NAME = 40
MOST_URL = 500
COUNTED = 1000  # waiting events are counted up to here


class Kind(StrEnum):
    WEBHOOK = "webhook"
    MAIL = "mail"


class Progress(StrEnum):
    """Of one event at one route."""

    WAITING = "waiting"
    SENT = "sent"
    GIVEN_UP = "given up"


alert_routes = sa.Table(
    "alert_routes",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),  # Kind
    sa.Column("url", sa.Text),  # of a webhook
    sa.Column("recipients", sa.JSON(none_as_null=True)),  # of a mail route
    sa.Column("lang", sa.Text, nullable=False),  # of a mail route
    sa.Column("least", sa.Text, nullable=False),  # Severity: warning means all
    sa.Column("rules", sa.JSON(none_as_null=True)),  # their names; none: all of them
    sa.Column("is_on", sa.Boolean, nullable=False),
    sa.Column("sealed", sa.LargeBinary),  # the webhook's secret, alerts.safe
    sa.Column("sealed_before", sa.LargeBinary),  # the one before, which signs as well until then
    sa.Column("before_until", Instant),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("removed_at", Instant),
    # How it is doing.
    sa.Column("fails", sa.Integer, nullable=False, server_default="0"),  # one after the other
    sa.Column("failing_since", Instant),
    sa.Column("answer", sa.Text),  # what the last try came to, in words
    sa.Column("next_at", Instant),  # nothing is sent before
    sa.Column("sent_at", Instant),  # when something was sent last
)
sa.Index(
    "uq_alert_routes_name",
    alert_routes.c.name,
    unique=True,
    sqlite_where=sa.text("removed_at IS NULL"),
    postgresql_where=sa.text("removed_at IS NULL"),
)

_IS_WAITING = sa.text("progress = 'waiting'")

alert_deliveries = sa.Table(
    "alert_deliveries",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("route_id", BigId, sa.ForeignKey("alert_routes.id"), nullable=False),
    sa.Column("message", sa.Text, nullable=False),  # what the receiver knows it by
    sa.Column("alert_id", BigId, sa.ForeignKey("alerts.id"), index=True),  # none: a test
    sa.Column("body", sa.Text, nullable=False),  # JSON, the same at every try
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("progress", sa.Text, nullable=False),  # Progress
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("next_at", Instant, nullable=False),
    sa.Column("taken_by", sa.Text),
    sa.Column("taken_until", Instant),
    sa.Column("batch", sa.BigInteger),  # of a mail: the first of those that went into it together
    sa.Column("answer", sa.Text),
    sa.Column("ended_at", Instant),
    sa.UniqueConstraint("route_id", "message"),
    sa.Index(
        "ix_alert_deliveries_waiting",
        "route_id",
        "next_at",
        sqlite_where=_IS_WAITING,
        postgresql_where=_IS_WAITING,
    ),
    sa.Index("ix_alert_deliveries_ended_at", "ended_at"),
)


@dataclass(frozen=True, slots=True)
class Route:
    """One way out, and how it is doing."""

    id: int
    name: str
    kind: Kind
    url: str | None
    recipients: tuple[str, ...]
    lang: str
    least: Severity
    rules: tuple[str, ...] | None
    is_on: bool
    created_at: datetime
    created_by: str
    fails: int
    failing_since: datetime | None
    answer: str | None
    next_at: datetime | None
    sent_at: datetime | None
    before_until: datetime | None
    sealed: bytes | None = field(repr=False)
    sealed_before: bytes | None = field(repr=False)

    def takes(self, rule: str, severity: Severity) -> bool:
        if self.rules is not None and rule not in self.rules:
            return False
        return self.least is Severity.WARNING or severity is Severity.URGENT


def backoff(tries: int) -> timedelta:
    """The pause after so many failures.

    >>> [backoff(n).total_seconds() / 60 for n in (1, 2, 3, 4, 99)]
    [1.0, 2.0, 4.0, 8.0, 60.0]
    """
    return timedelta(minutes=BACKOFF[min(tries, len(BACKOFF)) - 1])


def check_url(text: str) -> str:
    """An address that a webhook may have: https, or http to this very machine; raises `Faulty`."""
    url = text.strip()
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
        parts = urlsplit("")
    if not host or port == 0 or len(url) > MOST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise Faulty(N_("a webhook’s address is such as %(example)s", example="https://HOST/…"))
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise Faulty(N_("a webhook’s address holds no password and no #: what comes is signed"))
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise Faulty(N_("a webhook’s address begins with %(https)s, or leads to 127.0.0.1", https="https://"))
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_recipients(text: str) -> tuple[str, ...]:
    """Addresses, a comma, a space or a line apart; raises `Faulty`."""
    found = tuple(dict.fromkeys(text.replace(",", " ").replace(";", " ").split()))
    if not 1 <= len(found) <= MOST_RECIPIENTS:
        raise Faulty(N_("a mail route has 1 to %(most)s recipients", most=MOST_RECIPIENTS))
    if wrong := [one for one in found if not (is_email(one) and one.isascii())]:
        raise Faulty(N_("%(text)s is no e-mail address", text=wrong[0][:60]))
    return found


def _check_name(name: str) -> str:
    name = check_word(name, needed=True)
    if len(name) > MOST_NAME:
        raise Faulty(N_("a route’s name has at most %(most)s characters", most=MOST_NAME))
    return name


def add_route(
    conn: sa.Connection,
    *,
    name: str,
    kind: Kind,
    to: str,
    least: Severity,
    rules: Sequence[str] | None,
    lang: str,
    by: str,
    now: datetime,
    safe: Safe,
) -> tuple[Route, bytes | None]:
    """A new route, and a webhook's secret, which is told this once. `to`: its address, or the recipients.

    Raises `Faulty`.
    """
    url = check_url(to) if kind is Kind.WEBHOOK else None
    recipients = check_recipients(to) if kind is Kind.MAIL else None
    if rules is not None and (unknown := set(rules) - set(BY_NAME)):
        raise Faulty(N_("there is no rule %(name)s", name=min(unknown)[:40]))
    if len(all_routes(conn)) >= MOST_ROUTES:
        raise Faulty(N_("there is room for %(most)s routes", most=MOST_ROUTES))
    said = {"kind": kind, "url": url, "recipients": recipients and list(recipients), "least": least, "lang": lang}
    added = insert(conn, alert_routes).values(
        name=_check_name(name), rules=None if rules is None else list(rules), is_on=True, created_at=now,
        created_by=by, **said,
    )  # fmt: skip
    id = conn.execute(added.on_conflict_do_nothing().returning(alert_routes.c.id)).scalar()
    if id is None:
        raise Faulty(N_("there is a route %(name)s already", name=name[:MOST_NAME]))
    secret = None
    if kind is Kind.WEBHOOK:
        secret = secrets.token_bytes(SECRET_BYTES)
        conn.execute(alert_routes.update().where(alert_routes.c.id == id).values(sealed=safe.seal(secret, id)))
    host = {} if url is None else {"host": urlsplit(url).netloc}  # a path may hold what is secret at the receiver
    _audit(conn, "alert.route.add", name, by, now, kind=kind.value, least=least.value, **host)
    return find_route(conn, id), secret


def renew_secret(conn: sa.Connection, id: int, *, by: str, now: datetime, safe: Safe) -> bytes:
    """A new secret, told this once; the one before signs as well for BOTH. Raises `NotFound`."""
    route = find_route(conn, id)
    if route.kind is not Kind.WEBHOOK:
        raise NotFound(N_("route %(name)s has no secret", name=route.name))
    secret = secrets.token_bytes(SECRET_BYTES)
    kept = {"sealed": safe.seal(secret, id), "sealed_before": route.sealed, "before_until": now + BOTH}
    conn.execute(alert_routes.update().where(alert_routes.c.id == id).values(kept))
    _audit(conn, "alert.route.secret", route.name, by, now)
    return secret


def switch(conn: sa.Connection, id: int, *, is_on: bool, by: str, now: datetime) -> None:
    """Off, it is told nothing of what happens meanwhile; what waits, waits on. Raises `NotFound`."""
    route = find_route(conn, id)
    conn.execute(alert_routes.update().where(alert_routes.c.id == id).values(is_on=is_on))
    _audit(conn, "alert.route.on" if is_on else "alert.route.off", route.name, by, now)


def remove(conn: sa.Connection, id: int, *, by: str, now: datetime) -> None:
    """For good, its secret too; what waits for it is given up. Raises `NotFound`."""
    route = find_route(conn, id)
    gone = {"removed_at": now, "sealed": None, "sealed_before": None, "is_on": False}
    conn.execute(alert_routes.update().where(alert_routes.c.id == id).values(gone))
    waiting = alert_deliveries.update().where(alert_deliveries.c.route_id == id, _IS_WAITING)
    conn.execute(waiting.values(progress=Progress.GIVEN_UP, answer="the route was removed", ended_at=now))
    _audit(conn, "alert.route.remove", route.name, by, now)


def try_now(conn: sa.Connection, id: int, *, by: str, now: datetime) -> None:
    """Without waiting for the end of its pause; what was given up within KEPT_TRYING is tried anew, too."""
    route = find_route(conn, id)
    conn.execute(alert_routes.update().where(alert_routes.c.id == id).values(next_at=None))
    of = alert_deliveries.c
    lately = sa.and_(of.progress == Progress.GIVEN_UP, of.ended_at > now - KEPT_TRYING)
    again = alert_deliveries.update().where(of.route_id == id, sa.or_(of.progress == Progress.WAITING, lately))
    conn.execute(again.values(progress=Progress.WAITING, next_at=now, ended_at=None))
    _audit(conn, "alert.route.try", route.name, by, now)


def _audit(conn: sa.Connection, action: str, name: str, by: str, now: datetime, **detail: object) -> None:
    cloud.audit.store.record(conn, actor=by, action=action, subject=f"route {name}", now=now, **detail)


def find_route(conn: sa.Connection, id: int) -> Route:
    """Raises `NotFound`."""
    row = conn.execute(sa.select(alert_routes).where(alert_routes.c.id == id, _IS_THERE)).first()
    if row is None:
        raise NotFound(N_("there is no route %(id)s", id=id))
    return _route(row)


_IS_THERE = alert_routes.c.removed_at.is_(None)


def all_routes(conn: sa.Connection) -> list[Route]:
    return [_route(row) for row in conn.execute(sa.select(alert_routes).where(_IS_THERE).order_by(alert_routes.c.name))]


def _route(row: sa.Row[Any]) -> Route:
    said: dict[str, Any] = {name: row._mapping[name] for name in Route.__slots__}
    rules = None if row.rules is None else tuple(row.rules)
    said |= {"kind": Kind(row.kind), "least": Severity(row.least), "rules": rules}
    said["recipients"] = tuple(row.recipients or ())
    return Route(**said)


# Into the outbox

# Mails tell of beginnings and ends; who sees to it is for whom it concerns more closely.
MAILED = frozenset({Event.OPENED, Event.RESOLVED, Event.CLOSED})


def enqueue(conn: sa.Connection, alert: Alert, event: Event, now: datetime) -> int:
    """Put an event into the outbox for every route that takes it; gives for how many. One that is there stays."""
    body = json.dumps(said_of(alert, event, now), ensure_ascii=False)
    rows = [
        _delivery(route, message_id(alert, event), alert.id, body, now)
        for route in all_routes(conn)
        if route.is_on and route.takes(alert.rule, alert.severity)
        if route.kind is Kind.WEBHOOK or event in MAILED
        if alert.key != ("delivery", f"route {route.name}")  # it would wait for itself
    ]
    if rows:
        conn.execute(insert(conn, alert_deliveries).on_conflict_do_nothing(), rows)
    return len(rows)


def enqueue_test(conn: sa.Connection, id: int, *, by: str, now: datetime) -> str:
    """A test of one route, which waits for nothing; gives its message id. Raises `NotFound`."""
    route = find_route(conn, id)
    message = f"test-{secrets.token_hex(8)}"
    body = json.dumps({"type": "test", "timestamp": _iso(now), "data": {"route": route.name}}, ensure_ascii=False)
    conn.execute(alert_deliveries.insert().values(_delivery(route, message, None, body, now) | {"next_at": now}))
    _audit(conn, "alert.route.test", route.name, by, now)
    return message


def _delivery(route: Route, message: str, alert_id: int | None, body: str, now: datetime) -> dict[str, Any]:
    due = now if route.kind is Kind.WEBHOOK else now + GATHER
    row = {"route_id": route.id, "message": message, "alert_id": alert_id, "body": body}
    return row | {"created_at": now, "progress": Progress.WAITING, "tries": 0, "next_at": due}


def said_of(alert: Alert, event: Event, now: datetime) -> dict[str, Any]:
    """What a webhook is told, but for the sentences, which are made when it is sent."""
    data: dict[str, Any] = {
        "id": alert.id,
        "rule": alert.rule,
        "subject": alert.subject,
        "department": alert.department,
        "severity": alert.severity.value,
        "since": _iso(alert.opened_at),
        "times": alert.times,
        "values": dict(alert.values),
        "path": f"/alerts/{alert.id}",
    }
    if event is Event.ACKNOWLEDGED:
        data |= {"by": alert.acked_by, "word": alert.acked_word}
    if event is Event.CLOSED:
        data |= {"by": alert.ended_by, "word": alert.ended_word}
    return {"type": f"alert.{event}", "timestamp": _iso(now), "data": data}


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# Out of it


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to a route."""

    id: int
    route_id: int
    message: str
    alert_id: int | None
    body: str
    created_at: datetime
    progress: Progress
    tries: int
    next_at: datetime
    answer: str | None
    ended_at: datetime | None
    batch: int | None

    @property
    def is_test(self) -> bool:
        return self.alert_id is None

    @property
    def said(self) -> dict[str, Any]:
        return json.loads(self.body)


_DELIVERY = [alert_deliveries.c[name] for name in Delivery.__slots__]


def due(conn: sa.Connection, route: Route, now: datetime, limit: int) -> list[Delivery]:
    """What is to be sent to it now, what was tried least first; while it pauses after a failure, tests alone."""
    of = alert_deliveries.c
    query = sa.select(*_DELIVERY).where(of.route_id == route.id, _IS_WAITING, of.next_at <= now, _is_free(now))
    if route.next_at is not None and route.next_at > now:
        query = query.where(of.alert_id.is_(None))
    return [_read(row) for row in conn.execute(query.order_by(of.tries, of.id).limit(limit))]


def _is_free(now: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(alert_deliveries.c.taken_until.is_(None), alert_deliveries.c.taken_until <= now)


def take(conn: sa.Connection, delivery: Delivery, by: str, now: datetime, batch: int | None = None) -> bool:
    """Whether `by` is the one to send it, for CLAIM from now on; each taking is a try."""
    of = alert_deliveries.c
    free = alert_deliveries.update().where(of.id == delivery.id, _IS_WAITING, _is_free(now), of.tries == delivery.tries)
    taken = {"taken_by": by, "taken_until": now + CLAIM, "tries": of.tries + 1}
    return conn.execute(free.values(taken | ({} if batch is None else {"batch": batch}))).rowcount == 1


def settle(
    conn: sa.Connection,
    route: Route,
    deliveries: Sequence[Delivery],
    by: str,
    *,
    is_sent: bool,
    answer: str,
    now: datetime,
) -> int:
    """Write down what came of what `by` had taken; gives how many were given up. Another's are left alone."""
    of, given_up = alert_deliveries.c, 0
    for one in deliveries:
        mine = alert_deliveries.update().where(of.id == one.id, of.taken_by == by, _IS_WAITING)
        if is_sent:
            values: Mapping[str, Any] = {"progress": Progress.SENT, "ended_at": now}
        elif now - one.created_at >= KEPT_TRYING:
            values = {"progress": Progress.GIVEN_UP, "ended_at": now}
        else:
            values = {"next_at": now + backoff(one.tries + 1)}
        done = {"answer": answer, "taken_by": None, "taken_until": None}
        given_up += conn.execute(mine.values(done | values)).rowcount * (values.get("progress") is Progress.GIVEN_UP)
    _note_health(conn, route, is_sent=is_sent, answer=answer, now=now)
    return given_up


def _note_health(conn: sa.Connection, route: Route, *, is_sent: bool, answer: str, now: datetime) -> None:
    of = alert_routes.c
    if is_sent:
        pause = now + MAIL_GAP if route.kind is Kind.MAIL else None
        health: Mapping[str, Any] = {"fails": 0, "failing_since": None, "next_at": pause, "sent_at": now}
    else:
        fails = (conn.scalar(sa.select(of.fails).where(of.id == route.id)) or 0) + 1
        since = sa.func.coalesce(of.failing_since, sa.literal(now, Instant))
        health = {"fails": fails, "failing_since": since, "next_at": now + backoff(fails)}
    conn.execute(alert_routes.update().where(of.id == route.id).values(health | {"answer": answer}))


def forget(conn: sa.Connection, now: datetime, limit: int = 1000) -> int:
    """Delete what ended longer than KEPT ago, at most `limit`."""
    of = alert_deliveries.c
    old = sa.select(of.id).where(of.ended_at < now - KEPT).order_by(of.ended_at).limit(limit)
    return conn.execute(alert_deliveries.delete().where(of.id.in_(old))).rowcount


# For the pages


def waiting(conn: sa.Connection) -> dict[int, int]:
    """How many events wait for each route that has some, counted up to COUNTED."""
    found: dict[int, int] = {}
    for route in all_routes(conn):
        of = alert_deliveries.c
        some = sa.select(of.id).where(of.route_id == route.id, _IS_WAITING).limit(COUNTED).subquery()
        count = conn.scalar(sa.select(sa.func.count()).select_from(some)) or 0
        if count:
            found[route.id] = count
    return found


def given_up_lately(conn: sa.Connection, now: datetime) -> dict[int, int]:
    """How many events of each route were given up within KEPT_TRYING."""
    of = alert_deliveries.c
    query = sa.select(of.route_id, sa.func.count()).where(
        of.ended_at > now - KEPT_TRYING, of.progress == Progress.GIVEN_UP
    )
    return {row[0]: row[1] for row in conn.execute(query.group_by(of.route_id))}


def of_alert(conn: sa.Connection, alert_id: int, limit: int = 100) -> list[tuple[str, Delivery]]:
    """The deliveries of one alert with their routes' names, newest first."""
    query = (
        sa.select(alert_routes.c.name, *_DELIVERY)
        .join_from(alert_deliveries, alert_routes)
        .where(alert_deliveries.c.alert_id == alert_id)
        .order_by(alert_deliveries.c.id.desc())
        .limit(limit)
    )
    return [(row.name, _read(row)) for row in conn.execute(query)]


def last_of_route(conn: sa.Connection, route_id: int) -> Delivery | None:
    """The newest test of it."""
    of = alert_deliveries.c
    query = sa.select(*_DELIVERY).where(of.route_id == route_id, of.message.startswith("test-"))
    row = conn.execute(query.order_by(of.id.desc()).limit(1)).first()
    return None if row is None else _read(row)


def _read(row: sa.Row[Any]) -> Delivery:
    said: dict[str, Any] = {name: row._mapping[name] for name in Delivery.__slots__}
    said["progress"] = Progress(row.progress)
    return Delivery(**said)


# Under another master key


def secrets_of(route: Route, safe: Safe, now: datetime) -> list[bytes]:
    """What it is signed with now: the secret, and the one before as long as that holds. Raises `safe.WrongKey`."""
    blocks = [route.sealed]
    if route.before_until is not None and now < route.before_until:
        blocks.append(route.sealed_before)
    return [safe.open(block, route.id) for block in blocks if block is not None]


def sealed_blocks(conn: sa.Connection) -> list[tuple[int, str, bytes]]:
    """Every secret as it lies: its route's id, its column, the block."""
    return [
        (row.id, name, row._mapping[name])
        for row in conn.execute(sa.select(alert_routes.c.id, alert_routes.c.sealed, alert_routes.c.sealed_before))
        for name in ("sealed", "sealed_before")
        if row._mapping[name] is not None
    ]


def reseal(conn: sa.Connection, safe: Safe) -> int:
    """Seal under the newest key what lies under an older; gives how many. Raises `safe.WrongKey`."""
    old = [one for one in sealed_blocks(conn) if number_of(one[2]) != safe.number]
    for id, name, block in old:
        column = alert_routes.c[name]
        moved = alert_routes.update().where(alert_routes.c.id == id, column == block)
        conn.execute(moved.values({name: safe.seal(safe.open(block, id), id)}))
    return len(old)
