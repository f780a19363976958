"""The audit trail as a page: who did what, in words, and whether its chain holds."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from cloud import database, pages
from cloud.audit import store, words
from cloud.audit.model import Entry
from cloud.console import desk
from cloud.console.desk import ROWS, Administer, Before
from cloud.words import Said

router = APIRouter()

Filter = Annotated[str, Query(max_length=200)]
PAGES = {"button": "/buttons/", "order": "/pickups/", "stamp of order": "/pickups/", "appeal": "/appeals/"}


@dataclass(frozen=True, slots=True)
class Row:
    """One entry as the page says it."""

    entry: Entry
    who: tuple[Said | None, str]
    what: tuple[Said | None, str]
    said: Said | None
    beyond: list[tuple[Said, object]]
    href: str | None  # the page of what it was done to


@router.get("/audit")
def show_trail(
    request: Request,
    session: Administer,
    actor: Filter = "",
    action: Filter = "",
    subject: Filter = "",
    day: Annotated[str, Query(max_length=20)] = "",
    before: Before = None,
) -> Response:
    wanted = {"actor": actor.strip(), "action": action.strip(), "subject": subject.strip()}
    since, until = _bounds(day)
    with database.reading(request.app.state.engine) as conn:
        found = store.newest(
            conn,
            limit=ROWS,
            before=before,
            since=since,
            until=until,
            **{name: text or None for name, text in wanted.items()},
        )
        last, _ = store.end(conn)
    kept = {name: text for name, text in (wanted | {"day": day if since else ""}).items() if text}
    return desk.render(
        request,
        "console/audit.html",
        found=[_row(entry) for entry in found],
        wanted=wanted,
        day=kept.get("day", ""),
        actions=words.in_general(),
        is_filtered=bool(kept),
        is_later=before is not None,
        query=urlencode(kept),
        seen=request.app.state.trail(),
        last=last,
        rows=ROWS,
    )


def _bounds(day: str) -> tuple[datetime | None, datetime | None]:
    """The moments that a day begins and ends in Paris; a text that is no day bounds nothing."""
    try:
        start = date.fromisoformat(day)
        end = start + timedelta(days=1)
        return datetime.combine(start, time(), pages.PARIS), datetime.combine(end, time(), pages.PARIS)
    except (ValueError, OverflowError):
        return None, None


def _row(entry: Entry) -> Row:
    kind = next((kind for kind in PAGES if entry.subject.startswith(f"{kind} ")), None)
    href = None if kind is None else PAGES[kind] + entry.subject[len(kind) + 1 :]
    who, what = words.parted(entry.actor), words.parted(entry.subject)
    return Row(entry, who, what, words.sentence(entry), words.beyond(entry), href)
