"""The pages of one order and of one button are kept current, and say when they are not."""

from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, expect

import cloud.pickups.store
from cloud import database
from tests.browser.desk import Desk
from tests.cloud.console.service import BUTTON, Service, serving


def kept(page: Page) -> None:
    expect(page.locator("#current")).to_have_text("kept up to date")


def test_a_thread_tells_what_happens_to_its_order_while_it_is_open(desk: Desk, service: Service):
    order = service.press().pickup_id
    assert order
    page = desk.open(f"/pickups/{order}")
    kept(page)
    page.evaluate("window.isTheSame = true")
    service.press(2)
    expect(page.get_by_text("3 parcels")).to_be_visible()
    with service.engine.begin() as conn:  # no frame tells of that
        cloud.pickups.store.cancel(conn, order, "staff anne", database.now())
    service.bell.ring()
    expect(page.locator(".title .chip")).to_have_text("cancelled")
    kept(page)
    assert page.evaluate("window.isTheSame") is True  # and nothing was loaded anew


def test_the_page_of_a_button_tells_what_it_sends_while_it_is_open(desk: Desk, service: Service):
    service.press(kind="alive")
    page = desk.open(f"/buttons/{BUTTON:08X}")
    kept(page)
    order = service.press().pickup_id
    expect(page.locator(f'main a[href="/pickups/{order}"]').first).to_be_visible()


def test_a_page_that_is_cut_off_says_since_when_and_makes_up_for_it(chromium: Browser, service: Service):
    order = service.press().pickup_id
    with serving(service.app) as url:
        desk = Desk(chromium, service, url)
        page = desk.open(f"/pickups/{order}")
        kept(page)
    expect(page.locator("#current")).to_contain_text("no connection since")
    service.press(4)
    with serving(service.app, port=urlsplit(url).port or 0):
        expect(page.get_by_text("5 parcels")).to_be_visible(timeout=30_000)
        kept(page)
        desk.context.close()


def test_what_somebody_is_about_to_do_is_not_taken_from_under_them(desk: Desk, service: Service):
    order = service.press().pickup_id
    page, beside = desk.open(f"/pickups/{order}"), desk.open(f"/pickups/{order}")
    for one in (page, beside):
        kept(one)
    page.get_by_text("Cancel order").first.click()
    service.press(2)
    expect(beside.get_by_text("3 parcels")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel order")).to_be_visible()
    expect(page.get_by_text("3 parcels")).to_have_count(0)
    page.get_by_text("Cancel order").first.click()
    expect(page.get_by_text("3 parcels")).to_be_visible()
