"""A clock that runs in the past, and stands in the address of every page that shows it.

``?replay=2026-11-25T08:12:30.000Z~1764061950000~10`` says that the page shows 08:12:30 UTC when a real clock shows
1764061950000 ms since 1970, and that ten seconds pass in a second from then on. So a replay is kept nowhere: whoever
has the address has the replay, in any number of tabs, by any worker, after any restart.

A page that has a past asks for its `moment` and shows what was true at `moment.now`. One that has none is `beside` the
replay: it shows the present. The band across the page says which. All its links carry the replay on, whichever page it
is, as `carry` writes them; what is meant to lead out of it is marked ``data-out``. In a replay nothing can be done:
`may_act` is false in every template, which then leaves out its forms.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode, urlsplit, urlunsplit

from fastapi import HTTPException, Request

from cloud import database
from cloud.words import N_, words_of

SPEEDS = (1, 5, 10, 30, 60)  # seconds that pass in one
PARAMETER = "replay"

# What `carry` finds: forms, and links to pages of this site.
_WAYS = re.compile(r'<form\b[^>]*>|(?<!data-out )\b(href|hx-get)="(/(?!static/|replay\?)[^"]*)"')


@dataclass(frozen=True, slots=True)
class Replay:
    """A clock that showed `begin` at `wall` and since then runs `speed` times as fast; 0: it stands."""

    begin: datetime
    wall: datetime
    speed: int

    def at(self, wall: datetime) -> datetime:
        """What it shows at `wall`: never what is still to come."""
        passed = max(wall - self.wall, timedelta(0)) * self.speed
        return self.begin + min(passed, wall - self.begin)

    def at_speed(self, speed: int, wall: datetime) -> "Replay":
        return Replay(self.at(wall), wall, speed)

    def leap(self, seconds: int, wall: datetime) -> "Replay":
        return replace(self, begin=min(self.at(wall) + timedelta(seconds=seconds), wall), wall=wall)

    def __str__(self) -> str:
        """
        >>> str(Replay(datetime(2026, 11, 25, 8, 12, 30, tzinfo=UTC), datetime(2026, 11, 25, 10, tzinfo=UTC), 10))
        '2026-11-25T08:12:30.000Z~1795600800000~10'
        """
        begin = self.begin.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return f"{begin}~{database.milliseconds(self.wall)}~{self.speed}"


def read(text: str) -> Replay:
    """The opposite of `str`; raises ValueError."""
    begin, wall, speed = text.split("~")
    if int(speed) not in (0, *SPEEDS):
        raise ValueError(N_("a replay runs at %(speeds)s times, or stands", speeds=SPEEDS))
    if not 0 <= int(wall) < 2**43:  # until the year 2248
        raise ValueError(N_("no time in milliseconds since 1970"))
    at = datetime.fromisoformat(begin)
    if at.tzinfo is None or at.year < 1970:
        raise ValueError(N_("a time without a zone, or before 1970"))
    return Replay(at.astimezone(UTC), database.moment(int(wall)), int(speed))


@dataclass(frozen=True, slots=True)
class Moment:
    """What a page takes for now."""

    now: datetime
    wall: datetime  # the present
    replay: Replay | None = None
    here: str = "/live"  # the page's path with its query, without the replay
    is_shown: bool = True  # else the page shows the present, beside the replay

    @property
    def is_replay(self) -> bool:
        return self.replay is not None

    @property
    def has_caught_up(self) -> bool:
        return self.is_replay and self.now >= self.wall

    @property
    def query(self) -> str:
        """What links to pages of the same moment carry: ``replay=…``, or nothing."""
        return urlencode({PARAMETER: str(self.replay)}, safe="~:") if self.replay else ""

    def href(self, path: str) -> str:
        """`path`, which may have a query already, at this moment.

        >>> Moment(_NEVER, _NEVER).href("/live?result=replayed")
        '/live?result=replayed'
        """
        if self.replay is None:
            return path
        path, mark, fragment = path.partition("#")
        return f"{path}{'&' if '?' in path else '?'}{self.query}{mark}{fragment}"

    def carry(self, html: str) -> str:
        """`html` whose links and forms that ask for pages lead on in this replay; unchanged where there is none.

        What stands in text has no quotation mark of its own left, so all that is found is an attribute.
        """
        return html if self.replay is None else _WAYS.sub(self._carried, html)

    def _carried(self, way: re.Match[str]) -> str:
        name, path = way.groups()
        if name is None:  # a form: what its address asks for gives way to its fields
            field = f'<input type="hidden" name="{PARAMETER}" value="{self.replay}">'
            return way[0] if 'method="' in way[0] else way[0] + field
        if f"{PARAMETER}=" in path:
            return way[0]
        path, mark, fragment = path.partition("#")
        return f'{name}="{path}{"&amp;" if "?" in path else "?"}{self.query}{mark}{fragment}"'

    def moved(self, **by: int) -> str:
        """The way to this page at another time: ``speed=30``, ``leap=-600``."""
        return "/replay?" + urlencode({PARAMETER: str(self.replay), **by, "to": self.here}, safe="~:/")


_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def moment(request: Request) -> Moment:
    """What this page takes for now, as its address says; a dependency, or to be called. The templates find it too.

    Who asks shows nothing that came later.
    """
    return _found(request, is_shown=True)


def beside(request: Request) -> Moment:
    """The same for a page that has no past: it shows the present, and says so."""
    return getattr(request.state, "moment", None) or _found(request, is_shown=False)


def _found(request: Request, *, is_shown: bool) -> Moment:
    wall = database.now()
    try:
        replay = read(text) if (text := request.query_params.get(PARAMETER)) else None
        now = wall if replay is None else replay.at(wall)
        found = Moment(now, wall, replay, without_replay(str(request.url)), is_shown)
    except (ValueError, OverflowError) as error:
        why = words_of(error, N_("it is not written as one"))
        raise HTTPException(422, N_("The address names no time that can be replayed: %(why)s", why=why)) from None
    request.state.moment = found
    return found


def without_replay(url: str) -> str:
    """Its path and what else it asks for.

    >>> without_replay("http://localhost/live?kind=alive&replay=x~1~10")
    '/live?kind=alive'
    """
    parts = urlsplit(url)
    kept = [part for part in parts.query.split("&") if part and not part.startswith(f"{PARAMETER}=")]
    return urlunsplit(("", "", parts.path, "&".join(kept), ""))
