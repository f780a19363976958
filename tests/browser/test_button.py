"""A button's page and the list of silent ones in Chromium: what an operator reads, writes and opens there."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser

import cloud.accounts.store
import cloud.fleet.store as fleet
import cloud.pickups.store
from cloud import database
from cloud.accounts.model import Role
from cloud.fleet.store import buttons
from cloud.frames.patience import weigh
from tests.browser.desk import PICTURES, Desk, faults
from tests.cloud.console.lives import Life
from tests.cloud.console.service import BUTTON, NO_PASSWORD, Service, serving
from tests.cloud.console.test_pages import ADDRESS

PAGES = {"button": "/buttons/00D1F3A7", "silent": "/silent", "late": "/silent?verdict=late"}
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
        fleet.issue_key(conn, fleet.find(conn, BUTTON), board="24:6f:28:aa:00:01", ticket="t")  # type: ignore[arg-type]
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


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_pages_look_and_read_well_in_both_themes_on_desk_and_phone_in_both_languages(
    chromium: Browser, service: Service, theme: str
):
    fill(service)
    PICTURES.mkdir(parents=True, exist_ok=True)
    with serving(service.app) as url:
        for width, height in ((1440, 900), (390, 844)):
            viewport = {"width": width, "height": height}
            desk = Desk(chromium, service, url, viewport=viewport, color_scheme=theme)
            for name, path in PAGES.items():
                for lang in ("en", "fr"):
                    loaded: list[int] = []
                    page = desk.context.new_page()
                    page.on("response", lambda answer, loaded=loaded: loaded.append(len(answer.body())))
                    page.goto(f"{url}{path}{'&' if '?' in path else '?'}lang={lang}")
                    page.wait_for_load_state("networkidle")
                    page.screenshot(path=PICTURES / f"{name}-{theme}-{width}-{lang}.png", full_page=True)
                    assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path} is too wide"
                    assert faults(page) == []
                    assert sum(loaded) <= MOST_BYTES
                    page.close()
            desk.context.close()
            assert desk.complaints == []
