"""A moment is shown, once it is past, as it was shown while it was now: orders, buttons, frames and alerts."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa

import cloud.accounts.store
import cloud.alerts.past
import cloud.appeals.store
import cloud.audit.store
import cloud.downlinks.store
import cloud.fleet.notes
import cloud.fleet.store
import cloud.frames.past
import cloud.frames.store
import cloud.pickups.store
from cloud import database, pages
from cloud.accounts.model import Role
from cloud.alerts import model
from cloud.alerts import store as alerts
from cloud.console import known, store, verdicts
from cloud.fleet.model import format_id
from cloud.fleet.store import buttons
from cloud.frames import history
from cloud.pickups.model import Detail, Event, State
from cloud.replay import Moment, Replay
from tests.cloud.alerts.house import House, house, open_alert
from tests.cloud.console.button_lives import Life
from tests.cloud.console.lives import ADDRESSEE, AS_FAR_AS, PRESSED_AT, make_life
from tests.cloud.console.service import BUTTON, NO_PASSWORD, Service, running_service
from tests.cloud.console.test_button import text
from tests.stock import VAULT

MINUTE = timedelta(minutes=1)
OTHER = 0x0012AB34
NOW = datetime.fromisoformat("2026-11-24T09:00:00+00:00")


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def each(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Service]:
    """A service on either database."""
    url = request.getfixturevalue("postgres_url") if request.param == "PostgreSQL" else None
    with running_service(tmp_path, url) as service:
        yield service


def at(moment: datetime, path: str = "", speed: int = 0) -> str:
    query = urlencode({"replay": str(Replay(moment, database.now(), speed))}, safe="~:")
    return f"{path}{'&' if '?' in path else '?'}{query}"


def existed(service: Service, since: datetime, device: int = BUTTON) -> None:
    with service.engine.begin() as conn:
        conn.execute(buttons.update().where(buttons.c.id == device).values(created_at=since))


def steps(page: str) -> list[str]:
    """The thread's titles with their times, without what is the order's own number."""
    found = re.findall(r"<li[^>]*>(.*?)</li>", page[page.index('class="thread"') :], re.S)
    own = re.compile(r"Request \S+ opened|Counter \d+|(\d+ follows \d+)|the first known under it|CD [\d ]+ FR")
    return [own.sub("", text(one).strip()) for one in found]


# Orders


@pytest.mark.parametrize("stage", AS_FAR_AS)
def test_a_thread_of_then_is_the_thread_that_was_shown_then(service: Service, stage: str):
    service.add_button(OTHER, "35 Rennes")
    whole = make_life(service, "delivered", appealed=True)
    part = make_life(service, stage, device=OTHER)
    with database.reading(service.engine) as conn:
        last = max(one.at for one in cloud.pickups.store.events(conn, part.pickup_id))
    browser = service.browser(Role.ADMIN)

    then = browser.get(at(last + MINUTE, f"/pickups/{whole.pickup_id}")).text
    live = browser.get(f"/pickups/{part.pickup_id}").text

    appeal = [one for one in steps(then) if "Appeal" in one]  # the other order has none
    assert [one for one in steps(then) if one not in appeal] == steps(live)
    of_stamp, of_live = (re.search(r'class="stamp two">.*?</section>', page, re.S) for page in (then, live))
    assert of_stamp is not None
    assert of_live is not None
    said = text(of_stamp[0]).replace(" (as it is now)", "")
    codes = re.compile(r"Stamp(?:[0-9A-Z]{2} ){3}[0-9A-Z]{2}")
    numbers = re.compile(r"CD [\d ]+ FR")
    assert codes.sub("", numbers.sub("", said)) == codes.sub("", numbers.sub("", text(of_live[0])))


def test_a_thread_moves_on_when_the_next_is_known_and_to_the_end(service: Service):
    life = make_life(service, "delivered")
    browser, now, seen = service.browser(), life.pressed_at - MINUTE, []
    while True:
        page = browser.get(at(now, f"/pickups/{life.pickup_id}"))
        coming = re.findall(r'data-next="(\d+)"', page.text)
        seen.append(len(steps(page.text)) if page.status_code == 200 else 0)
        if not coming:
            break
        assert int(coming[0]) > (database.milliseconds(now) or 0)
        now = database.moment(int(coming[0]))

    assert seen == sorted(seen)
    assert seen[0] == 0
    assert seen[-1] == len(steps(browser.get(f"/pickups/{life.pickup_id}").text))
    assert len(seen) >= 8


def test_an_order_that_was_not_there_yet_says_so_and_leads_to_the_present(service: Service):
    life = make_life(service)
    path = f"/pickups/{life.pickup_id}"

    answer = service.browser().get(at(life.pressed_at - timedelta(hours=10, minutes=40), path))

    assert answer.status_code == 404
    assert f"Order {life.pickup_id} was not yet there at 09:12." in answer.text
    assert f'<a class="btn" data-out href="{path}">See it as it is now</a>' in answer.text
    assert "Mme Hélène Vasseur" not in answer.text
    assert service.browser().get(at(life.pressed_at, "/pickups/999")).status_code == 404


def test_parcels_that_later_presses_added_are_not_there_yet(each: Service):
    for minute, parcels in enumerate((1, 2, 3)):
        each.press(parcels, now=PRESSED_AT + minute * MINUTE)

    for minute, parcels in ((0, "1 parcel<"), (1, "3 parcels<"), (2, "6 parcels<")):
        page = each.browser().get(at(PRESSED_AT + (minute + 0.5) * MINUTE, "/pickups/1")).text
        assert parcels in page
        with database.reading(each.engine) as conn:
            [order] = store.orders_then(conn, VAULT, PRESSED_AT + (minute + 0.5) * MINUTE).orders
        assert order.parcels == int(parcels[0])


def test_the_lists_of_orders_of_then_are_those_that_were_shown_then(each: Service):
    """Every list is noted while it is now, and asked for again when it is past."""
    devices = [BUTTON, OTHER, 0x00A17C52]
    for device in devices[1:]:
        each.add_button(device, "69 Lyon")
    noted: list[tuple[datetime, State | None, int | None, list[store.Order]]] = []

    def note(now: datetime) -> None:
        with database.reading(each.engine) as conn:
            for state in (None, State.REQUESTED, State.CONFIRMED, State.CANCELLED, State.ON_ROUND):
                noted.append((now, state, None, store.orders(conn, VAULT, limit=3, state=state)))
            noted.append((now, None, OTHER, store.orders(conn, VAULT, limit=3, button_id=OTHER)))

    def deed(turn: int, now: datetime) -> None:
        with each.engine.begin() as conn:
            open_ones = cloud.pickups.store.newest(conn, state=State.REQUESTED)
            confirmed = cloud.pickups.store.newest(conn, state=State.CONFIRMED)
            if turn % 4 == 1 and open_ones:
                cloud.pickups.store.confirm(conn, open_ones[-1].id, ADDRESSEE, "customer 7", now)
            if turn % 4 == 2 and open_ones:
                cloud.pickups.store.cancel(conn, open_ones[0].id, "staff n.arnaud", now)
            if turn % 4 == 3 and confirmed:
                said = Detail(round="Rennes 07")
                cloud.pickups.store.tell(
                    conn, confirmed[-1].id, Event.PUT_ON_ROUND, said, key=f"k{turn}", actor="token a", now=now
                )

    for turn in range(24):
        now = PRESSED_AT + turn * MINUTE
        each.press(1 + turn % 3, device=devices[turn % 3], now=now) if turn % 4 in (0, 2) else None
        deed(turn, now + MINUTE / 4)
        note(now + MINUTE / 2)

    with database.reading(each.engine) as conn:
        for now, state, button, shown in noted:
            then = store.orders_then(conn, VAULT, now, limit=3, state=state, button_id=button)
            assert [_plain(one) for one in then.orders] == [_plain(one) for one in shown], (now, state)
    assert {one.state for _, _, _, shown in noted for one in shown} >= {State.CONFIRMED, State.ON_ROUND}


def _plain(order: store.Order) -> store.Order:
    return replace(order, stamp=None)


def test_a_list_of_then_that_finds_little_stops_and_leads_on(service: Service):
    for turn in range(9):
        service.press(now=PRESSED_AT + turn * MINUTE)
        with service.engine.begin() as conn:
            cloud.pickups.store.confirm(conn, turn + 1, ADDRESSEE, "customer 7", PRESSED_AT + (turn + 0.5) * MINUTE)
    now, ids, before = PRESSED_AT + 8.2 * MINUTE, [], None
    with database.reading(service.engine) as conn:
        while True:
            page = store.orders_then(conn, VAULT, now, limit=2, state=State.REQUESTED, before=before, span=4)
            ids += [order.id for order in page.orders]
            if page.before is None:
                break
            assert page.searched == 4
            before = page.before
    assert ids == [9]  # each other one was confirmed before the next was pressed


# Frames


def test_a_frame_that_had_not_arrived_yet_says_so(service: Service):
    existed(service, PRESSED_AT)
    service.press(now=PRESSED_AT)
    browser = service.browser()

    before = browser.get(at(PRESSED_AT - MINUTE, "/frames/1"))
    after = browser.get(at(PRESSED_AT + MINUTE, "/frames/1"))

    assert before.status_code == 404
    assert "Frame 1 had not arrived yet at 19:51." in before.text
    assert f'data-next="{database.milliseconds(PRESSED_AT)}"' in before.text
    assert after.status_code == 200
    assert "1 min ago" in text(after.text)


# Buttons


def test_what_was_known_of_a_button_is_what_its_row_said_then(each: Service):
    """Its row, facts and link are noted while they are now, and gathered from the log once they are past."""
    existed(each, NOW - timedelta(days=90))
    for other in range(5):
        each.add_button(OTHER + other, "35 Rennes")
        existed(each, NOW - timedelta(days=90), OTHER + other)
        each.press(device=OTHER + other, kind="alive", now=NOW - timedelta(days=(40, 20, 20, 20, 20)[other]))
    life = Life(each, NOW)
    life.tell(12, press_every=5)
    for other in range(3):
        each.press(device=OTHER + 1 + other, kind="alive", now=NOW - (9 - other) * MINUTE)
    with database.reading(each.engine) as conn:
        row = cloud.fleet.store.find(conn, BUTTON)
        assert row is not None
        facts = verdicts.facts(conn, [row], NOW)[BUTTON]
        loss, words = cloud.frames.store.link_loss(conn, BUTTON), history.words(conn, BUTTON)
        used = cloud.fleet.store.used_today(conn, BUTTON, NOW)[1]

    life.until = NOW + timedelta(days=6)
    life.tell(6, press_every=3)
    with each.engine.begin() as conn:
        later = NOW + timedelta(days=5)
        cloud.fleet.store.revoke(conn, BUTTON, why="lost", by="staff n.arnaud", now=later)
        conn.execute(buttons.update().where(buttons.c.id == BUTTON).values(claimed_at=later, owner_id=_owner(conn)))

    with database.reading(each.engine) as conn:
        now_row = cloud.fleet.store.find(conn, BUTTON)
        assert now_row is not None
        assert now_row.last_counter > row.last_counter
        heard = cloud.frames.past.known(conn, BUTTON, NOW)
        said = history.words(conn, BUTTON, until=NOW)
        deeds = cloud.audit.store.about(conn, [f"button {format_id(BUTTON)}"], known.DEEDS)
        then = known.button(now_row, last_seen_at=heard.last_seen_at, said=said, deeds=deeds, queue=[], now=NOW)
        frame = cloud.frames.store.id_at(conn, NOW)
        assert then == row
        assert said == words
        assert verdicts.facts_then(conn, then, NOW, frame) == facts
        assert cloud.frames.store.link_loss(conn, BUTTON, until=frame) == loss
        assert heard.downlinks_today == used


def _owner(conn: sa.Connection) -> int:
    said = {"display_name": "Claire Morvan", "role": Role.CUSTOMER, "password": NO_PASSWORD}
    return cloud.accounts.store.add(conn, name="c.morvan@example.org", now=NOW, **said).id


def test_a_buttons_page_of_then_shows_nothing_that_came_later(service: Service):
    base = NOW - timedelta(days=60)
    existed(service, base - timedelta(days=90))
    life = Life(service, base)
    life.tell(40, press_every=7)
    life.until = base + timedelta(days=40)
    life.tell(40, press_every=7, used=575)
    with service.engine.begin() as conn:
        staff = {"display_name": "N. Arnaud", "role": Role.OPERATOR, "password": NO_PASSWORD}
        author = cloud.accounts.store.add(conn, name="n.arnaud", now=NOW, **staff)
        for days, said in ((-3, "A dented box"), (3, "A new box")):
            cloud.fleet.notes.write(conn, BUTTON, said, author=author, now=base + timedelta(days=days))
    then, later = (
        service.browser(Role.ADMIN).get(at(base + timedelta(days=days), "/buttons/00D1F3A7")).text for days in (0, 40)
    )

    assert "It was last heard 9 h" in text(then)
    assert "A dented box" in then
    assert "A new box" not in then
    assert "A new box" in later
    assert "(as it is now)" in then
    assert "26 Sep" in re.findall(r"due (\d+ \w+)", text(then))[-1]
    numbers = [int(one) for one in re.findall(r'data-id="(\d+)"', then)]
    with database.reading(service.engine) as conn:
        last = cloud.frames.store.id_at(conn, base)
    assert max(numbers) == last
    for deed in ("Revoke", "Add a note", "Plan a new key", "Change the heartbeat", "Support bundle"):
        assert deed not in then
    assert "low: change it" in later
    assert "low: change it" not in then


def test_a_button_that_was_not_in_the_fleet_yet_says_so(service: Service):
    existed(service, NOW)

    answer = service.browser().get(at(NOW - MINUTE, "/buttons/00D1F3A7"))

    assert answer.status_code == 404
    assert "Button 00D1F3A7 was not yet in the fleet at 09:59." in answer.text


def test_a_button_that_was_revoked_and_found_again_was_revoked_in_between(service: Service):
    existed(service, NOW - timedelta(days=9))
    service.press(kind="alive", now=NOW - timedelta(days=8))
    browser = service.browser(Role.ADMIN)
    with service.engine.begin() as conn:
        for action, days, detail in (
            ("button.revoke", 3, {"why": "lost on a tram"}),
            ("button.found", 1, {"key_generation": 1}),
        ):
            when = NOW - timedelta(days=days)
            cloud.audit.store.record(
                conn, actor="staff n.arnaud", action=action, subject="button 00D1F3A7", now=when, **detail
            )
        conn.execute(buttons.update().values(key_generation=1, last_counter=0))

    shown = {days: text(browser.get(at(NOW - timedelta(days=days), "/buttons/00D1F3A7")).text) for days in (4, 2, 0)}

    assert "Revoked" not in shown[4]
    assert "Revoked 24 h ago by staff n.arnaud: lost on a tram." in shown[2].replace("1 day", "24 h")
    assert "0 (0 to 3)" in shown[2]
    assert "Revoked" not in shown[0]
    assert "1 (0 to 3)" in shown[0]


def test_a_queue_of_downlinks_is_shown_as_far_as_its_rows_tell(service: Service):
    existed(service, NOW - timedelta(days=9))
    with service.engine.begin() as conn:
        said = {"reason": "battery", "by": "staff n.arnaud"}
        cloud.downlinks.store.configure(conn, BUTTON, 48, now=NOW - timedelta(hours=5), **said)
        cloud.downlinks.store.configure(conn, BUTTON, 72, now=NOW - timedelta(hours=3), **said)
    with database.reading(service.engine) as conn:
        queue = cloud.downlinks.store.of_button(conn, BUTTON)

    def then(hours: float) -> list[tuple[int, str]]:
        return [(one.hours, one.state) for one in known.configurations(queue, NOW - timedelta(hours=hours))]

    assert then(6) == []
    assert then(4) == [(48, "queued")]
    assert then(2) == [(72, "queued"), (48, "superseded")]


def test_a_heartbeat_period_holds_from_its_proof_on(service: Service):
    existed(service, NOW - timedelta(days=9))
    with service.engine.begin() as conn:
        cloud.downlinks.store.configure(
            conn, BUTTON, 48, reason="battery", by="staff n.arnaud", now=NOW - timedelta(hours=5)
        )
        told = {"sendings": 1, "sent_at": NOW - timedelta(hours=2), "proven_at": NOW}
        conn.execute(cloud.downlinks.store.downlinks.update().values(**told, state="proven", changed_at=NOW))
        conn.execute(buttons.update().values(heartbeat_hours=48))
    with database.reading(service.engine) as conn:
        row, queue = cloud.fleet.store.find(conn, BUTTON), cloud.downlinks.store.of_button(conn, BUTTON)
    assert row is not None

    def hours(now: datetime) -> int | None:
        return known.button(row, last_seen_at=None, said=[], deeds=[], queue=queue, now=now).heartbeat_hours

    assert hours(NOW - MINUTE) is None
    assert hours(NOW) == 48
    assert [one.state for one in known.configurations(queue, NOW - MINUTE)] == ["sent"]


# Alerts


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def home(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[House]:
    url = f"sqlite:///{tmp_path / 'domino.db'}"
    if request.param == "PostgreSQL":
        url = request.getfixturevalue("postgres_url")
    else:
        database.metadata.create_all(database.connect(url))
    with house(url) as one:
        yield one


def test_the_alerts_of_then_are_those_that_were_open_then(home: House):
    """Forged frames open an alert, which goes, comes again, is acknowledged, silenced and closed, each noted."""
    home.button()
    noted: list[tuple[datetime, list[tuple[object, ...]], tuple[int, int, int], dict[str, int]]] = []

    def note() -> None:
        with database.reading(home.engine) as conn:
            lines = alerts.open_lines(conn, home.now)
            counts, by = alerts.counts(conn, home.now), alerts.open_by_department(conn, home.now)
            noted.append((home.now, [_line(one) for one in lines], counts, dict(by)))

    def watch(minutes: float) -> None:
        for _ in range(round(minutes)):
            home.look_on(minutes=1)
            note()
            home.pass_(seconds=1)

    watch(2)
    home.forge(count=60)
    watch(6)
    [alert, *_] = home.open()
    with home.engine.begin() as conn:
        alerts.acknowledge(conn, alert.id, by="staff n.arnaud", word="", now=home.now)
    watch(3)
    silenced = _silence(home, alert.subject)
    watch(3)
    with home.engine.begin() as conn:
        alerts.end_silence(conn, silenced, by="staff n.arnaud", now=home.now)
        alerts.close(conn, alert.id, by="staff n.arnaud", word="seen to", now=home.now)
    watch(80)
    home.forge(count=60)
    watch(6)

    with database.reading(home.engine) as conn:
        for now, lines, counts, by in noted:
            then = cloud.alerts.past.open_at(conn, now)
            assert [_line(one) for one in then.lines] == lines, now
            assert then.counts == counts
            assert dict(then.by_department) == by
    assert {bool(lines) for _, lines, _, _ in noted} == {True, False}
    assert any(counts[2] for _, _, counts, _ in noted)


def _silence(home: House, subject: str) -> int:
    asked = model.silence(
        rule="", subject=subject, department="", reason="work there", hours=1, by="staff n.arnaud", now=home.now
    )
    with home.engine.begin() as conn:
        return alerts.add_silence(conn, asked).id


def _line(line: alerts.Line) -> tuple[object, ...]:
    one = line.alert
    return one.id, one.state, one.times, one.opened_at, one.acked_at, one.acked_by, line.is_silenced


def test_an_alerts_page_of_then_tells_its_life_up_to_then(service: Service):
    with service.engine.begin() as conn:
        open_alert(conn, "35", NOW)
        alerts.acknowledge(conn, 1, by="staff n.arnaud", word="I look", now=NOW + 2 * MINUTE)
        alerts.close(conn, 1, by="staff n.arnaud", word="done", now=NOW + 4 * MINUTE)
    browser = service.browser(Role.ADMIN)

    shown = [browser.get(at(NOW + minutes * MINUTE, "/alerts/1")) for minutes in (-1, 1, 3, 5)]
    lists = [text(browser.get(at(NOW + minutes * MINUTE, "/alerts")).text) for minutes in (-1, 1, 3, 5)]

    assert shown[0].status_code == 404
    assert "Alert 1 was not yet open at 09:59." in shown[0].text
    assert "acknowledged" not in shown[1].text
    assert "I look" in shown[2].text
    assert "done" not in shown[2].text
    assert "done" in shown[3].text
    assert ["0 open" in one for one in lists] == [True, False, False, True]
    assert ["nobody yet" in one for one in lists] == [False, True, False, False]
    for page in (*shown, *lists):
        said = page if isinstance(page, str) else page.text
        assert "New silence" not in said
        assert "Acknowledge</button>" not in said


# The overview


def test_the_overview_of_then_says_so_of_its_chart_and_shows_the_alerts_of_then(service: Service):
    then = database.now() - timedelta(hours=2)
    with service.engine.begin() as conn:
        open_alert(conn, "35", then + MINUTE)
    browser = service.browser()

    before, after = (text(browser.get(at(then + minutes * MINUTE, "/")).text) for minutes in (0, 2))

    clock = f"{then.astimezone(pages.PARIS):%H:%M}"
    assert f"0 a minute at {clock}" in before
    assert "a minute now" not in before
    assert "0 open, 0 silenced" in before
    assert "1 open, 0 silenced" in after
    assert "0 a minute now" in text(browser.get("/").text)


# The links

STANDING = Moment(NOW, NOW + MINUTE, Replay(NOW, NOW + MINUTE, 0))


@pytest.mark.parametrize(
    ("html", "carried"),
    [
        ('<a href="/live">', '<a href="/live?REPLAY">'),
        ('<a class="x" href="/live?kind=alive">', '<a class="x" href="/live?kind=alive&amp;REPLAY">'),
        ('<a href="/buttons/1#notes">', '<a href="/buttons/1?REPLAY#notes">'),
        ('<section hx-get="/figures">', '<section hx-get="/figures?REPLAY">'),
        ('<a data-out href="/live">', '<a data-out href="/live">'),
        ('<a href="/replay?leap=-600">', '<a href="/replay?leap=-600">'),
        ('<link href="/static/domino.css">', '<link href="/static/domino.css">'),
        ('<a href="https://example.org/">', '<a href="https://example.org/">'),
        ('<a href="#main">', '<a href="#main">'),
        ("<p>href=&#34;/live&#34;</p>", "<p>href=&#34;/live&#34;</p>"),
        ('<form action="/find">', '<form action="/find">FIELD'),
        ('<form action="/buttons" hx-get="/buttons">', '<form action="/buttons" hx-get="/buttons">FIELD'),
        ('<form method="post" action="/sign-out">', '<form method="post" action="/sign-out">'),
        ('<form method="dialog">', '<form method="dialog">'),
    ],
)
def test_a_link_and_a_form_carry_the_replay_on(html: str, carried: str):
    field = f'<input type="hidden" name="replay" value="{STANDING.replay}">'
    assert STANDING.carry(html) == carried.replace("REPLAY", STANDING.query).replace("FIELD", field)
    assert STANDING.carry(STANDING.carry(html)).count("?replay=") <= 1
    assert replace(STANDING, replay=None).carry(html) == html


def test_the_rows_of_a_replayed_stream_lead_on_in_it(service: Service):
    existed(service, PRESSED_AT)
    service.press(now=PRESSED_AT)
    page = service.browser().get(at(PRESSED_AT + MINUTE, "/live")).text

    assert f"/frames/1?{at(PRESSED_AT + MINUTE)[1:].split('~')[0]}" in page
    assert re.search(r'href="/pickups/1\?replay=[^"]+"', page)


def test_a_search_leads_on_in_the_replay(service: Service):
    service.press(now=PRESSED_AT)
    query = at(PRESSED_AT + MINUTE)[1:]

    found = service.browser().get(f"/find?q=1&{query}")

    assert found.status_code in (200, 303)
    if found.status_code == 303:
        assert found.headers["location"].endswith(query)
    alone = service.browser().get(f"/find?q={'00D1F3A7'}&{query}")
    assert alone.headers["location"] == f"/buttons/00D1F3A7?{query}"


def test_a_filter_of_the_fleet_stays_in_the_replay(service: Service):
    query = at(PRESSED_AT)[1:]

    answer = service.browser().get(f"/buttons?place=Rennes&label=&{query}")

    assert answer.headers["location"] == f"/buttons?place=Rennes&{query}"
    assert service.browser().get(answer.headers["location"]).headers["hx-replace-url"] == answer.headers["location"]


def test_what_is_not_there_at_all_leads_on_in_the_replay_too(service: Service):
    query = at(PRESSED_AT)[1:]
    for path in ("/pickups/999", "/access/accounts/999", "/no/such/page"):
        answer = service.browser(Role.ADMIN).get(f"{path}?{query}")
        assert answer.status_code == 404
        assert f'href="/?{query}"' in answer.text


@pytest.mark.parametrize("path", ["/silent", "/buttons", "/access", "/pickups/1", "/alerts"])
def test_an_address_that_names_no_time_is_refused_by_every_page(service: Service, path: str):
    assert service.browser(Role.ADMIN).get(f"{path}?replay=yesterday").status_code == 422
