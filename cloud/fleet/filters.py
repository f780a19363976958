"""What may be asked of the list of buttons: which of them, in which order, from where on; as parts of an address.

Everything is text that stands in an address and comes back the same, so that a link holds the whole of it. A moment is
said by a span back from now, ``7d`` or ``12h``, which stays true in a saved link, or by a day or time in `ZONE`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo

from cloud.fleet.model import DEPARTMENTS, ID_DIGITS, LAST_GENERATION, MAX_LABEL, MAX_PLACE, State
from cloud.words import N_, Said

ZONE = ZoneInfo("Europe/Paris")
MAX_MV = 9999
LOW_MV = 2700  # what lies below it can be put in the order of its voltage
NO_LABEL = "-"  # asks for those in no group

_ID = re.compile(f"[0-9A-Fa-f]{{1,{ID_DIGITS}}}")
_SPAN = re.compile(r"([0-9]{1,4}) ?([hdj])")  # hours, days, jours
_DAY = re.compile(r"(?:19[7-9]|20[0-9]|21[0-9])[0-9]-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2})?")


class Sort(StrEnum):
    ID = "id"
    PLACE = "place"
    LABEL = "label"
    HEARD = "heard"
    BATTERY = "battery"  # of those below LOW_MV alone


@dataclass(frozen=True, slots=True)
class Order:
    """``heard`` or, the other way round, ``-heard``."""

    sort: Sort = Sort.HEARD
    descending: bool = True

    def __str__(self) -> str:
        return f"{'-' * self.descending}{self.sort}"


NEWEST = Order()  # last heard first


@dataclass(frozen=True, slots=True)
class Filter:
    """Which buttons; what is empty asks for nothing. The fields are the address's own words, as `read` makes them."""

    id: str = ""  # its first hex digits
    place: str = ""  # anywhere in it, whatever case and accents
    label: str = ""  # the very group, or NO_LABEL
    department: str = ""
    state: str = ""  # fleet.model.State
    claimed: str = ""  # yes, no
    battery: str = ""  # below so many mV
    silent: str = ""  # not heard since, or never
    since: str = ""  # heard since
    key: str = ""  # generation of its key

    def words(self) -> list[tuple[str, Said]]:
        """Each part that is asked for, and what it says."""
        return [(name, _words(name, value)) for name, value in self.asked()]

    def asked(self) -> list[tuple[str, str]]:
        return [(one.name, value) for one in fields(self) if (value := getattr(self, one.name))]

    def without(self, name: str) -> "Filter":
        return replace(self, **{name: ""})


@dataclass(frozen=True, slots=True)
class Asked:
    """A filter and an order, and in `faults` what of the address could not be read, by its word."""

    filter: Filter = Filter()
    order: Order = NEWEST
    faults: Mapping[str, Said] = field(default_factory=dict)

    def address(self, **more: str) -> str:
        """The query string of it, the same for the same question; `more` is where the page lies, say."""
        order = {} if self.order == NEWEST else {"sort": str(self.order)}
        return urlencode([*self.filter.asked(), *order.items(), *more.items()])

    def by(self, sort: Sort) -> "Asked":
        """The same buttons in that order; where it is the order already, the other way round."""
        descending = not self.order.descending if sort is self.order.sort else sort is Sort.HEARD
        return _sorted(replace(self, order=Order(sort, descending)))

    def without(self, name: str) -> "Asked":
        """The same less one part; without its bound there is no order by battery."""
        order = NEWEST if name == "battery" and self.order.sort is Sort.BATTERY else self.order
        return replace(self, filter=self.filter.without(name), order=order)


def read(said: Mapping[str, str]) -> Asked:
    """What an address asks for. A part that cannot be read is left out and told in `faults`; unknown words are passed
    over, as an address may say more than this.

    >>> read({"id": "00d1", "silent": "7j", "sort": "place", "state": ""}).address()
    'id=00D1&silent=7d&sort=place'
    """
    good, faults = {}, {}
    for name, reader in _READERS.items():
        value = said.get(name, "").strip()
        if not value:
            continue
        try:
            good[name] = reader(value)
        except ValueError:
            faults[name] = _FAULTS[name]
    order = NEWEST
    if sort := said.get("sort", ""):
        try:
            order = Order(Sort(sort.removeprefix("-")), sort.startswith("-"))
        except ValueError:
            faults["sort"] = _FAULTS["sort"]
    return _sorted(Asked(Filter(**good), order, faults))


def parse(query: str) -> Asked:
    """As `read`, of an address's part after its question mark."""
    return read(dict(parse_qsl(query[:2000])))


def _sorted(asked: Asked) -> Asked:
    """The order by battery brings its bound with it."""
    if asked.order.sort is not Sort.BATTERY or 0 < int(asked.filter.battery or 0) <= LOW_MV:
        return asked
    return replace(asked, filter=replace(asked.filter, battery=str(LOW_MV)))


def moment(text: str, now: datetime) -> datetime:
    """The moment that a part such as ``7d`` or ``2026-11-01T08:30`` names; raises ValueError for one that is none.

    >>> moment("36h", datetime(2026, 11, 2, 12, tzinfo=UTC)).isoformat()
    '2026-11-01T00:00:00+00:00'
    """
    if span := _SPAN.fullmatch(text):
        return now - int(span[1]) * timedelta(hours=1 if span[2] == "h" else 24)
    if not _DAY.fullmatch(text):
        raise ValueError(f"neither a span such as 7d nor a day: {text!r}")
    return datetime.fromisoformat(text).replace(tzinfo=ZONE).astimezone(UTC)


def _id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError
    return text.upper()


def _line(longest: int):
    def check(text: str) -> str:
        if len(text) > longest or not text.isprintable():
            raise ValueError
        return text

    return check


def _one_of(*values: str):
    def check(text: str) -> str:
        if text.upper() not in {value.upper() for value in values}:
            raise ValueError
        return next(value for value in values if value.upper() == text.upper())

    return check


def _battery(text: str) -> str:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MAX_MV):
        raise ValueError
    return str(int(text))


def _moment(text: str) -> str:
    said = text.lower().replace("j", "d").replace(" ", "") if _SPAN.fullmatch(text.lower()) else text.upper()
    moment(said, datetime(2026, 1, 1, tzinfo=UTC))
    return said


_READERS = {
    "id": _id,
    "place": _line(MAX_PLACE),
    "label": _line(MAX_LABEL),
    "department": _one_of(*sorted(DEPARTMENTS)),
    "state": _one_of(*State),
    "claimed": _one_of("yes", "no"),
    "battery": _battery,
    "silent": _moment,
    "since": _moment,
    "key": _one_of(*map(str, range(LAST_GENERATION + 1))),
}

_NO_MOMENT = N_("A span back from now, such as 7d or 12h, or a day such as 2026-11-01.")
_FAULTS = {
    "id": N_("The first of a button’s 8 hex digits, 0 to 9 and A to F."),
    "place": N_("Too long, or with signs that do not print."),
    "label": N_("Too long, or with signs that do not print."),
    "department": N_("The number of a department, such as 35 or 2A."),
    "state": N_("One of: active, revoked."),
    "claimed": N_("One of: yes, no."),
    "battery": N_("Millivolts, such as 2400."),
    "silent": _NO_MOMENT,
    "since": _NO_MOMENT,
    "key": N_("A generation from 0 to 3."),
    "sort": N_("There is no such order."),
}


def _words(name: str, value: str) -> Said:
    match name, value:
        case "id", _:
            return N_("id begins with %(digits)s", digits=value)
        case "place", _:
            return N_("place has “%(said)s”", said=value)
        case "label", "-":  # NO_LABEL
            return N_("without a label")
        case "label", _:
            return N_("label “%(said)s”", said=value)
        case "department", _:
            return N_("department %(number)s", number=value)
        case "state", State.ACTIVE:
            return N_("not revoked")
        case "state", _:
            return N_("revoked")
        case "claimed", "yes":
            return N_("claimed")
        case "claimed", _:
            return N_("not claimed")
        case "battery", _:
            return N_("battery below %(mv)s mV", mv=value)
        case "silent", _:
            return N_("not heard %(since)s", since=_since(value))
        case "since", _:
            return N_("heard %(since)s", since=_since(value))
        case _:
            return N_("key generation %(n)s", n=value)


def _since(value: str) -> Said:
    if (span := _SPAN.fullmatch(value)) is None:
        return N_("since %(at)s", at=value.replace("T", " "))
    return N_("in the last %(n)s d", n=span[1]) if span[2] == "d" else N_("in the last %(n)s h", n=span[1])
