"""The life of an alert: opened once, told once, silenced, closed, resolved, opened again; and who may watch."""

import threading
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

import cloud.audit.store
from cloud import database
from cloud.alerts import model, routes, store
from cloud.alerts.model import AGAIN, BY_NAME, Event, Faulty, Found, NotFound, State, WrongState, check_changes, terms
from tests.cloud.alerts.house import NOW, ONE, House, house

RULE = BY_NAME["disk"]
FULL = Found("disk", "machine trial", {"percent": "3 %", "free": 1, "host": "trial"})


def full(home: House, is_full: bool = True) -> None:
    home.around_with(disk=lambda: (3 if is_full else 50, 100))


def opened(home: House) -> model.Alert:
    full(home)
    home.look()
    home.pass_(seconds=61)
    (alert,) = home.look()
    return alert


def told(home: House) -> list[str]:
    return [row["message"] for row in home.outbox()]


def test_a_condition_that_lasts_is_one_alert_however_often_it_is_seen(home: House):
    alert = opened(home)
    home.look_on(minutes=10)
    assert [one.id for one in home.every()] == [alert.id]
    assert home.open()[0].seen_at > alert.seen_at


def test_a_condition_that_does_not_last_is_none(home: House):
    for _ in range(3):
        full(home)
        home.look()
        home.pass_(seconds=50)
        full(home, False)
        home.look()
        home.pass_(seconds=50)
    assert home.every() == []


def test_an_alert_ends_by_itself_once_its_condition_has_gone_for_its_time(home: House):
    opened(home)
    full(home, False)
    assert [one.gone_at for one in home.look()] == [home.now]
    home.pass_(seconds=299)
    assert len(home.look()) == 1
    home.pass_(seconds=1)
    assert home.look() == []
    (ended,) = home.every()
    assert (ended.state, ended.ended_at, ended.ended_by) == (State.ENDED, home.now, None)


def test_it_is_acknowledged_once_with_a_word(home: House):
    id = opened(home).id
    with home.engine.begin() as conn:
        store.acknowledge(conn, id, by="staff n.arnaud", word="  a larger\n disk comes ", now=home.now)
    with home.engine.begin() as conn, pytest.raises(WrongState, match="acknowledged by staff"):
        store.acknowledge(conn, id, by="staff other", word="", now=home.now)
    (alert,) = home.look()
    assert (alert.acked_by, alert.acked_word) == ("staff n.arnaud", "a larger disk comes")
    with database.reading(home.engine) as conn:
        assert store.counts(conn, home.now) == (1, 0, 0)
        assert store.badge(conn) == 0
        (entry,) = cloud.audit.store.newest(conn)
        assert (entry.action, entry.subject, entry.detail["word"]) == (
            "alert.acknowledge", f"alert {id}", "a larger disk comes",
        )  # fmt: skip
        with pytest.raises(NotFound):
            store.acknowledge(conn, 99, by="x", word="", now=home.now)


def test_a_closed_one_stays_closed_until_its_condition_has_gone_and_come_back(home: House):
    id = opened(home).id
    with home.engine.begin() as conn:
        store.close(conn, id, by="staff n.arnaud", word="known", now=home.now)
    assert home.look_on(minutes=30) == []
    full(home, False)
    assert home.look_on(minutes=6) == []
    full(home)
    (again,) = home.look_on(minutes=2)
    assert (again.id, again.times, again.acked_by, again.ended_by) == (id, 2, None, None)
    with database.reading(home.engine) as conn:
        assert [one.event for one in store.life(conn, id)] == ["opened", "closed", "resolved", "reopened"]


def test_what_comes_back_late_is_a_new_alert(home: House):
    opened(home)
    full(home, False)
    home.look_on(minutes=6)
    home.pass_(hours=AGAIN.total_seconds() / 3600)
    full(home)
    home.look_on(minutes=2)
    assert sorted((one.id, one.times) for one in home.every()) == [(1, 1), (2, 1)]


def test_each_route_is_told_once_of_what_it_takes(home: House):
    home.route("all")
    home.route("others", rules=["replays"])
    home.route("urgent", least=model.Severity.URGENT)
    home.given = {"disk": {"severity": "warning"}}
    opened(home)
    home.look_on(minutes=3)
    assert told(home) == ["alert-1-1-opened"]
    with home.engine.begin() as conn:
        store.acknowledge(conn, 1, by="staff n.arnaud", word="", now=home.now)
    full(home, False)
    home.look_on(minutes=6)
    assert told(home) == ["alert-1-1-opened", "alert-1-1-acknowledged", "alert-1-1-resolved"]


def test_flapping_is_told_once_within_the_quiet_time(home: House):
    home.route()
    opened(home)
    for _ in range(4):  # each turn takes less than the hour of quiet does
        full(home, False)
        home.look_on(minutes=6, each_s=60)
        full(home)
        home.look_on(minutes=3, each_s=60)
    assert told(home) == ["alert-1-1-opened", "alert-1-1-resolved"]
    assert home.open()[0].times == 5
    home.look_on(minutes=30, each_s=60)
    assert told(home)[2:] == ["alert-1-5-opened"], "still there when the quiet time is over"


def silenced(home: House, **said: str) -> None:
    said = {"rule": "", "subject": "", "department": "", "reason": "a larger disk comes"} | said
    with home.engine.begin() as conn:
        store.add_silence(conn, model.silence(**said, hours=1, by="staff n.arnaud", now=home.now))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "what", [{"rule": "disk"}, {"subject": "machine trial"}, {"rule": "disk", "subject": "machine trial"}]
)
def test_a_silence_keeps_it_from_being_told_and_counted_and_ends_by_itself(home: House, what: dict[str, str]):
    home.route()
    silenced(home, **what)
    opened(home)
    home.look_on(minutes=50, each_s=300)
    assert told(home) == []
    with database.reading(home.engine) as conn:
        assert store.counts(conn, home.now) == (0, 0, 1)
        assert store.open_for_overview(conn, home.now)["open_alerts"] == []
        assert [line.is_silenced for line in store.open_lines(conn, home.now)] == [True]
    home.look_on(minutes=15, each_s=300)
    assert told(home) == ["alert-1-1-opened"], "still there when the silence is over"
    with database.reading(home.engine) as conn:
        assert store.counts(conn, home.now) == (1, 1, 0)
        assert store.in_force(conn, home.now) == []


@pytest.mark.parametrize("what", [{"rule": "replays"}, {"subject": "machine other"}, {"department": "35"}])
def test_a_silence_covers_nothing_else(home: House, what: dict[str, str]):
    home.route()
    silenced(home, **what)
    opened(home)
    assert told(home) == ["alert-1-1-opened"]


def test_a_silence_of_a_department_covers_what_lies_in_it(home: House):
    home.button(ONE, last_seen_at=home.now - timedelta(hours=49))
    with home.engine.begin() as conn:
        store.watch(conn, ONE, why="the town hall", by="staff n.arnaud", now=home.now)
    silenced(home, department="35")
    home.route()
    assert [one.department for one in home.look()] == ["35"]
    assert told(home) == []
    with database.reading(home.engine) as conn:
        assert store.open_by_department(conn, home.now) == {}
        assert store.open_by_department(conn, home.now + timedelta(hours=2)) == {"35": 1}


def test_a_silence_is_ended_by_hand_once(home: House):
    silenced(home, rule="disk")
    with home.engine.begin() as conn:
        store.end_silence(conn, 1, by="staff n.arnaud", now=home.now)
    with home.engine.begin() as conn, pytest.raises(NotFound):
        store.end_silence(conn, 1, by="staff n.arnaud", now=home.now)
    with database.reading(home.engine) as conn:
        assert [one.action for one in cloud.audit.store.newest(conn)] == ["alert.silence.end", "alert.silence"]


@pytest.mark.parametrize(
    "said",
    [
        {"rule": "", "subject": "", "department": ""},
        {"rule": "no such"},
        {"department": "99X"},
        {"reason": " "},
        {"hours": 0.0},
        {"hours": float("nan")},
        {"hours": 1e6},
        {"subject": "x\x00"},
    ],
)
def test_a_silence_of_everything_or_for_ever_is_refused(said: dict):
    usual = {"rule": "disk", "subject": "", "department": "", "reason": "why", "hours": 1.0}
    with pytest.raises(Faulty):
        model.silence(**(usual | said), by="x", now=NOW)


# Rules as changed


@pytest.mark.parametrize(
    "changes",
    [
        {"percent": 0},
        {"percent": "nan"},
        {"percent": True},
        {"on": "yes"},
        {"severity": "loud"},
        {"lasts_s": -1},
        {"x": 1},
    ],
)
def test_changes_that_cannot_be_are_refused(changes: dict[str, object]):
    with pytest.raises(Faulty, match="disk: "):
        check_changes(RULE, changes)


def test_the_page_changes_what_the_settings_file_changed_and_each_change_is_in_the_audit_trail(home: House):
    home.given = {"disk": {"percent": 2, "lasts_s": 0}}
    full(home)
    assert home.look() == []
    with home.engine.begin() as conn:
        store.change_rule(conn, RULE, {"percent": "5", "lasts_s": 0}, home.given, by="staff admin", now=home.now)
        assert store.all_terms(conn, home.given)["disk"].limit("percent") == 5
    assert len(home.look()) == 1
    with database.reading(home.engine) as conn:
        page, file = cloud.audit.store.newest(conn)
    assert (file.actor, file.detail["after"]) == ("settings file", {"disk": {"percent": 2, "lasts_s": 0}})
    assert (page.actor, page.subject, page.detail["after"]) == ("staff admin", "rule disk", {"percent": 5.0})
    home.watcher("one").tend(home.now)
    with home.engine.begin() as conn:
        assert len(cloud.audit.store.newest(conn)) == 2, "the file said nothing new"
        store.change_rule(conn, RULE, {}, home.given, by="staff admin", now=home.now)
        assert store.all_terms(conn, home.given)["disk"].limit("percent") == 2


def test_a_rule_with_a_bug_leaves_its_alerts_and_the_other_rules_alone(home: House):
    opened(home)

    def broken() -> dict:
        raise ZeroDivisionError

    home.around_with(health=broken, disk=lambda: (3, 100), waited_s=lambda: 60.0)
    home.look_on(minutes=1)
    assert {one.rule for one in home.look()} == {"disk", "backlog"}


# Who watches


def test_of_several_processes_one_watches_and_another_follows_when_it_is_gone(home: House):
    full(home)
    first, second = home.watcher("first"), home.watcher("second")
    assert first.tend(home.now)
    assert not second.tend(home.now)
    home.pass_(seconds=29)
    assert not second.tend(home.now)
    home.pass_(seconds=2)
    assert second.tend(home.now)
    assert not first.tend(home.now)
    home.pass_(seconds=61)
    second._leave()
    assert first.tend(home.now)
    assert len(home.open()) == 1


def test_two_that_look_at_once_open_one_alert_and_tell_it_once(home: House):
    home.route()
    found, of = [FULL], {"disk": terms(RULE, {"lasts_s": 0})}
    begin = threading.Barrier(2)
    events: list[Event] = []

    def look() -> None:
        begin.wait(10)
        with home.engine.begin() as conn:
            events.extend(event for _, event in store.apply(conn, found, of, home.now))

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert events == [Event.OPENED]
    assert told(home) == ["alert-1-1-opened"]


DEEDS = st.one_of(
    st.tuples(st.just("pass"), st.sampled_from([5, 30, 60, 300, 1800, 3600, 30_000])),
    st.tuples(st.just("look"), st.booleans()),
    st.tuples(st.just("crash"), st.booleans()),
    st.tuples(st.sampled_from(["acknowledge", "close", "silence", "end silence"]), st.none()),
)


@settings(max_examples=60)
@given(st.lists(DEEDS, max_size=40), st.sampled_from([0.0, 60.0]))
def test_whatever_happens_there_is_one_alert_at_most_and_no_opening_is_told_twice(deeds: list, lasts_s: float):
    """Conditions that come and go, deeds of people, looks that are broken off before their commit."""
    of = {"disk": terms(RULE, {"lasts_s": lasts_s})}
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'domino.db'}"
        engine = database.connect(url)
        database.metadata.create_all(engine)
        engine.dispose()
        with house(url) as home:
            home.route()
            openings: list = []
            for deed, how in deeds:
                if deed == "pass":
                    home.pass_(seconds=how)
                elif deed in ("look", "crash"):
                    with home.engine.connect() as conn, conn.begin() as work:
                        events = store.apply(conn, [FULL] if how else [], of, home.now)
                        if deed == "crash":
                            work.rollback()
                        else:
                            openings += [home.now for _, event in events if event is Event.OPENED]
                else:
                    person(home, deed)
                with database.reading(home.engine) as conn:
                    there = sa.select(sa.func.count()).select_from(store.alerts).where(store._IS_CURRENT)
                    assert (conn.scalar(there) or 0) <= 1
            messages = told(home)
            assert len(messages) == len(set(messages))
            assert sum(one.endswith("-opened") for one in messages) == len(openings)
            assert all(after - before >= RULE.quiet for before, after in pairwise(openings))


def person(home: House, deed: str) -> None:
    with home.engine.connect() as conn, conn.begin() as work:
        try:
            match deed:
                case "acknowledge":
                    store.acknowledge(conn, 1, by="staff a", word="", now=home.now)
                case "close":
                    store.close(conn, 1, by="staff a", word="", now=home.now)
                case "silence":
                    said = {"rule": "disk", "subject": "", "department": "", "reason": "r", "hours": 1.0}
                    store.add_silence(conn, model.silence(**said, by="staff a", now=home.now))
                case "end silence":
                    store.end_silence(conn, 1, by="staff a", now=home.now)
        except (NotFound, WrongState):
            work.rollback()


def test_what_is_told_of_an_alert_holds_nothing_beside_it():
    alert = model.Alert(
        7, "disk", "machine trial", None, model.Severity.URGENT, State.OPEN, FULL.values, (), NOW, NOW, NOW
    )
    body = routes.said_of(replace(alert, acked_by="staff a", acked_word="w"), Event.ACKNOWLEDGED, NOW)
    assert body["type"] == "alert.acknowledged"
    assert body["data"]["by"] == "staff a"
    assert set(body) == {"type", "timestamp", "data"}
