"""The time machine in a real browser: an hour ago at sixty times, from the stream to a thread, a button and lists."""

import re
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

import cloud.pickups.store
from cloud import database
from cloud.accounts.model import Role
from cloud.fleet.store import buttons
from cloud.replay import Replay
from tests.browser.desk import PICTURES, Desk, faults
from tests.cloud.alerts.house import open_alert
from tests.cloud.console.lives import ADDRESSEE
from tests.cloud.console.service import Service, serving

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def fill(service: Service) -> None:
    """A press 59 minutes ago, confirmed 14 minutes later; others all along, and one just now."""
    before = database.now() - HOUR
    with service.engine.begin() as conn:
        conn.execute(buttons.update().values(created_at=before - HOUR))
    service.press(2, now=before + MINUTE)
    for minute in range(2, 14):
        service.press(kind="alive", now=before + minute * MINUTE)
    with service.engine.begin() as conn:
        cloud.pickups.store.confirm(conn, 1, ADDRESSEE, "customer c.morvan@example.org", before + 15 * MINUTE)
        open_alert(conn, "35", before + 3 * MINUTE)
    service.press(now=database.now())


def replayed(page: Page) -> str:
    """The replay that the page's address names."""
    return parse_qs(urlsplit(page.url).query)["replay"][0]


def test_somebody_watches_an_hour_opens_a_thread_and_sees_it_move_on(desk: Desk, service: Service):
    fill(service)
    page = desk.open(f"/live?replay={Replay(database.now() - HOUR - MINUTE, database.now(), 60)}")
    expect(page.locator("#live")).to_have_text("replayed, no gap")
    page.locator("#frames tr").get_by_role("link", name="1", exact=True).first.click()

    page.wait_for_url(re.compile(r"/pickups/1\?replay="))
    clock = replayed(page)
    assert clock.endswith("~60")
    expect(page.locator("ol > li").last).to_contain_text("Confirmation expected")
    page.evaluate("window.sameDocument = true")
    expect(page.locator("main")).to_contain_text("by customer c.morvan@example.org")  # a quarter of an hour later
    expect(page.locator("ol > li").last).to_contain_text("Collection expected")
    assert page.evaluate("window.sameDocument")
    assert replayed(page) == clock

    page.locator(".names").get_by_role("link", name="00D1F3A7").click()
    expect(page.get_by_role("heading", name="Button 00D1F3A7")).to_be_visible()
    assert replayed(page) == clock
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Silent").click()
    expect(page.locator(".past.beside")).to_contain_text("This page has no past: it shows now.")
    assert replayed(page) == clock
    page.get_by_role("link", name="To the replayed stream").click()
    expect(page.locator("#live")).to_have_text("replayed, no gap")
    page.go_back()
    page.go_back()
    page.go_back()
    expect(page.locator("ol > li").last).to_contain_text("Collection expected")
    assert replayed(page) == clock


def test_an_order_that_is_not_there_yet_comes_by_itself(desk: Desk, service: Service):
    fill(service)
    # 120 s before its press, so that it comes two seconds later.
    page = desk.open(f"/pickups/1?replay={Replay(database.now() - HOUR - 2 * MINUTE, database.now(), 60)}")
    expect(page.get_by_role("heading", name="Order 1 was not yet there at")).to_be_visible()
    expect(page.get_by_role("heading", name="Press of")).to_be_visible()
    page.get_by_role("link", name="Back to now").click()
    expect(page.locator(".past")).to_have_count(0)
    assert desk.complaints == [one for one in desk.complaints if "404" in one]
    desk.complaints.clear()


def test_the_search_finds_within_the_replay(desk: Desk, service: Service):
    fill(service)
    page = desk.open(f"/?replay={Replay(database.now() - HOUR / 2, database.now(), 0)}")
    page.get_by_label("Find").fill("00D1F3A7")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/buttons/00D1F3A7\?replay="))
    expect(page.locator(".past")).to_contain_text("it stands")
    expect(page.locator(".past")).not_to_have_class(re.compile("beside"))


@pytest.mark.parametrize(("theme", "lang"), [("light", "en"), ("dark", "fr")])
@pytest.mark.parametrize("width", [1440, 390])
def test_everybody_can_use_a_replayed_page(chromium: Browser, service: Service, theme: str, lang: str, width: int):
    fill(service)
    PICTURES.mkdir(parents=True, exist_ok=True)
    then = Replay(database.now() - HOUR + 10 * MINUTE, database.now(), 0)
    with serving(service.app) as url:
        desk = Desk(chromium, service, url, Role.ADMIN, viewport={"width": width, "height": 900}, color_scheme=theme)
        for name, path in {
            "thread": "/pickups/1",
            "not-yet": "/pickups/2",
            "button": "/buttons/00D1F3A7",
            "frame": "/frames/1",
            "orders": "/pickups",
            "alerts": "/alerts",
            "alert": "/alerts/1",
            "silent": "/silent",
            "fleet": "/buttons",
            "overview": "/",
            "account": "/access/accounts/new",
        }.items():
            page = desk.open(f"{path}?replay={then}&lang={lang}")
            page.wait_for_selector(".past")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path} is wider than the screen"
            assert faults(page) == [], path
            page.screenshot(path=PICTURES / f"replay-{name}-{lang}-{theme}-{width}.png", full_page=width < 700)
            page.close()
        desk.context.close()
        assert [one for one in desk.complaints if "404" not in one] == []
