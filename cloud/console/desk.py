"""What the operators' pages share: who may see them, the language they speak, their lists' sizes."""

from datetime import date
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import Depends, Path, Query, Request
from pydantic import Field

from cloud import pages, replay
from cloud.accounts import guard
from cloud.accounts.model import Right, Session
from cloud.console import store
from cloud.fleet.model import Button, parse_id
from cloud.replay import Moment

ROWS = 50  # a page of every list

render = pages.render_for_staff

See = Annotated[Session, Depends(guard.signed_in(Right.SEE))]
Operate = Annotated[Session, Depends(guard.signed_in(Right.OPERATE))]
Administer = Annotated[Session, Depends(guard.signed_in(Right.ADMINISTER))]
Id = Annotated[int, Path(ge=0, le=store.MAX_ID)]
# Far from the ends of the calendar, whatever the zone.
Day = Annotated[Annotated[date, Field(ge=date(2000, 1, 1), le=date(2199, 12, 31))] | None, Query()]
# What the page takes for now: it has a past, and shows nothing that came later.
Now = Annotated[Moment, Depends(replay.moment)]
Before = Annotated[int | None, Query(ge=1, le=store.MAX_ID)]


def fragment(request: Request, template: str, **context: Any) -> str:
    """A part of a page, such as a row of a live table, in the operator's language."""
    moment = getattr(request.state, "moment", None)
    return pages.fragment(template, lang=pages.language(request, pages.STAFF), moment=moment, **context)


def device(text: str) -> int | None:
    """The button's id that `text` is, if any."""
    try:
        return parse_id(text)
    except ValueError:
        return None


def owner(conn: sa.Connection, button: Button | None) -> str | None:
    """The name of the button's owner."""
    return store.owner_names(conn, [button.owner_id]).get(button.owner_id) if button and button.owner_id else None
