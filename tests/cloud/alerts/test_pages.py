"""The pages and the API of alerts: who may see and do what, what they say, and what they never do."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import prometheus_client
import pytest
from starlette.testclient import TestClient

import cloud.audit.store
from cloud import database, pages
from cloud.accounts.model import Role
from cloud.alerts import routes, store
from cloud.alerts.metrics import Alerts
from cloud.alerts.model import BY_NAME, Found, terms
from cloud.alerts.pages import Means
from tests.cloud.alerts.house import SAFE
from tests.cloud.console.service import BUTTON, Service, running_service

SEEN = (
    "/alerts",
    "/alerts/1",
    "/alerts/rows",
    "/alerts/history",
    "/alerts/rules",
    "/alerts/rules/disk",
    "/alerts/routes",
)
OPERATED = {
    "/alerts/1/acknowledge": {"word": "on it"},
    "/alerts/1/close": {},
    "/alerts/silences": {"rule": "disk", "reason": "a larger disk comes", "hours": "1"},
    "/alerts/silences/1/end": {},
    "/alerts/watched": {"button": f"{BUTTON:08X}", "why": "the town hall"},
    f"/alerts/watched/{BUTTON:08X}/remove": {},
}
ADMINISTERED = {
    "/alerts/rules/disk": {"on": "yes", "severity": "warning", "percent": "20"},
    "/alerts/rules/disk/reset": {},
    "/alerts/routes": {"name": "shop-rennes", "kind": "webhook", "to": "https://shop.example/in", "least": "warning"},
    "/alerts/routes/1/secret": {},
    "/alerts/routes/1/switch": {"to": "off"},
    "/alerts/routes/1/test": {},
    "/alerts/routes/1/try": {},
    "/alerts/routes/1/remove": {},
}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running_service(tmp_path) as service:
        service.app.state.alerts = Means(SAFE, {"replays": {"count": 7}})
        now = database.now()
        found = [
            Found("disk", "machine trial", {"percent": "3\u00a0%", "free": 1200, "host": "trial"}),
            Found(
                "replays",
                f"button {BUTTON:08X}",
                {"button": f"{BUTTON:08X}", "count": 38, "minutes": 30},
                [("frame", 9), ("button", BUTTON), ("list", "/live")],
                "35",
            ),
        ]
        of = {name: terms(BY_NAME[name], {"lasts_s": 0}) for name in ("disk", "replays")}
        with service.engine.begin() as conn:
            store.apply(conn, found, of, now)
        yield service


def send(browser: TestClient, path: str, said: dict[str, str], **headers: str):
    csrf = re.search(r'name="csrf" value="([^"]+)"', browser.get("/alerts/rules").text)
    assert csrf, "every signed-in page has a form"
    return browser.post(path, data=said | {"csrf": csrf[1]}, headers=headers)


def test_who_may_see_and_do_what(service: Service):
    viewer, operator, admin = (service.browser(role) for role in (Role.VIEWER, Role.OPERATOR, Role.ADMIN))
    postman, stranger = service.browser(Role.POSTMAN), service.browser()
    stranger.cookies.clear()
    for path in SEEN:
        assert viewer.get(path).status_code == 200, path
        assert postman.get(path).status_code == 403, path
        assert stranger.get(path).headers["location"].startswith("/sign-in"), path
    for path, said in OPERATED.items():
        assert send(viewer, path, said).status_code == 403, path
        assert operator.post(path, data=said).status_code == 403, f"{path} without the form's own mark"
        assert send(operator, path, said).status_code == 303, path
    for path, said in ADMINISTERED.items():
        assert send(operator, path, said).status_code == 403, path
        assert admin.post(path, data=said).status_code == 403, f"{path} without the form's own mark"
        assert send(admin, path, said).status_code in (200, 303), path
    with database.reading(service.engine) as conn:
        done = [entry.action for entry in cloud.audit.store.newest(conn, limit=100)]
    assert set(done) == {
        "alert.acknowledge", "alert.close", "alert.silence", "alert.silence.end", "alert.watch", "alert.unwatch",
        "alert.rule", "alert.route.add", "alert.route.secret", "alert.route.off", "alert.route.test",
        "alert.route.try", "alert.route.remove",
    }  # fmt: skip


def test_a_viewer_is_shown_no_button_that_would_be_refused(service: Service):
    viewer = service.browser(Role.VIEWER)
    for path in SEEN:
        main = viewer.get(path).text.partition("<main")[2]
        assert 'method="post"' not in main, path


@pytest.mark.parametrize("lang", pages.LANGUAGES)
def test_the_list_says_what_is_the_case_in_both_languages(service: Service, lang: str):
    page = service.browser().get(f"/alerts?lang={lang}").text
    said = {"en": "38 replayed within 30 min", "fr": "38 rejouées en 30 min"}[lang]
    assert said in page
    assert f'href="/buttons/{BUTTON:08X}"' in page
    detail = service.browser().get(f"/alerts/2?lang={lang}").text
    for path in ("/frames/9", f"/buttons/{BUTTON:08X}", "/live"):
        assert f'href="{path}"' in detail


def test_an_acknowledgement_from_the_list_gives_the_list(service: Service):
    browser = service.browser()
    answer = send(browser, "/alerts/1/acknowledge", {}, **{"hx-request": "true"})
    assert answer.status_code == 200
    assert answer.text.count('id="alert-') == 2
    assert send(browser, "/alerts/1/acknowledge", {}).status_code == 409
    assert send(browser, "/alerts/99/acknowledge", {}).status_code == 404


def test_what_is_typed_is_escaped_everywhere(service: Service):
    browser, evil = service.browser(Role.ADMIN), "<script>alert(1)</script>"
    send(browser, "/alerts/1/acknowledge", {"word": evil})
    send(browser, "/alerts/silences", {"subject": evil, "reason": evil, "hours": "1"})
    send(browser, "/alerts/watched", {"button": f"{BUTTON:08X}", "why": evil})
    send(browser, "/alerts/routes", {"name": evil, "to": "https://shop.example/?x=<script>"})
    answers = [browser.get(path).text for path in (*SEEN, f"/alerts/history?subject={evil}&department=<b")]
    answers.append(send(browser, "/alerts/routes", {"name": "x", "to": evil}).text)
    for text in answers:
        assert "<script>alert" not in text
        assert "x=<script>" not in text


def test_a_silence_leads_back_to_this_site_alone(service: Service):
    said = {"rule": "disk", "reason": "why", "hours": "1"}
    browser = service.browser()
    for back in ("https://evil.example/", "//evil.example", "\\\\evil.example"):
        assert send(browser, "/alerts/silences", said | {"back": back}).headers["location"] == "/alerts"
    assert send(browser, "/alerts/silences", {"reason": "why", "hours": "1"}).status_code == 422


def test_a_rule_is_changed_within_its_bounds_and_taken_back(service: Service):
    admin = service.browser(Role.ADMIN)
    assert "settings file" in admin.get("/alerts/rules").text
    assert send(admin, "/alerts/rules/replays", {"on": "yes", "severity": "loud"}).status_code == 422
    wrong = send(admin, "/alerts/rules/replays", {"on": "yes", "severity": "urgent", "count": "0"})
    assert wrong.status_code == 422
    assert "count is a number from 1" in wrong.text
    given = service.app.state.alerts.given
    for said, count, is_on in (({"severity": "urgent", "count": "12", "minutes": "30"}, 12, False), (None, 7, True)):
        path = "/alerts/rules/replays" + ("" if said else "/reset")
        assert send(admin, path, said or {}).status_code == 303
        with database.reading(service.engine) as conn:
            now = store.all_terms(conn, given)["replays"]
        assert (now.limit("count"), now.is_on) == (count, is_on)
    assert admin.get("/alerts/rules/none").status_code == 404


def test_a_secret_is_in_one_answer_and_nowhere_else(service: Service, caplog: pytest.LogCaptureFixture):
    admin = service.browser(Role.ADMIN)
    said = {"name": "shop-rennes", "kind": "webhook", "to": "https://shop.example/token-in-path", "least": "warning"}
    page = send(admin, "/alerts/routes", said)
    (secret,) = re.findall(r"whsec_[A-Za-z0-9+/=]+", page.text)
    assert page.headers["cache-control"] == "no-store"
    for path in SEEN:
        assert secret not in admin.get(path).text
    assert send(admin, "/alerts/routes", said).status_code == 422, "a second one of the name"
    with database.reading(service.engine) as conn:
        trail = [entry.detail for entry in cloud.audit.store.newest(conn)]
    assert secret[6:] not in repr(trail)
    assert "token-in-path" not in repr(trail)
    assert b"whsec" not in (Path(service.engine.url.database or "")).read_bytes()
    new = send(admin, "/alerts/routes/1/secret", {}).text
    assert re.findall(r"whsec_[A-Za-z0-9+/=]+", new) != [secret]
    service.app.state.alerts = Means(None)
    assert send(admin, "/alerts/routes/1/secret", {}).status_code == 503


def test_the_history_is_filtered_and_paged(service: Service, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cloud.alerts.pages.ROWS", 1)
    browser = service.browser()
    assert browser.get("/alerts/history").text.count('tabindex="-1"><td>') == 1
    older = browser.get("/alerts/history?before=2").text
    assert "Disk full</span>" in older
    for query, there in (
        ("rule=disk", "3\u00a0% of the disk"),
        ("department=35", "38 replayed"),
        ("state=open", "38 replayed"),
    ):
        assert there in browser.get(f"/alerts/history?{query}").text
    assert "No alert is like this." in browser.get("/alerts/history?department=2B").text
    assert browser.get("/alerts/history?rule=none").status_code == 404


def test_the_bar_and_the_overview_count_and_show(service: Service):
    now = database.now()
    assert '<span id="badge-alerts" hx-swap-oob="true" class="count">2</span>' in service.browser().get("/badges").text
    with database.reading(service.engine) as conn:
        context = store.open_for_overview(conn, now)
        assert store.open_by_department(conn, now) == {"35": 1}
    for lang, said in (("en", "2 open"), ("fr", "2 ouvertes")):
        text = pages.fragment("console/alerts_open.html", lang=lang, now=now, **context)
        assert said in text
        assert text.count("<li>") == 2


def test_scripts_see_acknowledge_and_silence(service: Service):
    viewer, operator = service.script(Role.VIEWER), service.script(Role.OPERATOR)
    first, second = viewer.get("/api/alerts").json()["alerts"]
    assert (first["id"], second["id"]) == (2, 1)
    assert first["sentence"]["fr"].startswith("38 rejouées")
    assert first["evidence"] == ["/frames/9", f"/buttons/{BUTTON:08X}", "/live"]
    assert viewer.get("/api/alerts?rule=disk&state=open&before=2").json()["alerts"] == [second]
    assert viewer.post("/api/alerts/1/acknowledge", json={}).status_code == 403
    assert operator.post("/api/alerts/1/acknowledge", json={"word": "on it"}).json()["word"] == "on it"
    assert operator.post("/api/alerts/1/acknowledge", json={}).status_code == 409
    assert operator.get("/api/alerts/99").status_code == 404
    silence = operator.post("/api/alerts/silences", json={"rule": "disk", "reason": "why", "hours": 2})
    assert silence.status_code == 201
    assert viewer.get("/api/alerts/silences").json()["silences"] == [silence.json()]
    assert operator.post("/api/alerts/silences", json={"reason": "why", "hours": 2}).status_code == 422
    assert operator.delete(f"/api/alerts/silences/{silence.json()['id']}").status_code == 204
    assert operator.delete("/api/alerts/silences/1").status_code == 404
    assert operator.post("/api/alerts/1/close", json={"word": "done"}).json()["state"] == "closed"


def test_metrics_count_what_is_open_and_what_waits(service: Service):
    registry = prometheus_client.CollectorRegistry()
    registry.register(Alerts(service.engine))
    assert registry.get_sample_value("domino_alerts_open", {"rule": "disk"}) == 1
    assert registry.get_sample_value("domino_alerts_open", {"rule": "station"}) == 0
    assert registry.get_sample_value("domino_alert_events_waiting") == 0


def test_a_route_shows_how_it_does(service: Service):
    admin = service.browser(Role.ADMIN)
    send(admin, "/alerts/routes", {"name": "shop-rennes", "to": "https://shop.example/in"})
    send(admin, "/alerts/2/acknowledge", {})
    ill = {"fails": 3, "failing_since": database.now(), "answer": "answered 503"}
    ill["next_at"] = database.now() + timedelta(seconds=40, milliseconds=900)
    with service.engine.begin() as conn:
        conn.execute(routes.alert_routes.update().values(ill))
    for path in ("/alerts", "/alerts/routes"):
        text = admin.get(path).text
        assert re.search(r"next try in (40|39|38) s", text), path
        assert "none lost" in text
