"""A button's page, its deeds, the list of silent ones, over HTTP."""

import csv
import io
import re
from datetime import timedelta

import pytest
import sqlalchemy as sa

import cloud.audit.store
import cloud.fleet.store as fleet
from cloud import database
from cloud.accounts.model import Role
from cloud.fleet.store import buttons
from tests.cloud.console.button_lives import Life
from tests.cloud.console.service import BUTTON, Service
from tests.cloud.console.test_pages import csrf

PAGE = "/buttons/00D1F3A7"
DAY = timedelta(days=1)


def text(page: str) -> str:
    """What a page says, without its markup."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page)).replace("\N{NO-BREAK SPACE}", " ")


def quiet(service: Service, device: int, days: float, **other: object) -> None:
    seen = database.now() - days * DAY
    with service.engine.begin() as conn:
        conn.execute(sa.update(buttons).where(buttons.c.id == device).values(last_seen_at=seen, **other))


def actions(service: Service) -> list[tuple[str, str, str]]:
    with database.reading(service.engine) as conn:
        return [(one.actor, one.action, one.subject) for one in cloud.audit.store.newest(conn)]


def test_the_page_of_a_button_that_was_never_heard_says_what_will_stand_where(service: Service):
    said = text(service.browser().get(PAGE).text)

    assert "Nobody can tell yet." in said
    assert "No board was given its key yet" in said
    for empty in ("No orders yet.", "No notes yet.", "No voltage yet.", "No station is named", "Nothing waits."):
        assert empty in said
    assert "0 of 4" in said
    assert "not known: it was not noted at flashing" in said


def test_is_it_well_is_answered_in_words(service: Service):
    Life(service, database.now(), is_lost=lambda back: back in (3, 12)).tell(40, press_every=7)

    said = text(service.browser().get(PAGE).text)

    assert "Yes. It was last heard 9 h" in said
    assert "Its heartbeat comes every day, mostly " in said
    assert "It is pressed about every 7 days" in said
    assert "The next word is due by" in said
    assert "it is called silent on" in said
    assert "With the battery above 2.8 V" in said
    assert "2 not heard (" in said
    assert "Best heard by 1F08" in said


def test_a_silent_button_is_told_with_its_reasons_on_its_page(service: Service):
    Life(service, database.now()).tell(60, silent_for=20, used=575)

    said = text(service.browser().get(PAGE).text)

    assert "No. It was last heard 20 days ago" in said
    assert "words in a row were missed" in said
    assert "which is low" in said
    assert "Its last press" not in said


def test_a_late_button_is_not_called_silent(service: Service):
    Life(service, database.now()).tell(30, silent_for=1)
    quiet(service, BUTTON, 1.3)

    assert "Perhaps not." in text(service.browser().get(PAGE).text)


def test_notes_are_written_shown_escaped_and_removed_by_whom_it_may(service: Service):
    author, other, admin = service.browser(), service.browser(), service.browser(Role.ADMIN)
    viewer = service.browser(Role.VIEWER)
    form = {"csrf": csrf(author.get(PAGE).text), "text": "A dog.\n<b>It bites</b>"}

    assert author.post(f"{PAGE}/notes", data=form).headers["location"] == f"{PAGE}#notes"
    assert "A dog.\n&lt;b&gt;It bites" in viewer.get(PAGE).text
    assert "/notes/1/remove" in author.get(PAGE).text
    assert "/notes/1/remove" not in other.get(PAGE).text
    assert "/notes" not in viewer.get(PAGE).text
    assert viewer.post(f"{PAGE}/notes", data=form | {"csrf": csrf(viewer.get(PAGE).text)}).status_code == 403
    assert author.post(f"{PAGE}/notes", data=form | {"csrf": "x"}).status_code == 403
    assert author.post(f"{PAGE}/notes", data=form | {"text": "x" * 2001}).status_code == 422
    assert author.post("/buttons/00000099/notes", data=form).status_code == 404

    theirs = {"csrf": csrf(other.get(PAGE).text)}
    assert other.post(f"{PAGE}/notes/1/remove", data=theirs).status_code == 403
    assert admin.post(f"{PAGE}/notes/1/remove", data={"csrf": csrf(admin.get(PAGE).text)}).status_code == 303
    assert author.post(f"{PAGE}/notes/1/remove", data=form).status_code == 404
    assert "No notes yet." in author.get(PAGE).text
    assert [action for _, action, _ in actions(service)] == ["button.note.remove", "button.note.write"]


def test_older_notes_are_a_page_away(service: Service):
    browser = service.browser()
    token = csrf(browser.get(PAGE).text)
    for n in range(23):
        browser.post(f"{PAGE}/notes", data={"csrf": token, "text": f"note {n:02}"})

    page = browser.get(PAGE).text
    older = re.search(r'href="([^"]+notes_before=\d+)#notes"', page)
    assert older
    assert "note 22" in page
    assert "note 02" not in page
    assert "note 02" in browser.get(older[1]).text


def test_a_new_key_is_planned_shown_and_dropped(service: Service):
    service.press()
    operator, viewer = service.browser(), service.browser(Role.VIEWER)
    page = operator.get(PAGE).text
    form = {"csrf": csrf(page)}
    assert "Plan a new key" in page
    assert "Plan a new key" not in viewer.get(PAGE).text
    assert viewer.post(f"{PAGE}/key", data={"csrf": csrf(viewer.get(PAGE).text)}).status_code == 403

    assert operator.post(f"{PAGE}/key", data=form).status_code == 303
    page = viewer.get(PAGE).text
    assert "new key planned" in page
    assert "domino flash --button 00D1F3A7 --reprovision" in page
    assert "new key planned" in viewer.get("/buttons").text
    assert service.script().get(f"/api{PAGE}").json()["rekey_planned_at"]

    assert operator.post(f"{PAGE}/key/drop", data=form).status_code == 303
    assert "new key planned" not in viewer.get(PAGE).text
    assert [one[1:] for one in actions(service)] == [
        ("button.drop-key-plan", "button 00D1F3A7"),
        ("button.plan-key", "button 00D1F3A7"),
    ]


def test_no_key_is_planned_where_none_was_given_away(service: Service):
    operator = service.browser()
    page = operator.get(PAGE).text
    assert "Plan a new key" not in page
    assert operator.post(f"{PAGE}/key", data={"csrf": csrf(page)}).status_code == 409


def test_every_deed_is_in_the_audit_trail(service: Service):
    service.press()
    admin = service.browser(Role.ADMIN)
    form = {"csrf": csrf(admin.get(PAGE).text)}
    admin.post(f"{PAGE}/downlinks", data=form | {"hours": "48", "reason": "thrift"})
    admin.post(f"{PAGE}/downlinks/1/cancel", data=form)
    admin.post(f"{PAGE}/revoke", data=form | {"why": "stolen"})
    admin.post(f"{PAGE}/revoke", data=form | {"why": "again"})
    admin.post(f"{PAGE}/found", data=form)

    assert [action for _, action, _ in reversed(actions(service))] == [
        "button.configure", "button.cancel-downlink", "button.revoke", "button.found",
    ]  # fmt: skip


def test_firmware_is_told_with_the_newer_one_of_another_board(service: Service):
    service.add_button(7, "35 Rennes")
    now = database.now()
    with service.engine.begin() as conn:
        fleet.note_board(conn, BUTTON, firmware="0.1.0+aaaa1111", heartbeat_hours=48, now=now - 30 * DAY)
        fleet.note_board(conn, 7, firmware="0.1.0+bbbb2222", heartbeat_hours=24, now=now - 2 * DAY)

    said = text(service.browser().get(PAGE).text)
    assert "0.1.0+aaaa1111 flashed 30 days ago" in said
    assert "0.1.0+bbbb2222 was flashed on another board 2 days ago" in said
    assert "another board" not in text(service.browser().get("/buttons/00000007").text)


def test_frames_are_exported_as_csv_to_those_who_may_see_them(service: Service):
    for _ in range(3):
        service.press()
    service.hear(b"no json")

    answer = service.browser(Role.VIEWER).get(f"{PAGE}/frames.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="frames-00D1F3A7.csv"'
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert [line["result"] for line in lines] == ["malformed", "accepted", "accepted", "accepted"]
    assert service.browser(Role.POSTMAN).get(f"{PAGE}/frames.csv").status_code == 403
    assert service.browser(Role.VIEWER).get("/buttons/00000099/frames.csv").status_code == 404


def test_older_frames_are_a_page_away(service: Service):
    for _ in range(23):
        service.press(kind="alive")
    browser = service.browser()

    page = browser.get(PAGE).text
    older = re.search(r'href="([^"]+before=\d+)#frames"', page)
    assert older
    assert page.count('<tr data-id="') == 20
    assert browser.get(older[1]).text.count('<tr data-id="') == 3


def some_that_are_not_well(service: Service) -> None:
    for device, place in ((1, "35 Rennes"), (2, "29 Quimper"), (3, "35 Fougères"), (4, "22 Dinan"), (5, "35 Vitré")):
        service.add_button(device, place)
    for device in (1, 2, 3, 5):
        service.press(device=device, kind="alive")
    quiet(service, 1, 9)
    quiet(service, 2, 30, battery_mv=2700)
    quiet(service, 3, 1.3)


def test_the_silent_list_tells_dead_late_unused_and_unheard_apart(service: Service):
    some_that_are_not_well(service)
    browser = service.browser(Role.VIEWER)

    def listed(query: str) -> list[str]:
        return re.findall(r'href="/buttons/([0-9A-F]{8})"', browser.get(f"/silent{query}").text)

    assert listed("") == ["00000002", "00000001"]
    assert listed("?department=35") == ["00000001"]
    assert listed("?verdict=late") == ["00000003"]
    assert listed("?verdict=never heard") == ["00000004", "00D1F3A7"]
    assert listed("?verdict=unused") == ["00000005"]
    service.press(device=5)
    assert listed("?verdict=unused") == []
    assert browser.get("/silent?verdict=alive").status_code == 422
    assert browser.get("/silent?after=x").status_code == 422
    assert browser.get("/silent?department=x").status_code == 422
    assert service.browser(Role.POSTMAN).get("/silent").status_code == 403
    assert "likely: the battery" in text(browser.get("/silent").text)
    assert 'id="badge-silent" hx-swap-oob="true" class="count">2<' in browser.get("/badges").text


def test_the_badge_counts_no_further_than_it_shows(service: Service):
    for device in range(1, 103):
        service.add_button(device, "35 Rennes")
        quiet(service, device, 9)
    assert ">99+</span>" in service.browser().get("/badges").text


def test_the_silent_list_goes_on_where_its_page_ended(service: Service):
    for device in range(1, 54):
        service.add_button(device, "35 Rennes")
        quiet(service, device, 9 + device)
    browser = service.browser()

    page = browser.get("/silent").text
    further = re.search(r'href="(/silent\?[^"]+after=[^"]+)"', page)
    assert further
    assert page.count("<tr tabindex") == 50
    assert "53" in page
    last = browser.get(further[1].replace("&amp;", "&")).text
    assert re.findall(r'href="/buttons/([0-9A-F]{8})"', last) == ["00000003", "00000002", "00000001"]


def test_the_api_tells_verdict_and_reasons(service: Service):
    some_that_are_not_well(service)
    script = service.script(Role.VIEWER)

    told = script.get("/api/buttons/silent", params={"limit": 1}).json()
    (one,) = told["buttons"]
    assert (one["button"]["id"], one["verdict"], one["cause"]) == ("00000002", "silent", "battery")
    assert one["missed"] >= 20
    assert one["reasons"][-2] == "So it is likely the battery."
    rest = script.get("/api/buttons/silent", params={"after": told["next"]}).json()
    assert [one["button"]["id"] for one in rest["buttons"]] == ["00000001"]
    assert rest["next"] is None
    late = script.get("/api/buttons/silent", params={"verdict": "late", "department": "35"}).json()["buttons"]
    assert [(one["button"]["id"], one["missed"]) for one in late] == [("00000003", 1)]
    assert script.get("/api/buttons/silent", params={"verdict": "revoked"}).status_code == 422
    assert script.get("/api/buttons/silent", params={"after": "x-1"}).status_code == 422


@pytest.mark.parametrize("lang", ["fr", "en"])
def test_the_reasons_are_said_in_the_readers_language(service: Service, lang: str):
    some_that_are_not_well(service)
    said = text(service.browser().get(f"/silent?lang={lang}").text)
    assert ("C’est donc sans doute la pile." in said) == (lang == "fr")
    assert ("2,7 V" in said) == (lang == "fr")
