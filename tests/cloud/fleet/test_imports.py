"""Imports and their undoing, as laws on both databases."""

from collections.abc import Mapping
from datetime import timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cloud.audit.store
import cloud.downlinks.store
import cloud.fleet.store as fleet
from cloud import database
from cloud.fleet import imports, sheet
from cloud.fleet.imports import Faulty, Import, ImportState, Kept, NotFound, Outdated, Written, WrongState
from cloud.fleet.store import Heard, buttons
from tests.cloud.fleet.conftest import NOW

law = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

ACTOR = "staff n.arnaud"
FILE = b"id;place;label\n1;35 Rennes;pilot\n2;69 Lyon;\n3;2A Ajaccio;pilot\n"

cells = st.tuples(st.sampled_from(["", "35 Rennes", "69 Lyon", "Étang"]), st.sampled_from(["", "pilot", "lot 7"]))
fleets = st.dictionaries(st.integers(1, 12), cells, max_size=8)


def content_of(lines: Mapping[int, tuple[str, str]]) -> bytes:
    return sheet.rows([("id", "place", "label"), *((f"{id:08X}", *cell) for id, cell in lines.items())])


def take_in(conn: sa.Connection, content: bytes = FILE, *, clean_only: bool = False) -> Written:
    started, planned = imports.check(conn, content=content, file_name="lot.csv", actor=ACTOR, now=NOW)
    return imports.write(
        conn, started.id, imports.sheet_of(conn, started.id), digest=planned.digest, clean_only=clean_only, actor=ACTOR,
        key_master=1, now=NOW,
    )  # fmt: skip


def undo(conn: sa.Connection, done: Import) -> Import:
    return imports.undo(conn, done.id, actor=ACTOR, now=NOW)


def add(conn: sa.Connection, lines: Mapping[int, tuple[str, str]]) -> None:
    for id, (place, label) in lines.items():
        fleet.add(conn, id=id, place=place or None, label=label, claim_code=str(id), now=NOW)


def everything(conn: sa.Connection) -> list[tuple]:
    return [tuple(row) for row in conn.execute(sa.select(buttons).order_by(buttons.c.id))]


def names(conn: sa.Connection) -> dict[int, tuple[str, str]]:
    return {button.id: (button.place or "", button.label) for button in fleet.newest(conn, 100)}


@law
@given(before=fleets, lines=fleets)
def test_an_import_does_what_its_plan_says_and_its_undo_leaves_nothing_of_it(engine: sa.Engine, before, lines):
    with engine.connect() as conn, conn.begin() as work:
        add(conn, before)
        was = everything(conn)
        done = take_in(conn, content_of(lines)).of
        assert names(conn) == before | lines
        assert done.added == len(lines.keys() - before.keys())
        assert done.changed == sum(before[id] != cell for id, cell in lines.items() if id in before)
        assert done.added + done.changed + done.unchanged == len(lines)
        again = imports.plan(conn, sheet.read(content_of(lines)))
        assert (list(again.changes), len(again.unchanged)) == ([], len(lines))
        undone = undo(conn, done)
        assert (undone.state, undone.kept) == (ImportState.UNDONE, 0)
        assert everything(conn) == was
        work.rollback()


@law
@given(before=fleets, first=fleets, second=fleets, newest_first=st.booleans())
def test_undoing_one_import_never_touches_what_another_made(engine: sa.Engine, before, first, second, newest_first):
    with engine.connect() as conn, conn.begin() as work:
        add(conn, before)
        was = everything(conn)
        one, other = take_in(conn, content_of(first)).of, take_in(conn, content_of(second)).of
        if newest_first:
            undo(conn, other)
            undo(conn, one)
            assert everything(conn) == was
        else:
            touched = {change.id for change, _ in imports.lines(conn, other.id)}
            undone = undo(conn, one)
            kept = {change.id: why for change, why in imports.lines(conn, one.id, kept=True)}
            assert kept == {
                change.id: Kept.CHANGED for change, _ in imports.lines(conn, one.id) if change.id in touched
            }
            assert undone.kept == len(kept)
            assert {id: cell for id, cell in names(conn).items() if id in touched} == {id: second[id] for id in touched}
        work.rollback()


@pytest.fixture
def conn(engine: sa.Engine):
    with engine.begin() as conn:
        yield conn


def test_a_new_button_that_was_used_is_kept_and_told(conn: sa.Connection):
    lines = dict.fromkeys(range(1, 8), ("35 Rennes", "lot"))
    written = take_in(conn, content_of(lines))
    drawn = {change.id: code for change, code in imports.codes(conn, written.of.id, written.secret, NOW)}
    fleet.note(conn, [Heard(1, 0, 5, 3000, 7, 1, 0)], NOW)
    fleet.claim(conn, claim_code=drawn[2], owner_id=1, now=NOW)
    button = fleet.find(conn, 3)
    assert button is not None
    fleet.issue_key(conn, button, board="aabbcc", ticket="t")
    fleet.revoke(conn, 4, why="lost", by=ACTOR, now=NOW)
    cloud.downlinks.store.configure(conn, 5, 48, reason="quiet", by=ACTOR, now=NOW)
    conn.execute(sa.update(buttons).where(buttons.c.id == 6).values(label="other"))

    undone = undo(conn, written.of)

    kept = {change.id: why for change, why in imports.lines(conn, undone.id, kept=True)}
    assert kept == {
        1: Kept.HEARD, 2: Kept.CLAIMED, 3: Kept.KEYED, 4: Kept.REVOKED, 5: Kept.USED, 6: Kept.CHANGED,
    }  # fmt: skip
    assert (undone.kept, set(names(conn))) == (6, {1, 2, 3, 4, 5, 6})


def test_a_changed_button_gets_its_place_back_though_it_was_heard(conn: sa.Connection):
    add(conn, {1: ("35 Rennes", "old")})
    done = take_in(conn, b"id,place\n1,69 Lyon\n").of
    fleet.note(conn, [Heard(1, 0, 5, 3000, 7, 1, 0)], NOW)
    moved = fleet.find(conn, 1)
    assert moved is not None
    assert (moved.place, moved.department, moved.label) == ("69 Lyon", "69", "old")
    assert undo(conn, done).kept == 0
    back = fleet.find(conn, 1)
    assert back is not None
    assert (back.place, back.department, back.battery_mv) == ("35 Rennes", "35", 3000)


def test_a_button_that_left_the_fleet_meanwhile_is_told(conn: sa.Connection):
    done = take_in(conn).of
    conn.execute(sa.delete(buttons).where(buttons.c.id == 2))
    assert undo(conn, done).kept == 1
    assert [(change.id, why) for change, why in imports.lines(conn, done.id, kept=True)] == [(2, Kept.GONE)]


def test_an_import_is_undone_once(conn: sa.Connection):
    done = take_in(conn).of
    undo(conn, done)
    with pytest.raises(WrongState, match="undone"):
        undo(conn, done)


def test_an_import_is_written_once(conn: sa.Connection):
    started, planned = imports.check(conn, content=FILE, file_name="lot.csv", actor=ACTOR, now=NOW)
    looked_at = imports.sheet_of(conn, started.id)
    said = {"digest": planned.digest, "clean_only": False, "actor": ACTOR, "key_master": 1, "now": NOW}
    imports.write(conn, started.id, looked_at, **said)
    with pytest.raises(WrongState, match="imported already"):
        imports.write(conn, started.id, looked_at, **said)
    with pytest.raises(WrongState, match="not kept"):
        imports.sheet_of(conn, started.id)


def test_nothing_is_written_that_was_not_shown(engine: sa.Engine):
    with engine.begin() as conn:
        started, planned = imports.check(conn, content=FILE, file_name="lot.csv", actor=ACTOR, now=NOW)
        looked_at = imports.sheet_of(conn, started.id)
        add(conn, {2: ("33 Bordeaux", "")})
    said = {"clean_only": False, "actor": ACTOR, "key_master": 1, "now": NOW}
    with pytest.raises(Outdated), engine.begin() as conn:
        imports.write(conn, started.id, looked_at, digest=planned.digest, **said)
    with engine.begin() as conn:
        assert set(names(conn)) == {2}
        anew = imports.plan(conn, looked_at)
        imports.write(conn, started.id, looked_at, digest=anew.digest, **said)
        assert names(conn)[2] == ("69 Lyon", "")


def test_lines_with_faults_are_left_out_only_when_asked(engine: sa.Engine):
    content = FILE + b"zz;35 Rennes;\n4;99 Nowhere;\n5;35000 Rennes;\n6;20 Bastia;\n"
    with pytest.raises(Faulty, match="4 lines"), engine.begin() as conn:
        take_in(conn, content)
    with engine.begin() as conn:
        assert names(conn) == {}
        done = take_in(conn, content, clean_only=True).of
        assert (done.added, done.faulty, set(names(conn))) == (3, 4, {1, 2, 3})


def test_a_place_of_a_department_that_is_none_is_a_fault_unless_it_stands_there_already(conn: sa.Connection):
    add(conn, {1: ("99 Nowhere", "")})
    planned = imports.plan(conn, sheet.read(b"id,place,label\n1,99 Nowhere,new\n2,99 Nowhere,\n3,20000 Ajaccio,\n"))
    assert [(change.id, change.label) for change in planned.changes] == [(1, "new")]
    assert [str(fault.why) for fault in planned.faults] == [
        "There is no department 99: a place begins with one, as in 35 Rennes.",
        "A place begins with its department, not a postcode: 2A …",
    ]


def test_what_goes_out_of_a_fleet_comes_in_as_nothing_to_do(conn: sa.Connection):
    add(conn, {n: (place, label) for n, (place, label) in enumerate([("=1+1", "'x"), ("99 X", ""), ("", "-")])})
    content = b"".join(sheet.write([fleet.newest(conn, 10)], ";"))
    planned = imports.plan(conn, sheet.read(content))
    assert (list(planned.changes), list(planned.faults), len(planned.unchanged)) == ([], [], 3)


def test_claim_codes_are_handed_out_once_claim_their_buttons_and_are_kept_nowhere(engine: sa.Engine):
    with engine.begin() as conn:
        written = take_in(conn)
    with pytest.raises(WrongState), engine.begin() as conn:
        imports.codes(conn, written.of.id, bytes(32), NOW)
    with engine.begin() as conn:
        drawn = imports.codes(conn, written.of.id, written.secret, NOW)
        assert [change.id for change, _ in drawn] == [1, 2, 3]
        assert len({code for _, code in drawn}) == 3
        for table in (buttons, imports.fleet_imports, imports.fleet_import_lines, cloud.audit.store.audit):
            kept = repr(conn.execute(sa.select(table)).all())
            assert written.secret.hex() not in kept
            assert repr(written.secret) not in kept
            assert not any(code in kept for _, code in drawn)
        claimed = fleet.claim(conn, claim_code=drawn[1][1], owner_id=1, now=NOW)
        assert claimed is not None
        assert claimed.id == 2
    with pytest.raises(WrongState, match="already"), engine.begin() as conn:
        imports.codes(conn, written.of.id, written.secret, NOW)
    assert "secret" not in repr(written)


def test_a_file_waits_an_hour_and_one_at_a_time(conn: sa.Connection):
    first, _ = imports.check(conn, content=FILE, file_name="a.csv", actor=ACTOR, now=NOW)
    other, _ = imports.check(conn, content=FILE, file_name="b.csv", actor="staff other", now=NOW)
    second, _ = imports.check(conn, content=FILE, file_name="c\n.csv", actor=ACTOR, now=NOW)
    assert second.file_name == "c.csv"
    with pytest.raises(NotFound):
        imports.find(conn, first.id, NOW)
    assert imports.find(conn, other.id, NOW + timedelta(minutes=59)).state is ImportState.CHECKED
    with pytest.raises(NotFound, match="more than an hour"):
        imports.find(conn, other.id, NOW + timedelta(hours=1))
    imports.drop(conn, second.id)
    with pytest.raises(NotFound):
        imports.find(conn, second.id, NOW)
    assert imports.newest(conn, 10) == []


def test_who_imported_and_undid_stands_in_the_audit_trail(conn: sa.Connection):
    written = take_in(conn)
    undo(conn, written.of)
    undone, done = cloud.audit.store.newest(conn)
    assert (done.actor, done.action, done.subject) == (ACTOR, "fleet.import", f"import {written.of.id}")
    assert done.detail == {"file": "lot.csv", "added": 3, "changed": 0, "unchanged": 0, "faulty": 0}
    assert (undone.action, undone.detail) == ("fleet.undo", {"taken_back": 3, "kept": 0})


def test_progress_is_told_to_the_end(conn: sa.Connection):
    many = dict.fromkeys(range(2 * imports.BATCH + 1), ("35 Rennes", ""))
    started, planned = imports.check(conn, content=content_of(many), file_name="a", actor=ACTOR, now=NOW)
    told = []
    done = imports.write(
        conn, started.id, imports.sheet_of(conn, started.id), digest=planned.digest, clean_only=False, actor=ACTOR,
        key_master=3, now=NOW, on_done=lambda *at: told.append(at),
    )  # fmt: skip
    assert told == [(2000, 4001), (4000, 4001), (4001, 4001)]
    assert {row.key_master for row in conn.execute(sa.select(buttons))} == {3}
    imports.undo(conn, done.of.id, actor=ACTOR, now=NOW, on_done=lambda *at: told.append(at))
    assert told[3:] == told[:3]
    assert everything(conn) == []


def test_more_changes_than_others_could_wait_for_are_refused():
    engine = database.connect("sqlite://")
    database.metadata.create_all(engine)
    many = b"id\n" + b"".join(b"%x\n" % n for n in range(imports.MOST + 1))
    with pytest.raises(Faulty, match="at most 50000"), engine.begin() as conn:
        take_in(conn, many)
