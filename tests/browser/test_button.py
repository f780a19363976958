"""A button's page and the list of silent ones in Chromium: what an operator reads, writes and opens there."""

from datetime import timedelta

import sqlalchemy as sa
from playwright.sync_api import expect

import cloud.accounts.store
import cloud.fleet.store as fleet
import cloud.pickups.store
from cloud import database
from cloud.accounts.model import Role
from cloud.fleet.store import buttons
from cloud.frames.patience import weigh
from tests.browser.desk import Desk, look_over
from tests.cloud.console.button_lives import Life
from tests.cloud.console.service import BUTTON, NO_PASSWORD, Service
from tests.cloud.console.test_pages import ADDRESS

PAGES = ("/buttons/00D1F3A7", "/silent", "/silent?verdict=late")
MOST_BYTES = 300_000  # of a page's first load


def fill(service: Service) -> None:
    """One well button with a year behind it, neighbours, a silent one, a late one, one never heard."""
    now = database.now()
    with service.engine.begin() as conn:
        claire = cloud.accounts.store.add(
            conn, name="claire@example.org", display_name="Claire Morvan", role=Role.CUSTOMER, password=NO_PASSWORD,
            now=now,
        )  # fmt: skip
        conn.execute(sa.update(buttons).values(owner_id=claire.id, created_at=now - timedelta(days=400)))
        fleet.issue_key(conn, fleet.find(conn, BUTTON), board="24:6f:28:aa:00:01", ticket="t")  # type: ignore[arg-type]  it is there
        fleet.note_board(conn, BUTTON, firmware="0.1.0+3f9a2b1c", heartbeat_hours=24, now=now - timedelta(days=390))
    Life(service, now, is_lost=lambda back: back in (25, 12)).tell(260, press_every=8)
    for n in range(5):
        service.add_button(0x300 + n, "35 Rennes")
        Life(service, now, 0x300 + n, seed=n).tell(3)
    service.add_button(0x00200001, "35 Fougères")
    Life(service, now, 0x00200001).tell(40, silent_for=9, used=560, press_every=9)
    service.add_button(0x00200002, "29 Quimper", owner_id=claire.id)
    Life(service, now, 0x00200002).tell(30, silent_for=2)
    service.add_button(0x00200003, "22 Dinan")
    with service.engine.begin() as conn:
        order = cloud.pickups.store.latest_of_button(conn, BUTTON)
        assert order is not None
        cloud.pickups.store.confirm(conn, order.id, ADDRESS, "customer claire@example.org", now)
    weigh(service.engine, now)


def test_the_pages_of_a_button_with_a_past_can_be_used_by_everybody_in_both_languages(desk: Desk, service: Service):
    fill(service)
    for path in PAGES:
        for lang in ("en", "fr"):
            loaded: list[int] = []
            page = desk.context.new_page()
            page.on("response", lambda answer, loaded=loaded: loaded.append(len(answer.body())))
            page.goto(f"{desk.url}{path}{'&' if '?' in path else '?'}lang={lang}")
            page.wait_for_load_state("load")
            look_over(page)
            assert sum(loaded) <= MOST_BYTES
            page.close()


def test_a_note_is_written_and_taken_away_and_a_key_planned(desk: Desk, service: Service):
    service.press()
    page = desk.open("/buttons/00D1F3A7")

    page.get_by_text("Add a note").click()
    page.get_by_label("What the next colleague should know").fill("Mind the dog.")
    page.get_by_role("button", name="Keep the note").click()
    expect(page.get_by_text("Mind the dog.")).to_be_visible()
    page.get_by_text("Take away", exact=True).click()
    page.get_by_role("button", name="Take the note away").click()
    expect(page.get_by_text("No notes yet.")).to_be_visible()

    page.get_by_role("button", name="Plan a new key").click()
    expect(page.get_by_text("new key planned")).to_be_visible()
    page.get_by_role("button", name="Drop the plan").click()
    expect(page.get_by_text("new key planned")).to_have_count(0)


def test_the_frames_are_downloaded(desk: Desk, service: Service):
    service.press()
    page = desk.open("/buttons/00D1F3A7")
    with page.expect_download() as waited:
        page.get_by_role("link", name="Export frames").click()
    assert waited.value.suggested_filename == "frames-00D1F3A7.csv"
    assert len(waited.value.path().read_text().splitlines()) == 2


def test_the_bar_leads_to_the_silent_ones_and_they_to_their_pages(desk: Desk, service: Service):
    service.press(kind="alive")
    with service.engine.begin() as conn:
        conn.execute(sa.update(buttons).values(last_seen_at=database.now() - timedelta(days=9)))
    page = desk.open("/")
    expect(page.locator("#badge-silent")).to_have_text("1")
    page.get_by_role("link", name="Silent").click()
    page.get_by_role("link", name="00D1F3A7").click()
    expect(page.get_by_text("It was last heard 9 days ago")).to_be_visible()
