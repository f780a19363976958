"""The fleet: the list of its buttons, filtered and in any order, the same as a file, and the views of it that are kept.

The address holds the whole question, so that a link, the browser's history and a saved view all lead to the same list.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

import cloud.audit.store
from cloud import database, pages, replay
from cloud.accounts import guard
from cloud.accounts.model import Right
from cloud.console import desk, store
from cloud.console.desk import ROWS, See
from cloud.fleet import filters, listing, sheet, views
from cloud.fleet.filters import Asked, Filter, Sort
from cloud.fleet.model import DEPARTMENTS, LAST_GENERATION
from cloud.words import N_, words_of

DELIMITERS = {"fr": ";", "en": ","}  # what a spreadsheet of that language reads by itself

router = APIRouter()


@router.get("/buttons")
def list_buttons(
    request: Request,
    session: See,
    after: Annotated[str, Query(max_length=100)] = "",
    before: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    beside = replay.beside(request)
    said = dict(request.query_params)
    asked = filters.read(said)
    where = {name: value for name, value in (("after", after), ("before", before)) if value}
    address = asked.address(**where)
    if _has_empty(said):  # as a form sends it: the list has one address
        return RedirectResponse(beside.href(f"/buttons?{address}".rstrip("?")), 303)
    now = database.now()
    try:
        lies = {name: listing.position(value, asked.order) for name, value in where.items()}
    except ValueError:
        lies = {}
    with database.reading(request.app.state.engine) as conn:
        count = listing.count(conn, asked.filter, now)
        few = listing.are_few(asked.filter, count)
        found = listing.page(conn, asked.filter, asked.order, limit=ROWS, now=now, few=few, **lies)
        context = {
            "count": count,
            "heard": listing.count(conn, Filter(since="24h"), now),
            "owners": store.owner_names(conn, {button.owner_id for button in found.buttons}),
            "labels": listing.labels(conn),
            "views": views.seen_by(conn, session.account.id),
        }
    answer = desk.render(
        request,
        "console/buttons.html",
        now=now,
        said=said,
        asked=asked,
        found=found,
        most=listing.COUNTED,
        sorts=_sorts(asked),
        choices=_choices(),
        mine=session.account.id,
        longest_name=views.MAX_NAME,
        may_share=Right.OPERATE in session.account.rights,
        may_administer=Right.ADMINISTER in session.account.rights,
        **context,
    )
    answer.headers["hx-replace-url"] = beside.href(f"/buttons?{address}".rstrip("?"))
    return answer


def _has_empty(said: Mapping[str, str]) -> bool:
    return any(not value for value in said.values())


def _sorts(asked: Asked) -> dict[str, tuple[str, str]]:
    """For each column that the list can be ordered by: the address of that order, and how it stands now."""
    found = {}
    for sort in Sort:
        here = asked.order.sort is sort
        state = ("descending" if asked.order.descending else "ascending") if here else "none"
        found[sort.value] = (asked.by(sort).address(), state)
    return found


def _choices() -> dict[str, list[tuple[str, str]]]:
    """What a field offers, each with its word."""
    generations = map(str, range(LAST_GENERATION + 1))
    return {
        "department": [(number, number) for number in sorted(DEPARTMENTS)],
        "key": [(generation, generation) for generation in generations],
    }


@router.get("/buttons.csv")
def write_buttons(request: Request, session: See) -> Response:
    """The same buttons as the list has under this address, by id, as a file that can be imported again."""
    asked, now = filters.read(dict(request.query_params)), database.now()
    if asked.faults:
        faults = tuple(N_("%(field)s: %(why)s", field=name, why=why) for name, why in asked.faults.items())
        raise HTTPException(422, N_("The address cannot be read: %(faults)s", faults=faults))
    delimiter = DELIMITERS[pages.language(request, pages.STAFF)]
    pieces = sheet.write(listing.every(request.app.state.engine, asked.filter, now), delimiter)
    return as_file(StreamingResponse(pieces, media_type="text/csv; charset=utf-8"), f"buttons-{now:%Y-%m-%d}.csv")


def as_file(answer: Response, name: str) -> Response:
    """An answer that the browser keeps instead of showing it."""
    answer.headers["content-disposition"] = f'attachment; filename="{name}"'
    return answer


@router.post("/buttons/views", dependencies=[Depends(guard.csrf_checked)])
def save_view(
    request: Request,
    session: See,
    name: Annotated[str, Form()] = "",
    query: Annotated[str, Form(max_length=1000)] = "",
    shared: Annotated[bool, Form()] = False,
) -> Response:
    """Keep the list's address under a name, for oneself or, by who may operate, for all staff."""
    if shared and Right.OPERATE not in session.account.rights:
        raise HTTPException(403, N_("Sharing a view takes the right to operate."))
    asked = filters.parse(query)
    account = session.account
    try:
        name, now = views.check_name(name), database.now()
    except ValueError as error:
        raise HTTPException(422, words_of(error)) from None
    with request.app.state.engine.begin() as conn:
        views.save(conn, account_id=account.id, name=name, query=asked.address(), is_shared=shared, now=now)
        _record(conn, account.name, "fleet.save view", name, query=asked.address(), shared=shared)
    return RedirectResponse(f"/buttons?{asked.address()}".rstrip("?"), 303)


@router.post("/buttons/views/{id}/remove", dependencies=[Depends(guard.csrf_checked)])
def remove_view(
    request: Request, session: See, id: desk.Id, query: Annotated[str, Form(max_length=1000)] = ""
) -> Response:
    with request.app.state.engine.begin() as conn:
        name = views.remove(conn, id, session.account.id)
        if name is None:
            raise HTTPException(404, N_("You have no such view."))
        _record(conn, session.account.name, "fleet.remove view", name)
    return RedirectResponse(f"/buttons?{filters.parse(query).address()}".rstrip("?"), 303)


def _record(conn: sa.Connection, account: str, action: str, name: str, **detail: Any) -> None:
    cloud.audit.store.record(
        conn, actor=f"staff {account}", action=action, subject=f"view {name}", now=database.now(), **detail
    )
