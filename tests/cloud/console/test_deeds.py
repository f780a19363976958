"""Every deed is in the audit trail: each route that changes something records it, and what it records is right."""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from starlette.testclient import TestClient

import cloud.accounts.store
import cloud.appeals.store
import cloud.audit.store
import cloud.fleet.store
import cloud.pickups.store
import cloud.stamps.store
from cloud import database, pages
from cloud.accounts.model import Account, Role
from cloud.appeals.model import claim
from cloud.audit import words
from cloud.audit.model import Entry, verify
from cloud.places.model import Address
from cloud.stamps.desk import Desk
from tests.cloud.console.service import BUTTON, Service
from tests.cloud.web.site import ADDRESS, CLAIM_CODE, PASSWORD, csrf_of
from tests.stock import VAULT

# Routes that change something and leave no entry, each with the reason.
NOT_RECORDED = {
    "POST /api/stamps/read": "thousands a second: the ledger of readings is their record, decision 0098",
    "POST /api/stamps/read/batch": "as above",
    "POST /api/stamps/read/picture": "as above",
    "POST /buttons/import": "a dry run: nothing of the fleet is changed",
    "POST /buttons/imports/{id}/drop": "forgets a dry run",
}
# Methods that record what is asked through them.
RECORDING = {"redeem": Desk.redeem, "look_up": Desk.look_up, "void": Desk.void}


def routes(service: Service) -> Iterator[tuple[str, Any]]:
    for route in iter_route_contexts(service.app.routes):
        for method in sorted(set(getattr(route, "methods", None) or ()) - {"GET", "HEAD", "OPTIONS"}):
            yield f"{method} {route.path}", getattr(route, "endpoint", None)


def records(function: Callable[..., Any], seen: frozenset[Any] = frozenset()) -> bool:
    """Whether it calls `record`, itself or by a function of ours that does."""
    if function in seen:
        return False
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    module = sys.modules[function.__module__]
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name == "record":
            return True
        try:
            called = attrgetter(ast.unparse(call.func))(module)
        except AttributeError:  # what it is called on is known when it runs
            called = RECORDING.get(name)
        handed = [getattr(module, one.id, None) for one in call.args if isinstance(one, ast.Name)]  # to another thread
        for one in (called, *handed):
            if not inspect.isfunction(one) or not one.__module__.startswith("cloud."):
                continue
            if records(one, seen | {function}):
                return True
    return False


def test_every_route_that_changes_something_records_it_or_says_why_not(service: Service):
    silent = [name for name, endpoint in routes(service) if name not in NOT_RECORDED and not records(endpoint)]
    assert silent == [], "record the deed in its transaction (cloud.audit.store.record), or give the reason here"
    assert set(NOT_RECORDED) - {name for name, _ in routes(service)} == set()


def _actions() -> Iterator[tuple[str, str]]:
    """Every action that the code records, by where."""
    root = Path(pages.__file__).parents[1]
    for folder in ("cloud", "tools"):
        for file in (root / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                told = [one.value for one in node.keywords if one.arg == "action"]
                if name in ("note", "note_done") and len(node.args) > 2:
                    told.append(node.args[1])
                if name in ("record", "note", "note_done", "refused"):
                    told += node.args[:1] if name == "refused" else []
                    for one in told:
                        if isinstance(one, ast.Constant) and isinstance(one.value, str) and "." in one.value:
                            yield one.value, f"{file.relative_to(root)}:{node.lineno}"


def test_an_action_that_looks_like_one_has_its_sentence_wherever_it_stands():
    """Also where it reaches `record` by a variable."""
    area = {action.partition(".")[0] for action in words.ACTIONS}
    looks = re.compile(rf"({'|'.join(sorted(area))})\.[a-z]+([ .-][a-z]+)*")
    found = set()
    for file in Path(pages.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and looks.fullmatch(node.value):
                found.add(node.value)
    assert {one for one in found - set(words.ACTIONS) if not one.endswith((".html", ".json"))} == set()  # file names


def test_every_action_has_its_sentence():
    used = dict(_actions())
    assert len(used) > 25
    assert {action: where for action, where in used.items() if action not in words.ACTIONS} == {}


# What each route records, tried


@dataclass
class Stage:
    """A service with one of everything: an owner, a button, an order, an appeal, an account, a token."""

    service: Service
    owner: Account
    stamp: str = ""
    clients: dict[str, TestClient] = field(default_factory=dict)

    def browser(self, role: Role) -> TestClient:
        return self.clients.setdefault(role, self.service.browser(role))

    def post(self, by: Role, path: str, /, **form: str) -> int:
        browser = self.browser(by)
        page = browser.get("/my" if by is Role.CUSTOMER else "/me").text
        return browser.post(path, data={"csrf": csrf_of(page), **form}).status_code

    def trail(self) -> list[Entry]:
        with database.reading(self.service.engine) as conn:
            verify(cloud.audit.store.chain(conn))
            return cloud.audit.store.newest(conn)


LOST = 0x0000BEEF
FREE = 0x0000F00D
LINES = list(ADDRESS.values())
NEW_PASSWORD = "trois barques vertes"


@pytest.fixture
def stage(service: Service) -> Stage:
    now = database.now()
    with service.engine.begin() as conn:
        about = {"role": Role.CUSTOMER, "password": PASSWORD, "now": now}
        owner = cloud.accounts.store.add(conn, name="claire@example.org", display_name="Claire", **about)
        cloud.accounts.store.add(conn, name="n.old", display_name="N", role=Role.VIEWER, password=PASSWORD, now=now)
        cloud.accounts.store.create_token(conn, name="old", role=Role.VIEWER, now=now)
    service.add_button(LOST, "35 Rennes", owner.id)
    with service.engine.begin() as conn:
        cloud.fleet.store.add(conn, id=FREE, place=None, claim_code=CLAIM_CODE, now=now)
        said = claim(name="H", contact="h@example.org", piece="CD604127950FR", code="", text="It was refused.")
        cloud.appeals.store.file(conn, VAULT, said, now)
    service.press(device=LOST)
    with service.engine.begin() as conn:
        [stamp] = cloud.stamps.store.codes_of(conn, VAULT, [1]).values()
    return Stage(service, owner, stamp)


def confirm(stage: Stage) -> None:
    with stage.service.engine.begin() as conn:
        cloud.pickups.store.confirm(conn, 1, Address.of(LINES), "customer", database.now())


def revoke(stage: Stage) -> None:
    with stage.service.engine.begin() as conn:
        cloud.fleet.store.revoke(conn, LOST, why="lost", by="x", now=database.now())


def mine(stage: Stage, path: str, **form: str) -> int:
    """As the owner of the button, signed in."""
    browser = TestClient(stage.service.app, follow_redirects=False)
    assert browser.post("/sign-in", data={"name": "claire@example.org", "password": PASSWORD}).status_code == 303
    return browser.post(path, data={"csrf": csrf_of(browser.get("/my").text), **form}).status_code


def api(role: Role, path: str, **body: Any) -> Callable[[Stage], int]:
    return lambda stage: stage.service.script(role).post(f"/api{path}", json=body).status_code


def form(role: Role, path: str, /, **typed: str) -> Callable[[Stage], int]:
    return lambda stage: stage.post(role, path, **typed)


def then(*deeds: Callable[[Stage], Any]) -> Callable[[Stage], int]:
    return lambda stage: [deed(stage) for deed in deeds][-1]


def by_stamp(role: Role, verb: str, **body: str) -> Callable[[Stage], int]:
    return lambda stage: api(role, f"/stamps/{verb}", code=stage.stamp, place="35 Rennes", **body)(stage)


PERIOD = {"heartbeat_hours": 48, "reason": "battery is low"}
ADMIN, OPERATOR, SUPPORT = Role.ADMIN, Role.OPERATOR, Role.SUPPORT
# By route: what is done, the action, to what, and by whom (as it begins).
DEEDS: dict[str, tuple[Callable[[Stage], int], str, str, str]] = {
    "POST /access/accounts": (
        form(ADMIN, "/access/accounts", name="J.Roux", role="viewer"), "account.add", "account j.roux", "staff admin"
    ),
    "POST /access/accounts/{id}/disable": (
        form(ADMIN, "/access/accounts/2/disable"), "account.disable", "account n.old", "staff admin"
    ),
    "POST /access/accounts/{id}/enable": (
        then(form(ADMIN, "/access/accounts/2/disable"), form(ADMIN, "/access/accounts/2/enable")),
        "account.enable", "account n.old", "staff admin",
    ),
    "POST /access/accounts/{id}/password": (
        form(ADMIN, "/access/accounts/2/password"), "account.reset", "account n.old", "staff admin"
    ),
    "POST /access/accounts/{id}/role": (
        form(ADMIN, "/access/accounts/2/role", role="support"), "account.role", "account n.old", "staff admin"
    ),
    "POST /access/tokens": (
        form(ADMIN, "/access/tokens", name="grafana", scopes="see"), "token.create", "token grafana", "staff admin"
    ),
    "POST /access/tokens/{id}/revoke": (
        form(ADMIN, "/access/tokens/1/revoke"), "token.revoke", "token old", "staff admin"
    ),
    "POST /api/appeals": (
        api(SUPPORT, "/appeals", name="A", contact="b@example.org", piece="CD604127950FR", text="Refused."),
        "appeal.file", "appeal 2", "token script",
    ),
    "POST /api/appeals/{id}/decide": (
        api(SUPPORT, "/appeals/1/decide", outcome="upheld", reason="It was read wrongly."),
        "appeal.decide", "appeal 1", "token script",
    ),
    "POST /api/buttons": (api(ADMIN, "/buttons", id="0012AB34"), "button.add", "button 0012AB34", "token script"),
    "POST /api/buttons/{id}/downlinks": (
        api(OPERATOR, "/buttons/00D1F3A7/downlinks", **PERIOD), "button.configure", "button 00D1F3A7", "token script"
    ),
    "POST /api/buttons/{id}/downlinks/{downlink}/cancel": (
        then(
            api(OPERATOR, "/buttons/00D1F3A7/downlinks", **PERIOD),
            api(OPERATOR, "/buttons/00D1F3A7/downlinks/1/cancel"),
        ),
        "button.cancel-downlink", "button 00D1F3A7", "token script",
    ),
    "POST /api/buttons/{id}/found": (
        then(revoke, api(ADMIN, "/buttons/0000BEEF/found")), "button.found", "button 0000BEEF", "token script"
    ),
    "POST /api/buttons/{id}/revoke": (
        api(OPERATOR, "/buttons/0000BEEF/revoke", why="stolen"), "button.revoke", "button 0000BEEF", "token script"
    ),
    "POST /api/pickups/{id}/cancel": (
        api(OPERATOR, "/pickups/1/cancel"), "pickup.cancel", "order 1", "token script"
    ),
    "POST /api/pickups/{id}/confirm": (
        api(OPERATOR, "/pickups/1/confirm", addressee=LINES), "pickup.confirm", "order 1", "token script"
    ),
    "POST /api/stamps/redeem": (
        then(confirm, by_stamp(OPERATOR, "redeem", piece="CD604127950FR")),
        "stamp.redeem", "stamp of order 1", "token script",
    ),
    "POST /api/stamps/void": (
        then(confirm, by_stamp(OPERATOR, "void")), "stamp.void", "stamp of order 1", "token script"
    ),
    "POST /appeal": (
        lambda stage: TestClient(stage.service.app, follow_redirects=False).post(
            "/appeal", data={"name": "A", "contact": "b@example.org", "piece": "CD604127950FR", "text": "Refused."}
        ).status_code,
        "appeal.file", "appeal 2", "visitor",
    ),
    "POST /appeals/{id}/decide": (
        form(SUPPORT, "/appeals/1/decide", outcome="rejected", reason="It was used before."),
        "appeal.decide", "appeal 1", "staff support",
    ),
    "POST /buttons/{id}/downlinks": (
        form(OPERATOR, "/buttons/00D1F3A7/downlinks", hours="48", reason="battery"),
        "button.configure", "button 00D1F3A7", "staff operator",
    ),
    "POST /buttons/{id}/downlinks/{downlink}/cancel": (
        then(
            form(OPERATOR, "/buttons/00D1F3A7/downlinks", hours="48", reason="battery"),
            form(OPERATOR, "/buttons/00D1F3A7/downlinks/1/cancel"),
        ),
        "button.cancel-downlink", "button 00D1F3A7", "staff operator",
    ),
    "POST /buttons/{id}/found": (
        then(revoke, form(ADMIN, "/buttons/0000BEEF/found")), "button.found", "button 0000BEEF", "staff admin"
    ),
    "POST /buttons/{id}/revoke": (
        form(OPERATOR, "/buttons/0000BEEF/revoke", why="stolen"), "button.revoke", "button 0000BEEF", "staff operator"
    ),
    "POST /claim": (
        lambda stage: mine(stage, "/claim", code=CLAIM_CODE), "button.claim", "button 0000F00D", "customer 1"
    ),
    "POST /me/password": (
        lambda stage: own_password(stage), "account.password", "account n.old", "staff n.old"
    ),
    "POST /me/sessions/end": (
        lambda stage: own_sessions(stage, every=True), "session.end", "account n.old", "staff n.old"
    ),
    "POST /me/sessions/{name}/end": (
        lambda stage: own_sessions(stage, every=False), "session.end", "account n.old", "staff n.old"
    ),
    "POST /my/buttons/{id}/lost": (
        lambda stage: mine(stage, "/my/buttons/0000BEEF/lost"), "button.revoke", "button 0000BEEF", "customer 1"
    ),
    "POST /my/password": (
        lambda stage: mine(stage, "/my/password", old=PASSWORD, new=NEW_PASSWORD, again=NEW_PASSWORD),
        "account.password", "customer 1", "customer 1",
    ),
    "POST /my/pickups/{pickup_id}": (
        lambda stage: mine(stage, "/my/pickups/1", step="confirm", **ADDRESS), "pickup.confirm", "order 1", "customer 1"
    ),
    "POST /my/pickups/{pickup_id}/cancel": (
        lambda stage: mine(stage, "/my/pickups/1/cancel"), "pickup.cancel", "order 1", "customer 1"
    ),
    "POST /pickups/{id}/cancel": (
        form(OPERATOR, "/pickups/1/cancel"), "pickup.cancel", "order 1", "staff operator"
    ),
    "POST /sign-in": (lambda stage: signed_in(stage)[1], "session.open", "account n.old", "staff n.old"),
    "POST /sign-out": (form(OPERATOR, "/sign-out"), "session.close", "account operator", "staff operator"),
}  # fmt: skip


def signed_in(stage: Stage) -> tuple[TestClient, int]:
    browser = TestClient(stage.service.app, follow_redirects=False)
    return browser, browser.post("/sign-in", data={"name": "n.old", "password": PASSWORD}).status_code


def own_password(stage: Stage) -> int:
    browser, _ = signed_in(stage)
    new = {"old": PASSWORD, "new": NEW_PASSWORD, "again": NEW_PASSWORD}
    return browser.post("/me/password", data={"csrf": csrf_of(browser.get("/me").text), **new}).status_code


def own_sessions(stage: Stage, *, every: bool) -> int:
    signed_in(stage)
    browser, _ = signed_in(stage)
    page = browser.get("/me").text
    name = page.partition('action="/me/sessions/')[2] if every else page.partition("/me/sessions/end")[2]
    path = (
        "/me/sessions/end" if every else "/me/sessions/" + name.partition('action="/me/sessions/')[2].partition('"')[0]
    )
    return browser.post(path, data={"csrf": csrf_of(page)}).status_code


@pytest.mark.parametrize("route", DEEDS)
def test_what_is_done_stands_in_the_trail_with_who_did_it(stage: Stage, route: str):
    deed, action, subject, actor = DEEDS[route]
    assert deed(stage) < 400
    entry = next((one for one in stage.trail() if one.action == action), None)
    assert entry is not None
    assert entry.subject.startswith(subject)
    assert entry.actor.startswith(actor)
    assert words.sentence(entry) is not None
    said = f"{entry.actor} {entry.subject} {entry.detail}"
    for secret in (PASSWORD, stage.stamp, CLAIM_CODE, "Navettes", "claire@example.org", "trois barques"):
        assert secret not in said


def test_every_route_that_records_was_tried_here_or_in_its_own_test(service: Service):
    """Of the routes of this file's features; others try theirs beside their own pages."""
    known = {name for name, _ in routes(service)}
    assert set(DEEDS) - known == set()


@pytest.mark.parametrize(
    ("role", "path", "status"),
    [
        (OPERATOR, "/pickups/99/cancel", 404),
        (OPERATOR, "/buttons/0000BEEF/revoke", 422),
        (ADMIN, "/buttons/0000BEEF/found", 409),
        (ADMIN, "/access/accounts/99/disable", 404),
        (SUPPORT, "/pickups/1/cancel", 403),
    ],
)
def test_what_was_refused_is_no_deed(stage: Stage, role: Role, path: str, status: int):
    before = stage.trail()
    assert stage.post(role, path) == status
    assert stage.trail() == before


def test_a_sorting_machine_leaves_its_ledger_alone_and_staff_a_deed(stage: Stage):
    confirm(stage)
    before = stage.trail()
    assert by_stamp(Role.SORTER, "redeem", piece="CD604127950FR")(stage) == 200
    assert stage.service.script(Role.SORTER).get(f"/api/stamps/{stage.stamp}").status_code == 200
    assert stage.trail() == before
    assert by_stamp(Role.OPERATOR, "redeem", piece="CD604127964FR")(stage) == 409
    assert stage.service.browser(Role.OPERATOR).get("/find", params={"q": stage.stamp}).status_code == 303
    looked, redeemed = stage.trail()[:2]
    assert (looked.action, looked.detail) == ("stamp.look-up", {"found": "redeemed"})
    assert (redeemed.action, redeemed.detail["outcome"]) == ("stamp.redeem", "already used")


def test_a_button_id_in_the_trail_is_as_the_pages_write_it(stage: Stage):
    assert stage.post(OPERATOR, f"/buttons/{BUTTON:x}/revoke", why="lost") == 303
    assert stage.trail()[0].subject == "button 00D1F3A7"
