"""What is watched, and the life of an alert: a table of rules, and one function that follows a condition through time.

An alert is one row for a rule and a subject while the condition is there: open, until it has gone for the rule's hold
time (resolved by itself) or somebody closes it. Closed, it stays so until the condition has gone once: it is not opened
again by what its closer has seen. A condition that comes back soon opens the same row anew, and its openings are
counted. An opening is told once, to every route that takes it, and not again before the rule's quiet time is over.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from urllib.parse import quote, urlsplit

from cloud.accounts.model import is_email
from cloud.frames.model import Result
from cloud.stamps.alarms import Sign
from cloud.words import N_, Said

AGAIN = timedelta(hours=6)  # a condition that comes back within, or within its quiet time, opens the same alert
MOST_WORD = 200  # characters of what is said with an acknowledgement, a closing, a silence
LONGEST_SILENCE = timedelta(days=30)
NBSP = "\N{NO-BREAK SPACE}"
NOTHING: Mapping[str, float] = MappingProxyType({})


class Severity(StrEnum):
    URGENT = "urgent"  # for somebody at once
    WARNING = "warning"  # for the next working hour


class State(StrEnum):
    OPEN = "open"
    CLOSED = "closed"  # by somebody, while the condition is still there
    ENDED = "ended"  # the condition has gone


class Event(StrEnum):
    """What becomes of an alert, and is told to those who want to know."""

    OPENED = "opened"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"
    RESOLVED = "resolved"


class Faulty(ValueError):
    """What was typed cannot be; the text says why."""


class NotFound(LookupError):
    """There is no such alert, silence or route."""


class WrongState(ValueError):
    """It is not open any more, or was acknowledged by somebody else."""


class Pace(StrEnum):
    """How often a rule is looked at."""

    EACH_ROUND = "each round"
    EACH_MINUTE = "each minute"  # what reads the fleet's whole table, or counts of many days


@dataclass(frozen=True, slots=True)
class Limit:
    """One number of a rule that may be changed, with its unit in the label."""

    name: str
    label: Said
    usual: float
    least: float
    most: float

    @property
    def step(self) -> str:
        """Of the field on the page."""
        return "1" if self.usual == int(self.usual) and self.least == int(self.least) else "any"


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table: what it watches, when that is an alert, and what the alert says.

    `lasts` is how long the condition has to be there before it is one, `holds` how long it has to have gone before the
    alert ends, `quiet` how long no second opening of it is told. `sentence` and `more` are filled from what was found.
    """

    name: str
    title: Said
    watches: Said
    grouped: Said  # what has an alert of its own
    sentence: Said
    more: Said
    severity: Severity
    limits: tuple[Limit, ...]
    lasts: timedelta = timedelta(0)
    holds: timedelta = timedelta(minutes=5)
    quiet: timedelta = timedelta(minutes=30)
    pace: Pace = Pace.EACH_ROUND


_MINUTES_5, _MINUTES_10 = timedelta(minutes=5), timedelta(minutes=10)
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)

RULES = (
    Rule(
        "silence",
        N_("Silence"),
        N_("buttons that missed more words in a row than their link explains"),
        N_("department"),
        N_("department %(department)s: %(silent)s of %(buttons)s buttons silent"),
        N_("each missed more words in a row than its link explains"),
        Severity.WARNING,
        (
            Limit("buttons", N_("silent buttons, at least"), 5, 1, 100_000),
            Limit("percent", N_("and of the department’s, % at least"), 10, 0, 100),
        ),
        lasts=_MINUTES_5,
        holds=_MINUTES_10,
        quiet=_HOUR * 6,
        pace=Pace.EACH_MINUTE,
    ),
    Rule(
        "button",
        N_("Button silent"),
        N_("the buttons that are on the watch list, one by one"),
        N_("button"),
        N_("button %(button)s was heard last %(hours)s h ago"),
        N_("on the watch list; expected every %(period)s h"),
        Severity.URGENT,
        (Limit("periods", N_("heartbeat periods without a frame"), 2, 1, 100),),
        holds=timedelta(0),
        quiet=_HOUR * 6,
        pace=Pace.EACH_MINUTE,
    ),
    Rule(
        "nothing",
        N_("Nothing heard"),
        N_("all frames, against what is usual at this hour"),
        N_("the whole service"),
        N_("no frame for %(minutes)s min, %(expected)s usual at this hour"),
        N_("broker, network callbacks or certificate: press a button of your own"),
        Severity.URGENT,
        (
            Limit("minutes", N_("minutes without any frame"), 10, 2, 1440),
            Limit("expected", N_("and frames that are usual in that time, at least"), 10, 3, 1_000_000),
        ),
        holds=timedelta(minutes=2),
    ),
    Rule(
        "refusals",
        N_("Refusals up"),
        N_("the share of frames refused in 15 min, against the same hour of the last 14 days"),
        N_("the whole service"),
        N_("%(refused)s of %(frames)s frames refused in 15 min, %(expected)s usual at this hour"),
        N_("mostly %(reason)s"),
        Severity.URGENT,
        (
            Limit("refused", N_("refused frames in 15 min, at least"), 20, 5, 1_000_000),
            Limit("times", N_("times the usual share"), 3, 1, 1000),
        ),
        lasts=timedelta(minutes=1),
        holds=timedelta(minutes=15),
    ),
    Rule(
        "replays",
        N_("Replays"),
        N_("frames that were accepted before and are radiated anew"),
        N_("button"),
        N_("%(count)s replayed within %(minutes)s min, from button %(button)s"),
        N_("somebody recorded them: none counts, none is answered"),
        Severity.URGENT,
        (
            Limit("count", N_("replays of one button, at least"), 10, 1, 100_000),
            Limit("minutes", N_("within minutes"), 30, 1, 1440),
        ),
        quiet=_HOUR,
    ),
    Rule(
        "seals",
        N_("Wrong seals"),
        N_("frames under a button’s name whose seal does not open"),
        N_("button"),
        N_("%(count)s with a wrong seal within %(minutes)s min, in the name of button %(button)s"),
        N_("an old key on the board, or somebody else in its name"),
        Severity.WARNING,
        (
            Limit("count", N_("wrong seals of one button, at least"), 10, 1, 100_000),
            Limit("minutes", N_("within minutes"), 30, 1, 1440),
        ),
        quiet=_HOUR,
    ),
    Rule(
        "unknown",
        N_("Unknown buttons"),
        N_("frames of devices that are not in the fleet"),
        N_("the whole service"),
        N_("%(count)s refused within %(minutes)s min, of devices that are not in the fleet"),
        N_("the most from %(button)s: %(most)s"),
        Severity.WARNING,
        (
            Limit("count", N_("frames of unknown buttons, at least"), 30, 1, 1_000_000),
            Limit("minutes", N_("within minutes"), 30, 1, 1440),
        ),
        holds=_MINUTES_10,
        quiet=_HOUR * 6,
    ),
    Rule(
        "counter",
        N_("Counter jump"),
        N_("counters that an accepted frame left out"),
        N_("button"),
        N_("the counter of button %(button)s jumped, %(jump)s left out"),
        N_("a poor link, power that comes and goes, or a second board with its key"),
        Severity.WARNING,
        (Limit("jump", N_("counters left out at once, at least"), 100, 17, 1_000_000),),
        holds=_DAY,
        quiet=_DAY,
    ),
    Rule(
        "battery",
        N_("Battery low"),
        N_("the battery that each button told last"),
        N_("department"),
        N_("department %(department)s: %(count)s under %(limit)s mV"),
        N_("the lowest: %(button)s with %(battery)s mV"),
        Severity.WARNING,
        (
            Limit("battery", N_("battery below, mV"), 2300, 1800, 3600),
            Limit("count", N_("buttons, at least"), 1, 1, 100_000),
        ),
        holds=_HOUR,
        quiet=_DAY,
        pace=Pace.EACH_MINUTE,
    ),
    Rule(
        "station",
        N_("Station dead"),
        N_("stations that no longer hear what their neighbours hear"),
        N_("station"),
        N_("station %(station)s: 0 frames, expected %(expected)s"),
        N_("its neighbours heard %(missed)s since; different buttons: %(buttons)s"),
        Severity.URGENT,
        (
            Limit("expected", N_("frames that it should have heard, at least"), 9, 3, 10_000),
            Limit("buttons", N_("of different buttons, at least"), 3, 1, 16),
        ),
        holds=_MINUTES_5,
        quiet=_HOUR,
    ),
    Rule(
        "lag",
        N_("Ingest late"),
        N_("the time from a station to the log, over 5 min"),
        N_("the whole service"),
        N_("%(late)s of %(timed)s frames kept more than %(seconds)s s after they were heard"),
        N_("the network, the broker, the database, or a clock"),
        Severity.URGENT,
        (
            Limit("seconds", N_("seconds from heard to kept"), 10, 2, 86_400),
            Limit("frames", N_("late frames in 5 min, at least"), 5, 1, 1_000_000),
            Limit("percent", N_("and of all, % at least"), 10, 0, 100),
        ),
        lasts=timedelta(minutes=1),
        holds=_MINUTES_5,
    ),
    Rule(
        "part",
        N_("Part unwell"),
        N_("broker, inlet, database and stamps, as /health tells them of the process that watches"),
        N_("part"),
        N_("%(part)s is not well: %(why)s"),
        N_("messages wait at the broker; on %(host)s"),
        Severity.URGENT,
        (),
        lasts=timedelta(seconds=30),
        holds=timedelta(seconds=30),
        quiet=timedelta(minutes=10),
    ),
    Rule(
        "backlog",
        N_("Backlog"),
        N_("how long the oldest message has waited for its commit, in the process that watches"),
        N_("the whole service"),
        N_("a message has waited %(waited)s s for its commit"),
        N_("more comes than is written down; on %(host)s"),
        Severity.URGENT,
        (Limit("seconds", N_("seconds that the oldest has waited"), 5, 1, 3600),),
        lasts=timedelta(seconds=30),
        holds=timedelta(minutes=1),
    ),
    Rule(
        "pool",
        N_("Stamps run out"),
        N_("codes minted ahead, and orders that wait for one"),
        N_("the whole service"),
        N_("stamp codes left in the pool: %(minted)s"),
        N_("orders that wait for their stamp: %(waiting)s"),
        Severity.URGENT,
        (Limit("codes", N_("codes left, fewer than"), 200, 0, 1_000_000),),
        lasts=timedelta(minutes=1),
        holds=timedelta(minutes=2),
    ),
    Rule(
        "used",
        N_("Used stamps"),
        N_("readings that answered “already used”: copied, or handed on"),
        N_("sorting place"),
        N_("%(count)s used already, within %(hours)s h, at %(place)s"),
        N_("each paid for another piece before"),
        Severity.WARNING,
        (
            Limit("count", N_("readings of used stamps, at least"), 5, 1, 100_000),
            Limit("hours", N_("within hours"), 24, 1, 72),
        ),
        holds=_HOUR,
        quiet=_HOUR * 6,
    ),
    Rule(
        "readings",
        N_("Odd readings"),
        N_("today’s bad readings of a place, against its own last 28 days"),
        N_("sorting place and sign"),
        N_("%(bad)s of %(readings)s readings at %(place)s: %(sign)s"),
        N_("about %(expected)s usual there, %(limit)s hardly chance"),
        Severity.WARNING,
        (),
        holds=_HOUR,
        quiet=_HOUR * 12,
        pace=Pace.EACH_MINUTE,
    ),
    Rule(
        "requests",
        N_("Requests wait"),
        N_("requests whose customer has not confirmed"),
        N_("the whole service"),
        N_("unconfirmed for more than %(hours)s h: %(count)s"),
        N_("the oldest is order %(order)s"),
        Severity.WARNING,
        (
            Limit("hours", N_("hours without a confirmation"), 24, 1, 720),
            Limit("count", N_("requests, at least"), 1, 1, 100_000),
        ),
        holds=timedelta(0),
        quiet=_DAY,
        pace=Pace.EACH_MINUTE,
    ),
    Rule(
        "delivery",
        N_("Not delivered"),
        N_("webhooks and mail that fail again and again"),
        N_("route"),
        N_("%(route)s failed %(times)s times: %(answer)s"),
        N_("events that wait, none lost: %(waiting)s"),
        Severity.WARNING,
        (Limit("times", N_("failures one after the other"), 3, 2, 100),),
        holds=timedelta(0),
        quiet=_HOUR,
    ),
    Rule(
        "disk",
        N_("Disk full"),
        N_("free space at the data folder of the process that watches"),
        N_("machine"),
        N_("%(percent)s of the disk free: %(free)s MB"),
        N_("at the data folder of %(host)s"),
        Severity.URGENT,
        (Limit("percent", N_("free space below, %"), 10, 1, 90),),
        lasts=timedelta(minutes=1),
        holds=_MINUTES_5,
        quiet=_HOUR,
    ),
)

BY_NAME: Mapping[str, Rule] = MappingProxyType({rule.name: rule for rule in RULES})


# The mail server of the settings

MAIL_PORTS = {"smtp": 587, "smtps": 465}


def check_mail_server(url: str) -> str:
    """Raises ValueError, which repeats nothing of it: it may hold a password."""
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in MAIL_PORTS and parts.hostname and parts.port != 0 and parts.path in ("", "/")
    except ValueError:
        is_one = False
    if not is_one:
        raise ValueError("a mail server is smtps://[USER:PASSWORD@]HOST[:PORT], or smtp:// with STARTTLS")
    return url


def check_sender(address: str) -> str:
    if not is_email(address) or not address.isascii():
        raise ValueError("mail comes from one e-mail address")
    return address


# What may be changed of a rule


@dataclass(frozen=True, slots=True)
class Terms:
    """A rule as it is in force: on or off, how severe, its numbers and times."""

    rule: Rule
    is_on: bool
    severity: Severity
    limits: Mapping[str, float]
    lasts: timedelta
    holds: timedelta
    quiet: timedelta

    def limit(self, name: str) -> float:
        return self.limits[name]


# One rule's changes, as the settings file and the page have them: "on", "severity", "lasts_s" …, and the limits' names.
Changes = Mapping[str, object]
TIMES = ("lasts_s", "holds_s", "quiet_s")
LONGEST_S = 7 * 86_400


def check_changes(rule: Rule, changes: Changes) -> dict[str, object]:
    """`changes` with nothing in it that does not belong there; raises `Faulty`.

    >>> check_changes(BY_NAME["replays"], {"count": "20", "on": True})
    {'count': 20.0, 'on': True}
    """
    limits = {limit.name: limit for limit in rule.limits}
    checked: dict[str, object] = {}
    for name, value in changes.items():
        if name == "on":
            if not isinstance(value, bool):
                raise Faulty(N_("%(rule)s: on is true or false", rule=rule.name))
            checked[name] = value
        elif name == "severity":
            if value not in list(Severity):
                severities = tuple(map(Said, Severity))
                raise Faulty(N_("%(rule)s: severity is one of %(severities)s", rule=rule.name, severities=severities))
            checked[name] = str(value)
        elif name in TIMES:
            checked[name] = _number(rule, name, value, 0, LONGEST_S)
        elif name in limits:
            checked[name] = _number(rule, name, value, limits[name].least, limits[name].most)
        else:
            raise Faulty(N_("%(rule)s: there is no %(name)s", rule=rule.name, name=name[:40]))
    return checked


def _number(rule: Rule, name: str, value: object, least: float, most: float) -> float:
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is None or not least <= number <= most:
        between = {"least": f"{least:g}", "most": f"{most:g}"}
        raise Faulty(
            N_("%(rule)s: %(name)s is a number from %(least)s to %(most)s", rule=rule.name, name=name, **between)
        )
    return number


def check_file(given: Mapping[str, Changes]) -> dict[str, dict[str, object]]:
    """What the settings file says of the rules, by their names; raises `Faulty`."""
    if unknown := set(given) - set(BY_NAME):
        raise Faulty(f"there is no rule {', '.join(sorted(unknown))[:200]}; there are {', '.join(BY_NAME)}")
    return {name: check_changes(BY_NAME[name], changes) for name, changes in given.items()}


def terms(rule: Rule, *changes: Changes) -> Terms:
    """The rule with `changes`, the later ones over the earlier."""
    said: dict[str, object] = {}
    for one in changes:
        said |= check_changes(rule, one)

    def time(name: str, usual: timedelta) -> timedelta:
        return timedelta(seconds=_number(rule, name, said.get(name, usual.total_seconds()), 0, LONGEST_S))

    return Terms(
        rule,
        said.get("on", True) is True,
        Severity(str(said.get("severity", rule.severity))),
        {one.name: _number(rule, one.name, said.get(one.name, one.usual), one.least, one.most) for one in rule.limits},
        time("lasts_s", rule.lasts),
        time("holds_s", rule.holds),
        time("quiet_s", rule.quiet),
    )


# What is found, and what becomes of it

Value = str | int

# What there is to see: ("frame", 17), ("button", 13759399), ("order", 12), ("list", "/stamps").
Evidence = tuple[str, int | str]


@dataclass(frozen=True, slots=True)
class Found:
    """A condition that is there now. `subject` is its kind and name: "button 00A17C52", "department 35"."""

    rule: str
    subject: str
    values: Mapping[str, Value] = field(default_factory=dict)
    evidence: Sequence[Evidence] = ()
    department: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.rule, self.subject


SERVICE = "service"  # the subject of what concerns all of it


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert, open or of the past. `id` is 0 until the database has given one."""

    id: int
    rule: str
    subject: str
    department: str | None
    severity: Severity
    state: State
    values: Mapping[str, Value]
    evidence: Sequence[Evidence]
    first_at: datetime  # the first opening of this row
    opened_at: datetime  # the condition is there since
    seen_at: datetime
    times: int = 1  # it was opened
    gone_at: datetime | None = None  # the condition has not been there since; none: it is there
    ended_at: datetime | None = None
    ended_by: str | None = None  # none: by itself
    ended_word: str | None = None
    acked_at: datetime | None = None
    acked_by: str | None = None
    acked_word: str | None = None
    told_at: datetime | None = None  # when an opening was told last
    is_told: bool = False  # whether this opening was

    @property
    def key(self) -> tuple[str, str]:
        return self.rule, self.subject

    @property
    def message(self) -> str:
        """What its present opening is called in `message_id`."""
        return f"alert-{self.id}-{self.times}"


def message_id(alert: Alert, event: Event) -> str:
    """The id that a receiver knows an event by, however often it comes: webhook-id."""
    return f"{alert.message}-{event}"


def follow(
    alert: Alert | None, found: Found | None, since: datetime, terms: Terms, now: datetime, *, is_silenced: bool
) -> tuple[Alert | None, Event | None]:
    """The alert after this look, and what is to be told; `found` None: the condition is not there.

    `alert` is the one of this rule and subject that has not ended, else one that ended lately. `since` is when
    the condition was seen first; until it has lasted long enough there is no alert.
    """
    if found is None:
        return _gone(alert, terms, now) if alert is not None and alert.state is not State.ENDED else (alert, None)
    if alert is None or alert.state is State.ENDED:
        if now - since < terms.lasts:
            return alert, None
        alert = _opened(alert, found, since, terms, now)
    else:
        alert = replace(alert, values=found.values, evidence=tuple(found.evidence), seen_at=now, gone_at=None)
    if may_tell(alert, terms, now, is_silenced=is_silenced):
        return replace(alert, is_told=True, told_at=now), Event.OPENED
    return alert, None


def may_tell(alert: Alert, terms: Terms, now: datetime, *, is_silenced: bool) -> bool:
    """Whether its opening is to be told now: once, unless somebody knows of it, and not within the quiet time."""
    if alert.state is not State.OPEN or alert.is_told or alert.acked_at is not None or is_silenced:
        return False
    return alert.told_at is None or now - alert.told_at >= terms.quiet


def _opened(earlier: Alert | None, found: Found, since: datetime, terms: Terms, now: datetime) -> Alert:
    if earlier is None:
        said = (found.department, terms.severity, State.OPEN, found.values, tuple(found.evidence))
        return Alert(0, found.rule, found.subject, *said, since, since, now)
    return replace(
        earlier,
        severity=terms.severity,
        state=State.OPEN,
        values=found.values,
        evidence=tuple(found.evidence),
        opened_at=since,
        seen_at=now,
        times=earlier.times + 1,
        gone_at=None,
        ended_at=None,
        ended_by=None,
        ended_word=None,
        acked_at=None,
        acked_by=None,
        acked_word=None,
        is_told=False,
    )


def _gone(alert: Alert, terms: Terms, now: datetime) -> tuple[Alert, Event | None]:
    alert = replace(alert, gone_at=alert.gone_at or now)
    assert alert.gone_at is not None
    if now - alert.gone_at < terms.holds:
        return alert, None
    if alert.state is State.CLOSED:
        return replace(alert, state=State.ENDED), None
    return replace(alert, state=State.ENDED, ended_at=now), Event.RESOLVED if alert.is_told else None


# What people do


def check_word(text: str, *, needed: bool = False) -> str:
    """What somebody says with a deed, on one line; raises `Faulty`."""
    word = " ".join(text.split())
    if len(word) > MOST_WORD or not word.isprintable() or (needed and not word):
        raise Faulty(N_("say why in %(least)s to %(most)s characters", least=1 if needed else 0, most=MOST_WORD))
    return word


@dataclass(frozen=True, slots=True)
class Silence:
    """For a time nothing is told of what it covers, nor counted in the bar: what it does not name, it covers whole."""

    id: int
    rule: str | None
    subject: str | None
    department: str | None
    reason: str
    by: str
    since: datetime
    until: datetime
    ended_at: datetime | None = None  # before its time, by somebody
    ended_by: str | None = None

    def covers(self, rule: str, subject: str, department: str | None, now: datetime) -> bool:
        if not self.is_in_force(now):
            return False
        return (
            self.rule in (None, rule)
            and self.subject in (None, subject)
            and (self.department is None or self.department == department)
        )

    def is_in_force(self, now: datetime) -> bool:
        return self.since <= now < self.until and (self.ended_at is None or now < self.ended_at)


def silence(
    *, rule: str, subject: str, department: str, reason: str, hours: float, by: str, now: datetime, id: int = 0
) -> Silence:
    """A silence as it was asked for; empty texts name nothing. Raises `Faulty`."""
    rule, subject, department = rule.strip(), " ".join(subject.split()), department.strip().upper()
    if not (rule or subject or department):
        raise Faulty(N_("a silence names a rule, a subject or a department: never everything"))
    if rule and rule not in BY_NAME:
        raise Faulty(N_("there is no rule %(name)s", name=rule[:40]))
    if len(subject) > 100 or not subject.isprintable():
        raise Faulty(N_("a subject has at most %(most)s characters", most=100))
    if department and not re.fullmatch(r"97[1-6]|2[AB]|[0-9]{2}", department):
        raise Faulty(N_("there is no department %(number)s", number=department[:10]))
    if not 0 < hours <= LONGEST_SILENCE.days * 24:
        raise Faulty(N_("a silence lasts up to %(days)s days", days=LONGEST_SILENCE.days))
    why, until = check_word(reason, needed=True), now + timedelta(hours=hours)
    return Silence(id, rule or None, subject or None, department or None, why, by, now, until)


# What is said of it


def sentence(rule: Rule, values: Mapping[str, Value]) -> Said:
    return _filled(rule.sentence, values)


def more(rule: Rule, values: Mapping[str, Value]) -> Said:
    return _filled(rule.more, values)


def _filled(said: Said, values: Mapping[str, Value]) -> Said:
    """Numbers with their thousands apart, and a dash for what an older row does not know."""
    names = set(re.findall(r"%\((\w+)\)s", said.text))
    return Said(said.text, {name: _shown(values[name]) if name in values else "—" for name in names})


# Words of other models that stand among the values, and are said in the reader's language.
ALL_PLACES = N_("all places")
WORDS = frozenset({*Sign, *Result, ALL_PLACES.text})


def _shown(value: Value) -> str | Said:
    if isinstance(value, int):
        return f"{value:,}".replace(",", NBSP)
    return Said(value) if value in WORDS else value


SUBJECTS = {
    "button": N_("button"),
    "department": N_("department"),
    "station": N_("station"),
    "place": N_("place"),
    "part": N_("part"),
    "route": N_("route"),
    "machine": N_("machine"),
    "service": N_("the service"),
}


def parts(subject: str) -> tuple[str, str]:
    """Kind and name.

    >>> parts("place 35 Rennes PIC"), parts("service")
    (('place', '35 Rennes PIC'), ('service', ''))
    """
    kind, _, name = subject.partition(" ")
    return kind, name


def href(subject: str) -> str | None:
    """The page of what an alert is about, if it has one.

    >>> href("button 00A17C52"), href("station 2C7F")
    ('/buttons/00A17C52', None)
    """
    kind, name = parts(subject)
    pages = {"button": "/buttons/{}", "department": "/buttons?department={}", "place": "/stamps"}
    pages |= {"route": "/alerts/routes"}
    return pages[kind].format(quote(name)) if kind in pages and name != "—" else None


def evidence_href(what: str, which: int | str) -> str:
    """The page of one piece of evidence."""
    if isinstance(which, str):
        return which
    return {"frame": f"/frames/{which}", "order": f"/pickups/{which}", "button": f"/buttons/{which:08X}"}[what]
