"""Each rule fires on its case, says what is the case, and is silent beside it; on both databases."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
import sqlalchemy as sa

import cloud.pickups.store
from cloud import database
from cloud.alerts import routes, store, tallies
from cloud.alerts.mail import WORDS
from cloud.alerts.model import BY_NAME, RULES, Alert, State, more, sentence
from cloud.frames import stations
from cloud.frames.model import Result
from cloud.health import Part
from cloud.stamps import ledger
from cloud.stamps import store as stamps
from cloud.stamps.model import Kind
from tests.cloud.alerts.house import ONE, TWO, House
from tests.sealing import callback


@dataclass(frozen=True)
class Case:
    """What fires a rule and what, just beside it, does not; and what the alert then says."""

    rule: str
    fires: Callable[[House], None]
    beside: Callable[[House], None]
    subject: str
    says: str
    department: str | None = None


def fleet(home: House, count: int, silent: int) -> None:
    for number in range(count):
        hours = 80 if number < silent else 47
        home.button(0x100 + number, owner=True, last_seen_at=home.now - timedelta(hours=hours))


def watched(home: House, hours: float) -> None:
    home.button(ONE, last_seen_at=home.now - timedelta(hours=hours))
    with home.engine.begin() as conn:
        store.watch(conn, ONE, why="the town hall", by="staff n.arnaud", now=home.now)


def past(home: House, heard: int, refused: int, days: int = 10) -> None:
    """So many an hour, in each hour of the last days."""
    hour = home.now.replace(minute=0)
    rows = [{"hour": hour - timedelta(hours=h), "heard": heard, "refused": refused} for h in range(1, days * 24)]
    with home.engine.begin() as conn:
        conn.execute(tallies.alert_hours.insert(), rows)


def refusals(home: House, refused: int, accepted: int = 40) -> None:
    past(home, 160, 2)
    home.look()
    home.button(ONE)
    for _ in range(accepted):
        home.press()
    home.hear(*[b"no json"] * refused)


def replays(home: House, count: int) -> None:
    home.button(ONE)
    payload = home.press()
    home.look()
    home.pass_(minutes=11)
    for number in range(count):
        again = json.loads(payload) | {"seqNumber": 500 + number, "time": int(home.now.timestamp())}
        assert home.hear(json.dumps(again).encode())[0].result == Result.REPLAYED


def forged(home: House, count: int) -> None:
    home.button(ONE)
    home.look()
    home.forge(ONE, count)


def strange(home: House, count: int) -> None:
    home.look()
    home.forge(TWO, count)


def jump(home: House, left_out: int) -> None:
    home.button(ONE)
    home.press()
    home.look()
    home.press(skip=left_out)


def batteries(home: House, mv: int) -> None:
    for number in range(3):
        home.button(0x100 + number, battery_mv=mv)
    home.button(0x200, battery_mv=3000)


def dead_station(home: House, after: int, buttons: int = 4) -> None:
    """Two stations hear all alike; then one of them hears nothing of `after` frames."""
    devices = [home.button(0x100 + number) for number in range(buttons)]
    home.look()
    home.hear_all([(device, home.message(device, stations=("2C7F", "2C80"))) for _ in range(10) for device in devices])
    home.look()
    for number in range(after):
        home.press(devices[number % buttons], stations=("2C80",))
        home.look()


def late(home: House, count: int, late_s: float) -> None:
    home.button(ONE)
    home.look()
    for _ in range(count):
        home.press(late_s=late_s)


def unwell(home: House, why: str | None) -> None:
    home.around_with(health=lambda: {"broker": Part(why, home.now), "database": Part(None, home.now)})


def pool(home: House, left: int) -> None:
    with home.engine.begin() as conn:
        few = sa.select(stamps.stamps.c.id).order_by(stamps.stamps.c.id).offset(left)
        conn.execute(stamps.stamps.delete().where(stamps.stamps.c.id.in_(few)))


def readings(home: House, used: int, accepted: int = 0, place: str = "35 Rennes PIC") -> None:
    said = [{"form": "text", "kind": Kind.ALREADY_USED, "listed": 1, "sealed": None}] * used
    said += [{"form": "text", "kind": Kind.ACCEPTED, "listed": 1, "sealed": None}] * accepted
    with home.engine.begin() as conn:
        if said:
            rows = ledger.readings.insert().values(at=home.now, place=place, actor="token line 1")
            conn.execute(rows, said)


def read_used(home: House, count: int) -> None:
    home.look()
    readings(home, count, accepted=3)
    home.pass_(seconds=11)


def odd(home: House, used: int) -> None:
    row = {"day": home.now.date(), "place": "35 Rennes PIC", "readings": 1000, "unknown_clear": 3, "near_spent": 0}
    with home.engine.begin() as conn:
        conn.execute(ledger.counts.insert().values(row | {"already_used": used}))


def request(home: House, hours: float) -> None:
    home.button(ONE)
    home.press(kind="pickup")
    with home.engine.begin() as conn:
        asked = cloud.pickups.store.pickups.update().values(requested_at=home.now - timedelta(hours=hours))
        conn.execute(asked)


def failing(home: House, times: int) -> None:
    route = home.route()
    with home.engine.begin() as conn:
        row = {"fails": times, "answer": "answered 503", "next_at": home.now + timedelta(minutes=4)}
        conn.execute(routes.alert_routes.update().where(routes.alert_routes.c.id == route.id).values(row))


def nothing(home: House, heard_before: float) -> None:
    home.button(ONE)
    home.look()
    past(home, 120, 1)
    home.press()
    home.pass_(minutes=heard_before)


CASES = [
    Case(
        "silence", lambda h: fleet(h, 10, 5), lambda h: fleet(h, 10, 4), "department 35",
        "department 35: 5 of 10 buttons silent", "35",
    ),
    Case(
        "button", lambda h: watched(h, 49), lambda h: watched(h, 47), "button 00A17C52",
        "button 00A17C52 was heard last 49 h ago", "35",
    ),
    Case(
        "nothing", lambda h: nothing(h, 12), lambda h: nothing(h, 8), "service",
        "no frame for 10 min, 20 usual at this hour",
    ),
    Case(
        "refusals", lambda h: refusals(h, 20), lambda h: refusals(h, 19), "service",
        "20 of 60 frames refused in 15 min, 1 usual at this hour",
    ),
    Case(
        "replays", lambda h: replays(h, 10), lambda h: replays(h, 9), "button 00A17C52",
        "10 replayed within 30 min, from button 00A17C52", "35",
    ),
    Case(
        "seals", lambda h: forged(h, 10),
        lambda h: forged(h, 9), "button 00A17C52",
        "10 with a wrong seal within 30 min, in the name of button 00A17C52", "35",
    ),
    Case(
        "unknown", lambda h: strange(h, 30), lambda h: strange(h, 29),
        "service", "30 refused within 30 min, of devices that are not in the fleet",
    ),
    Case(
        "counter", lambda h: jump(h, 100), lambda h: jump(h, 99), "button 00A17C52",
        "the counter of button 00A17C52 jumped, 100 left out", "35",
    ),
    Case(
        "battery", lambda h: batteries(h, 2250), lambda h: batteries(h, 2300), "department 35",
        "department 35: 3 under 2\u00a0300 mV", "35",
    ),
    Case(
        "station", lambda h: dead_station(h, 12), lambda h: dead_station(h, 8), "station 2C7F",
        "station 2C7F: 0 frames, expected 9",
    ),
    Case(
        "lag", lambda h: late(h, 5, 12), lambda h: late(h, 5, 9), "service",
        "5 of 5 frames kept more than 10 s after they were heard",
    ),
    Case(
        "part", lambda h: unwell(h, "it takes no messages"), lambda h: unwell(h, None), "part broker",
        "broker is not well: it takes no messages",
    ),
    Case(
        "backlog", lambda h: h.around_with(waited_s=lambda: 6.0), lambda h: h.around_with(waited_s=lambda: 4.0),
        "service", "a message has waited 6 s for its commit",
    ),
    Case(
        "pool", lambda h: pool(h, 199), lambda h: pool(h, 200), "service", "stamp codes left in the pool: 199",
    ),
    Case(
        "used", lambda h: read_used(h, 5), lambda h: read_used(h, 4), "place 35 Rennes PIC",
        "5 used already, within 24 h, at 35 Rennes PIC",
    ),
    Case(
        "readings", lambda h: odd(h, 40), lambda h: odd(h, 5), "place 35 Rennes PIC, already used",
        "40 of 1\u00a0000 readings at 35 Rennes PIC: already used",
    ),
    Case(
        "requests", lambda h: request(h, 25), lambda h: request(h, 23), "service",
        "unconfirmed for more than 24 h: 1",
    ),
    Case(
        "delivery", lambda h: failing(h, 3), lambda h: failing(h, 2), "route shop-rennes",
        "shop-rennes failed 3 times: answered 503",
    ),
    Case(
        "disk", lambda h: h.around_with(disk=lambda: (9, 100)), lambda h: h.around_with(disk=lambda: (10, 100)),
        "machine trial", "9\u00a0% of the disk free: 0 MB",
    ),
]  # fmt: skip


def of_rule(home: House, rule: str) -> list[Alert]:
    """What is open of it, after it has had the time that it needs."""
    home.look()
    lasts = BY_NAME[rule].lasts
    if lasts:
        assert [one for one in home.open() if one.rule == rule] == [], "too early"
        home.pass_(seconds=lasts.total_seconds() - 5)
        assert [one for one in home.look() if one.rule == rule] == [], "too early"
        home.pass_(seconds=61)
    else:
        home.pass_(seconds=60)
    return [one for one in home.look() if one.rule == rule]


def test_every_rule_has_its_case():
    assert [case.rule for case in CASES] == [rule.name for rule in RULES]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_rule_fires_on_its_case_and_says_it(home: House, case: Case):
    case.fires(home)
    found = of_rule(home, case.rule)
    if case.rule == "readings":
        found = [one for one in found if one.subject == case.subject]  # all places together are one more
    (alert,) = found
    assert (alert.subject, alert.department) == (case.subject, case.department)
    rule = BY_NAME[case.rule]
    assert str(sentence(rule, alert.values)) == case.says
    for text in (sentence(rule, alert.values), more(rule, alert.values)):
        assert "—" not in str(text), "a value is missing"
        assert "%(" not in WORDS["fr"].say(text)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_rule_is_silent_beside_its_case(home: House, case: Case):
    case.beside(home)
    assert of_rule(home, case.rule) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_rule_that_is_off_finds_nothing(lone: House, case: Case):
    lone.given = {case.rule: {"on": False}}
    case.fires(lone)
    assert of_rule(lone, case.rule) == []


def test_a_quiet_service_has_no_alert(home: House):
    for number in range(20):
        home.button(0x100 + number, owner=True, last_seen_at=home.now)
    for minute in range(40):
        home.press(0x100 + minute % 20, stations=("2C7F", "2C80"))
        home.pass_(minutes=1)
        assert home.look() == []


def test_a_station_that_has_a_name_is_told_by_it_and_stands_on_the_map(home: House):
    with home.engine.begin() as conn:
        stations.put(conn, [stations.Station("2C7F", "Rennes Sud", "35")])
    dead_station(home, 12)
    [alert] = [one for one in home.look() if one.rule == "station"]
    assert (alert.subject, alert.department) == ("station 2C7F", "35")
    assert str(sentence(BY_NAME["station"], alert.values)).startswith("station Rennes Sud (2C7F): 0 frames")


def test_a_night_in_which_nobody_presses_makes_no_station_dead(home: House):
    dead_station(home, 0)
    home.pass_(hours=9)
    assert [one for one in home.look() if one.rule == "station"] == []


def test_one_button_that_hangs_beside_another_station_makes_no_station_dead(home: House):
    dead_station(home, 0)
    for _ in range(20):
        home.press(0x100, stations=("2C80",))
        home.look()
    assert [one for one in home.open() if one.rule == "station"] == []


def test_a_station_that_is_heard_again_ends_its_alert(home: House):
    dead_station(home, 12)
    assert [one.rule for one in home.open()] == ["station"]
    home.press(0x100, stations=("2C7F", "2C80"))
    home.look_on(minutes=6)
    assert home.open() == []
    assert [one.state for one in home.every()] == [State.ENDED]


def test_a_button_with_a_longer_period_is_given_its_time(home: House):
    from cloud.downlinks.store import downlinks

    watched(home, 49)
    row = {"button_id": ONE, "hours": 48, "reason": "battery", "actor": "a", "state": "proven"}
    with home.engine.begin() as conn:
        at = home.now - timedelta(days=9)
        conn.execute(downlinks.insert().values(row | {"queued_at": at, "until": at, "changed_at": at, "proven_at": at}))
    assert home.look() == []
    home.pass_(hours=48)
    assert [one.values["period"] for one in home.look() if one.rule == "button"] == [48]


def test_refusals_that_are_usual_at_this_hour_are_no_alert(home: House):
    past(home, 160, 60)
    home.look()
    home.button(ONE)
    for _ in range(40):
        home.press()
    home.hear(*[b"no json"] * 24)
    assert [one for one in home.look_on(minutes=3) if one.rule == "refusals"] == []


def test_the_log_is_read_on_from_where_it_was_and_nothing_is_counted_twice(home: House):
    home.button(ONE)
    home.look()
    for _ in range(3):
        home.press()
        home.look()
        home.watcher("one").tend(home.now)
    with database.reading(home.engine) as conn:
        assert tallies.total(conn, tallies.HEARD, home.now) == 3
        assert conn.execute(sa.select(tallies.alert_hours.c.heard)).scalar_one() == 3


def test_what_was_heard_before_the_first_look_is_not_counted(home: House):
    home.button(ONE)
    home.forge(ONE, 30)
    assert home.look() == []


def test_a_flood_of_names_fills_no_table(home: House):
    home.look()
    many = tallies.SUBJECTS + 50
    home.hear_all([(0x5000 + number, callback(0x5000 + number, bytes(12))) for number in range(many)])
    assert "unknown" in [one.rule for one in home.look()]
    with database.reading(home.engine) as conn:
        rows = conn.scalar(sa.select(sa.func.count()).select_from(tallies.alert_tallies)) or 0
    assert rows <= tallies.SUBJECTS + 10


def test_old_counts_are_forgotten(home: House):
    home.button(ONE)
    home.look()
    home.press()
    home.look()
    home.pass_(days=16)
    home.look()
    with database.reading(home.engine) as conn:
        for table in (tallies.alert_tallies, tallies.alert_hours, tallies.alert_stations):
            assert conn.scalar(sa.select(sa.func.count()).select_from(table)) == 0
