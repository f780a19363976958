"""The overview in a real browser: its figures, funnel and map as they change, for everybody, in both themes."""

import re
from datetime import timedelta

from playwright.sync_api import Browser, expect

import cloud.pickups.store
from cloud import database, gauges
from cloud.console.keeper import SILENCE, STAMPS
from cloud.places.model import Address
from tests.browser.desk import Desk, look_over
from tests.cloud.alerts.house import open_alert
from tests.cloud.console.service import Service, serving

ADDRESS = Address.of(["Mme Hélène Vasseur", "", "", "12 rue de la République", "", "69001 Lyon"])
FIRST_LOAD = 300_000  # bytes, not compressed
PLACES = {0x00C2917E: "69 Lyon", 0x00A17C52: "63 Riom", 0x00E4580D: "2B Bastia", 0x00C01D17: "974 Saint-Denis"}


def fill(service: Service) -> None:
    """A few departments with presses, silence and an old count of the stamps."""
    for device, place in PLACES.items():
        service.add_button(device, place)
        service.press(device=device)
    for _ in range(12):
        service.press(kind="alive")
    service.press()
    service.hear(b"no json", b"nor this", b"nor that")
    with service.engine.begin() as conn:
        cloud.pickups.store.confirm(conn, 1, ADDRESS, "customer c.morvan@example.org", database.now())
        now = database.now()
        gauges.put(conn, STAMPS, now - timedelta(minutes=4), {"live": 4_980_000, "minted": 212_400})
        silent = {"buttons": 5, "silent": 2, "buttons 2B": 4, "silent 2B": 2, "buttons 69": 1, "silent 69": 0}
        gauges.put(conn, SILENCE, now - timedelta(minutes=1), silent)


def test_figures_funnel_and_map_follow_without_a_reload(desk: Desk, service: Service):
    page = desk.overview()
    page.evaluate("window.sameDocument = true")
    service.press()

    expect(page.locator("#kpis")).to_contain_text("1 in the last hour")
    expect(page.locator("#counts .fun")).to_contain_text("1")
    expect(page.locator("#map title", has_text="Ille-et-Vilaine (35), 1 press")).to_have_count(1)
    assert page.evaluate("window.sameDocument")


def test_a_pick_recolours_the_map_keeps_the_stream_and_stands_in_the_address(desk: Desk, service: Service):
    fill(service)
    page = desk.overview()
    page.evaluate("window.sameDocument = true")

    page.locator("#map").get_by_role("link", name="silence").click()
    expect(page.get_by_role("heading", name="Silent buttons")).to_be_visible()
    expect(page.locator("#map title", has_text="Haute-Corse (2B), 2 of 4 silent")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"/\?map=silence$"))
    expect(page.locator("#by-silence")).to_be_focused()
    page.locator("#counts nav a").first.click()
    expect(page).to_have_url(re.compile(r"/\?map=silence&day=\d{4}-\d\d-\d\d$"))
    expect(page.locator("#counts")).to_contain_text("Nothing was pressed on this day.")
    page.locator("#map").get_by_role("link", name="link").click()
    expect(page).to_have_url(re.compile(r"/\?map=link&day=\d{4}-\d\d-\d\d$"))

    service.press(kind="alive")
    expect(page.locator("#frames tr")).to_have_count(21)
    assert page.evaluate("window.sameDocument")
    page.reload()
    expect(page.get_by_role("heading", name="Weak links, 24 h")).to_be_visible()
    expect(page.locator("#counts")).to_contain_text("Nothing was pressed on this day.")


def test_map_and_funnel_work_without_scripts(chromium: Browser, service: Service):
    fill(service)
    with serving(service.app) as url:
        desk = Desk(chromium, service, url, java_script_enabled=False)
        page = desk.open()
        page.locator("#map").get_by_role("link", name="silence").click()
        expect(page.get_by_role("heading", name="Silent buttons")).to_be_visible()
        page.locator("#map").get_by_role("link", name="List").click()
        expect(page.get_by_role("heading", name="Departments")).to_be_visible()
        expect(page.locator("tbody tr").first).to_contain_text("Haute-Corse")
        desk.context.close()


def test_the_first_load_is_small(desk: Desk, service: Service):
    fill(service)
    for _ in range(10):
        service.hear(*[b"no json"] * 5)  # a full table
    page = desk.context.new_page()
    sizes: dict[str, int] = {}
    page.on("response", lambda answer: sizes.update({answer.url: len(answer.body())}) if answer.ok else None)
    page.route("**/stream*", lambda route: route.abort())  # it has no end, and is no part of the load
    page.goto(desk.url + "/", wait_until="load")
    page.unroute_all()
    assert any(name.endswith("htmx.min.js") for name in sizes)
    assert any(name.endswith("overview.css") for name in sizes)
    assert sum(sizes.values()) < FIRST_LOAD, sizes
    assert len(page.locator("#map").evaluate("node => node.outerHTML")) < 40_000
    page.close()
    desk.complaints.clear()  # that the stream could not be had


def test_everybody_can_use_it_when_much_is_pressed_and_wrong(desk: Desk, service: Service):
    fill(service)
    with service.engine.begin() as conn:
        for department in ("23", "2B"):
            open_alert(conn, department, database.now())
    for path in (
        "/?map=presses",
        "/?map=silence",
        "/departments?map=silence",
        "/traffic?map=none",
        "/pickups?state=requested",
    ):
        for lang in ("en", "fr"):
            page = desk.open(f"{path}&lang={lang}")
            look_over(page)
            page.close()
