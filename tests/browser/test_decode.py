"""The frame bench and the documents beside it, in a real browser."""

import pytest
from playwright.sync_api import expect

from tests.browser.desk import Desk, look_over
from tests.cloud.console.service import Service

DATA = "00 01 AF 00 4A 14 19 E2 FC 56 AB C7"


@pytest.mark.parametrize("path", ["/decode?", f"/decode?data={DATA}&", "/decode?data=00zz&button=x&"])
def test_everybody_can_use_it(desk: Desk, path: str):
    for lang in ("en", "fr"):
        page = desk.open(f"{path}lang={lang}")
        look_over(page)
        page.close()
    desk.complaints = [one for one in desk.complaints if "422" not in one]  # a fault is an answer of that status


def test_bytes_are_pasted_explained_and_lead_to_their_paragraph(desk: Desk, service: Service):
    service.press()
    page = desk.open("/decode")
    page.get_by_label("Bytes, in hex").fill(DATA)
    page.get_by_label("Button whose keys are tried").fill("00D1F3A7")
    page.get_by_role("button", name="Explain").click()
    expect(page.get_by_text("does not open")).to_be_visible()
    expect(page.get_by_role("img", name="The twelve bytes")).to_be_visible()
    page.get_by_role("link", name="Seal: paragraph").click()
    expect(page).to_have_url(desk.url + "/docs/wire-format#seal")
    expect(page.get_by_role("heading", name="Seal")).to_be_in_viewport()
