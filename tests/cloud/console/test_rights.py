"""Who may ask for what: every route of the whole service, asked by every role."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.testclient import TestClient

import cloud.accounts.store
from cloud import database
from cloud.accounts import guard
from cloud.accounts.model import RIGHTS, Right, Role
from tests.cloud.console.service import Service
from tests.cloud.web.site import csrf_of

ANYONE, SIGNED_IN, STAFF = "anyone", "signed in", "staff"

# What each route wants. A route that is not here is asked all the same, by what its own door says, and must have one.
WANTS: dict[str, Right | str] = {
    "GET /": Right.SEE,
    "GET /access": Right.ADMINISTER,
    "POST /access/accounts": Right.ADMINISTER,
    "GET /access/accounts/new": Right.ADMINISTER,
    "GET /access/accounts/{id}": Right.ADMINISTER,
    "POST /access/accounts/{id}/disable": Right.ADMINISTER,
    "POST /access/accounts/{id}/enable": Right.ADMINISTER,
    "POST /access/accounts/{id}/password": Right.ADMINISTER,
    "POST /access/accounts/{id}/role": Right.ADMINISTER,
    "POST /access/tokens": Right.ADMINISTER,
    "GET /access/tokens/new": Right.ADMINISTER,
    "POST /access/tokens/{id}/revoke": Right.ADMINISTER,
    "GET /api/appeals": Right.JUDGE,
    "POST /api/appeals": Right.JUDGE,
    "GET /api/appeals/{id}": Right.JUDGE,
    "POST /api/appeals/{id}/decide": Right.JUDGE,
    "GET /api/buttons": Right.SEE,
    "POST /api/buttons": Right.ADMINISTER,
    "GET /api/buttons/{id}": Right.SEE,
    "GET /api/buttons/{id}/downlinks": Right.SEE,
    "POST /api/buttons/{id}/downlinks": Right.OPERATE,
    "POST /api/buttons/{id}/downlinks/{downlink}/cancel": Right.OPERATE,
    "POST /api/buttons/{id}/found": Right.ADMINISTER,
    "GET /api/buttons/{id}/link": Right.SEE,
    "POST /api/buttons/{id}/revoke": Right.OPERATE,
    "GET /api/frames": Right.SEE,
    "GET /api/openapi.json": ANYONE,
    "GET /api/pickups": Right.SEE,
    "GET /api/pickups/{id}": Right.SEE,
    "POST /api/pickups/{id}/cancel": Right.OPERATE,
    "POST /api/pickups/{id}/confirm": Right.OPERATE,
    "POST /api/stamps/read": Right.READ_STAMPS,
    "POST /api/stamps/read/batch": Right.READ_STAMPS,
    "POST /api/stamps/read/picture": Right.READ_STAMPS,
    "POST /api/stamps/redeem": Right.REDEEM,
    "POST /api/stamps/void": Right.OPERATE,
    "GET /api/stamps/{code}": Right.READ_STAMPS,
    "GET /appeal": ANYONE,
    "POST /appeal": ANYONE,
    "GET /appeal/outcome": ANYONE,
    "GET /appeal/{reference}": ANYONE,
    "GET /appeals": Right.JUDGE,
    "GET /appeals/{id}": Right.JUDGE,
    "POST /appeals/{id}/decide": Right.JUDGE,
    "GET /audit": Right.ADMINISTER,
    "GET /badges": Right.SEE,
    "GET /buttons": Right.SEE,
    "GET /buttons/{id}": Right.SEE,
    "POST /buttons/{id}/downlinks": Right.OPERATE,
    "POST /buttons/{id}/downlinks/{downlink}/cancel": Right.OPERATE,
    "POST /buttons/{id}/found": Right.ADMINISTER,
    "POST /buttons/{id}/revoke": Right.OPERATE,
    "GET /claim": ANYONE,
    "POST /claim": ANYONE,  # by who has the code; a session's own form carries its token
    "GET /figures": Right.SEE,
    "GET /find": Right.SEE,
    "GET /frames/{id}": Right.SEE,
    "GET /health": ANYONE,
    "GET /health/live": ANYONE,
    "GET /health/ready": ANYONE,
    "GET /me": STAFF,
    "POST /me/password": STAFF,
    "POST /me/sessions/end": STAFF,
    "POST /me/sessions/{name}/end": STAFF,
    "GET /metrics": ANYONE,
    "GET /my": Right.OWN,
    "GET /my/buttons/{id}/lost": Right.OWN,
    "POST /my/buttons/{id}/lost": Right.OWN,
    "GET /my/password": Right.OWN,
    "POST /my/password": Right.OWN,
    "GET /my/pickups/{pickup_id}": Right.OWN,
    "POST /my/pickups/{pickup_id}": Right.OWN,
    "GET /my/pickups/{pickup_id}/cancel": Right.OWN,
    "POST /my/pickups/{pickup_id}/cancel": Right.OWN,
    "GET /pickups": Right.SEE,
    "GET /pickups/{id}": Right.SEE,
    "POST /pickups/{id}/cancel": Right.OPERATE,
    "GET /sign-in": ANYONE,
    "POST /sign-in": ANYONE,
    "POST /sign-out": SIGNED_IN,
    "GET /stamps": Right.READ_STAMPS,
    "GET /stream": Right.SEE,
    "GET /traffic": Right.SEE,
}

# What a role may, told once more: of a change in RIGHTS this asks whether it was meant.
MAY = {
    Role.CUSTOMER: {Right.OWN},
    Role.VIEWER: {Right.SEE},
    Role.SUPPORT: {Right.SEE, Right.READ_STAMPS, Right.JUDGE},
    Role.OPERATOR: {Right.SEE, Right.READ_STAMPS, Right.JUDGE, Right.OPERATE, Right.REDEEM, Right.COLLECT},
    Role.ADMIN: {*Right} - {Right.OWN},
    Role.POSTMAN: {Right.COLLECT},
    Role.SORTER: {Right.READ_STAMPS, Right.REDEEM},
}
NOBODYS = "999999999"  # an id that nothing has


def routes(service: Service) -> Iterator[tuple[str, str, Any]]:
    for route in iter_route_contexts(service.app.routes):
        for method in sorted(set(getattr(route, "methods", None) or ()) - {"HEAD"}):
            yield method, str(route.path), route


def calls(route: Any) -> list[Any]:
    """Everything that is called before the route's own function."""
    dependant = getattr(route, "dependant", None) or getattr(getattr(route, "original_route", route), "dependant", None)
    found, left = [], list(dependant.dependencies) if dependant else []
    while left:
        one = left.pop()
        found.append(one.call)
        left += one.dependencies
    return found


def wanted(method: str, path: str, route: Any) -> Right | str | None:
    if told := WANTS.get(f"{method} {path}"):
        return told
    for call in calls(route):
        if call.__qualname__ in ("signed_in.<locals>.check", "bearer.<locals>.check"):
            return inspect.getclosurevars(call).nonlocals["right"]
        if call is guard.staff:
            return STAFF
    return None


def is_allowed(role: Role | None, right: Right | str) -> bool:
    if right == ANYONE:
        return True
    if role is None:
        return False
    return right == SIGNED_IN or (role is not Role.CUSTOMER if right == STAFF else right in RIGHTS[role])


@pytest.mark.parametrize("role", [None, *Role], ids=str)
def test_every_route_is_open_to_who_has_its_right_and_to_nobody_else(service: Service, role: Role | None):
    wrong, asker = [], Asker(service, role)
    # Signing out comes last, and what refuses by itself is in test_sign_in and test_claim.
    for method, path, route in sorted(routes(service), key=lambda one: one[1] == "/sign-out"):
        if (method, path) in (("POST", "/sign-in"), ("POST", "/claim")):
            continue
        right = wanted(method, path, route)
        assert right is not None, f"{method} {path} has no door: say in WANTS who may ask for it"
        may = is_allowed(role, right)
        if inspect.isasyncgenfunction(route.endpoint) and may:
            continue  # a stream without an end
        status = asker.ask(method, path)
        is_refused = status in (401, 403) or (status == 303 and not may)  # to the sign-in, or a customer to their own
        if is_refused is may:
            wrong.append((method, path, right, status))
    assert wrong == []


class Asker:
    """One role's browser and script; what they name is not there, so nothing is done."""

    def __init__(self, service: Service, role: Role | None) -> None:
        self.role = role
        self.browser = service.browser(role) if role else TestClient(service.app, follow_redirects=False)
        self.script = service.script(role) if role else TestClient(service.app)
        self.csrf = csrf_of(self.browser.get("/my" if role is Role.CUSTOMER else "/me").text)

    def ask(self, method: str, path: str) -> int:
        there = re.sub(r"{\w+}", NOBODYS, path)
        if path.startswith("/api/"):
            return self.script.request(method, there, json={}).status_code
        form = {"csrf": self.csrf} if method == "POST" else {}
        return self.browser.request(method, there, data=form).status_code


def test_the_table_speaks_of_routes_that_are_there(service: Service):
    there = {f"{method} {path}" for method, path, _ in routes(service)}
    assert set(WANTS) - there == set()


def test_roles_have_the_rights_that_were_decided():
    assert {role: RIGHTS[role] for role in MAY} == MAY
    assert not RIGHTS[Role.POSTMAN] & {Right.ADMINISTER, Right.OPERATE, Right.JUDGE, Right.OWN, Right.SEE}


def test_every_form_of_a_session_carries_its_token(service: Service):
    """All that changes something by a cookie is checked against forgery; the API has no cookie."""
    unchecked = [
        f"{method} {path}"
        for method, path, route in routes(service)
        if method not in ("GET", "OPTIONS") and not path.startswith("/api/") and guard.csrf_checked not in calls(route)
    ]
    # Without a session there is no token yet; of another site they are refused by their Origin. /claim checks by hand.
    assert set(unchecked) == {"POST /sign-in", "POST /appeal", "POST /claim"}


def test_nothing_is_changed_by_a_get(service: Service):
    for method, path, route in routes(service):
        if method == "GET" and isinstance(route, APIRoute):
            assert route.methods == {"GET"}, path


@pytest.mark.parametrize(("role", "sees"), [(Role.VIEWER, False), (Role.SUPPORT, True), (Role.ADMIN, True)])
def test_a_live_code_is_told_to_tokens_that_may_read_stamps_alone(service: Service, role: Role, sees: bool):
    with service.engine.begin() as conn:
        owner = cloud.accounts.store.add(
            conn,
            name="c@example.org",
            display_name="C",
            role=Role.CUSTOMER,
            password="quatre navettes",
            now=database.now(),
        )
    service.add_button(0x00D1F3A8, "35 Rennes", owner.id)
    service.press(device=0x00D1F3A8)
    script = service.script(role)
    [frame] = script.get("/api/frames").json()["frames"]
    order = script.get("/api/pickups/1").json()
    assert (frame["stamp"] is not None, order["stamp"]["code"] is not None) == (sees, sees)
    assert order["stamp"]["state"] == "reserved"
