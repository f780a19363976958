"""The stream on a real server: what is sent, after which cut, to which filter, and when it ends."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import islice
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

import cloud.accounts.store
import cloud.pickups.store
from cloud import database
from cloud.accounts import guard
from cloud.accounts.model import Role
from cloud.console.stream import BACKLOG, SPAN
from cloud.frames.model import drawn
from cloud.frames.store import frames
from cloud.replay import Replay
from tests.cloud.console.service import BUTTON, Service, running_service, serving
from tests.cloud.console.streaming import Client, Event, ids, news, until

OTHER = 0x0012AB34


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with serving(service.app) as url:
        yield Client(url, service.cookie())


def test_a_frame_and_its_order_arrive_on_an_open_stream(service: Service, client: Client):
    with client.open(after=0, orders=True) as events:
        assert next(events).kind == "clock"
        service.press(2)
        order, frame = sorted(islice(events, 2), key=lambda event: event.kind, reverse=True)

    assert (frame.kind, frame.id) == ("frames", 1)
    [[id, is_refused, views, row]] = json.loads(frame.data)["rows"]
    assert (id, is_refused, views) == (1, False, [0])
    assert row.startswith('<tr data-id="1"')
    assert "pickup · 2" in row
    assert order.kind == "order"
    assert order.id is None, "an order's event must not move the place to resume from"
    assert "waits for confirmation" in order.data


def test_a_cut_stream_resumes_without_a_gap_and_without_a_double(service: Service, client: Client):
    seen: list[int] = []
    with ThreadPoolExecutor(1) as presses:
        pressing = presses.submit(lambda: [service.press(kind="alive") for _ in range(40)])
        while len(seen) < 40:
            with client.open(after=0, last_event_id=len(seen)) as events:
                one = next(news(events))
                seen += [id for id, *_ in one.rows]
                assert one.id == one.to == len(seen)
        pressing.result()

    assert seen == list(range(1, 41))


def test_a_page_that_was_just_loaded_goes_on_from_what_it_shows(service: Service, client: Client):
    for _ in range(3):
        service.press(kind="alive")

    with client.open(after=2) as events:
        assert ids(events, 1) == [3]


def test_each_view_of_a_connection_is_told_what_its_filter_takes(service: Service, client: Client):
    service.add_button(OTHER, "69 Lyon")
    with client.open(after=0, view=["", "rows=wide&kind=alive", "department=69", "result=revoked"]) as events:
        for device in (BUTTON, OTHER):
            for kind in ("pickup", "alive"):
                service.press(device=device, kind=kind)
        told = until(events, 4)

    assert {(id, *views) for one in told for id, _, views, _ in one.rows} == {
        (1, 0), (2, 0), (2, 1), (3, 0, 2), (4, 0, 2), (4, 1),
    }  # fmt: skip
    assert [sum(one.views[view][0] for one in told) for view in range(4)] == [4, 2, 2, 0]
    wide = [row for one in told for _, _, views, row in one.rows if views == [1]]
    assert ["−117 dBm" in row for row in wide] == [True, True]


def test_the_cursor_moves_on_though_the_filter_lets_nothing_through(service: Service, client: Client):
    with client.open(after=0, view=["result=revoked"]) as events:
        service.press(kind="alive")
        one = next(news(events))
        assert (one.id, one.to, one.rows, one.views) == (1, 1, [], [[0, 0, 1]])
        service.press(kind="alive")
        assert until(events, 2)[-1].rows == []


def test_a_burst_is_sampled_the_same_for_all_and_counted_whole(service: Service, client: Client):
    with client.open(after=0) as one, client.open(after=0, view=["", "kind=alive"]) as other:
        next(one)
        next(other)
        service.hear(*[b"no json"] * 3000)
        service.press(kind="alive")
        of_one, of_other = until(one, 3001), until(other, 3001)

    for told in (of_one, of_other):
        assert sum(news.views[0][0] for news in told) == 3001
        assert sum(news.views[0][1] for news in told) == 3000
        step = max(news.views[0][2] for news in told)
        assert step > 10
        shown = {id for news in told for id, _, views, _ in news.rows if 0 in views and id <= 3000}
        assert shown >= {id for id in range(1, 3001) if drawn(id, step)}
        assert len(shown) < 500
    [rare] = [id for news in of_other for id, _, views, _ in news.rows if 1 in views]
    assert rare == 3001, "what a filter thins out is shown whole"


def test_who_has_a_filter_in_every_view_may_be_far_behind(service: Service, client: Client):
    row = {"received_at": database.now(), "carrier": "mqtt", "raw": b"", "raw_size": 0, "result": "malformed"}
    service.press(kind="alive")
    with service.engine.begin() as conn:
        conn.execute(sa.insert(frames), [row] * (SPAN + BACKLOG))
    service.press(kind="alive")

    with client.open(after=0, view=["kind=alive"]) as events:
        assert ids(events, 2) == [1, SPAN + BACKLOG + 2]


@pytest.mark.parametrize(
    "query", [{"view": ["kind=odd"]}, {"view": ["x"] * 33}, {"replay": "x"}, {"view": ["rows=odd"]}]
)
def test_a_stream_of_what_makes_no_sense_is_refused(client: Client, query: dict[str, Any]):
    cookies = {guard.COOKIE: client.cookie}
    assert httpx2.get(f"{client.url}/stream", params=query, cookies=cookies).status_code == 422


def test_a_replay_sends_the_frames_of_then_as_they_come_due(service: Service, client: Client):
    begin = database.now() - timedelta(hours=2)
    for minute in range(6):
        service.press(kind="alive", now=begin + timedelta(minutes=minute))
    service.press(kind="alive")

    clock = Replay(begin + timedelta(minutes=1, seconds=30), database.now(), 60)
    with client.open(after=2, replay=str(clock)) as events:
        assert next(events).kind == "clock"
        assert ids(events, 4) == [3, 4, 5, 6]


def test_an_overwhelming_replay_is_sampled_and_counted_whole(service: Service, client: Client):
    begin = database.now() - timedelta(hours=2)
    row = {"received_at": begin, "carrier": "mqtt", "raw": b"", "raw_size": 0, "result": "malformed"}
    with service.engine.begin() as conn:
        conn.execute(sa.insert(frames), [row] * 20_000)

    with client.open(after=0, replay=str(Replay(begin, database.now(), 60)), view=["", "kind=alive"]) as events:
        told = until(events, 20_000)

    assert [sum(one.views[view][0] for one in told) for view in (0, 1)] == [20_000, 0]
    assert told[0].views[0][2] >= 20
    assert 0 < sum(len(one.rows) for one in told) < 1500


def test_the_stream_is_the_same_on_postgresql(tmp_path, postgres_url: str):
    with running_service(tmp_path, postgres_url) as service, serving(service.app) as url:
        client = Client(url, service.cookie())
        with client.open(after=0, orders=True, view=["", "kind=pickup&department=35"]) as events:
            service.press(kind="alive")
            service.press()
            told = until(events, 2)
            assert {(id, *views) for one in told for id, _, views, _ in one.rows} == {(1, 0), (2, 0, 1)}
            assert next(event for event in events if event.kind == "order").id is None
        with client.open(last_event_id=1) as events:
            assert ids(events, 1) == [2]


def test_ten_streams_at_once_all_see_every_frame(service: Service, client: Client):
    with ThreadPoolExecutor(10) as tabs:

        def watch() -> list[int]:
            with client.open(after=0) as events:
                return ids(events, 20)

        watching = [tabs.submit(watch) for _ in range(10)]
        for _ in range(20):
            service.press(kind="alive")

        assert [tab.result() for tab in watching] == [list(range(1, 21))] * 10


def test_a_change_without_a_frame_is_seen_too_and_grows_the_version(service: Service, client: Client):
    service.press()
    with client.open(after=1, orders=True) as events:
        first = next(event for event in events if event.kind == "order")
        with service.engine.begin() as conn:
            cloud.pickups.store.cancel(conn, 1, "staff admin", database.now())
        second = next(event for event in events if event.kind == "order")

    def version(event: Event) -> int:
        found = re.search(r'data-version="(\d+)"', event.data)
        assert found
        return int(found[1])

    assert "cancelled" in second.data
    assert version(first) < version(second)


def test_a_stream_ends_with_its_session(service: Service, client: Client):
    with client.open() as events:
        next(events)
        with service.engine.begin() as conn:
            cloud.accounts.store.close_session(conn, client.cookie)

        assert [event.kind for event in events] == ["end"]


def test_who_is_too_far_behind_or_ahead_of_the_log_is_told_to_load_the_page_anew(service: Service, client: Client):
    row = {"received_at": database.now(), "carrier": "mqtt", "raw": b"", "raw_size": 0, "result": "malformed"}
    with service.engine.begin() as conn:
        conn.execute(sa.insert(frames), [row] * (BACKLOG + 1))

    for after in (0, BACKLOG + 2):
        with client.open(after=after) as events:
            assert [event.kind for event in events] == ["clock", "reload"]
    with client.open(after=1) as events:
        assert ids(events, BACKLOG) == list(range(2, BACKLOG + 2))


@pytest.mark.parametrize(("role", "status"), [(None, 303), (Role.CUSTOMER, 403)])
def test_the_stream_is_for_staff(service: Service, client: Client, role: Role | None, status: int):
    cookies = {guard.COOKIE: service.cookie(role)} if role else {}

    assert httpx2.get(f"{client.url}/stream", cookies=cookies).status_code == status


def test_a_server_stops_though_streams_are_open(service: Service):
    with serving(service.app) as url:
        client = Client(url, service.cookie())
        opened = client.open()
        events = opened.__enter__()
        next(events)
    # `serving` has stopped the server and would have failed had the stream held it up.
    assert list(events) == []
    opened.__exit__(None, None, None)
