"""The life of an alert in a real browser: it appears, is acknowledged by key, silenced, resolved, and is history."""

import re
from datetime import timedelta

import prometheus_client
import pytest
from playwright.sync_api import Browser, expect

from cloud import database
from cloud.accounts.model import Role
from cloud.alerts import routes, store
from cloud.alerts.checks import Around
from cloud.alerts.keeper import Watch
from cloud.alerts.model import Severity, silence
from cloud.alerts.pages import Means
from cloud.alerts.routes import Kind
from cloud.health import Part
from tests.browser.desk import Desk, look_over
from tests.cloud.alerts.house import SAFE
from tests.cloud.console.service import BUTTON, Service, serving
from tests.sealing import callback, seal


class Trouble:
    """What the watch sees of its process, as the test wants it."""

    def __init__(self, service: Service) -> None:
        self.why: str | None = None
        self.free = 50
        self.now = database.now() - timedelta(minutes=10)
        service.app.state.alerts = Means(SAFE)
        around = Around("trial", health=self.health, disk=lambda: (self.free, 100))
        registry = prometheus_client.CollectorRegistry()
        self._watch = Watch(service.engine, around, registry=registry, changed=service.bell.ring, name="trial")
        self.look()

    def health(self) -> dict[str, Part]:
        return {"broker": Part(self.why, self.now)}

    def look(self, **later: float) -> None:
        self.now += timedelta(**later)
        assert self._watch.tend(self.now)


@pytest.fixture
def trouble(service: Service) -> Trouble:
    return Trouble(service)


def test_the_life_of_an_alert(desk: Desk, service: Service, trouble: Trouble):
    page = desk.open("/alerts")
    page.evaluate("window.sameDocument = true")
    expect(page.get_by_text("Nothing is open.")).to_be_visible()

    trouble.why = "it takes no messages"
    trouble.look()
    trouble.look(seconds=35)

    row = page.locator("#alert-1")
    expect(row).to_contain_text("broker is not well: it takes no messages")
    expect(row).to_contain_text("nobody yet")
    page.keyboard.press("j")
    expect(row).to_be_focused()
    page.keyboard.press("a")
    expect(row).to_contain_text("operator")
    expect(row.get_by_role("button")).to_have_count(0)
    expect(row).to_be_focused()  # the list came anew, and the hand is where it was
    assert page.evaluate("window.sameDocument")

    page.keyboard.press("Enter")
    page.wait_for_url("**/alerts/1")
    page.locator("#silence").get_by_label("Why").fill("the broker is being moved")
    page.locator("#silence").get_by_role("button", name="Silence it").click()
    expect(page.locator("#silence")).to_contain_text("the broker is being moved, until")
    page.get_by_role("link", name="Open alerts").click()
    expect(page.locator("#open h2")).to_have_text("0 open, 1 silenced")

    trouble.why = None
    trouble.look(seconds=5)
    trouble.look(seconds=31)
    expect(page.get_by_text("Nothing is open.")).to_be_visible()
    page.get_by_role("button", name="End silence 1").click()
    expect(page.get_by_text("Nothing is silenced.")).to_be_visible()

    page.get_by_role("link", name="History").click()
    line = page.locator("tbody tr")
    expect(line).to_have_count(1)
    expect(line).to_contain_text("resolved")
    line.get_by_role("link").first.click()
    expect(page.locator(".life li")).to_have_text(
        [re.compile("opened$"), re.compile("acknowledged .*staff operator"), re.compile("resolved$")]
    )


def test_the_bar_counts_what_nobody_has_seen_to(desk: Desk, service: Service, trouble: Trouble):
    trouble.free = 3
    trouble.look()
    trouble.look(seconds=61)
    page = desk.open("/alerts")
    expect(page.locator("#badge-alerts")).to_have_text("1")
    page.get_by_role("button", name="Acknowledge alert 1").click()
    expect(page.locator("#alert-1")).to_contain_text("operator")
    page.reload()
    expect(page.locator("#alert-1")).to_be_visible()
    expect(page.locator("#badge-alerts")).to_have_text("")


def test_a_webhook_is_set_up_and_its_secret_is_seen_once(chromium: Browser, service: Service, trouble: Trouble):
    with serving(service.app) as url:
        desk = Desk(chromium, service, url, role=Role.ADMIN)
        page = desk.open("/alerts/routes")
        page.get_by_label("Name").fill("shop-rennes")
        page.get_by_label("To: the webhook").fill("https://shop.example/in")
        page.get_by_role("button", name="Add route").click()
        secret = page.locator("#secret").text_content() or ""
        assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", secret)
        page.goto(f"{url}/alerts/routes")
        expect(page.locator("#route-1")).to_contain_text("https://shop.example/in")
        assert secret not in page.content()
        desk.context.close()
        assert desk.complaints == []


def fill(service: Service, trouble: Trouble) -> None:
    """Alerts of many kinds, a silence, routes that do well and ill."""
    now = trouble.now
    with service.engine.begin() as conn:
        for name, to, kind in (
            ("shop-rennes", "https://shop.example/in", Kind.WEBHOOK),
            ("night desk", "night@post.example, chief@post.example", Kind.MAIL),
        ):
            said = {"least": Severity.WARNING, "rules": None, "lang": "fr", "by": "staff admin", "now": now}
            routes.add_route(conn, name=name, kind=kind, to=to, safe=SAFE, **said)
        ill = {
            "fails": 3,
            "failing_since": now,
            "answer": "answered 503",
            "next_at": database.now() + timedelta(hours=1),
        }
        conn.execute(routes.alert_routes.update().where(routes.alert_routes.c.id == 1).values(ill))
    for count in range(12):
        service.hear(callback(BUTTON, seal(device=BUTTON, key=bytes(16), counter=count + 1)), now=now)
        service.hear(callback(0xFE03D1A0, bytes(12)), b"no json", device=0xFE03D1A0, now=now)
    service.press(now=now)
    trouble.why, trouble.free = "it takes no messages", 3
    trouble.look()
    trouble.look(seconds=65)
    trouble.look(seconds=5)
    with service.engine.begin() as conn:
        store.acknowledge(conn, 1, by="staff n.arnaud", word="I am on it", now=database.now())
        asked = {"rule": "disk", "subject": "", "department": "", "reason": "a larger disk comes today", "hours": 8.0}
        store.add_silence(conn, silence(**asked, by="staff n.arnaud", now=database.now()))
        store.watch(conn, BUTTON, why="the town hall of Rennes", by="staff n.arnaud", now=database.now())


PAGES = (
    "/alerts", "/alerts/1", "/alerts/history", "/alerts/rules", "/alerts/rules/replays", "/alerts/routes",
)  # fmt: skip


def test_the_pages_can_be_used_by_everybody_when_much_is_wrong(chromium: Browser, service: Service, trouble: Trouble):
    fill(service, trouble)
    with serving(service.app) as url:
        desk = Desk(chromium, service, url, role=Role.ADMIN)
        for path in PAGES:
            for lang in ("fr", "en"):
                page = desk.open(f"{path}?lang={lang}")
                look_over(page)
                page.close()
        desk.context.close()
        assert desk.complaints == []


def test_a_first_load_is_small(desk: Desk, service: Service, trouble: Trouble):
    fill(service, trouble)
    sizes: list[int] = []
    desk.context.on("response", lambda answer: sizes.append(len(answer.body())))
    page = desk.open("/alerts")
    page.wait_for_load_state("networkidle")
    assert sum(sizes) < 300_000
