"""The thread of an order in a real browser, as it looks and as it is used."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, expect

from tests.browser.desk import Desk, look_over
from tests.cloud.console.lives import make_life
from tests.cloud.console.service import Service, serving


@contextmanager
def opened(chromium: Browser, service: Service, width: int, theme: str = "light") -> Iterator[Desk]:
    with serving(service.app) as url:
        desk = Desk(chromium, service, url, viewport={"width": width, "height": 900}, color_scheme=theme)
        yield desk
        desk.context.close()
        assert desk.complaints == []


def test_the_pages_of_an_order_fit_and_can_be_used_by_everybody(desk: Desk, service: Service):
    life = make_life(service, "sorted", appealed=True)
    make_life(service, "confirmed")
    for path in (f"/pickups/{life.pickup_id}", "/pickups", "/find?q=navettes", "/frames/1"):
        for lang in ("en", "fr"):
            page = desk.open(f"{path}{'&' if '?' in path else '?'}lang={lang}")
            look_over(page)
            page.close()


def test_one_line_goes_through_every_lane_and_the_lamp_is_on_the_last_move(desk: Desk, service: Service):
    life = make_life(service, "sorted")
    page = desk.open(f"/pickups/{life.pickup_id}")

    lanes = page.locator(".lanes text").all_text_contents()
    assert lanes == ["radio", "seal", "order", "stamp", "round", "sorting"]
    expect(page.locator("[aria-current=step] .strong")).to_have_text("Redeemed once, 1\u00a0240 g")
    lamp = page.locator(".lanes circle.halo")
    row = page.locator("[aria-current=step]")
    lamp_box, row_box = lamp.bounding_box(), row.bounding_box()
    assert lamp_box is not None
    assert row_box is not None
    middle = lamp_box["y"] + lamp_box["height"] / 2
    assert row_box["y"] < middle < row_box["y"] + row_box["height"], "the lamp is drawn beside its step"


def test_on_a_phone_the_lanes_are_words(chromium: Browser, service: Service):
    life = make_life(service)
    with opened(chromium, service, 390) as desk:
        page = desk.open(f"/pickups/{life.pickup_id}")
        expect(page.locator(".lanes")).to_be_hidden()
        expect(page.locator(".what .hide").first).to_be_in_viewport()
        expect(page.get_by_text("offline, told at 08:55")).to_be_visible()


def test_the_search_leads_from_a_street_to_the_thread(desk: Desk, service: Service):
    make_life(service, "confirmed")
    life = make_life(service, "collected")
    page = desk.open("/buttons")

    page.keyboard.press("/")
    page.keyboard.type("quatre navettes")
    page.keyboard.press("Enter")
    expect(page.get_by_text("2 orders, newest first")).to_be_visible()
    page.get_by_role("link", name=str(life.pickup_id), exact=True).click()

    expect(page.get_by_text("Collected: responsibility passes")).to_be_visible()
    page.get_by_text("Digest of its photo").click()
    expect(page.locator(".digest")).to_be_visible()
