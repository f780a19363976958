"""The fleet's list and imports in a real browser, on a real server."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect

from cloud import database
from cloud.accounts.model import Role
from cloud.fleet.store import buttons, placed
from tests.browser.desk import Desk, faults, look_over
from tests.cloud.console.service import Service, serving

PLACES = ("35 Rennes", "69 Lyon", "42 Saint-Étienne", "2A Ajaccio", "974 Saint-Denis", "33 Bordeaux", "29 Quimper")
FILE = """id;place;label
00D1F3A7;35 Rennes;pilot Rennes
00E10001;42 Saint-Étienne;lot 8
00E10002;69 Lyon;lot 8
00E10003;99 Nowhere;lot 8
xyz;35 Rennes;
1,2E+05;35 Rennes;
00E10001;35 Rennes;
""".encode()


def fill(service: Service, count: int) -> None:
    now = database.now()
    with service.engine.begin() as conn:
        for n in range(count):
            heard = None if n % 9 == 0 else now - timedelta(hours=n * 7)
            conn.execute(
                sa.insert(buttons).values(
                    id=0x00C00000 + n * 7919,
                    state="revoked" if n % 17 == 3 else "active",
                    **placed(PLACES[n % len(PLACES)]),
                    label=("", "pilot Rennes", "lot 7")[n % 3],
                    created_at=now,
                    last_seen_at=heard,
                    last_counter=n * 31,
                    battery_mv=None if heard is None else 2300 + n * 37 % 1000,
                    temperature_c=None if heard is None else n % 25 - 5,
                )
            )


@pytest.fixture
def admin(chromium: Browser, service: Service):
    with serving(service.app) as url:
        desk = Desk(chromium, service, url, Role.ADMIN, viewport={"width": 1440, "height": 900}, accept_downloads=True)
        yield desk
        desk.context.close()
        assert desk.complaints == []


def choose(page: Page, path: Path) -> None:
    page.get_by_label("CSV file").set_input_files(path)
    page.get_by_role("button", name="Show what it would do").click()
    page.wait_for_url("**/buttons/imports/*")


def download(page: Page, click) -> bytes:
    with page.expect_download() as started:
        click()
    return Path(started.value.path()).read_bytes()


def test_the_list_follows_what_is_typed_and_its_address_says_so(desk: Desk, service: Service):
    fill(service, 60)
    page = desk.open("/buttons")
    page.evaluate("window.sameDocument = true")
    expect(page.locator("#list tbody tr")).to_have_count(50)

    page.get_by_label("Place", exact=True).press_sequentially("saint ")

    expect(page.get_by_role("status")).to_have_text("17 buttons")
    expect(page).to_have_url(re.compile(r"/buttons\?place=saint$"))
    page.get_by_label("Department").select_option("974")
    expect(page.get_by_role("status")).to_have_text("8 buttons")
    assert page.evaluate("window.sameDocument")
    page.get_by_role("link", name="Take off place has “saint”").click()
    expect(page).to_have_url(re.compile(r"/buttons\?department=974$"))
    page.reload()
    expect(page.get_by_label("Department")).to_have_value("974")
    expect(page.get_by_role("status")).to_have_text("8 buttons")


def test_columns_pages_and_keys_walk_the_list(desk: Desk, service: Service):
    fill(service, 60)
    page = desk.open("/buttons")

    page.get_by_role("link", name="Place").click()
    expect(page.get_by_role("columnheader", name="Place")).to_have_attribute("aria-sort", "ascending")
    first = page.locator("#list tbody tr").first
    expect(first).to_contain_text("29 Quimper")
    page.get_by_role("link", name="Next page").click()
    expect(page.locator("#list tbody tr")).to_have_count(11)
    page.get_by_role("link", name="Page before").click()
    expect(first).to_contain_text("29 Quimper")
    page.keyboard.press("j")
    expect(first).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/buttons/00C*")


def test_a_view_is_kept_and_taken_away(desk: Desk, service: Service):
    fill(service, 20)
    page = desk.open("/buttons?label=lot+7")
    page.get_by_text("Views", exact=True).click()
    page.get_by_label("Save this list as").fill("Lot seven")
    page.get_by_label("for all staff").check()
    page.get_by_role("button", name="Save view").click()
    page.goto(desk.url + "/buttons")
    page.get_by_role("link", name="Lot seven").click()
    expect(page).to_have_url(re.compile(r"/buttons\?label=lot\+7$"))
    expect(page.get_by_role("status")).to_have_text("6 buttons")
    page.get_by_text("Views", exact=True).click()
    page.get_by_role("button", name="Remove Lot seven").click()
    expect(page.get_by_role("link", name="Lot seven")).to_have_count(0)


def test_a_file_goes_out_comes_in_with_faults_by_line_and_is_undone(admin: Desk, service: Service, tmp_path: Path):
    page = admin.open("/buttons")
    out = tmp_path / "out.csv"
    out.write_bytes(download(page, page.get_by_role("link", name="Export CSV").click))
    page.get_by_role("link", name="Import CSV").click()
    choose(page, out)
    expect(page.get_by_text("There is nothing to write.")).to_be_visible()
    page.get_by_role("button", name="Forget the file").click()

    lot = tmp_path / "lot.csv"
    lot.write_bytes(FILE)
    choose(page, lot)
    expect(page.locator("tbody tr")).to_have_count(4)
    for line, why in (("5", "There is no department 99"), ("6", "No id"), ("7", "took the id"), ("8", "as in line 3")):
        expect(page.get_by_role("row", name=re.compile(rf"^{line} "))).to_contain_text(why)
    assert faults(page) == []
    page.get_by_role("link", name="changed 1").click()
    expect(page.locator("tbody")).to_contain_text("pilot Rennes")
    page.get_by_role("button", name="Import the 3 clean lines").click()

    expect(page.get_by_role("heading", name="Claim codes")).to_be_visible()
    codes = download(page, page.get_by_role("button", name="Download the claim codes").click).decode()
    told = r"id,claim_code,place,label\r\n00E10001,[\w-]{14},42 Saint-Étienne,lot 8\r\n00E10002,[\w-]{14},69 Lyon,lot 8"
    assert re.fullmatch(told, codes.strip())
    service.press(device=0x00E10002)
    page.get_by_text("Undo", exact=True).click()
    page.get_by_role("button", name=re.compile("Undo import")).click()
    expect(page.get_by_text("2 lines were taken back.")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody")).to_contain_text("heard since")
    page.goto(admin.url + "/buttons?id=00E1")
    expect(page.locator("#list tbody tr")).to_have_count(1)


def test_the_list_and_the_import_work_without_scripts(chromium: Browser, service: Service, tmp_path: Path):
    fill(service, 20)
    (tmp_path / "lot.csv").write_bytes(FILE)
    with serving(service.app) as url:
        desk = Desk(chromium, service, url, Role.ADMIN, java_script_enabled=False)
        page = desk.open("/buttons")
        page.get_by_label("Label").fill("lot 7")
        page.get_by_role("button", name="Filter", exact=True).click()
        page.wait_for_url("**/buttons?label=lot+7")
        assert page.locator("#list tbody tr").count() == 6
        page.get_by_role("link", name="Import CSV").click()
        choose(page, tmp_path / "lot.csv")
        page.get_by_role("button", name="Import the 3 clean lines").click()
        page.get_by_role("heading", name="Claim codes").wait_for()
        desk.context.close()


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_the_list_and_each_step_of_an_import_can_be_used_by_everybody(
    chromium: Browser, service: Service, tmp_path: Path, lang: str
):
    fill(service, 60)
    (tmp_path / "lot.csv").write_bytes(FILE)
    with serving(service.app) as url:
        desk = Desk(chromium, service, url, Role.ADMIN)

        page = desk.open(f"/buttons?lang={lang}")
        look_over(page)
        page.goto(url + "/buttons?department=35&silent=2d&sort=battery")
        look_over(page)
        page.goto(url + "/buttons?silent=soon&id=xyz")
        look_over(page)
        page.goto(url + "/buttons?place=nowhere")
        look_over(page)
        page.goto(url + "/buttons/import")
        look_over(page)
        page.locator("#file").set_input_files(tmp_path / "lot.csv")
        page.locator(".upload button").click()
        page.wait_for_url("**/buttons/imports/*")
        look_over(page)
        page.locator(".decide .go").click()
        page.wait_for_url("**/write")
        look_over(page)
        page.locator("summary.danger").click()
        look_over(page)
        page.locator("form .danger").click()
        page.wait_for_url("**/buttons/imports/1")
        look_over(page)
        page.goto(url + "/buttons/import")
        look_over(page)
        desk.context.close()
        assert desk.complaints == []


def test_the_first_load_is_light(admin: Desk, service: Service):
    fill(service, 60)
    sizes: list[int] = []
    admin.context.on("requestfinished", lambda request: sizes.append(request.sizes()["responseBodySize"]))
    page = admin.open("/buttons")
    page.wait_for_load_state("networkidle")
    assert 30_000 < sum(sizes) < 300_000
