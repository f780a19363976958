import re
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

import cloud.pickups.store
import cloud.stamps.store
from cloud import database
from cloud.accounts.model import Role
from cloud.console.store import SEARCHED_OF_BUTTON
from cloud.frames.model import trace_id
from cloud.frames.store import frames
from cloud.places.model import Address
from cloud.stamps.model import format_pairs
from tests.cloud.console.service import BUTTON, Service
from tests.sealing import callback
from tests.stock import VAULT

ADDRESS = Address.of(["Mme Hélène Vasseur", "", "", "12 rue de la République", "", "69001 Lyon"])
LISTS = ("/", "/figures", "/funnel", "/map", "/traffic", "/departments", "/pickups", "/buttons", "/find?q=none")
PAGES = (*LISTS, "/pickups/1", "/buttons/00D1F3A7", "/frames/1")


def csrf(page: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found
    return found[1]


def test_the_pages_are_for_staff(service: Service):
    service.press()
    viewer, postman, stranger = service.browser(Role.VIEWER), service.browser(Role.POSTMAN), service.browser()
    stranger.cookies.clear()

    for page in PAGES:
        assert viewer.get(page).status_code == (404 if "none" in page else 200)
        assert postman.get(page).status_code == 403
        assert stranger.get(page).headers["location"].startswith("/sign-in?next=")


def test_a_customer_is_led_from_the_overview_to_their_own_page(service: Service):
    assert service.browser(Role.CUSTOMER).get("/").headers["location"] == "/my"
    assert service.browser(Role.CUSTOMER).get("/pickups").status_code == 403


def test_an_empty_service_says_what_will_stand_where(service: Service):
    page = service.browser().get("/").text

    assert "No frames yet." in page
    assert "No orders yet." in page


def test_the_overview_counts_what_is_in_the_database(service: Service):
    service.press(2)
    service.press(kind="alive")
    service.hear(b"no json")
    service.hear(callback(0xFE03D1A0, bytes(12)), device=0xFE03D1A0)

    page = service.browser().get("/").text

    assert "2 of 4 frames" in page
    assert re.search(r'Wait for confirmation</dt><dd><a href="[^"]+">1</a>', page)
    assert re.search(r'Frames a minute</dt><dd><a href="/traffic">4</a>', page)
    assert page.count('<tr data-id="') == 4
    assert "unknown button: not in the fleet" in page


def test_what_came_by_radio_or_api_is_escaped(service: Service):
    service.add_button(7, "<script>alert(1)</script>")
    service.press(device=7)
    service.hear(b'{"device": "<b>x</b>"}', device=7)

    browser = service.browser()
    for page in (*PAGES, "/buttons/00000007", "/frames/2", "/find?q=<b>x</b>"):
        text = browser.get(page).text
        assert "<script>alert" not in text
        assert "<b>x" not in text


def test_no_page_and_no_answer_holds_a_key(service: Service):
    service.press()
    key = service.keys.device_key(BUTTON, 0)

    browser, script = service.browser(Role.ADMIN), service.script()
    told = [browser.get(page).text for page in PAGES]
    told += [script.get(f"/api/{path}").text for path in ("buttons", "buttons/00D1F3A7", "frames", "pickups/1")]

    assert not any(key.hex() in text.lower() for text in told)


def test_an_order_is_told_from_the_press_to_the_stamp(service: Service):
    service.press(3)
    service.press(kind="ask")
    with service.engine.begin() as conn:
        cloud.pickups.store.confirm(conn, 1, ADDRESS, "customer c.morvan@example.org", database.now())
        stamp = cloud.stamps.store.of_pickup(conn, VAULT, 1)
    assert stamp is not None

    page = service.browser().get("/pickups/1").text

    steps = re.findall(r'<span class="hide">(\w+): </span><span class="strong">([^<]+)', page)
    assert steps == [
        ("radio", "Pressed 3 times"),
        ("radio", "Radiated, heard by 2 stations"),
        ("seal", "Opened: seal is right"),
        ("seal", "Kept in one transaction, then acknowledged"),
        ("order", "Request 1 opened"),
        ("stamp", "Stamp reserved"),
        ("radio", "Answered the press"),
        ("radio", "Asked what became of it"),
        ("radio", "Radiated, heard by 2 stations"),
        ("seal", "Opened: seal is right"),
        ("radio", "Answered with the order’s state"),
        ("order", "Confirmed"),
        ("stamp", "Stamp live"),
        ("round", "Collection expected"),
    ]
    assert "".join(f"<span>{pair}</span> " for pair in format_pairs(stamp.code).split()).strip() in page
    assert "69001 LYON" in page
    assert page.count('class="bit"') == 96 + 24
    assert "1F08" in page


def test_an_operator_cancels_an_order_and_its_stamp(service: Service):
    service.press()
    operator = service.browser(Role.OPERATOR)
    page = operator.get("/pickups/1").text

    answer = operator.post("/pickups/1/cancel", data={"csrf": csrf(page)})

    assert answer.headers["location"] == "/pickups/1"
    page = operator.get("/pickups/1").text
    assert "Stamp void" in page
    assert "by staff operator" in page
    assert "Cancel order" not in page
    assert operator.post("/pickups/1/cancel", data={"csrf": csrf(page)}).status_code == 409


def test_a_cancel_without_the_right_or_the_form_changes_nothing(service: Service):
    service.press()
    viewer, operator = service.browser(Role.VIEWER), service.browser(Role.OPERATOR)
    page = viewer.get("/pickups/1").text

    assert "Cancel order" not in page
    assert viewer.post("/pickups/1/cancel", data={"csrf": csrf(page)}).status_code == 403
    assert operator.post("/pickups/1/cancel").status_code == 403
    assert "waits for confirmation" in operator.get("/pickups/1").text


def test_the_search_goes_straight_to_what_is_named(service: Service):
    service.press()
    service.hear(callback(0xFE03D1A0, bytes.fromhex("00" * 11 + "07")), device=0xFE03D1A0)
    with service.engine.begin() as conn:
        stamp = cloud.stamps.store.of_pickup(conn, VAULT, 1)
    assert stamp is not None
    browser = service.browser()

    def found(text: str) -> str | None:
        return browser.get("/find", params={"q": text}).headers.get("location")

    assert found("00d1f3a7") == found(" d1f3a7 ") == "/buttons/00D1F3A7"
    assert found("1") == "/pickups/1"
    assert found(format_pairs(stamp.code).lower()) == "/pickups/1"
    assert found("00" * 11 + "07") == "/frames/2"
    nothing = browser.get("/find", params={"q": "FFFFFFFF"})
    assert nothing.status_code == 404
    assert "Nothing found for “FFFFFFFF”" in nothing.text


def test_a_frame_that_is_not_found_tells_how_far_was_looked(service: Service):
    browser, zeros = service.browser(), "00" * 12

    def said(text: str) -> str:
        return re.sub("<[^>]*>", "", browser.get("/find", params={"q": text}).text).replace("\N{NO-BREAK SPACE}", " ")

    assert "There is none at all yet." in said(zeros)
    begin = datetime(2026, 11, 20, 8, tzinfo=UTC)
    for day in range(5):
        service.press(kind="alive", now=begin + timedelta(days=day))
    every = "Looked at every one, back to Fri 20 Nov, 09:00."
    assert every in said(zeros)
    assert every in said(f"00D1F3A7 {zeros}")
    assert "There is none at all yet." in said(f"0000BEEF {zeros}")

    with service.engine.begin() as conn:
        [last] = conn.execute(sa.select(frames).where(frames.c.id == 5)).mappings()
        later = {**last, "received_at": begin + timedelta(days=10)}
        ids = range(300_000, 300_000 + SEARCHED_OF_BUTTON - 1)  # with that of the fifth day as many as are looked at
        conn.execute(sa.insert(frames), [{**later, "id": id} for id in ids])
    page = said(zeros)
    assert "Looked at the newest 200 000 frames, back to Mon 30 Nov, 09:00." in page
    assert "among the newest 20 000 of that button’s alone" in page
    assert "Looked at the newest 20 000 frames, back to Tue 24 Nov, 09:00." in said(f"00D1F3A7 {zeros}")


def test_what_is_not_there_is_said_so(service: Service):
    browser = service.browser()

    for path in (
        "/pickups/7",
        "/buttons/0000000F",
        "/buttons/zz",
        "/frames/9",
        f"/pickups/{2**63}",
        f"/pickups/{-(2**63) - 1}",
        f"/frames/{2**70}",
    ):
        assert browser.get(path).status_code == 404


def test_lists_go_on_where_the_page_ends(service: Service):
    for device in range(1, 53):
        service.add_button(device, "35 Rennes")
        service.press(device=device)
    browser = service.browser()

    orders = browser.get("/pickups").text
    older = re.search(r'href="(/pickups\?before=\d+)"', orders)
    assert older
    assert orders.count("<tr tabindex") == 50
    assert browser.get(older[1]).text.count("<tr tabindex") == 2
    following = re.search(r'rel="next" href="([^"]+)"', browser.get("/buttons").text)
    assert following
    assert browser.get(following[1]).text.count("<tr tabindex") == 3
    assert "No orders here that are collected" in browser.get("/pickups?state=collected").text


def test_a_trace_id_leads_from_a_log_to_the_order_and_to_each_copy_of_its_message(service: Service):
    pressed = service.press()
    reception = pressed.reception
    assert reception is not None
    name = trace_id(reception.device, reception.data)
    operator = service.browser()

    assert operator.get(f"/find?q={name}").headers["location"] == f"/pickups/{pressed.pickup_id}"
    assert name in operator.get(f"/pickups/{pressed.pickup_id}").text
    assert name in operator.get("/frames/1").text
    told = service.script().get("/api/frames", params={"trace": name.upper()}).json()["frames"]
    assert [(frame["trace"], frame["pickup_id"]) for frame in told] == [(name, pressed.pickup_id)]
    assert service.script().get("/api/frames", params={"trace": name, "device": "00D1F3A7"}).status_code == 422
    assert service.script().get("/api/frames", params={"trace": "zz" * 16}).status_code == 422


def test_a_button_is_configured_and_the_order_taken_back_on_its_page(service: Service):
    browser = service.browser()
    page = browser.get("/buttons/00D1F3A7").text
    assert "Nothing waits." in page

    form = {"csrf": csrf(page), "hours": "48", "reason": "battery <low>"}
    done = browser.post("/buttons/d1f3a7/downlinks", data=form)

    assert (done.status_code, done.headers["location"]) == (303, "/buttons/00D1F3A7")
    page = browser.get("/buttons/00D1F3A7").text
    assert "Heartbeat every 48 h: battery &lt;low&gt;" in page
    assert "with the next heartbeat, until" in page
    assert browser.post("/buttons/00D1F3A7/downlinks/1/cancel", data={"csrf": csrf(page)}).status_code == 303
    assert "cancelled" in browser.get("/buttons/00D1F3A7").text
    assert browser.post("/buttons/00D1F3A7/downlinks/1/cancel", data={"csrf": csrf(page)}).status_code == 409
    assert browser.post("/buttons/00D1F3A7/downlinks", data=form | {"hours": "169"}).status_code == 422
    assert browser.post("/buttons/zz/downlinks", data=form).status_code == 404
    assert browser.post("/buttons/00D1F3A7/downlinks", data=form | {"csrf": "x"}).status_code == 403


def test_a_buttons_page_tells_its_answers_its_budget_and_its_link(service: Service):
    service.press()
    for _ in range(3):
        service.press(kind="ask")
        next(service.counters)  # and its sequence number: heard by no station

    page = service.browser().get("/buttons/00D1F3A7").text

    assert "4 of 4</span>" in page
    assert "to the press, counter 1, order" in page
    assert "to the question, counter 2" in page
    assert "missed" in page


def test_a_lost_button_is_revoked_by_operators_and_taken_back_by_administrators(service: Service):
    operator, admin, viewer = service.browser(), service.browser(Role.ADMIN), service.browser(Role.VIEWER)
    page = operator.get("/buttons/00D1F3A7").text
    assert "/revoke" in page
    assert "/revoke" not in viewer.get("/buttons/00D1F3A7").text

    form = {"csrf": csrf(page), "why": "fell into the river"}
    assert operator.post("/buttons/00D1F3A7/revoke", data=form | {"why": " "}).status_code == 422
    assert operator.post("/buttons/00D1F3A7/revoke", data=form).status_code == 303

    page = operator.get("/buttons/00D1F3A7").text
    assert "staff operator" in page
    assert "fell into the river" in page
    assert service.press().result == "revoked"
    assert operator.post("/buttons/00D1F3A7/found", data={"csrf": csrf(page)}).status_code == 403
    found = csrf(admin.get("/buttons/00D1F3A7").text)
    assert admin.post("/buttons/00D1F3A7/found", data={"csrf": found}).status_code == 303
    page = admin.get("/buttons/00D1F3A7").text
    assert "fell into the river" not in page
    assert "from master key 1" in page
    assert admin.post("/buttons/00D1F3A7/found", data={"csrf": found}).status_code == 409
    assert service.press().result == "wrong key generation"
    assert operator.post("/buttons/99/revoke", data=form).status_code == 404
