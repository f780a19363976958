"""What holds for every page of staff, and some of customers: no other host, a strict policy, light, for everybody."""

from collections.abc import Iterator

import pytest
from fastapi.routing import iter_route_contexts
from playwright.sync_api import Browser, Response

from cloud import database
from cloud.accounts.model import Role
from tests.browser.desk import Desk, look_over
from tests.cloud.alerts.house import open_alert
from tests.cloud.console.service import Service, running_service, serving

MOST_BYTES = 300_000  # of a page's first load, as it is, before any compression

# An address of every page, by its route.
PAGES = {
    "/": "/",
    "/access": "/access",
    "/access/accounts/new": "/access/accounts/new",
    "/access/accounts/{id}": "/access/accounts/1",
    "/access/tokens/new": "/access/tokens/new",
    "/alerts": "/alerts",
    "/alerts/history": "/alerts/history",
    "/alerts/routes": "/alerts/routes",
    "/alerts/rules": "/alerts/rules",
    "/alerts/rules/{name}": "/alerts/rules/replays",
    "/alerts/{id}": "/alerts/1",
    "/appeals": "/appeals",
    "/audit": "/audit",
    "/buttons": "/buttons",
    "/buttons/import": "/buttons/import",
    "/buttons/{id}": "/buttons/00D1F3A7",
    "/decode": "/decode?data=0001AF004A1419E2FC56ABC7&button=00D1F3A7",
    "/departments": "/departments",
    "/docs/{name}": "/docs/wire-format",
    "/find": "/find?q=nothing+of+this+name",
    "/frames/{id}": "/frames/1",
    "/live": "/live",
    "/me": "/me",
    "/pickups": "/pickups",
    "/pickups/{id}": "/pickups/1",
    "/silent": "/silent",
    "/stamps": "/stamps",
    "/traffic": "/traffic",
    "/traffic/days": "/traffic/days",
}
CUSTOMERS = {"/my": "/my", "/my/password": "/my/password"}
NO_PAGES = {
    *("/appeal", "/appeal/{reference}", "/appeal/outcome", "/claim", "/sign-in"),  # customers' too: test_customer.py
    *("/my/buttons/{id}/lost", "/my/pickups/{pickup_id}", "/my/pickups/{pickup_id}/cancel"),
    *("/alerts/rows", "/badges", "/figures", "/funnel", "/map"),  # parts of pages
    *("/buttons.csv", "/buttons/{id}/frames.csv"),
    "/stream",  # events
    "/replay",  # leads to a page
    *("/health", "/health/live", "/health/ready", "/metrics"),  # JSON and text
    *("/appeals/{id}", "/buttons/imports/{id}"),  # test_console.py and test_fleet.py have one to show
}


def test_no_page_is_forgotten(service: Service):
    routes = {route.path for route in iter_route_contexts(service.app.routes) if "GET" in (route.methods or ())}
    assert {path for path in routes if path and not path.startswith("/api/")} == {*PAGES, *CUSTOMERS} | NO_PAGES


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service")) as service:
        service.press(2)
        service.press(kind="alive")
        service.hear(b"no json")
        with service.engine.begin() as conn:
            open_alert(conn, "35", database.now())
        yield service


@pytest.mark.parametrize("lang", ["en", "fr"])
@pytest.mark.parametrize("address", [*PAGES.values(), *CUSTOMERS.values()])
def test_a_page_is_light_closed_and_for_everybody(chromium: Browser, filled: Service, address: str, lang: str):
    with serving(filled.app) as url:
        role = Role.CUSTOMER if address in CUSTOMERS.values() else Role.ADMIN
        desk = Desk(chromium, filled, url, role, viewport={"width": 1440, "height": 900})
        loaded: list[Response] = []
        desk.context.on("response", lambda one: loaded.append(one))
        page = desk.context.new_page()
        said = page.goto(url + address + ("&" if "?" in address else "?") + f"lang={lang}", wait_until="load")
        assert said is not None
        policy = dict(part.strip().split(" ", 1) for part in said.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"

        page.wait_for_selector("main")
        assert page.locator("html").get_attribute("lang") == lang
        assert page.locator("h1").count() == 1
        assert sum(len(one.body()) for one in loaded if one.ok and "/stream" not in one.url) <= MOST_BYTES
        look_over(page)
        not_found = [one for one in desk.complaints if "404" in one]
        assert [one for one in desk.complaints if one not in (not_found if said.status == 404 else [])] == []
        desk.context.close()
