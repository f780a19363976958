"""The stream's page, the traffic of days and the time machine, without a browser."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

import cloud.frames.store
from cloud import database, pages, replay
from cloud.accounts.model import Role
from cloud.console import filters, live_page
from cloud.console.filters import KINDS, Rows, View
from cloud.console.sampling import BURST, FEWER, ROWS_S, Sampler
from cloud.frames.model import STEPS, Filter, Result, drawn
from cloud.frames.store import frames
from cloud.replay import SPEEDS, Moment, Replay
from tests.cloud.console.service import BUTTON, Service

OTHER = 0x0012AB34
HOUR = timedelta(hours=1)

devices = st.none() | st.integers(0, 2**32 - 1)
wanted = st.builds(
    Filter,
    devices,
    st.none() | st.sampled_from(Result),
    st.none() | st.sampled_from(KINDS),
    st.none() | st.sampled_from(["01", "35", "2A", "974"]),
)
times = st.integers(10**10, 7 * 10**12).map(database.moment)  # from 1970 to 2191
clocks = st.builds(Replay, times, times, st.sampled_from((0, *SPEEDS)))
spans = st.timedeltas(timedelta(0), timedelta(days=3)).map(
    lambda span: timedelta(milliseconds=span // timedelta(milliseconds=1))
)


def shown(page: str) -> list[int]:
    return [int(id) for id in re.findall(r'<tr data-id="(\d+)"', page)]


# Filters


@given(wanted, st.sampled_from(Rows))
def test_a_filter_in_an_address_is_read_as_it_was_written(of: Filter, rows: Rows):
    view = View(of, rows)
    assert View.read(str(view)) == view


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", [5, 4, 3, 2, 1]),
        ("button=12ab34", [4, 3]),
        ("result=malformed", [5]),
        ("kind=alive", [4, 2]),
        ("department=69", [4, 3]),
        ("department=69&kind=alive", [4]),
        ("button=12AB34&department=35", []),
        ("before=4", [3, 2, 1]),
    ],
)
def test_the_page_shows_what_its_address_asks_for(service: Service, query: str, ids: list[int]):
    service.add_button(OTHER, "69 Lyon")
    for device in (BUTTON, OTHER):
        kinds = ("pickup", "alive")
        for kind in kinds:
            service.press(device=device, kind=kind)
    service.hear(b"no json", device=BUTTON)

    page = service.browser(Role.VIEWER).get(f"/live?{query}")

    assert page.status_code == 200
    assert shown(page.text) == ids


def test_a_forms_empty_fields_are_no_part_of_the_address(service: Service):
    answer = service.browser().get("/live?button=&result=bad+seal&kind=&department=")

    assert (answer.status_code, answer.headers["location"]) == (303, "/live?result=bad+seal")


@pytest.mark.parametrize("query", ["button=xyz", "result=odd", "kind=odd", "department=99999", "department=Q"])
def test_a_filter_that_makes_no_sense_is_told_and_shows_nothing(service: Service, query: str):
    service.press()

    page = service.browser().get(f"/live?{query}")

    assert page.status_code == 422
    assert 'class="fault"' in page.text
    assert shown(page.text) == []


def test_a_search_that_finds_little_stops_says_so_and_leads_on(service: Service, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live_page, "SPAN", 3)
    service.press(kind="alive")
    service.hear(*[b"no json"] * 4)

    page = service.browser().get("/live?kind=alive")

    assert shown(page.text) == []
    assert "Searched the 3 frames up to event 5." in page.text
    assert 'href="/live?kind=alive&amp;before=3"' in page.text
    assert shown(service.browser().get("/live?kind=alive&before=3").text) == [1]


@pytest.mark.parametrize("path", ["/live", "/traffic/days", "/replay?speed=10"])
@pytest.mark.parametrize(("role", "status"), [(Role.CUSTOMER, {403}), (Role.VIEWER, {200, 303})])
def test_the_pages_are_for_staff(service: Service, path: str, role: Role, status: set[int]):
    assert service.browser(role).get(path).status_code in status


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_sql_finds_is_what_the_filter_takes(tmp_path, request: pytest.FixtureRequest, kind: str):
    url = f"sqlite:///{tmp_path / 'a.db'}" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    engine = database.connect(url)
    if kind == "sqlite":
        database.metadata.create_all(engine)
    service = Service(engine, bell=None, app=None)  # type: ignore[arg-type]  the database alone
    for device, place in ((BUTTON, "35 Rennes"), (OTHER, "69 Lyon"), (7, "somewhere")):
        service.add_button(device, place)
    rows = [
        {
            "received_at": database.now() + timedelta(milliseconds=number),
            "carrier": "mqtt", "raw": b"", "raw_size": 0, "device": device, "result": result, "kind": kind,
        }
        for number, (device, result, kind) in enumerate(
            (device, result, kind)
            for device in (BUTTON, OTHER, 7, 8, None)
            for result in (Result.ACCEPTED, Result.DUPLICATE, Result.REPLAYED)
            for kind in ("pickup", "alive", None)
        )
    ]  # fmt: skip
    with engine.begin() as conn:
        conn.execute(sa.insert(frames), rows)
        store, every = cloud.frames.store, cloud.frames.store.after(conn, 0, 1000)
        for device in (None, BUTTON, 8):
            for result in (None, Result.REPLAYED):
                for of_kind in (None, "alive"):
                    for department in (None, "35", "69", "01"):
                        want = Filter(device, result, of_kind, department)
                        taken = [one for one in every if want.takes(one)]
                        found = store.search(conn, want, above=3, until=40, limit=1000)
                        assert [one.id for one in found] == [one.id for one in taken[::-1] if 3 < one.id <= 40]
                        refused = sum(one.result.is_refusal for one in found)
                        assert store.count(conn, want, above=3, until=40) == (len(found), refused)
                        assert store.after(conn, 0, 1000, any_of={want}) == taken
        for step in (1, 2, 5, 10):
            assert [one.id for one in store.after(conn, 0, 1000, step=step)] == [
                one.id for one in every if step == 1 or drawn(one.id, step)
            ]
        middle = every[20]
        assert store.id_at(conn, middle.received_at) == middle.id
        assert store.id_at(conn, every[0].received_at - HOUR) == 0
        assert store.reach(conn, 40, 10) == 30
        of_button = [one.id for one in every if one.device == BUTTON]
        assert store.reach(conn, of_button[-1], 3, BUTTON) == of_button[-4]
        assert store.reach(conn, of_button[-1], 100, BUTTON) == 0
    engine.dispose()


# What is shown of many


@given(st.integers(0, 2**40), st.sampled_from(STEPS))
def test_what_is_drawn_by_a_larger_step_is_drawn_by_a_smaller_one(id: int, step: int):
    assert not drawn(id, step) or all(drawn(id, smaller) for smaller in STEPS if smaller <= step)


@given(st.integers(0, 2**31 - 20_000), st.sampled_from([2, 5, 10, 20, 50, 100]))
def test_of_any_frames_in_a_row_one_of_n_is_shown(start: int, step: int):
    count = 100 * step
    assert 90 <= sum(drawn(id, step) for id in range(start, start + count)) <= 110


@given(st.lists(st.integers(0, int(ROWS_S / 5)), max_size=200))
def test_what_can_be_read_is_shown_whole(turns: list[int]):
    sampler = Sampler(0.0)
    assert {sampler.sift(heard, 0.2 * turn) for turn, heard in enumerate(turns, 1)} <= {1}


@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=100))
def test_a_page_is_given_no_more_rows_than_it_can_draw(turns: list[int]):
    sampler = Sampler(0.0)
    given_rows = sum(heard / sampler.sift(heard, 0.2 * turn) for turn, heard in enumerate(turns, 1))
    # A burst of any size is known only when it comes: its own turn is thinned out by the rate that it makes itself.
    assert given_rows <= BURST + (0.2 * len(turns) + 1) * ROWS_S * FEWER * 2


@given(st.integers(1, 20_000))
def test_after_a_burst_everything_is_shown_again(burst: int):
    sampler = Sampler(0.0)
    sampler.sift(burst, 0.2)
    assert 1 in {sampler.sift(1, 0.2 + 0.5 * turn) for turn in range(1, 20)}


# The clock of a replay


@given(clocks)
def test_a_replay_in_an_address_is_read_as_it_was_written(clock: Replay):
    assert replay.read(str(clock)) == clock


@given(clocks, times, spans)
def test_a_replay_runs_on_and_never_shows_what_is_to_come(clock: Replay, wall: datetime, span: timedelta):
    assert clock.at(wall) <= wall
    assert clock.at(wall) <= clock.at(wall + span)


@given(clocks, spans, st.sampled_from((0, *SPEEDS)))
def test_another_speed_goes_on_from_where_the_replay_is(clock: Replay, span: timedelta, speed: int):
    wall = clock.wall + span
    changed = clock.at_speed(speed, wall)
    assert changed.at(wall) == clock.at(wall)
    later = wall + timedelta(minutes=1)
    assert changed.at(later) == min(clock.at(wall) + speed * timedelta(minutes=1), later)


@given(clocks, spans, st.integers(-86_400, 86_400))
def test_a_leap_is_as_long_as_it_says_and_ends_at_the_present(clock: Replay, span: timedelta, seconds: int):
    wall = clock.wall + span
    assert clock.leap(seconds, wall).at(wall) == min(clock.at(wall) + timedelta(seconds=seconds), wall)


@given(clocks, times, wanted)
def test_links_carry_the_replay_along(clock: Replay, wall: datetime, of: Filter):
    path = "?".join(("/live", filters.write(of))) if of else "/live"
    said = parse_qs(urlsplit(Moment(clock.at(wall), wall, clock).href(path)).query)
    assert replay.read(said.pop("replay")[0]) == clock
    assert filters.read({name: value[0] for name, value in said.items()}) == of


@pytest.mark.parametrize(
    "text", ["x", "2026-11-25T08:00:00~0~10", "2026-11-25T08:00:00Z~0~7", "2026-11-25T08:00:00Z~-1~1", "~~", "a~1~1",
             "0001-01-01T00:00:00Z~0~1", f"2026-11-25T08:00:00Z~{9**30}~1"],
)  # fmt: skip
def test_an_address_that_names_no_time_is_refused(service: Service, text: str):
    for path in ("/live", "/", "/stream", "/replay"):
        assert service.browser().get(f"{path}?{urlencode({'replay': text})}").status_code == 422


def test_a_moment_of_the_past_shows_what_was_known_then(service: Service):
    now = database.now()
    service.press(now=now - 3 * HOUR)
    service.press(kind="alive", now=now - 2 * HOUR)
    service.press(kind="cancel", now=now - HOUR)
    then = Replay(now - 2 * HOUR + timedelta(minutes=1), now, 0)

    page = service.browser().get(f"/live?{urlencode({'replay': str(then)})}").text
    overview = service.browser().get(f"/?{urlencode({'replay': str(then)})}").text

    assert shown(page) == [2, 1]
    assert "Replay: " in page
    assert 'id="pause"' not in page
    assert shown(overview) == [2, 1]
    assert "waits for confirmation" in overview
    assert ">cancelled<" not in overview


def test_every_way_to_move_a_replay_is_a_new_address(service: Service):
    browser = service.browser()
    begin = browser.get("/replay?at=2026-11-24T09:30&speed=30&to=/live?kind=alive").headers["location"]
    assert begin.startswith("/live?kind=alive&replay=2026-11-24T08:30:00.000Z~")
    assert begin.endswith("~30")

    text = parse_qs(urlsplit(begin).query)["replay"][0]
    moved = browser.get(f"/replay?{urlencode({'replay': text, 'leap': -600, 'speed': 0})}").headers["location"]
    assert (
        0
        <= replay.read(parse_qs(urlsplit(moved).query)["replay"][0]).begin.timestamp()
        - (datetime(2026, 11, 24, 8, 20, tzinfo=UTC).timestamp())
        < 300
    )
    assert browser.get("/replay?to=//evil.example").headers["location"].startswith("/live?replay=")
    for query in ("speed=7", "at=soon", "at=0001-01-01T00:00", "leap=99999999"):
        assert browser.get(f"/replay?{query}").status_code == 422


# The traffic of days


def test_the_traffic_of_days_counts_each_frame_once(service: Service):
    noon = datetime(2026, 11, 20, 12, tzinfo=pages.PARIS)
    for minute in (0, 0, 5, 70):
        service.press(kind="alive", now=noon + timedelta(minutes=minute))
    with service.engine.begin() as conn:
        row = {"received_at": noon, "carrier": "mqtt", "raw": b"", "raw_size": 0, "result": "malformed"}
        conn.execute(sa.insert(frames), row)

    page = service.browser().get("/traffic/days?day=2026-11-21").text

    assert 'data-minutes="[[2160, 3, 1], [2165, 1, 0], [2230, 1, 0]]"' in page
    assert re.findall(r'<td class="num">(\d+)</td>', page) == ["1", "0", "4", "1"]
    assert "/replay?at=2026-11-20T11%3A00%3A00%2B00%3A00&amp;speed=10" in page
    assert "Nothing was heard" in service.browser().get("/traffic/days?day=2026-11-25").text
    assert service.browser().get("/traffic/days?day=0001-01-01").status_code == 422
