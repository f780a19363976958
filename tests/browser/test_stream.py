"""The stream in a real browser: filtered, paused, cut, sampled, in ten windows at once, and replayed."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, expect

import cloud.frames.store
from cloud import database, pages, replay
from tests.browser.desk import Desk, look_over
from tests.cloud.console.service import BUTTON, Service, serving
from tests.sealing import callback

OTHER = 0x0012AB34
HOUR = timedelta(hours=1)


def shown(page: Page) -> list[int]:
    return page.locator("#frames tr").evaluate_all("rows => rows.map(row => Number(row.dataset.id))")


def live(desk: Desk, path: str = "/live") -> Page:
    page = desk.open(path)
    expect(page.locator("#live")).to_have_text("live, no gap")
    return page


@contextmanager
def watched(page: Page) -> Iterator[None]:
    """Note which frames' rows ever come into the page, in their order."""
    page.evaluate(
        """() => {
        window.came = [];
        new MutationObserver((changes) => {
          for (const change of changes) {
            const rows = [...change.addedNodes].filter((node) => node.dataset?.id);
            window.came.push(...rows.map((row) => Number(row.dataset.id)).reverse());
          }
        }).observe(document.getElementById("frames"), {childList: true});
      }"""
    )
    yield


def came(page: Page) -> list[int]:
    return page.evaluate("window.came")


def test_a_frame_appears_with_all_its_fields(desk: Desk, service: Service):
    page = live(desk)
    expect(page.get_by_text("No frames yet.")).to_be_visible()

    service.press(2)

    row = page.locator("#frames tr[data-id='1']")
    for field in ("00D1F3A7", "35 Rennes", "pickup · 2", "accepted", "2 850 mV", "7 °C", "excellent", "−117 dBm"):
        expect(row).to_contain_text(field)
    expect(page.locator("#event")).to_have_text("1")
    expect(page.locator("#shown")).to_have_text("every frame shown")


def test_rows_that_are_boxes_of_their_own_are_a_table_all_the_same(desk: Desk, service: Service):
    for _ in range(100):
        service.press(kind="alive")
    page = live(desk)
    table = page.get_by_role("table")
    assert table.get_by_role("columnheader").all_inner_texts()[:4] == ["Heard", "Button", "Kind", "Result"]
    assert table.get_by_role("row").count() == 101
    left = "cells => cells.map((cell) => Math.round(cell.getBoundingClientRect().left))"
    heads = table.get_by_role("columnheader").evaluate_all(left)
    for row in (1, 100):  # the last is far out of sight
        cells = table.get_by_role("row").nth(row).get_by_role("cell")
        assert cells.evaluate_all(left) == heads
    last = page.locator("#frames tr").last
    assert last.evaluate("row => row.cells[1].checkVisibility({contentVisibilityAuto: true})") is False
    last.focus()
    expect(last).to_be_in_viewport()
    expect(last).to_contain_text("35 Rennes")


def test_the_filter_is_in_the_address_and_holds_for_what_comes(desk: Desk, service: Service):
    service.add_button(OTHER, "69 Lyon")
    service.press(kind="alive")
    service.press(device=OTHER)
    page = live(desk)

    page.get_by_label("Kind").select_option("pickup")
    page.get_by_label("Department").fill("69")
    page.get_by_role("button", name="Show").click()

    page.wait_for_url(re.compile(r"/live\?kind=pickup&department=69$"))
    expect(page.locator("#live")).to_have_text("live, no gap")
    assert shown(page) == [2]
    service.press()
    service.press(kind="alive", device=OTHER)
    service.press(device=OTHER)
    expect(page.locator("#frames tr")).to_have_count(2)
    assert shown(page) == [5, 2]
    expect(page.locator("#event")).to_have_text("5")


def test_a_filter_that_lets_nothing_through_still_knows_how_far_the_log_is(desk: Desk, service: Service):
    page = live(desk, "/live?result=revoked")

    service.press(kind="alive")

    expect(page.locator("#event")).to_have_text("1")
    assert shown(page) == []


def test_a_pause_tells_how_many_wait(desk: Desk, service: Service):
    page = live(desk)

    page.keyboard.press("p")
    for _ in range(3):
        service.press(kind="alive")
    expect(page.locator("#live")).to_have_text("paused, 3 wait")
    assert shown(page) == []
    page.keyboard.press("p")

    expect(page.locator("#live")).to_have_text("resumed at 3, no gap")
    assert shown(page) == [3, 2, 1]


def test_a_cut_is_resumed_without_a_gap_by_every_filter(chromium: Browser, service: Service):
    service.add_button(OTHER, "69 Lyon")
    with serving(service.app) as url:
        desk = Desk(chromium, service, url)
        everything, one = live(desk), live(desk, "/live?button=0012AB34")
        service.press(kind="alive", device=OTHER)
        expect(one.locator("#frames tr")).to_have_count(1)
    expect(everything.locator("#live")).to_contain_text("no connection since")
    expect(one.locator("#live")).to_contain_text("no connection since")
    for device in (BUTTON, OTHER, BUTTON):
        service.press(kind="alive", device=device)

    with serving(service.app, port=urlsplit(url).port or 0):
        for page, ids in ((everything, [4, 3, 2, 1]), (one, [3, 1])):
            expect(page.locator("#live")).to_contain_text("no gap")
            expect(page.locator("#event")).to_have_text("4")
            assert shown(page) == ids
        desk.context.close()


def test_ten_windows_are_live_at_once_and_share_one_connection(desk: Desk, service: Service):
    service.add_button(OTHER, "69 Lyon")
    paths = ["/", "/live", "/live?kind=alive", "/live?kind=pickup", "/live?button=0012AB34", "/live?department=69"]
    windows = [live(desk, path) for path in [*paths, *["/live"] * 4]]
    assert {page.evaluate("document.visibilityState") for page in windows} == {"visible"}

    service.press(kind="alive")
    service.press(device=OTHER)

    wanted = [[2, 1], [2, 1], [1], [2], [2], [2], *[[2, 1]] * 4]
    for page, ids in zip(windows, wanted, strict=True):
        expect(page.locator("#frames tr")).to_have_count(len(ids))
        assert shown(page) == ids
    assert windows[0].evaluate("performance.getEntriesByType('resource').every(one => !one.name.includes('/stream?'))")
    # An eleventh page is answered, though ten streams are open.
    desk.open("/buttons").get_by_role("heading", name="Buttons").wait_for()


def test_a_browser_without_shared_workers_has_its_stream_too(desk: Desk, service: Service):
    desk.context.add_init_script("delete globalThis.SharedWorker")
    page = live(desk)

    service.press()

    expect(page.locator("#frames tr")).to_have_count(1)


def test_what_a_burst_leaves_out_is_told_and_counted(desk: Desk, service: Service):
    page = live(desk)
    rare = live(desk, "/live?kind=alive")
    with watched(page):
        service.hear(*[b"no json"] * 3000)
        expect(page.locator("#shown")).to_have_text(re.compile(r"1 of [125]0+ shown"))
        expect(page.locator("#event")).to_have_text("3 000")
        few = came(page)
        service.press(kind="alive")
        expect(rare.locator("#frames tr")).to_have_count(1)

        expect(rare.locator("#shown")).to_have_text("every frame shown")
        # The stream has thinned out: from here on all is shown, and it is told from where.
        event = 3001
        while "after" not in page.locator("#shown").inner_text():
            service.press(kind="alive")
            event += 1
            expect(page.locator("#event")).to_have_text(f"3 {event - 3000:03}")
        expect(page.locator("#shown")).to_have_text(f"every frame shown after event 3 {event - 3001:03}")
        assert came(page)[-1] == event
    assert 10 < len(few) < 300
    assert came(page)[: len(few)] == sorted(few)


def test_everybody_can_use_the_stream(desk: Desk, service: Service):
    fill(service)
    for lang, said in (("en", "live, no gap"), ("fr", "en direct, sans trou")):
        page = desk.open(f"/live?lang={lang}")
        expect(page.locator("#live")).to_have_text(said)
        look_over(page)
        page.close()


def fill(service: Service) -> None:
    service.add_button(OTHER, "69 Lyon")
    for kind in ("pickup", "alive", "boot", "ask"):
        service.press(kind=kind)
        service.press(kind=kind, device=OTHER)
    service.hear(b"no json")
    service.hear(callback(0xFE03D1A0, bytes(12)), device=0xFE03D1A0)
    service.hear(callback(BUTTON, bytes(12)))


def an_hour_ago(service: Service, count: int) -> tuple[datetime, list[int]]:
    """Frames of a past hour, kept then: when it began, and their ids as the log has them."""
    begin = database.now() - 3 * HOUR
    with service.engine.connect() as conn:
        before = cloud.frames.store.last_id(conn)
    for number in range(count):
        service.press(kind="alive", now=begin + number * HOUR / count)
    with service.engine.connect() as conn:
        return begin, [frame.id for frame in cloud.frames.store.after(conn, before)]


def replayed(begin: datetime, speed: int) -> str:
    return f"replay={replay.Replay(begin, database.now(), speed)}"


def test_a_replayed_hour_shows_what_the_log_has_in_its_order(desk: Desk, service: Service):
    service.press(kind="alive", now=database.now() - 5 * HOUR)
    begin, ids = an_hour_ago(service, 60)
    service.press(kind="alive")  # of now: not in that hour

    page = desk.open(f"/live?{replayed(begin + timedelta(minutes=50), 60)}")
    before = shown(page)
    expect(page.locator("#live")).to_have_text("replayed, no gap")
    expect(page.locator(".past")).to_contain_text("at 60×")
    with watched(page):
        rest = ids[len(before) - 1 :]
        expect(page.locator(f"#frames tr[data-id='{rest[-1]}']")).to_be_visible()
        missed = [id for id in shown(page) if id not in before and id not in came(page)]
        assert [*sorted(missed), *came(page)] == rest
    assert before == [*reversed(ids[: len(before) - 1]), 1]
    assert page.title().startswith("Replay · ")
    assert page.locator("#frames.lit").count() == 0, "the lamp means now"


def test_a_replay_is_paused_hastened_moved_and_left(desk: Desk, service: Service):
    begin, _ = an_hour_ago(service, 6)
    page = desk.open(f"/live?kind=alive&{replayed(begin, 1)}")
    band = page.get_by_role("region", name="Replay")

    page.keyboard.press("p")
    expect(band).to_contain_text("it stands")
    expect(page.locator("#live")).to_have_text("the replay stands")
    standing = band.locator("time").get_attribute("datetime")
    band.get_by_role("link", name="10 min on").click()
    expect(band.locator("time")).not_to_have_attribute("datetime", standing or "")
    assert datetime.fromisoformat(band.locator("time").get_attribute("datetime") or "") - datetime.fromisoformat(
        standing or ""
    ) == timedelta(minutes=10)
    band.get_by_role("link", name="30×").click()
    expect(band).to_contain_text("at 30×")
    assert "kind=alive" in page.url
    page.get_by_role("link", name="Overview").click()
    expect(page).to_have_url(re.compile(r"/\?replay="))
    expect(page.locator("#live")).to_have_text("replayed, no gap")
    band.get_by_role("link", name="Back to now").click()

    expect(page).to_have_url(f"{desk.url}/")
    expect(band).to_have_count(0)


def test_an_hour_is_picked_on_the_chart_and_replayed(desk: Desk, service: Service):
    begin, _ = an_hour_ago(service, 6)
    page = desk.open("/traffic/days")
    expect(page.locator("#days canvas")).to_be_visible()
    said = page.locator("#picked")

    page.locator("#days").focus()
    page.keyboard.press("Home")
    expect(said).to_contain_text("frames, 0 refused")
    picked = page.get_by_label("From, in Paris").input_value()
    for key in ("+", "+", "-", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    assert page.get_by_label("From, in Paris").input_value() == picked
    assert picked == f"{begin.astimezone(pages.PARIS):%Y-%m-%dT%H:00}"
    page.keyboard.press("Enter")

    page.wait_for_url(re.compile(r"/live\?replay="))
    expect(page.get_by_role("region", name="Replay")).to_contain_text("at 10×")


def test_everybody_can_travel_in_time(desk: Desk, service: Service):
    begin, _ = an_hour_ago(service, 30)
    standing = replayed(begin + HOUR / 2, 0)
    for path in ("/traffic/days?", f"/live?{standing}&", f"/?{standing}&"):
        for lang in ("en", "fr"):
            page = desk.open(f"{path}lang={lang}")
            look_over(page)
            page.close()
