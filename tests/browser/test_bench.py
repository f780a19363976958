"""The bench in a browser: a finger, keys, light, bytes and power, on real boards; nothing from outside."""

import threading
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect

from simulator.bench.desk import Bench, bench
from simulator.bench.door import Door
from simulator.radio.model import Impairments
from tests.browser.desk import look_over
from tests.simulator.bench.conftest import rested
from tools.bench import page as bench_page
from tools.bench.stand import Stand, standing

SOON_MS = 30_000  # a wake takes seconds, on a busy machine many
BOARD = "00B0BE01"


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOMINO_DATA_DIR", str(tmp_path_factory.mktemp("nothing") / "data"))
        with standing(None, seed=1, stations=3, impairments=Impairments()) as stand:
            yield stand


class Visit:
    """A bench with one board asleep, and a browser on it that notes whatever it complains of."""

    def __init__(self, browser: Browser, desk: Bench, door: Door) -> None:
        self.desk, self.door, self.browser = desk, door, browser
        self.complaints: list[str] = []
        self.pages: list[BrowserContext] = []

    def open(self, *, lang: str = "en", width: int = 1440, height: int = 900, theme: str = "light") -> Page:
        context = self.browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if theme == "dark" else "light",
            permissions=["clipboard-read", "clipboard-write"],
        )
        self.pages.append(context)
        context.on("console", self._hear)
        context.on("weberror", lambda error: self._note(str(error.error)))
        context.on("request", self._watch)
        page = context.new_page()
        page.goto(self.door.address)
        if lang != "en":
            page.goto(f"{self.door.origin}/?lang={lang}")
        expect(page.locator("body")).to_have_attribute("data-live", "live")
        expect(page.locator("#board .chip")).to_have_class("chip ok", timeout=SOON_MS)
        return page

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):  # a violation of the policy is one, too
            self._note(message.text)

    def _note(self, what: str) -> None:
        self.complaints.append(what)

    def _watch(self, request: Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(self.door.origin).netloc:
            self.complaints.append(f"asked elsewhere: {request.url}")


@pytest.fixture
def visit(chromium: Browser, stand: Stand) -> Iterator[Visit]:
    stand.air.calm()
    with closing(bench_page.listening(0)) as listener, bench(stand.fleet, stand.air) as desk:
        door = Door(listener.getsockname()[1])
        server = bench_page.server(desk, door)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        rested(desk)
        visit = Visit(chromium, desk, door)
        yield visit
        for context in visit.pages:
            context.close()
        desk.hub.close()
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
        assert visit.complaints == []


def says(page: Page, text: str) -> None:
    expect(page.locator("#says")).to_have_text(text, timeout=SOON_MS)


def first_row(page: Page, way: str, counter: int) -> str:
    """The words of the message's row; waited for."""
    row = page.locator("#rows tr").filter(has=page.locator(f"td:nth-child(2):text-is('{way}')"))
    row = row.filter(has=page.locator(f"td:nth-child(3):text-is('{counter}')")).first
    expect(row).to_be_visible(timeout=SOON_MS)
    return row.inner_text()


def test_a_click_with_the_pointer_lights_the_lamp_and_its_bytes_are_drawn(visit: Visit) -> None:
    page = visit.open()
    counter = visit.desk.boards.find(BOARD).counter + 1
    page.locator("#press").click(delay=120)
    expect(page.locator("#press")).to_have_class("press lit", timeout=SOON_MS)
    says(page, "Long flash: kept, it is an order")
    expect(page.locator("#spoken")).to_have_text("Long flash: kept, it is an order")
    assert "9 of 9 copies heard" in first_row(page, "air", counter)
    assert "accepted" in first_row(page, "down", counter)
    assert "pickup, 1 parcel" in first_row(page, "up", counter)
    expect(page.locator("#rows tr").first.locator(".hx b")).to_have_count(4)
    expect(page.locator("#press")).to_have_class("press")
    expect(page.locator("#board")).to_contain_text("1 click, held for ")


def test_a_hold_of_the_pointer_takes_the_request_back(visit: Visit) -> None:
    page = visit.open()
    drawn = page.locator("#press")
    drawn.hover()
    page.mouse.down()
    board = visit.desk.boards.find(BOARD)
    assert visit.desk.boards.wait_until(lambda: board.is_lit, SOON_MS / 1000)
    assert visit.desk.boards.wait_until(lambda: not board.is_lit, SOON_MS / 1000)  # understood: let go
    page.mouse.up()
    says(page, "Two long flashes: the request is taken back")


def test_a_double_click_is_two_parcels(visit: Visit) -> None:
    page = visit.open()
    counter = visit.desk.boards.find(BOARD).counter + 1
    page.locator("#press").hover()
    for down_ms, up_ms in ((120, 200), (120, 0)):
        page.mouse.down()
        page.wait_for_timeout(down_ms)  # a finger's own times are what is tested
        page.mouse.up()
        page.wait_for_timeout(up_ms)
    assert "pickup, 2 parcels" in first_row(page, "up", counter)


def test_the_keys_press_twice_hold_and_click(visit: Visit) -> None:
    page = visit.open()
    counter = visit.desk.boards.find(BOARD).counter
    for key, told in (("2", "pickup, 2 parcels"), ("h", "cancel"), (" ", "pickup, 1 parcel")):
        counter += 1
        page.keyboard.press(key, delay=120)
        assert told in first_row(page, "up", counter)
        expect(page.locator("#board .chip")).to_have_text("asleep", timeout=SOON_MS)
    page.locator("#press").focus()
    page.keyboard.press("Enter")
    assert "pickup, 1 parcel" in first_row(page, "up", counter + 1)


def test_power_cut_in_the_middle_of_a_press_and_back(visit: Visit) -> None:
    page = visit.open()
    page.locator("#cut").select_option("before wifi_connect")
    expect.soft(page.locator("#problem")).to_be_empty()
    page.get_by_role("button", name="Press space").click()
    says(page, "No power")
    counter = visit.desk.boards.find(BOARD).counter
    expect(page.locator("#rows tr").first).to_contain_text("between the flash and the air", timeout=SOON_MS)
    page.get_by_role("button", name="Press space").click()
    expect(page.locator("#problem")).to_have_text("the board has no power.")
    visit.complaints[:] = [one for one in visit.complaints if "409" not in one]  # which the console notes
    page.get_by_role("button", name="Put the battery back").click()
    assert "pickup, 1 parcel" in first_row(page, "up", counter)


def test_sliders_move_the_air_and_a_lost_press_says_so(visit: Visit) -> None:
    page = visit.open()
    page.locator("#loss").fill("35")
    expect(page.locator("output[for=loss]")).to_have_text("35\u00a0%")
    expect(page.locator("#odds")).to_contain_text("At 35 % loss, 1 of 13 000 messages", use_inner_text=True)
    page.locator("#loss").fill("100")
    expect(page.locator("#odds")).to_contain_text("every message is lost")
    counter = visit.desk.boards.find(BOARD).counter + 1
    page.keyboard.press(" ", delay=120)
    assert "lost" in first_row(page, "air", counter)
    says(page, "Two short flashes: sent, and no answer came")
    page.locator("#calm").click()
    expect(page.locator("#loss")).to_have_value("0")
    assert visit.desk.air.impairments.loss == 0


def test_boards_are_added_and_traffic_runs_beside_them(visit: Visit) -> None:
    page = visit.open()
    page.get_by_role("button", name="Add a button").click()
    page.wait_for_url("**/?board=00B0BE02")
    expect(page.locator("#boards li")).to_have_count(2)
    page.locator("#count").fill("50")
    page.locator("#presses").fill("140")
    page.locator("#pace").select_option("3600")
    page.get_by_role("button", name="Start traffic").click()
    expect(page.locator("#stop-traffic")).to_be_visible()
    expect(page.locator(".figures")).to_contain_text("Kept by the cloud")
    page.locator("#stop-traffic").click()
    expect(page.locator("#traffic-form")).to_contain_text("Start traffic")
    page.locator("#copy").click()
    expect(page.locator("#copy")).to_have_text("Copied")


def test_the_page_comes_back_to_a_bench_that_was_away(visit: Visit) -> None:
    page = visit.open()
    page.context.set_offline(True)
    page.evaluate("source.dispatchEvent(new Event('error'))")  # as a browser tells a stream that broke
    expect(page.locator("#problem")).to_contain_text("trying again")
    page.context.set_offline(False)
    page.reload()
    expect(page.locator("#problem")).to_be_empty()
    expect(page.locator("body")).to_have_attribute("data-live", "live")


def test_it_fits_and_has_no_serious_fault_of_access(visit: Visit) -> None:
    for lang in ("en", "fr"):
        look_over(visit.open(lang=lang))
    visit.desk.air.impair(loss=0.5)
    page = visit.open()
    page.locator("[data-clicks='2']").click()
    expect(page.locator("#rows tr").nth(2)).to_be_visible(timeout=SOON_MS)
    page.reload()
    look_over(page)
    page.goto(f"{visit.door.origin}/?lang=fr")
    look_over(page)
