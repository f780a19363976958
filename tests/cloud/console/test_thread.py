"""The thread of an order, from the press to the door, and the search that leads there."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from cloud import database, pages
from cloud.accounts.model import Role
from cloud.console import thread
from cloud.pickups.model import Event, Handover, Reason
from cloud.places.model import Address
from cloud.stamps import ledger, s10
from cloud.stamps.ledger import Form
from cloud.stamps.model import Kind
from tests.cloud.console.lives import AS_FAR_AS, PRESSED_AT, make_life
from tests.cloud.console.service import BUTTON, Service

STEP = re.compile(
    r"<li[^>]*>(?:<time[^>]*>(?:<b>([^<]+)</b>)?([^<]+)</time>|<span[^>]*>[^<]+</span>)"
    r'<div class="what[^"]*"><span class="hide">([\w ]+?)\W*</span><span class="strong">([^<]+)</span>'
    r"<small[^>]*>(.*?)</small>"
)


def steps(page: str) -> list[tuple[str, ...]]:
    """(day, time, lane, title, why) of each."""
    return [tuple(re.sub("<[^>]+>", "", unescape(part)) for part in found) for found in STEP.findall(page)]


def test_a_whole_life_is_told_step_by_step_with_its_reasons(service: Service):
    life = make_life(service)

    page = service.browser().get(f"/pickups/{life.pickup_id}").text

    piece = "CD 0000 0001 4 FR".replace(" ", "\u00a0")
    assert steps(page) == [
        ("Wed 18", "19:52:12", "radio", "Pressed once", "Counter 2, in flash before anything is radiated"),
        ("", "19:52:12", "radio", "Radiated, heard by 2 stations", "5 of 6 copies; best −117 dBm at 1F08"),
        ("", "19:52:12", "seal", "Opened: seal is right",
         "Key generation 0; the first known under it; one further copy folded in"),
        ("", "19:52:12", "seal", "Kept in one transaction, then acknowledged",
         "By mqtt; within two seconds of being heard"),
        ("", "19:52:12", "order", "Request 1 opened", "nothing is ordered yet; by its button"),
        ("", "19:52:12", "stamp", "Stamp reserved", "From the pool; three or more characters from every other code"),
        ("", "19:52:12", "radio", "Answered the press",
         "Sealed under its counter; sent, which is not the same as heard"),
        ("", "20:03:41", "order", "Confirmed",
         "to Mme Hélène Vasseur, 69001 LYON; by customer c.morvan@example.org"),
        ("", "20:03:41", "stamp", "Stamp live", "It can be written on the parcel, and be redeemed once"),
        ("Thu 19", "05:40:00", "round", "Put on round Rennes 07, stop 23 of 61", "by token a.legoff"),
        ("", "08:47:00", "round", "Collected: responsibility passes",
         "photo taken; place: 9 m from the box; notice left; offline, told at 08:55; by token a.legoff"),
        ("", "18:52:00", "stamp", "Read from a picture: accepted", "2 strings tried; at 35 Rennes PIC"),
        ("", "18:52:00", "sorting", "Redeemed once, 1\u00a0240 g",
         f"at 35 Rennes PIC; for {piece}; by token line 4"),
        ("Fri 20", "11:49:00", "sorting", "Delivered to the door", "place: Lyon 1er; by token a.legoff"),
    ]  # fmt: skip
    assert f"{life.code[:2]}</span>" in page
    assert "1\u00a0240 g weighed" in page
    assert piece.replace("\u00a0", " ") in page.replace("\u00a0", " ")
    assert f"/decode?data={'0' * 4}" in page
    assert f"&amp;button={BUTTON:08X}" in page
    assert 'href="/docs/wire-format"' in page
    assert 'aria-current="step"' not in page, "it has ended"


def test_a_step_ahead_is_told_as_expected_until_the_order_has_ended(service: Service):
    ahead = []
    for number, state in enumerate(AS_FAR_AS, 0x100):
        service.add_button(number, "35 Rennes")
        life = make_life(service, state, device=number)
        page = service.browser().get(f"/pickups/{life.pickup_id}").text
        told = steps(page)
        ahead.append([step[3] for step in told if "expected" in step[3]])
        assert page.count('aria-current="step"') == page.count("f-light halo") == (state != "delivered")
        assert page.count("f-none dash") == len(ahead[-1])
    assert ahead == [
        ["Confirmation expected"],
        ["Collection expected"],
        ["Collection expected"],
        ["Sorting expected"],
        ["Delivery expected"],
        [],
    ]


def test_the_lamp_stands_where_the_order_is_whatever_is_said_of_it_since(service: Service):
    life = make_life(service, "sorted", appealed=True)
    page = service.browser().get(f"/pickups/{life.pickup_id}").text
    assert [step[3] for step in steps(page)][-2:] == ["Appeal filed", "Delivery expected"]
    assert re.search(r'aria-current="step".*?<span class="strong">Redeemed once', page, re.DOTALL)
    assert "Appeal filed" not in page.partition('aria-current="step"')[0]
    assert 'href="/appeals/1"' in page
    assert 'href="/appeals/1"' not in service.browser(Role.VIEWER).get(f"/pickups/{life.pickup_id}").text


def test_a_collection_that_failed_says_why(service: Service):
    life = make_life(service, "on round")
    told = {"event_id": "f1", "reason": "dog", "notice": True}
    assert service.script(Role.POSTMAN).post(f"/api/pickups/{life.pickup_id}/fail", json=told).status_code == 200
    page = service.browser().get(f"/pickups/{life.pickup_id}").text
    assert [step[2:] for step in steps(page)][-2:] == [
        ("round", "Not collected: a dog", "notice left; by token script"),
        ("stamp", "Stamp void", "Its code is not given out again for a long time"),
    ]


def test_a_gap_in_the_counters_and_a_replay_are_told(service: Service):
    service.press(kind="alive")
    next(service.counters)
    service.press(now=PRESSED_AT)
    page = service.browser().get("/pickups/1").text
    assert "3 after 1, 1 between" in page


def test_the_thread_speaks_french(service: Service):
    life = make_life(service, appealed=True)
    page = service.browser().get(f"/pickups/{life.pickup_id}?lang=fr").text
    told = steps(page)
    assert told[0][:4] == ("mer. 18", "19:52:12", "radio", "Un appui")
    assert {"sceau", "commande", "timbre", "tournée", "tri"} < {step[2] for step in told}
    assert "Ramassée\u00a0: la responsabilité passe à la poste" in {step[3] for step in told}
    assert "Collected" not in page
    assert "distribuée" in page
    customers = service.browser(Role.OPERATOR).get("/pickups?lang=fr").text
    assert "Commandes" in customers
    assert "en tournée" in customers


def test_every_carrier_and_state_can_be_said_in_both_languages():
    for lang in pages.LANGUAGES:
        words = pages.Words(lang)
        for texts in (thread.REASONS, thread.HANDOVERS, thread.FORMS, thread.KINDS, thread.ANSWERED):
            assert all(words.say(said) for said in texts.values())
    assert set(thread.REASONS) == set(Reason)
    assert set(thread.HANDOVERS) == set(Handover)
    assert set(thread.FORMS) == set(Form)
    assert set(thread.KINDS) == set(Kind)
    handled = {Event.PRESSED, Event.CONFIRMED, Event.PUT_ON_ROUND, Event.COLLECTED, Event.FAILED, Event.SORTED}
    assert handled | {Event.DELIVERED} | set(thread.ORDER_WORDS) == set(Event)


def test_the_page_reads_by_indexes_alone(service: Service):
    life = make_life(service, appealed=True)
    browser = service.browser()
    asked: list[tuple[str, Any]] = []

    def note(*said: Any) -> None:
        if said[2].startswith("SELECT") and "FROM stations" not in said[2]:  # read whole now and then, and kept
            asked.append((said[2], said[3]))

    event.listen(service.engine, "before_cursor_execute", note)
    assert browser.get(f"/pickups/{life.pickup_id}").status_code == 200
    event.remove(service.engine, "before_cursor_execute", note)
    assert len(asked) > 5
    with service.engine.connect() as conn:
        for text, values in asked:
            plan = [row[-1] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]
            assert not [line for line in plan if line.startswith("SCAN")], (text, plan)


@pytest.fixture
def found(service: Service) -> Callable[[str], str | None]:
    browser = service.browser()
    return lambda text: browser.get("/find", params={"q": text}).headers.get("location")


def test_one_hit_leads_straight_on_whatever_names_it(service: Service, found: Callable[[str], str | None]):
    life = make_life(service, "sorted")
    other = Address.of(["M Karim Benali", "", "", "4 place du Marché", "", "35000 Rennes"])
    service.add_button(7, "69 Lyon")
    make_life(service, "confirmed", device=7, addressee=other)
    here = f"/pickups/{life.pickup_id}"
    press = service.script().get("/api/frames", params={"after": 0}).json()["frames"][0]
    named = [
        life.code, life.piece, s10.parse(life.piece).grouped, life.piece.lower(),
        "quatre navettes", "18 rue NAVETTES, lyon",
        press["data"], press["data"].upper(), " ".join(re.findall("..", press["data"])), f"00D1F3A7 {press['data']}",
        press["trace"],
    ]  # fmt: skip
    assert {text: found(text) for text in named} == dict.fromkeys(named, here)
    assert found("place du marche") == found("march") == "/pickups/2"
    assert found("00D1F3A7") == "/buttons/00D1F3A7"
    assert found(f"00000007 {press['data']}") is None, "another button"


def test_several_hits_are_listed_with_why(service: Service):
    service.add_button(1, "35 Rennes")
    life = make_life(service, "sorted")
    again = make_life(service, "confirmed")
    browser = service.browser()

    page = browser.get("/find", params={"q": "1"})
    assert page.status_code == 200
    assert 'href="/buttons/00000001"' in page.text
    assert 'href="/pickups/1"' in page.text
    assert "its id, without the zeros before it" in page.text

    page = browser.get("/find", params={"q": "navettes"}).text
    assert page.index(f'href="/pickups/{again.pickup_id}"') < page.index(f'href="/pickups/{life.pickup_id}"')
    assert "2 orders, newest first" in page
    assert "18 rue des Quatre Navettes" in page
    french = browser.get("/find", params={"q": "navettes", "lang": "fr"}).text
    assert "2 commandes, les plus récentes d’abord" in french


def test_a_parcel_number_finds_both_who_paid_and_whose_label_has_it(service: Service):
    """A label was put on another parcel: the stamp of the first paid under the second's number."""
    first, second = make_life(service, "collected"), make_life(service, "confirmed")
    asked = {"code": first.code, "piece": second.piece, "place": "35 Rennes PIC"}
    assert service.script().post("/api/stamps/redeem", json=asked).status_code == 200
    page = service.browser().get("/find", params={"q": second.piece}).text
    assert "its stamp paid for this parcel number" in page
    assert "the parcel number of its label" in page
    shown = service.browser().get(f"/pickups/{first.pickup_id}").text
    assert s10.parse(second.piece).grouped.replace(" ", "\u00a0") in shown


def test_what_is_not_found_says_what_was_searched(service: Service):
    browser = service.browser()
    page = browser.get("/find", params={"q": "00" * 12})
    assert page.status_code == 404
    assert "No frame carried these twelve bytes." in page.text
    assert "There is none at all yet." in page.text
    assert f"/decode?data={'00' * 12}" in page.text
    assert "No frame of button 00D1F3A7" in browser.get("/find", params={"q": f"00D1F3A7 {'00' * 12}"}).text
    assert "no street or town" in browser.get("/find", params={"q": "nowhere street"}).text
    assert browser.get("/find", params={"q": "CD000000017FR"}).status_code == 404
    for odd in ("%", "_", "\u0000x", "ſ" * 50, "٣٣٣", "''", "a" * 100):
        assert browser.get("/find", params={"q": odd}).status_code == 404


def test_only_who_reads_stamps_finds_by_code_and_a_wrong_one_counts(service: Service):
    life = make_life(service, "confirmed")
    viewer, operator = service.browser(Role.VIEWER), service.browser()
    assert viewer.get("/find", params={"q": life.code}).status_code == 404
    assert readings(service) == 0
    assert operator.get("/find", params={"q": life.code}).status_code == 303
    assert operator.get("/find", params={"q": "WWWW8888"}).status_code == 404
    assert readings(service) == 2
    assert operator.get("/find", params={"q": "quatre navettes"}).status_code == 303
    assert readings(service) == 2, "a street is no guess"


def readings(service: Service) -> int:
    with database.reading(service.engine) as conn:
        return len(conn.execute(sa.select(ledger.readings.c.id)).all())
