"""The silent ones and the notes in SQL, on both databases."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

import cloud.accounts.store
import cloud.audit.store
import cloud.fleet.store as fleet
import cloud.tables
from cloud import database
from cloud.accounts.model import Account, Forbidden, Role
from cloud.accounts.passwords import Hash
from cloud.fleet import notes, silence
from cloud.fleet.model import KeysUsedUp, WrongState
from cloud.fleet.rhythm import Facts, Verdict, judge, step
from cloud.fleet.store import buttons

NOW = datetime(2026, 11, 20, 9, 42, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def conn(request: pytest.FixtureRequest) -> Iterator[sa.Connection]:
    engine = database.connect("sqlite://" if request.param == "SQLite" else request.getfixturevalue("postgres_url"))
    database.metadata.create_all(engine)
    with engine.begin() as conn:
        yield conn
    engine.dispose()


def add(
    conn: sa.Connection, id: int, heard: timedelta | None = None, place: str | None = "35 Rennes", **other: object
) -> None:
    """A button last heard so long ago."""
    fleet.add(conn, id=id, place=place, claim_code=f"{id:012d}", now=NOW - 90 * DAY)
    seen = None if heard is None else NOW - heard
    conn.execute(sa.update(buttons).where(buttons.c.id == id).values(last_seen_at=seen, **other))


def ids(found: list[silence.Quiet]) -> list[int]:
    return [one.id for one in found]


def test_silent_and_late_ones_are_told_apart_longest_first(conn):
    add(conn, 1, 2 * HOUR)
    add(conn, 2, 9 * DAY)
    add(conn, 3, 30 * HOUR)
    add(conn, 4, 40 * DAY, state="revoked")
    add(conn, 5, None)
    add(conn, 6, 20 * DAY, "29 Quimper")
    assert ids(silence.quiet(conn, NOW)) == [6, 2, 3]
    assert ids(silence.quiet(conn, NOW, verdict=Verdict.SILENT)) == [6, 2]
    assert ids(silence.quiet(conn, NOW, verdict=Verdict.LATE)) == [3]
    assert ids(silence.quiet(conn, NOW, department="29")) == [6]
    assert silence.count(conn, NOW) == 2
    assert silence.count(conn, NOW, at_most=1) == 1
    assert silence.count(conn, NOW, verdict=Verdict.LATE, department="35") == 1
    assert silence.silent_by_department(conn, NOW) == {"29": 1, "35": 1}
    assert silence.never_heard(conn) == [5]


def test_one_whose_place_names_no_department_is_counted_by_itself(conn):
    add(conn, 1, 9 * DAY, None)
    assert silence.silent_by_department(conn, NOW) == {None: 1}


def test_each_button_is_waited_for_as_long_as_its_own_period_and_link_ask(conn):
    add(conn, 1, 9 * DAY, heartbeat_hours=168)
    add(conn, 2, 9 * DAY, patience=10)
    add(conn, 3, 4 * HOUR, heartbeat_hours=1)
    add(conn, 4, 60 * DAY, heartbeat_hours=168, patience=10)
    assert ids(silence.quiet(conn, NOW, verdict=Verdict.SILENT)) == [3]
    assert ids(silence.quiet(conn, NOW, verdict=Verdict.LATE)) == [4, 2, 1]


@pytest.mark.parametrize("hours", [1, 24, 168])
def test_sql_calls_silent_what_the_model_calls_silent_to_the_minute(conn, hours):
    span = 3 * step(hours)
    for id, more in ((1, -timedelta(minutes=1)), (2, timedelta(minutes=1))):
        add(conn, id, span + more, heartbeat_hours=hours)
        facts = Facts(last_seen_at=NOW - span - more, hours=hours)
        assert (judge(facts, NOW).verdict is Verdict.SILENT) == (id == 2)
    assert ids(silence.quiet(conn, NOW, verdict=Verdict.SILENT)) == [2]


def test_a_list_goes_on_where_its_page_ended(conn):
    for id in range(1, 8):
        add(conn, id, 9 * DAY if id < 5 else 12 * DAY)
    seen: list[int] = []
    after = None
    while page := silence.quiet(conn, NOW, after=after, limit=2):
        seen += ids(page)
        after = page[-1].overdue_at, page[-1].id
    assert seen == [5, 6, 7, 1, 2, 3, 4]
    assert silence.never_heard(conn, after=0) == []


def test_neighbours_are_those_of_the_department_that_were_heard_lately(conn):
    for id in range(1, 5):
        add(conn, id, 3 * HOUR)
    add(conn, 5, 9 * DAY)
    add(conn, 6, 60 * DAY)
    add(conn, 7, 1 * HOUR, "29 Quimper")
    add(conn, 8, 1 * HOUR, state="revoked")
    found = silence.neighbours(conn, ["35", "35", None, "48"], NOW)
    assert (found["35"].of, found["35"].heard) == (5, 4)
    assert (found["48"].of, set(found)) == (0, {"35", "48"})


def test_a_quiet_button_is_weighed_once_until_it_is_heard_again(conn):
    add(conn, 1, 3 * DAY)
    add(conn, 2, 30 * HOUR)
    assert silence.unweighed(conn, NOW, 10) == [1]
    silence.note_patience(conn, {1: 6}, NOW)
    assert silence.unweighed(conn, NOW, 10) == []
    assert silence.count(conn, NOW) == 0
    fleet.note(conn, [fleet.Heard(1, 0, 1, 3000, 20, 1, 0)], NOW + DAY)
    assert silence.unweighed(conn, NOW + 2 * DAY, 10) == [2]
    assert silence.unweighed(conn, NOW + 5 * DAY, 10) == [2, 1]


def test_the_list_is_read_by_its_index(conn):
    query = sa.select(buttons.c.id).where(silence._overdue(NOW, Verdict.SILENT, None))
    query = query.order_by(fleet.overdue_at, buttons.c.id).limit(50)
    text = query.compile(conn, compile_kwargs={"literal_binds": True})
    if conn.dialect.name == "postgresql":
        database.plan_by_index(conn)
        plan = "\n".join(conn.exec_driver_sql(f"EXPLAIN {text}").scalars())
        assert "Sort" not in plan
    else:
        plan = "\n".join(row.detail for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))
        assert "TEMP B-TREE" not in plan
    assert "ix_buttons_overdue" in plan


def test_a_planned_key_is_taken_off_when_the_button_gets_one(conn):
    add(conn, 1, HOUR)
    with pytest.raises(WrongState, match="never left the cloud"):
        fleet.plan_key(conn, 1, by="staff anne", now=NOW)
    fleet.note(conn, [fleet.Heard(1, 0, 1, 3000, 20, 1, 0)], NOW)
    planned = fleet.plan_key(conn, 1, by="staff anne", now=NOW)
    again = fleet.plan_key(conn, 1, by="staff paul", now=NOW + DAY)
    assert (again.rekey_planned_at, again.rekey_planned_by) == (NOW, "staff anne")
    given = fleet.issue_key(conn, again, board="b", ticket="t")
    assert (given.key_generation, given.rekey_planned_at, given.rekey_planned_by) == (1, None, None)
    assert not fleet.drop_key_plan(conn, 1)
    fleet.plan_key(conn, 1, by="staff anne", now=NOW)
    assert fleet.drop_key_plan(conn, 1)
    fleet.plan_key(conn, 1, by="staff anne", now=NOW)
    fleet.revoke(conn, 1, why="lost", by="staff anne", now=NOW)
    assert fleet.restore(conn, 1, key_master=1).rekey_planned_at is None
    assert planned.may_be_rekeyed


def test_no_key_is_planned_beyond_the_last_nor_for_one_revoked_or_unknown(conn):
    add(conn, 1, HOUR, key_board="b", key_generation=3)
    add(conn, 2, HOUR, key_board="b", state="revoked")
    with pytest.raises(KeysUsedUp):
        fleet.plan_key(conn, 1, by="staff anne", now=NOW)
    with pytest.raises(WrongState, match="revoked"):
        fleet.plan_key(conn, 2, by="staff anne", now=NOW)
    with pytest.raises(WrongState, match="not in the fleet"):
        fleet.plan_key(conn, 3, by="staff anne", now=NOW)


def test_what_flashing_noted_is_known_and_the_newest_of_all(conn):
    add(conn, 1)
    add(conn, 2)
    assert fleet.newest_firmware(conn) is None
    fleet.note_board(conn, 1, firmware="0.1.0+a", heartbeat_hours=48, now=NOW)
    fleet.note_board(conn, 2, firmware="0.1.0+b", heartbeat_hours=24, now=NOW + DAY)
    button = fleet.find(conn, 1)
    assert button is not None
    assert (button.firmware, button.firmware_at, button.heartbeat_hours) == ("0.1.0+a", NOW, 48)
    assert fleet.newest_firmware(conn) == ("0.1.0+b", NOW + DAY)


def account(conn: sa.Connection, name: str, role: Role) -> Account:
    return cloud.accounts.store.add(
        conn, name=name, display_name=name.title(), role=role, password=Hash("none"), now=NOW
    )


def test_a_note_is_kept_with_author_and_time_and_removed_by_its_author_or_an_administrator(conn):
    add(conn, 1)
    anne, paul, root = (
        account(conn, "anne", Role.OPERATOR),
        account(conn, "paul", Role.OPERATOR),
        account(conn, "root", Role.ADMIN),
    )
    first = notes.write(conn, 1, " A dog.\r\n\r\nIt bites. \n", author=anne, now=NOW)
    second = notes.write(conn, 1, "Dented", author=anne, now=NOW + DAY)
    found = notes.newest(conn, 1)
    assert [(note.id, note.author, note.at, note.text) for note in found] == [
        (second, "Anne", NOW + DAY, "Dented"),
        (first, "Anne", NOW, "A dog.\n\nIt bites."),
    ]
    assert [note.id for note in notes.newest(conn, 1, before=second)] == [first]
    with pytest.raises(Forbidden):
        notes.remove(conn, 1, first, by=paul, now=NOW)
    with pytest.raises(notes.NotFound):
        notes.remove(conn, 2, first, by=root, now=NOW)
    notes.remove(conn, 1, first, by=anne, now=NOW)
    notes.remove(conn, 1, second, by=root, now=NOW)
    with pytest.raises(notes.NotFound):
        notes.remove(conn, 1, second, by=root, now=NOW)
    assert notes.newest(conn, 1) == []
    told = [(entry.actor, entry.action) for entry in cloud.audit.store.newest(conn)]
    assert told[:2] == [("staff root", "button.note.remove"), ("staff anne", "button.note.remove")]
    assert not any("dog" in str(entry.detail) for entry in cloud.audit.store.newest(conn))


def test_a_note_to_a_button_that_is_not_there_is_refused(conn):
    with pytest.raises(notes.NotFound):
        notes.write(conn, 9, "x", author=account(conn, "anne", Role.OPERATOR), now=NOW)


@given(st.text(max_size=2100))
def test_a_note_is_as_it_was_typed_or_refused(text):
    try:
        note = notes.check_note(text)
    except notes.Faulty:
        return
    assert 1 <= len(note) <= notes.MAX_NOTE
    assert note.replace("\n", "").isprintable()
    assert notes.check_note(note) == note


@pytest.mark.parametrize("text", ["", " \n ", "x" * 2001, "a\x1b[2Jb", "a\0b"])
def test_an_empty_a_long_and_a_commanding_note_are_refused(text):
    with pytest.raises(notes.Faulty):
        notes.check_note(text)
