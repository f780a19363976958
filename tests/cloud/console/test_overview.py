"""The overview and its lists as pages: what stands in the address, in which language, and where each number leads."""

import re
from datetime import date, timedelta
from html import unescape
from pathlib import Path

import pytest
import sqlalchemy as sa

import cloud.frames.store
import cloud.pickups.store
from cloud import database, gauges
from cloud.console import figures, france
from cloud.console.france import NO_MAP
from cloud.console.keeper import STAMPS, count_on
from cloud.places.model import Address
from tests.cloud.alerts.house import open_alert
from tests.cloud.console.service import BUTTON, Service

ADDRESS = Address.of(["Mme Hélène Vasseur", "", "", "12 rue de la République", "", "69001 Lyon"])
OTHER = 0x00C2917E


def today() -> date:
    return figures.today(database.now())


def confirm(service: Service, pickup: int) -> None:
    with service.engine.begin() as conn:
        cloud.pickups.store.confirm(conn, pickup, ADDRESS, "customer c.morvan@example.org", database.now())


def numbers(page: str, place: str) -> dict[str, int]:
    """The numbers of one part of the page that are links, or stand behind one, by where they lead."""
    part = re.search(rf'<(dl|section)[^>]* id="{place}".*?</\1>', page, re.DOTALL)
    assert part
    link = r'<a [^>]*href="([^"]+)"[^>]*>(?:[^<]*</a><svg.*?</svg><span[^>]*>)?([\d\u00a0]+)'
    return {unescape(href): int(count.replace("\u00a0", "")) for href, count in re.findall(link, part[0], re.DOTALL)}


def test_each_number_of_orders_leads_to_a_list_of_as_many(service: Service):
    service.add_button(OTHER, "69 Lyon")
    service.press()
    service.press(device=OTHER)
    confirm(service, 2)
    browser = service.browser()
    page = browser.get("/").text
    told = numbers(page, "kpis") | numbers(page, "counts")

    lists = {href: count for href, count in told.items() if href.startswith("/pickups")}
    assert lists == {
        "/pickups?state=requested": 1,
        f"/pickups?reached=confirmed&reached_on={today()}": 1,
        f"/pickups?reached=collected&reached_on={today()}": 0,
        f"/pickups?day={today()}": 2,
        **{f"/pickups?day={today()}&reached={step}": step == "confirmed" for step in figures.past.STEPS[1:]},
    }
    for href, count in lists.items():
        assert browser.get(href).text.count('<tr tabindex="-1">') == count, href


def test_a_list_says_what_it_is_of_and_keeps_it_when_it_goes_on(service: Service):
    service.press()
    confirm(service, 1)
    browser = service.browser()
    on = today()
    page = browser.get(f"/pickups?day={on}&reached=confirmed&reached_on={on}").text
    assert "Pressed on" in page
    assert "confirmed on" in page
    assert f"/pickups?day={on}&amp;reached=confirmed&amp;reached_on={on}&amp;state=cancelled" in page
    assert browser.get(f"/pickups?day={on - timedelta(days=1)}").text.count('<tr tabindex="-1">') == 0


@pytest.mark.parametrize(
    "path", ["/?map=height", "/?day=yesterday", "/?day=0001-01-01", "/pickups?reached=lost", "/pickups?day=9999-12-31"]
)
def test_an_address_that_asks_for_what_is_not_is_refused(service: Service, path: str):
    assert service.browser().get(path).status_code == 422


def test_the_address_picks_the_map_and_the_day(service: Service):
    browser = service.browser()
    page = browser.get("/?map=link&day=2026-11-18").text

    assert "Pressed on Wed 18 Nov" in page
    assert "Weak links, 24 h" in page
    assert re.search(r'class="pick on" id="by-link" aria-current="true"', page)
    assert 'href="/?map=silence&amp;day=2026-11-18"' in page, "a pick of the map keeps the day"
    assert 'href="/?map=link&amp;day=2026-11-17"' in page, "another day keeps the map"


def test_every_page_speaks_french_and_english(service: Service):
    service.press()
    browser = service.browser()
    for path, french, english in (
        ("/?map=presses", "Trames par minute, et pourquoi certaines sont refusées", "Frames a minute, and why some"),
        ("/figures?map=presses", "À confirmer", "Wait for confirmation"),
        ("/map?map=silence", "Boutons silencieux", "Silent buttons"),
        ("/funnel?map=link", "Distribuées", "Delivered"),
        ("/departments?map=link", "Liens faibles", "Weak links"),
        ("/traffic?map=none", "Entendu à conservé", "Heard to kept"),
        ("/pickups?state=requested", "Colis", "Parcels"),
    ):
        assert french in browser.get(f"{path}&lang=fr").text, path
        assert english in browser.get(f"{path}&lang=en").text, path


def test_the_map_and_its_list_say_the_same(service: Service):
    for _ in range(3):
        service.press()
    with service.engine.begin() as conn:
        open_alert(conn, "35", database.now())
    browser = service.browser()
    page, listed = browser.get("/map").text, browser.get("/departments").text
    assert "Ille-et-Vilaine (35), 3 presses" in page
    assert '<path class="f-bad" d="M' in page
    assert page.count("<title>") == 96
    assert re.search(r'Ille-et-Vilaine</a></td>\s*<td class="num"><a href="[^"]+department=35">3</a>', listed)
    assert listed.index("Ille-et-Vilaine") < listed.index("Aisne"), "most first"


def test_presses_beside_the_map_are_listed_beside_it(service: Service):
    service.add_button(OTHER, "974 Saint-Denis")
    service.press(device=OTHER)
    assert re.search(r"974 La Réunion\s*<b class=\"strong\">1</b>", service.browser().get("/map").text)


def test_without_the_maps_file_the_list_stands_in_its_place(service: Service, tmp_path: Path):
    france.france.cache_clear()
    there, france.FILE = france.FILE, tmp_path / "none.svg"
    try:
        assert france.france() is NO_MAP
        service.press()
        page = service.browser().get("/map").text
        assert "35" in service.browser().get("/departments").text
    finally:
        france.FILE = there
        france.france.cache_clear()
    assert "The map’s file is not here" in page
    assert re.search(r"35\s*<b class=\"strong\">1</b>", page)


def test_a_figure_that_is_old_says_since_when(service: Service):
    now = database.now()
    with service.engine.begin() as conn:
        gauges.put(conn, STAMPS, now - timedelta(minutes=4), {"live": 4_980_000, "minted": 212_400})
    page = service.browser().get("/figures").text
    assert "4.98 <small>million</small>" in page
    assert "212\u00a0400" in page
    assert page.count("i-stale") == 2
    assert re.search(r"as of <time[^>]*>4\u00a0min</time> ago", page)
    with service.engine.begin() as conn:
        gauges.put(conn, STAMPS, now - timedelta(seconds=30), {"live": 4_980_000, "minted": 212_400})
    page = service.browser().get("/figures").text
    assert "list budget B = 22" in page
    assert "i-stale" not in page


def test_a_log_that_is_not_counted_yet_says_up_to_when_it_is(service: Service):
    row = {"received_at": database.now() - timedelta(hours=1), "carrier": "mqtt", "raw": b"", "raw_size": 0}
    with service.engine.begin() as conn:
        conn.execute(sa.insert(cloud.frames.store.frames), [{**row, "result": "malformed"}] * 20_002)
    page = service.browser().get("/figures").text
    assert "counted up to" in page
    while count_on(service.engine):
        pass
    assert "counted up to" not in service.browser().get("/figures").text


def test_open_alerts_stand_there(service: Service):
    assert "Nothing is open." in service.browser().get("/").text
    with service.engine.begin() as conn:
        open_alert(conn, "35", database.now())
    assert 'href="/alerts/1"' in service.browser().get("/").text


def test_the_traffic_is_told_minute_by_minute_with_its_latency(service: Service):
    service.press(now=database.now())
    service.hear(b"no json")
    page = service.browser().get("/traffic").text
    assert len(re.findall(r"<tr><td><time", page)) in (1, 2)  # the minute may have changed between the two
    assert re.search(r"<small>s</small>", page)
    assert f"{BUTTON:08X}" not in page
