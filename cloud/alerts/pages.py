"""The operators' pages of alerts: what is open, one with its life and evidence, what was, the rules, and where they go.

Acknowledging works from the list without leaving it; the list is asked for anew every few seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any

import sqlalchemy as sa
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Form, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

import cloud.fleet.store
from cloud import database, pages, replay
from cloud.accounts import guard
from cloud.accounts.model import Right, Session
from cloud.alerts import model, past, routes, signing, store
from cloud.alerts.model import (
    BY_NAME,
    MOST_WORD,
    RULES,
    TIMES,
    Changes,
    Event,
    Faulty,
    NotFound,
    Rule,
    Severity,
    State,
    evidence_href,
    href,
    more,
    parts,
    sentence,
)
from cloud.alerts.routes import MOST_NAME, MOST_URL, Kind
from cloud.alerts.safe import Safe
from cloud.fleet.model import format_id, parse_id
from cloud.replay import Moment
from cloud.words import N_, Said, words_of

ROWS = 50
SHOWN = 200  # open alerts; the others are in the history
MAX_ID = 2**63 - 1
HOURS = (1, 8, 24, 72, 168)  # that a silence may be asked for

See = Annotated[Session, Depends(guard.signed_in(Right.SEE))]
Operate = Annotated[Session, Depends(guard.signed_in(Right.OPERATE))]
Administer = Annotated[Session, Depends(guard.signed_in(Right.ADMINISTER))]
Now = Annotated[Moment, Depends(replay.moment)]
Id = Annotated[int, Path(ge=1, le=MAX_ID)]
Text = Annotated[str, Form(max_length=2000)]
Checked = Depends(guard.csrf_checked)

router = APIRouter(prefix="/alerts")


@dataclass(frozen=True, slots=True)
class Means:
    """What the pages have beside the database: the safe, what the settings file says, whether there is mail."""

    safe: Safe | None = field(repr=False)
    given: Mapping[str, Changes] = field(default_factory=lambda: MappingProxyType({}))
    has_mail: bool = False


WITHOUT_SAFE = Means(None)

# How a template says what the model has as data.
SAID: Mapping[str, Any] = {
    "BY_NAME": BY_NAME,
    "SUBJECTS": model.SUBJECTS,
    "parts": parts,
    "href": href,
    "evidence_href": evidence_href,
    "sentence": sentence,
    "more": more,
}

EVENTS = {
    Event.OPENED: N_("opened"),
    store.REOPENED: N_("opened again"),
    Event.ACKNOWLEDGED: N_("acknowledged"),
    Event.CLOSED: N_("closed"),
    Event.RESOLVED: N_("resolved"),
}


def _render(request: Request, template: str, session: Session, **context: Any) -> Response:
    rights = frozenset() if replay.beside(request).is_replay else session.account.rights  # the past is only looked at
    may = {"may_operate": Right.OPERATE in rights, "may_administer": Right.ADMINISTER in rights}
    return pages.render_for_staff(request, template, **SAID, **may, most_word=MOST_WORD, **context)


def _by(session: Session) -> str:
    return f"staff {session.account.name}"


def _means(request: Request) -> Means:
    return request.app.state.alerts


# What is open


@router.get("")
def list_open(request: Request, session: See, moment: Now) -> Response:
    now = moment.now
    with database.reading(request.app.state.engine) as conn:
        context = _open(conn, moment)
        silences, failing = store.in_force(conn, now), [] if moment.is_replay else _failing(conn)
    return _render(
        request,
        "console/alerts.html",
        session,
        now=now,
        silences=silences,
        failing=failing,
        rules=RULES,
        hours=HOURS,
        **context,
    )


@router.get("/rows")
def show_rows(request: Request, session: See, moment: Now) -> Response:
    """The list alone, for the page that is open."""
    return HTMLResponse(_rows(request, session, moment))


def _rows(request: Request, session: Session, moment: Moment) -> str:
    with database.reading(request.app.state.engine) as conn:
        context = _open(conn, moment)
    may = {"may_operate": Right.OPERATE in session.account.rights and not moment.is_replay, "session": session}
    lang = pages.language(request, pages.STAFF)
    return pages.fragment(
        "console/alerts_rows.html", lang=lang, now=moment.now, moment=moment, **SAID, **may, **context
    )


def _open(conn: sa.Connection, moment: Moment) -> dict[str, Any]:
    if moment.is_replay:
        found = past.open_at(conn, moment.now)
        loud, new, silenced = found.counts
        lines, is_whole = found.lines[:SHOWN], found.is_whole
    else:
        loud, new, silenced = store.counts(conn, moment.now)
        lines, is_whole = store.open_lines(conn, moment.now, SHOWN), True
    return {"lines": lines, "loud": loud, "new": new, "silenced": silenced, "is_whole": is_whole}


def _failing(conn: sa.Connection) -> list[tuple[routes.Route, int]]:
    """The routes that did not deliver last, each with how many events wait."""
    found = [one for one in routes.all_routes(conn) if one.is_on and one.fails]
    waiting = routes.waiting(conn) if found else {}
    return [(one, waiting.get(one.id, 0)) for one in found]


@router.post("/{id}/acknowledge", dependencies=[Checked])
def acknowledge(request: Request, session: Operate, id: Id, word: Text = "") -> Response:
    with request.app.state.engine.begin() as conn:
        store.acknowledge(conn, id, by=_by(session), word=word, now=database.now())
    request.app.state.bell.ring()
    if request.headers.get("hx-request"):
        return HTMLResponse(_rows(request, session, replay.moment(request)))
    return RedirectResponse(f"/alerts/{id}", 303)


@router.post("/{id}/close", dependencies=[Checked])
def close(request: Request, session: Operate, id: Id, word: Text = "") -> Response:
    with request.app.state.engine.begin() as conn:
        store.close(conn, id, by=_by(session), word=word, now=database.now())
    request.app.state.bell.ring()
    return RedirectResponse(f"/alerts/{id}", 303)


@router.post("/silences", dependencies=[Checked])
def add_silence(
    request: Request,
    session: Operate,
    rule: Text = "",
    subject: Text = "",
    department: Text = "",
    reason: Text = "",
    hours: Annotated[float, Form()] = 1.0,
    back: Text = "/alerts",
) -> Response:
    now = database.now()
    said = {"rule": rule, "subject": subject, "department": department, "reason": reason, "hours": hours}
    asked = model.silence(**said, by=_by(session), now=now)  # pyright: ignore[reportArgumentType]
    with request.app.state.engine.begin() as conn:
        store.add_silence(conn, asked)
    return RedirectResponse(pages.local_path(back) or "/alerts", 303)


@router.post("/silences/{id}/end", dependencies=[Checked])
def end_silence(request: Request, session: Operate, id: Id) -> Response:
    with request.app.state.engine.begin() as conn:
        store.end_silence(conn, id, by=_by(session), now=database.now())
    return RedirectResponse("/alerts", 303)


# What was


@router.get("/history")
def list_history(
    request: Request,
    session: See,
    state: Annotated[str, Query(max_length=20)] = "",
    rule: Annotated[str, Query(max_length=20)] = "",
    subject: Annotated[str, Query(max_length=100)] = "",
    department: Annotated[str, Query(max_length=3)] = "",
    before: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
) -> Response:
    if (state and state not in list(State)) or (rule and rule not in BY_NAME):
        raise HTTPException(404, N_("There is no such list."))
    wanted = {
        "rule": rule or None,
        "subject": subject.strip() or None,
        "department": department.strip().upper() or None,
    }
    with database.reading(request.app.state.engine) as conn:
        found = store.newest(conn, limit=ROWS, before=before, state=State(state) if state else None, **wanted)
    chosen = {"state": state, "rule": rule, "subject": subject.strip(), "department": department.strip()}
    return _render(
        request,
        "console/alerts_history.html",
        session,
        alerts=found,
        rows=ROWS,
        chosen=chosen,
        rules=RULES,
        states=list(State),
        is_filtered=any(chosen.values()) or before is not None,
    )


# The rules, and the watch list


@router.get("/rules")
def list_rules(request: Request, session: See) -> Response:
    with database.reading(request.app.state.engine) as conn:
        terms = store.all_terms(conn, _means(request).given)
        saved, opened, watched = store.saved_changes(conn), store.open_by_rule(conn), store.watched(conn)
    return _render(
        request,
        "console/alerts_rules.html",
        session,
        terms=terms.values(),
        saved=saved,
        given=_means(request).given,
        opened=opened,
        watched=watched,
    )


@router.get("/rules/{name}")
def show_rule(request: Request, session: See, name: str) -> Response:
    return _rule_page(request, session, _rule(name))


def _rule(name: str) -> Rule:
    if name not in BY_NAME:
        raise NotFound(N_("there is no such rule"))
    return BY_NAME[name]


def _rule_page(request: Request, session: Session, rule: Rule, fault: Said | str = "", status: int = 200) -> Response:
    with database.reading(request.app.state.engine) as conn:
        terms = store.all_terms(conn, _means(request).given)[rule.name]
        saved = store.saved_changes(conn).get(rule.name)
    return _render(
        request, "console/alerts_rule.html", session, terms=terms, saved=saved, fault=fault, status=status,
        is_given=rule.name in _means(request).given, severities=list(Severity), here=f"/alerts/rules/{rule.name}",
    )  # fmt: skip


@router.post("/rules/{name}", dependencies=[Checked])
async def change_rule(request: Request, session: Administer, name: str) -> Response:
    """Every field of the form, as its names are the rule's own."""
    rule = _rule(name)
    form = await request.form()
    typed = {key: str(value)[:40] for key, value in form.items()}
    changes: dict[str, object] = {"on": typed.get("on") == "yes", "severity": typed.get("severity", "")}
    changes |= {key: typed[key] for key in (*TIMES, *(one.name for one in rule.limits)) if key in typed}
    try:
        await run_sync(_change, request, session, rule, changes)
    except Faulty as faulty:
        return await run_sync(_rule_page, request, session, rule, words_of(faulty), 422)
    return RedirectResponse("/alerts/rules", 303)


def _change(request: Request, session: Session, rule: Rule, changes: Changes) -> None:
    with request.app.state.engine.begin() as conn:
        store.change_rule(conn, rule, changes, _means(request).given, by=_by(session), now=database.now())


@router.post("/rules/{name}/reset", dependencies=[Checked])
def reset_rule(request: Request, session: Administer, name: str) -> Response:
    """As code and settings file have it."""
    _change(request, session, _rule(name), {})
    return RedirectResponse("/alerts/rules", 303)


@router.post("/watched", dependencies=[Checked])
def watch(request: Request, session: Operate, button: Text = "", why: Text = "") -> Response:
    device = _device(button)
    with request.app.state.engine.begin() as conn:
        if cloud.fleet.store.find(conn, device) is None:
            raise NotFound(N_("the fleet has no button %(button)s", button=format_id(device)))
        store.watch(conn, device, why=why, by=_by(session), now=database.now())
    return RedirectResponse("/alerts/rules#watched", 303)


@router.post("/watched/{button}/remove", dependencies=[Checked])
def unwatch(request: Request, session: Operate, button: str) -> Response:
    with request.app.state.engine.begin() as conn:
        store.unwatch(conn, _device(button), by=_by(session), now=database.now())
    return RedirectResponse("/alerts/rules#watched", 303)


def _device(text: str) -> int:
    try:
        return parse_id(text)
    except ValueError as error:
        raise Faulty(words_of(error)) from None


# Where they go


@router.get("/routes")
def list_routes(request: Request, session: See) -> Response:
    return _routes_page(request, session)


def _routes_page(
    request: Request,
    session: Session,
    *,
    fault: Said | str = "",
    typed: Mapping[str, Any] | None = None,
    told: tuple[str, str] | None = None,
) -> Response:
    """`told`: the name of a webhook and its secret, which stands on this one answer."""
    now = database.now()
    with database.reading(request.app.state.engine) as conn:
        every = routes.all_routes(conn)
        waiting, lost = routes.waiting(conn), routes.given_up_lately(conn, now)
        tests = {one.id: routes.last_of_route(conn, one.id) for one in every}
    empty = {"name": "", "kind": Kind.WEBHOOK, "to": "", "least": Severity.WARNING, "rules": (), "lang": "en"}
    return _render(
        request,
        "console/alerts_routes.html",
        session,
        now=now,
        routes=every,
        waiting=waiting,
        lost=lost,
        tests=tests,
        counted=routes.COUNTED,
        rules=RULES,
        fault=fault,
        typed=empty | dict(typed or {}),
        told=told,
        has_mail=_means(request).has_mail,
        limits={"name": MOST_NAME, "to": MOST_URL},
        status=422 if fault else 200,
        here="/alerts/routes",
    )


@router.post("/routes", dependencies=[Checked])
def add_route(
    request: Request,
    session: Administer,
    name: Text = "",
    kind: Annotated[Kind, Form()] = Kind.WEBHOOK,
    to: Text = "",
    least: Annotated[Severity, Form()] = Severity.WARNING,
    lang: Annotated[str, Form(pattern="^(en|fr)$")] = "en",
    rules: Annotated[list[str] | None, Form(max_length=len(RULES))] = None,
) -> Response:
    try:
        with request.app.state.engine.begin() as conn:
            route, secret = routes.add_route(
                conn, name=name, kind=kind, to=to, least=least, rules=rules or None, lang=lang, by=_by(session),
                now=database.now(), safe=_safe(request),
            )  # fmt: skip
    except Faulty as faulty:
        typed = {"name": name, "kind": kind, "to": to, "least": least, "rules": tuple(rules or ()), "lang": lang}
        return _routes_page(request, session, fault=words_of(faulty), typed=typed)
    if secret is None:
        return RedirectResponse("/alerts/routes", 303)
    return _routes_page(request, session, told=(route.name, signing.show(secret)))


def _safe(request: Request) -> Safe:
    safe = _means(request).safe
    if safe is None:
        raise HTTPException(503, N_("Webhooks need the master key, which this process has not."))
    return safe


@router.post("/routes/{id}/secret", dependencies=[Checked])
def renew_secret(request: Request, session: Administer, id: Id) -> Response:
    with request.app.state.engine.begin() as conn:
        secret = routes.renew_secret(conn, id, by=_by(session), now=database.now(), safe=_safe(request))
        route = routes.find_route(conn, id)
    return _routes_page(request, session, told=(route.name, signing.show(secret)))


@router.post("/routes/{id}/switch", dependencies=[Checked])
def switch_route(request: Request, session: Administer, id: Id, to: Text = "") -> Response:
    with request.app.state.engine.begin() as conn:
        routes.switch(conn, id, is_on=to == "on", by=_by(session), now=database.now())
    return RedirectResponse("/alerts/routes", 303)


@router.post("/routes/{id}/remove", dependencies=[Checked])
def remove_route(request: Request, session: Administer, id: Id) -> Response:
    with request.app.state.engine.begin() as conn:
        routes.remove(conn, id, by=_by(session), now=database.now())
    return RedirectResponse("/alerts/routes", 303)


@router.post("/routes/{id}/test", dependencies=[Checked])
def test_route(request: Request, session: Administer, id: Id) -> Response:
    with request.app.state.engine.begin() as conn:
        routes.enqueue_test(conn, id, by=_by(session), now=database.now())
    return RedirectResponse("/alerts/routes", 303)


@router.post("/routes/{id}/try", dependencies=[Checked])
def try_route(request: Request, session: Administer, id: Id) -> Response:
    with request.app.state.engine.begin() as conn:
        routes.try_now(conn, id, by=_by(session), now=database.now())
    return RedirectResponse("/alerts/routes", 303)


# One alert


@router.get("/{id}")
def show(request: Request, session: See, moment: Now, id: Id) -> Response:
    now = moment.now
    with database.reading(request.app.state.engine) as conn:
        alert = store.find(conn, id)
        life, sent = store.life(conn, id, until=now), routes.of_alert(conn, id)
        if moment.is_replay:
            then = past.alert(alert, life, now)
            if then is None:
                said = N_("Alert %(number)s was not yet open at %(time)s.", number=id, time=pages.time_of_day(now))
                return pages.not_yet(request, said, past.opened_at(conn, id))
            alert, sent = then, past.deliveries(sent, now)
        silences = [
            one for one in store.in_force(conn, now) if one.covers(alert.rule, alert.subject, alert.department, now)
        ]
    return _render(
        request,
        "console/alert.html",
        session,
        now=now,
        alert=alert,
        rule=BY_NAME.get(alert.rule),
        life=life,
        deliveries=sent,
        silences=silences,
        hours=HOURS,
        EVENTS=EVENTS,
    )
