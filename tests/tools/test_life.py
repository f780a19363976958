"""What every kind of wake takes, by the firmware itself, and what `domino board life` makes of it."""

import json
from xml.etree import ElementTree

import pytest

from simulator.board import energy, life
from simulator.board.energy import Part, Use
from simulator.board.life import BATTERIES, Moment
from simulator.modem import State
from tests.end_to_end.service import domino
from tools import wakes
from tools.life import forecast, span
from tools.life_chart import THEMES
from tools.wakes import Link, stretched

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def measured() -> dict[Link, dict[Moment, Use]]:
    return wakes.measure()


def test_every_kind_of_wake_is_measured_by_every_link(measured):
    for link in Link:
        assert set(measured[link]) == set(Moment)
        foreign = {Part.MODEM_TX, Part.MODEM_RX} if link is Link.WIFI else {Part.WIFI}
        assert not any(foreign & set(use.parts) for use in measured[link].values())


def test_a_modem_takes_sigfoxs_times_though_none_passes_here(measured):
    """3 × 2.08 s, of an answered message 3 × 1.76 s more; the window open to its end, or to its middle."""
    tx, rx = energy.MODEM_MA["tx"] / 3600, energy.MODEM_MA["rx"] / 3600
    sigfox = measured[Link.SIGFOX]
    assert sigfox[Moment.UNANSWERED].parts[Part.MODEM_TX] == pytest.approx(6.24 * tx, rel=1e-3)
    assert sigfox[Moment.UNANSWERED].parts[Part.MODEM_RX] == pytest.approx(25 * rx, rel=1e-3)
    assert sigfox[Moment.ANSWERED].parts[Part.MODEM_RX] == pytest.approx(12.5 * rx, rel=1e-3)
    assert sigfox[Moment.ANSWERED].parts[Part.MODEM_TX] == pytest.approx((6.24 + 6.28) * tx, rel=1e-3)
    assert Part.MODEM_RX not in sigfox[Moment.HEARTBEAT].parts
    assert sigfox[Moment.UNANSWERED].ms > 52_000


def test_an_answer_awaited_in_vain_and_an_absent_access_point_are_what_costs_by_wi_fi(measured):
    wifi = {moment: use.parts.get(Part.WIFI, 0) for moment, use in measured[Link.WIFI].items()}
    assert wifi[Moment.SOON_AGAIN] < wifi[Moment.ANSWERED] < wifi[Moment.UNANSWERED]
    assert wifi[Moment.HEARTBEAT] < wifi[Moment.RETRY] < wifi[Moment.FAILED]


def test_the_modems_time_is_let_in_where_it_was_told_to_send():
    trace = [
        {"ms": 10, "kind": "uart", "sent": "00"},
        {"ms": 20, "kind": "uart", "sent": b"AT$SF=00\r".hex()},
        {"ms": 30, "kind": "pin", "id": 2, "level": 1},
        {"ms": 40, "kind": "uart", "sent": b"AT$P=1\r".hex()},
        {"ms": 50, "kind": "sleep"},
    ]
    told = [(7.0, State.IDLE), (7.0, State.TX), (9.0, State.IDLE), (9.0, State.SLEEP)]
    events = [(event["ms"], event.get("state", event["kind"])) for event in stretched(trace, told)]
    assert events == [
        *[(10, "uart"), (10, "idle"), (20, "uart"), (20, "idle"), (20, "tx"), (2020, "idle")],
        *[(2030, "pin"), (2040, "uart"), (2040, "sleep"), (2050, "sleep")],
    ]


def test_on_a_devkit_the_battery_is_gone_within_weeks_whatever_the_link(measured):
    for link in Link:
        told = forecast(measured[link], link, BATTERIES["aa-lithium"], [1.0], devkit=True)
        assert told.years[1.0] * life.DAYS_A_YEAR < 30
        assert told.days[1.0].parts[Part.DEVKIT] == pytest.approx(24 * energy.DEVKIT_MA)


def test_a_span_is_told_in_the_unit_that_fits():
    assert [span(years) for years in (0.05, 0.999, 4.26, 14.99, 15)] == [
        *("18 days", "365 days", "4.3 years", "15.0 years", "over 15 years")
    ]


def test_the_command_tells_json_and_draws_both_themes(tmp_path):
    done = domino("board", "life", "--presses", "0.5", "--presses", "3", "--chart", str(tmp_path / "power"), "--json")
    told = json.loads(done.stdout)
    assert (told["board"], told["battery"]["mah"]) == ("bare chips", 3000)
    for link in Link:
        one = told["links"][link]
        assert set(one["wakes"]) == set(Moment)
        assert [day["presses"] for day in one["days"]] == [0.5, 3]
        seldom, often = one["days"]
        assert seldom["mah_a_day"] < often["mah_a_day"]
        assert seldom["years"] > often["years"]
    for theme in THEMES:
        drawn = ElementTree.parse(tmp_path / f"power-{theme}.svg").getroot()  # noqa: S314  our own
        assert len(drawn.findall(f"{SVG}polyline")) == len(Link)
        words = {text.text for text in drawn.iter(f"{SVG}text")}
        assert {str(Moment.ANSWERED), "a day asleep"} <= words


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--battery", "potato"], "aa-lithium"), (["--chart", "nowhere/at/all"], "no folder nowhere/at")],
)
def test_what_it_cannot_do_is_one_clear_line(options, said):
    done = domino("board", "life", *options, check=False)
    assert (done.returncode, done.stderr.count("\n"), said in done.stderr) == (2, 1, True)
