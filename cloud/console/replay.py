"""The time machine: a clock that runs in the past, and stands in the address of every page that shows it.

``?replay=2026-11-25T08:12:30.000Z~1764061950000~10`` says that the page shows 08:12:30 UTC when a real clock shows
1764061950000 ms since 1970, and that ten seconds pass in a second from then on. So a replay is kept nowhere: whoever
has the address has the replay, in any number of tabs, by any worker, after any restart. What moves it (another speed, a
pause, a leap) is a new address, which /replay gives: only the server knows what time the old one has come to.

A page that can be replayed asks for its `moment`, shows what was true at `moment.now`, and links on by `moment.href`.
Whoever does so has the band across the page that says so. A page that does not ask shows the present, without a band.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import urlencode, urlsplit, urlunsplit

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response

from cloud import database, pages
from cloud.console.desk import See
from cloud.words import N_, words_of

SPEEDS = (1, 5, 10, 30, 60)  # seconds that pass in one
FIRST_SPEED = 10
LEAPS = (-600, 600)  # seconds
LONGEST_LEAP = 7 * 86400  # seconds
PARAMETER = "replay"

router = APIRouter()


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
        return ("&" if "?" in path else "?").join(filter(None, (path, self.query)))

    def moved(self, **by: int) -> str:
        """The way to this page at another time: ``speed=30``, ``leap=-600``."""
        return "/replay?" + urlencode({PARAMETER: str(self.replay), **by, "to": self.here}, safe="~:/")


_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def moment(request: Request) -> Moment:
    """What this page takes for now, as its address says; a dependency, or to be called. The templates find it too."""
    wall = database.now()
    try:
        replay = read(text) if (text := request.query_params.get(PARAMETER)) else None
        found = Moment(wall if replay is None else replay.at(wall), wall, replay, _without_replay(str(request.url)))
    except (ValueError, OverflowError) as error:
        why = words_of(error, N_("it is not written as one"))
        raise HTTPException(422, N_("The address names no time that can be replayed: %(why)s", why=why)) from None
    request.state.moment = found
    return found


@router.get("/replay")
def move(
    request: Request,
    session: See,
    at: Annotated[str | None, Query(max_length=40)] = None,
    speed: Annotated[int | None, Query()] = None,
    leap: Annotated[int, Query(ge=-LONGEST_LEAP, le=LONGEST_LEAP)] = 0,
    to: Annotated[str, Query(max_length=2000)] = "/live",
) -> Response:
    """To the page `to` at another time: from `at` on (in Paris, as a form's field has it), else from the replay's own.

    `speed` is one of SPEEDS, or 0: it stands; `leap` is in seconds.
    """
    here = moment(request)
    replay = here.replay or Replay(here.wall, here.wall, FIRST_SPEED)
    if speed is not None and speed not in (0, *SPEEDS):
        raise HTTPException(422, N_("A replay runs at %(speeds)s times, or stands.", speeds=SPEEDS))
    if at:
        replay = Replay(min(_in_paris(at), here.wall), here.wall, replay.speed)
    moved = replay.leap(leap, here.wall).at_speed(replay.speed if speed is None else speed, here.wall)
    path = _without_replay(pages.local_path(to) or "/live")
    return RedirectResponse(Moment(here.wall, here.wall, moved).href(path), 303)


def _without_replay(url: str) -> str:
    """Its path and what else it asks for.

    >>> _without_replay("http://localhost/live?kind=alive&replay=x~1~10")
    '/live?kind=alive'
    """
    parts = urlsplit(url)
    kept = [part for part in parts.query.split("&") if part and not part.startswith(f"{PARAMETER}=")]
    return urlunsplit(("", "", parts.path, "&".join(kept), ""))


def _in_paris(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise HTTPException(422, N_("%(text)s is no date with a time.", text=text)) from None
    if not 1970 < at.year < 9999:
        raise HTTPException(422, N_("Nothing was heard in %(year)s.", year=at.year))
    return (at if at.tzinfo else at.replace(tzinfo=pages.PARIS)).astimezone(UTC)
