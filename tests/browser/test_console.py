"""The operators' live page in a real browser, on a real server."""

import re
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, expect

import cloud.appeals.store
import cloud.pickups.store
from cloud import database
from cloud.appeals.model import claim
from cloud.places.model import Address
from cloud.stamps.desk import Item
from cloud.stamps.ledger import Form
from tests.browser.desk import Desk, look_over
from tests.cloud.console.service import Service, serving
from tests.cloud.stamps.shelf import LIVE, NOBODYS, USED, desk_with
from tests.sealing import callback
from tests.stock import VAULT

ADDRESS = Address.of(["Mme Hélène Vasseur", "", "", "12 rue de la République", "", "69001 Lyon"])
TEXT = "Renvoyé à Rennes le 2 mars, alors que le timbre était écrit comme il fut montré."


def shown(page: Page) -> list[int]:
    return page.locator("#frames tr").evaluate_all("rows => rows.map(row => Number(row.dataset.id))")


def test_a_frame_and_its_order_appear_without_a_reload(desk: Desk, service: Service):
    page = desk.overview()
    page.evaluate("window.sameDocument = true")
    expect(page.get_by_text("No frames yet.")).to_be_visible()

    service.press(2)

    row = page.locator("#frames tr[data-id='1']")
    expect(row).to_contain_text("pickup · 2")
    expect(row).to_contain_text("accepted")
    expect(page.locator("#order-1")).to_contain_text("waits for confirmation")
    expect(page.locator("#event")).to_have_text("1")
    expect(page.get_by_text("No frames yet.")).to_be_hidden()
    expect(page.locator("#kpis")).to_contain_text("1 in the last hour")  # by htmx, after a moment
    expect(page.locator("#counts")).to_contain_text("Pressed")
    expect(page.locator("#map")).to_contain_text("Presses today")
    assert page.evaluate("window.sameDocument")


def test_an_order_changes_in_place(desk: Desk, service: Service):
    service.press()
    page = desk.overview()

    with service.engine.begin() as conn:
        cloud.pickups.store.confirm(conn, 1, ADDRESS, "customer c.morvan@example.org", database.now())

    expect(page.locator("#order-1")).to_contain_text("confirmed")
    expect(page.locator("#orders tr")).to_have_count(1)


def test_a_pause_holds_rows_back_and_shows_them_after(desk: Desk, service: Service):
    page = desk.overview()

    page.keyboard.press("p")
    for _ in range(3):
        service.press(kind="alive")
    expect(page.locator("#live")).to_have_text("paused, 3 wait")
    assert shown(page) == []
    page.get_by_role("button", name="Resume").click()

    expect(page.locator("#live")).to_have_text("resumed at 3, no gap")
    assert shown(page) == [3, 2, 1]


def test_a_cut_is_told_and_resumed_without_a_gap_or_a_double(chromium: Browser, service: Service):
    with serving(service.app) as url:
        desk = Desk(chromium, service, url)
        page = desk.overview()
        service.press()
        expect(page.locator("#frames tr")).to_have_count(1)
    expect(page.locator("#live")).to_contain_text("no connection since")
    for _ in range(4):
        service.press(kind="alive")
    assert shown(page) == [1]

    with serving(service.app, port=urlsplit(url).port or 0):
        expect(page.locator("#live")).to_contain_text(", no gap")
        expect(page.locator("#frames tr")).to_have_count(5)
        service.press(kind="alive")
        expect(page.locator("#frames tr")).to_have_count(6)
        assert shown(page) == [6, 5, 4, 3, 2, 1]
        desk.context.close()


def test_a_hidden_tab_holds_no_connection_and_catches_up_when_seen(desk: Desk, service: Service):
    page = desk.overview()
    hide = "on => { Object.defineProperty(document, 'hidden', {value: on, configurable: true});"
    hide += "document.dispatchEvent(new Event('visibilitychange')); }"

    page.evaluate(hide, True)
    service.press(kind="alive")
    other = desk.overview()
    service.press(kind="alive")
    expect(other.locator("#frames tr")).to_have_count(2)  # so the hidden one would have had it too
    assert shown(page) == []
    page.evaluate(hide, False)

    expect(page.locator("#frames tr")).to_have_count(2)
    assert shown(page) == [2, 1]


def test_a_page_keeps_two_hundred_rows(desk: Desk, service: Service):
    page = desk.overview()

    for _ in range(3):
        service.hear(*[b"no json"] * 70)

    expect(page.locator("#event")).to_have_text("210")
    assert shown(page) == list(range(210, 10, -1))


def test_a_session_that_ends_leads_to_the_sign_in(desk: Desk, service: Service):
    page = desk.overview()
    other = desk.open("/buttons")

    other.get_by_text("N. Arnaud, operator").click()
    other.get_by_role("button", name="Sign out").click()

    expect(page).to_have_url(re.compile(r"/sign-in\?next=/$"))


def test_the_keys_walk_open_find_and_tell(desk: Desk, service: Service):
    service.press()
    service.press(kind="alive")
    page = desk.overview()

    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    page.keyboard.press("j")
    expect(page.locator("#frames tr[data-id='2']")).to_be_focused()
    page.keyboard.press("j")
    expect(page.locator("#frames tr[data-id='1']")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/pickups/1")
    page.keyboard.press("/")
    page.keyboard.type("00D1F3A7")
    page.keyboard.press("Enter")

    page.wait_for_url("**/buttons/00D1F3A7")


def test_an_order_is_cancelled_after_one_question(desk: Desk, service: Service):
    service.press()
    page = desk.open("/pickups/1")

    page.get_by_text("Cancel order", exact=True).click()
    page.get_by_role("button", name="Cancel order 1").click()

    expect(page.get_by_text("Stamp void")).to_be_visible()
    expect(page.get_by_text("Cancel order")).to_have_count(0)


def fill_the_stamps_page(service: Service) -> None:
    """A day of readings at three places, one of them with an alarm, and an appeal."""
    desk = desk_with(service.engine)
    read = {
        "35 Rennes PIC": [LIVE] * 180 + [NOBODYS],
        "69 Lyon PIC": [LIVE] * 150 + [NOBODYS] * 14 + [USED] * 2,
        "75 Paris Nord": [LIVE] * 60,
    }
    for number, (place, codes) in enumerate(read.items(), 1):
        items = [Item(Form.TEXT, code) for code in codes]
        desk.read(items, by=f"token line {number}", place=place, now=database.now())
    said = claim(name="Hélène Vasseur", contact="h.vasseur@example.org", piece="CD604127950FR", code=USED, text=TEXT)
    with service.engine.begin() as conn:
        cloud.appeals.store.file(conn, VAULT, said, database.now())
    service.app.state.desk = desk


def test_an_appeal_is_decided_on_its_page(desk: Desk, service: Service):
    fill_the_stamps_page(service)
    page = desk.open("/appeals/1")
    expect(page.get_by_text("another parcel")).to_be_visible()
    page.get_by_label("Why, as the customer will read it").fill("The stamp was read wrongly; the parcel goes on.")
    page.get_by_role("button", name="Uphold").click()
    expect(page.get_by_text("upheld", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Uphold")).to_have_count(0)


def test_the_pages_of_stamps_and_appeals_fit_and_can_be_used_by_everybody(desk: Desk, service: Service):
    service.press(3)
    service.press(kind="alive")
    service.hear(b"no json")
    service.hear(callback(0xFE03D1A0, bytes(12)), device=0xFE03D1A0)
    with service.engine.begin() as conn:
        cloud.pickups.store.confirm(conn, 1, ADDRESS, "customer c.morvan@example.org", database.now())
    service.press()
    fill_the_stamps_page(service)
    for path in ("/", "/frames/4", "/traffic", "/stamps", "/appeals", "/appeals/1"):
        for lang in ("en", "fr"):
            page = desk.open(f"{path}?lang={lang}")
            look_over(page)
            page.close()
