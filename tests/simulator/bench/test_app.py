"""The bench's page and its door: who may touch it, and that a touch reaches the firmware."""

import json
import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from simulator.bench import wire
from simulator.bench.app import PARTS, create_app
from simulator.bench.boards import Button, State
from simulator.bench.desk import Bench
from simulator.bench.door import CSRF, Door
from tests.simulator.bench.conftest import rows, wait, wait_for
from tools.bench import page

PORT = 8740
ORIGIN = f"http://127.0.0.1:{PORT}"
NOBODY = "00B0BEFF"


@pytest.fixture
def door() -> Door:
    return Door(PORT)


@pytest.fixture
def stranger(desk: Bench, door: Door) -> Iterator[TestClient]:
    app = create_app(desk, door, page.files(), about={"firmware": "1.4.2", "micropython": "1.29.0"})
    with TestClient(app, base_url=ORIGIN, follow_redirects=False) as client:
        yield client


@pytest.fixture
def owner(stranger: TestClient, door: Door) -> TestClient:
    """Somebody who came by the printed address; each post is as the page makes it."""
    assert stranger.get("/", params={"token": door.token}).status_code == 303
    stranger.headers |= {"origin": ORIGIN, CSRF: door.csrf}
    return stranger


def test_without_the_token_nothing_is_shown_and_nothing_is_done(stranger: TestClient, desk: Bench) -> None:
    paths = ("/", "/?token=guessed", "/events", "/part/board", "/static/domino.css", f"/vectors?board={NOBODY}")
    assert {stranger.get(path).status_code for path in paths} == {403}
    assert stranger.post("/boards", headers={"origin": ORIGIN}).status_code == 403
    assert desk.boards.all == []


def test_the_token_becomes_a_cookie_that_scripts_and_other_sites_do_not_get(stranger: TestClient, door: Door) -> None:
    answer = stranger.get("/", params={"token": door.token})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert door.token.lower() not in cookie
    shown = stranger.get("/")
    assert shown.status_code == 200
    assert door.token not in shown.text
    assert "default-src 'none'" in shown.headers["content-security-policy"]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:8710"},
        {"origin": ""},
        {CSRF: "guessed"},
        {CSRF: ""},
    ],
    ids=["another site", "the console next door", "no origin", "a guess", "no token"],
)
def test_what_changes_anything_must_come_from_the_bench_s_own_page(owner, desk, headers) -> None:
    refused = owner.post("/boards", headers=headers)
    assert (refused.status_code, desk.boards.all) == (403, [])


def test_a_name_that_was_bent_to_loopback_is_no_address_of_the_bench(owner: TestClient) -> None:
    assert owner.get("/", headers={"host": f"evil.example:{PORT}"}).status_code == 421
    assert owner.get("/", headers={"host": f"localhost:{PORT}"}).status_code == 200
    assert owner.post("/speed", content=b"to=" + b"9" * 20_000).status_code == 413


def test_a_click_on_the_page_reaches_the_firmware_and_its_bytes_come_back(owner, desk, button: Button) -> None:
    assert owner.post(f"/boards/{button.name}/press", data={"clicks": 2}).status_code == 204
    wait(desk, lambda: button.is_awake)
    wait(desk, lambda: button.state is State.ASLEEP)
    rows(desk, button, button.counter)
    told = owner.get("/part/rows", params={"board": button.name}).text
    assert "pickup, 2 parcels" in told
    assert "9 of 9 copies heard" in told
    newest = next(row for row in desk.journal.newest(10, button.name) if row.way == "air")
    for name, digits in wire.parts(newest.data):
        assert f">{digits}</b>" in told, name
    assert "Long flash" in owner.get("/part/says", params={"board": button.name}).text


def test_keys_go_down_and_up_as_the_pointer_does(owner, desk, button: Button) -> None:
    owner.post(f"/boards/{button.name}/key", data={"to": "down"})
    assert button.key_is_down
    wait(desk, lambda: button.state is State.AWAKE)
    owner.post(f"/boards/{button.name}/key", data={"to": "up"})
    wait(desk, lambda: button.state is State.ASLEEP)
    assert not button.key_is_down


def test_sliders_and_stations_change_the_running_air_and_calm_undoes_them(owner, desk, button: Button) -> None:
    station = next(iter(desk.air.stations))
    for fields in ({"loss": 35}, {"delay": 6}, {"duplicates": 20}, {"out_of_order": 5}):
        assert owner.post("/air", data=fields).status_code == 204
    assert owner.post("/air/station", data={"id": station}).status_code == 204
    told = desk.air.impairments
    assert (told.loss, told.max_delay_s, told.duplicates, told.out_of_order) == (0.35, 6, 0.2, 0.05)
    assert desk.air.down == {station}
    odds = owner.get("/part/odds", params={"board": button.name}).text
    assert "At 35 % loss, 1 of 540 messages is lost on all 6 copies." in odds
    assert 'value="0"' in owner.post("/air/calm").text
    assert (desk.air.impairments.loss, desk.air.down) == (0, frozenset())


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/air", {"loss": 101}, 422),
        ("/air", {"delay": 601}, 422),
        ("/air/station", {"id": "FFFF"}, 422),
        ("/speed", {"to": 0}, 422),
        ("/traffic", {"count": 10_001}, 422),
        ("/traffic", {"presses": 1000}, 422),
        (f"/boards/{NOBODY}/press", {}, 404),
        (f"/boards/{NOBODY}/power", {"to": "off"}, 404),
        ("/boards/00B0BE01/press", {"clicks": 10}, 422),
        ("/boards/00B0BE01/key", {"to": "sideways"}, 422),
        ("/boards/00B0BE01/world", {"mv": 5000}, 422),
        ("/boards/00B0BE01/world", {"temperature": 44}, 422),
        ("/boards/00B0BE01/world", {"cut": "whenever"}, 422),
    ],
)
def test_what_is_out_of_bounds_is_refused_with_the_reason(owner, button, path, fields, status) -> None:
    refused = owner.post(path, data=fields)
    assert refused.status_code == status
    assert refused.text


def test_without_power_a_press_is_refused_and_the_page_offers_the_battery(owner, desk, button: Button) -> None:
    owner.post(f"/boards/{button.name}/power", data={"to": "off"})
    refused = owner.post(f"/boards/{button.name}/press")
    assert (refused.status_code, refused.text) == (409, "the board has no power.")
    assert "Put the battery back" in owner.get("/part/board", params={"board": button.name}).text
    owner.post(f"/boards/{button.name}/power", data={"to": "on"})
    wait(desk, lambda: button.state is State.ASLEEP)


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_every_part_is_shown_in_both_languages_with_a_button_and_without(owner, desk, lang) -> None:
    owner.cookies.set("domino_lang", lang)
    for part in sorted(PARTS):
        assert owner.get(f"/part/{part}").status_code == 200, part
    assert owner.get("/part/unknown").status_code == 404
    assert f'<html lang="{lang}">' in owner.get("/").text
    added = desk.boards.add()
    wait(desk, lambda: added.state is State.ASLEEP)
    for part in sorted(PARTS):
        assert owner.get(f"/part/{part}", params={"board": added.name}).status_code == 200, part


def test_the_key_is_on_no_page_and_in_no_vector(owner, desk, button: Button) -> None:
    desk.boards.press(button.name)
    wait(desk, lambda: button.is_awake)
    wait(desk, lambda: button.state is State.ASLEEP)
    rows(desk, button, button.counter)
    key = button.identity.key.hex()
    assert key == button.board.flash["key"][1]
    pages = [owner.get(path, params={"board": button.name}).text for path in ("/", "/part/board", "/vectors")]
    assert not [text for text in pages if key in text.lower().replace(" ", "")]
    assert "16 B" in pages[1]


def test_vectors_of_the_bench_are_vectors_of_the_wire_format(owner, desk, button: Button) -> None:
    desk.boards.press(button.name, 3)
    wait(desk, lambda: button.is_awake)
    wait(desk, lambda: button.state is State.ASLEEP)
    rows(desk, button, button.counter)
    told = json.loads(owner.get("/vectors", params={"board": button.name}).text)
    newest = told["uplinks"][-1]
    fields = {name: newest[name] for name in wire.Uplink.__dataclass_fields__}
    assert fields["parcels"] == 3
    sealed = wire.seal(button.identity, newest["counter"], wire.Uplink(**fields))
    assert sealed.hex() == newest["uplink"]
    answer = told["downlinks"][-1]
    opened = wire.open_answer(button.identity, answer["answers_counter"], bytes.fromhex(answer["downlink"]))
    assert opened is not None
    assert (wire.STATUSES.index(opened.status), opened.argument) == (answer["status"], answer["argument"])


def test_the_page_starts_and_stops_a_fleet_as_traffic(owner, desk) -> None:
    assert owner.post("/traffic", data={"count": 20, "presses": 140, "speed": 3600}).status_code == 204
    assert owner.post("/traffic").status_code == 409
    wait_for(lambda: desk.traffic.counts["heard"] > 5)
    assert owner.post("/traffic/stop").status_code == 204
    assert not desk.traffic.is_running
    wait_for(lambda: desk.count_kept() == desk.traffic.counts["heard"])
    assert "Kept by the cloud" in owner.get("/part/traffic").text


def test_a_first_load_is_light(owner) -> None:
    shown = owner.get("/").text
    files = re.findall(r'(?:href|src)="(/static/[^"]+)"', shown)
    sizes = [len(owner.get(file).content) for file in files]
    assert len(files) == 5
    assert 50_000 < len(shown) + sum(sizes) < 300_000
