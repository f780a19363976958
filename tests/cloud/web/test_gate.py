import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from sqlalchemy import event
from starlette.testclient import TestClient

from cloud import database
from cloud.accounts import store as accounts
from cloud.accounts.model import Role
from cloud.health import Part
from cloud.web import BODY_LIMIT, HEADERS
from tests.cloud.web.site import PASSWORD, STARTED, Site, csrf_of


def _routes(site: Site) -> Iterator[tuple[str, str]]:
    for route in iter_route_contexts(site.app.routes):
        for method in sorted(getattr(route, "methods", None) or ()):
            yield method, str(route.path).partition("{")[0] + ("1" if "{" in str(route.path) else "")


def test_every_route_answers_with_the_security_headers(site: Site) -> None:
    visitor = site.visitor()
    asked = [
        *_routes(site),
        ("GET", "/nothing/here"),
        ("GET", "/static/domino.css"),
        ("GET", "/static/vendor/x.js"),
        ("PUT", "/sign-in"),
    ]
    assert ("POST", "/my/pickups/1") in asked
    for method, path in asked:
        answer = visitor.request(method, path)
        missing = [name for name in HEADERS if name not in answer.headers]
        assert not missing, (method, path, answer.status_code, missing)
        assert answer.status_code < 500, (method, path)
        if not path.startswith("/static/"):
            assert answer.headers["cache-control"] == "no-store", (method, path)


def test_the_policy_lets_nothing_foreign_in_and_no_inline_code(site: Site) -> None:
    policy = site.visitor().get("/sign-in").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.fixture
def broken(site: Site) -> TestClient:
    @site.app.get("/broken")
    @site.app.get("/api/broken")
    def fail() -> None:
        raise RuntimeError("a bug that knows a secret")

    return TestClient(site.app, raise_server_exceptions=False, headers={"accept-language": "fr"})


def test_a_bug_is_told_without_its_details_and_with_the_headers(broken: TestClient) -> None:
    page, json = broken.get("/broken"), broken.get("/api/broken")
    assert page.status_code == json.status_code == 500
    assert "Une panne de notre côté" in page.text
    assert json.json()["error"]["code"] == "internal_server_error"
    for answer in (page, json):
        assert "secret" not in answer.text
        assert not set(HEADERS) - set(answer.headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://testserver:81"},
        {"origin": "http://["},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": "http://testserver"},
    ],
)
@pytest.mark.parametrize("path", ["/sign-in", "/claim", "/sign-out", "/my/pickups/1", "/api/buttons"])
def test_a_form_of_another_site_is_refused(site: Site, path: str, headers: dict[str, str]) -> None:
    answer = site.visitor().post(path, data={"name": "a"}, headers=headers)
    assert answer.status_code == 403
    assert "another site" in answer.text or "Not for this account" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://testserver"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "same-origin", "origin": "null"},
    ],
)
def test_our_own_forms_pass(site: Site, headers: dict[str, str]) -> None:
    site.account("claire@example.org")
    form = {"name": "claire@example.org", "password": PASSWORD}
    assert site.visitor().post("/sign-in", data=form, headers=headers).status_code == 303


def test_reading_from_another_site_is_no_form(site: Site) -> None:
    assert site.visitor().get("/sign-in", headers={"sec-fetch-site": "cross-site"}).status_code == 200


def _chunks() -> Iterator[bytes]:
    for _ in range(BODY_LIMIT // 1000 + 1):
        yield b"x" * 1000


@pytest.mark.parametrize("body", [b"x" * (BODY_LIMIT + 1), pytest.param("chunks", id="of unknown length")])
@pytest.mark.parametrize("path", ["/sign-in", "/claim"])
def test_a_body_over_the_limit_is_refused(site: Site, path: str, body: Any) -> None:
    content = _chunks() if body == "chunks" else body
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = site.visitor().post(path, content=content, headers=form)
    assert answer.status_code == 413
    assert "Too large" in answer.text
    assert not set(HEADERS) - set(answer.headers)


def test_unknown_paths_are_pages_or_json_by_where_they_are(site: Site) -> None:
    page, json = site.visitor().get("/nothing"), site.visitor().get("/api/nothing")
    assert page.status_code == json.status_code == 404
    assert "There is nothing here" in page.text
    assert json.json() == {"error": {"code": "not_found", "message": "Not Found"}}


def test_the_api_wants_a_bearer_token_with_the_right(site: Site) -> None:
    now = database.now()
    with site.engine.begin() as conn:
        viewer = accounts.create_token(conn, name="grafana", role=Role.VIEWER, now=now)
        sorter = accounts.create_token(conn, name="machine 3", role=Role.SORTER, now=now)
        expired = accounts.create_token(conn, name="old", role=Role.ADMIN, now=now, expires_at=now)
    visitor = site.visitor()
    for authorization in (None, "Basic YTpi", "Bearer domino_wrong", f"Bearer {expired}"):
        answer = visitor.get("/api/buttons", headers={"authorization": authorization} if authorization else {})
        assert answer.status_code == 401, authorization
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"]["code"] == "unauthorized"
        assert expired not in answer.text
    assert visitor.get("/api/buttons", headers={"authorization": f"Bearer {sorter}"}).status_code == 403
    assert visitor.get("/api/buttons", headers={"authorization": f"Bearer {viewer}"}).status_code == 200


def test_a_session_cookie_opens_no_api(site: Site) -> None:
    site.account("boss", Role.ADMIN)
    assert site.signed_in("boss").get("/api/buttons").status_code == 401


def test_the_api_describes_itself_and_nothing_but_itself(site: Site) -> None:
    described = site.visitor().get("/api/openapi.json").json()["paths"]
    assert described
    assert all(path.startswith("/api/") for path in described)
    for page in ("/docs", "/redoc", "/openapi.json"):
        assert site.visitor().get(page).status_code == 404


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
def test_health_tells_each_part_with_its_reason_and_fails_with_any(site: Site, path: str) -> None:
    well = site.visitor().get(path)
    since = {"database": "2026-11-23T06:00:00+00:00", "broker": "2026-11-23T06:00:00+00:00"}
    told = {"status": "up", "parts": {"database": "up", "broker": "up"}, "since": since, "why": {}}
    assert (well.status_code, well.json()) == (200, told)
    site.health["broker"] = Part("it does not answer", STARTED + timedelta(hours=1))
    ill = site.visitor().get(path)
    assert (ill.status_code, ill.json()["parts"]) == (503, {"database": "up", "broker": "down"})
    assert ill.json()["why"] == {"broker": "it does not answer"}
    assert ill.json()["since"]["broker"] == "2026-11-23T07:00:00+00:00"


def test_a_service_that_is_not_ready_is_alive_all_the_same(site: Site) -> None:
    site.health["broker"] = Part("it does not answer", STARTED)
    assert site.visitor().get("/health/live").status_code == 200


def test_metrics_are_in_the_format_of_prometheus(site: Site) -> None:
    answer = site.visitor().get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")


def test_what_was_typed_stands_in_no_error_and_no_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    site.account("claire@example.org")
    visitor = site.visitor()
    answers = [
        visitor.post("/sign-in", data={"name": "claire@example.org", "password": "tres secret 123"}),
        visitor.post("/claim", data={"name": "x", "password": "tres secret 123", "code": "7K4F"}),
        visitor.post("/sign-in", json={"password": "tres secret 123"}),
    ]
    mine = site.signed_in("claire@example.org")
    csrf = csrf_of(mine.get("/my").text)
    cookie = mine.cookies["domino_session"]
    answers += [mine.post("/my/pickups/1", data={"csrf": csrf, "step": "tres secret 123"}), mine.get("/nothing")]
    said = caplog.text + "".join(answer.text for answer in answers)
    for secret in ("tres secret 123", PASSWORD, cookie):
        assert secret not in said
    assert csrf not in caplog.text


def test_a_database_that_is_locked_is_a_busy_site_and_no_bug(site: Site) -> None:
    site.account("claire@example.org")
    event.listen(site.engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=10"))
    site.engine.dispose()  # so that every connection is a new one
    with site.engine.begin():  # keeps the one writer's lock
        answer = site.visitor().post("/sign-in", data={"name": "claire@example.org", "password": PASSWORD})
    assert answer.status_code == 503
    assert "Try again" in answer.text
