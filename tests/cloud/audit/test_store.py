"""The chain of who did what, on both databases."""

import doctest
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import prometheus_client
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from cloud import database
from cloud.audit import model, store
from cloud.audit.model import BEFORE_ALL, MAX_TEXT, Broken, Entry, digest, of_json, parse_noted, plain, to_json, verify
from cloud.audit.watch import WHOLE, Watch

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path):
    url = (
        f"sqlite:///{tmp_path / 'domino.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_empty_url")
    )
    database.migrate(url)
    engine = database.connect(url)
    yield engine
    engine.dispose()


def deeds(engine: sa.Engine, count: int) -> None:
    for number in range(count):
        with engine.begin() as conn:
            subject = f"button 0012AB{number:02X}"
            store.record(conn, actor="staff é", action="button.revoke", subject=subject, now=NOW, why="“lost”")


def test_a_chain_holds_and_tells_its_end(engine: sa.Engine):
    deeds(engine, 3)
    with database.reading(engine) as conn:
        last, digest = verify(store.chain(conn))
        assert last == 3
        assert digest == store.newest(conn, limit=1)[0].digest
        assert [one.id for one in store.newest(conn, before=3)] == [2, 1]


def test_the_database_lets_nothing_be_changed_or_removed(engine: sa.Engine):
    deeds(engine, 1)
    for statement in (sa.update(store.audit).values(actor="nobody"), sa.delete(store.audit)):
        with pytest.raises(IntegrityError, match="append-only"), engine.begin() as conn:
            conn.execute(statement)


def test_a_deed_that_is_undone_leaves_no_entry(engine: sa.Engine):
    with engine.connect() as conn, conn.begin() as deed:
        store.record(conn, actor="a", action="b", subject="c", now=NOW)
        deed.rollback()
    deeds(engine, 1)
    with database.reading(engine) as conn:
        assert verify(store.chain(conn))[0] == 1


# What somebody does who gets around the database's own guards, and where the chain then breaks.
CHANGES = {
    "UPDATE audit SET actor = 'nobody' WHERE id = 2": 2,
    "UPDATE audit SET action = 'button.add' WHERE id = 2": 2,
    "UPDATE audit SET at = at + 1 WHERE id = 3": 3,
    "UPDATE audit SET detail = '{}' WHERE id = 2": 2,
    "UPDATE audit SET digest = (SELECT digest FROM audit WHERE id = 1) WHERE id = 4": 4,
    "UPDATE audit SET subject = (SELECT subject FROM audit WHERE id = 3) WHERE id = 2": 2,
    "DELETE FROM audit WHERE id = 1": 1,
    "DELETE FROM audit WHERE id = 2": 2,
    "DELETE FROM audit WHERE id IN (2, 3)": 2,
}


def unguarded(engine: sa.Engine, *statements: str) -> None:
    with engine.begin() as conn:
        if engine.dialect.name == "sqlite":
            for trigger in ("audit_never_changes", "audit_never_shrinks"):
                conn.exec_driver_sql(f"DROP TRIGGER IF EXISTS {trigger}")
        else:
            conn.exec_driver_sql("ALTER TABLE audit DISABLE TRIGGER audit_is_kept")
        for statement in statements:
            conn.exec_driver_sql(statement)


@pytest.mark.parametrize(("change", "at"), CHANGES.items())
def test_a_change_behind_the_databases_back_is_found_where_it_is(tmp_path, change: str, at: int):
    engine = database.connect(f"sqlite:///{tmp_path / 'domino.db'}")
    database.metadata.create_all(engine, tables=[store.audit])
    deeds(engine, 4)
    unguarded(engine, change)
    with database.reading(engine) as conn, pytest.raises(Broken) as broken:
        verify(store.chain(conn))
    assert broken.value.id == at


def test_an_end_that_was_cut_off_and_a_chain_made_anew_show_beside_what_was_noted_alone(engine: sa.Engine):
    deeds(engine, 4)
    with database.reading(engine) as conn:
        noted = dict([store.end(conn)])
        whole = list(store.chain(conn))
        assert verify(store.chain(conn), expected=noted)[0] == 4

    unguarded(engine, "DELETE FROM audit WHERE id > 2")
    with database.reading(engine) as conn:
        assert verify(store.chain(conn))[0] == 2  # which holds, in itself
        with pytest.raises(Broken, match="missing; the trail ends at 2, and entry 4 was noted"):
            verify(store.chain(conn), expected=noted)

    with engine.begin() as conn:  # as somebody does who knows how the chain is made
        for one in whole[2:]:
            about = {"action": one.action, "subject": one.subject, "now": one.at}
            store.record(conn, actor="staff another", **about)
    with database.reading(engine) as conn:
        assert verify(store.chain(conn))[0] == 4
        with pytest.raises(Broken, match="another than was noted"):
            verify(store.chain(conn), expected=noted)


def test_who_record_at_once_make_one_chain_without_a_gap(engine: sa.Engine):
    with ThreadPoolExecutor(8) as crowd:
        list(crowd.map(lambda _: deeds(engine, 10), range(8)))
    with database.reading(engine) as conn:
        assert verify(store.chain(conn))[0] == 80


def test_a_moment_and_a_detail_are_digested_as_they_will_be_read_again(engine: sa.Engine):
    odd = NOW.replace(microsecond=999_999)
    detail = {"ids": (1, 2), "text": "a\0b\ud800", "long": "x" * 1000, "none": None, "map": {1: True}}
    with engine.begin() as conn:
        store.record(conn, actor="staff é\n", action="a.b", subject="c" * 500, now=odd, **detail)
    with database.reading(engine) as conn:
        [entry] = store.newest(conn)
        assert verify([entry])[0] == 1
    assert entry.actor == "staff é\ufffd"
    assert len(entry.subject) == len(str(entry.detail["long"])) == MAX_TEXT
    assert (entry.detail["ids"], entry.detail["map"]) == ([1, 2], {"1": True})


def test_what_json_cannot_say_the_same_everywhere_is_no_detail():
    with pytest.raises(TypeError):
        plain({"share": 0.1})


def test_entries_are_found_by_who_what_when_page_by_page(engine: sa.Engine):
    with engine.begin() as conn:
        for number in range(6):
            actor = "staff n.arnaud" if number % 2 else "token n.arnaud"
            at, action = NOW + timedelta(hours=number), "pickup.cancel" if number < 4 else "button.revoke"
            store.record(conn, actor=actor, action=action, subject=f"order {number % 3}", now=at)
    with database.reading(engine) as conn:

        def ids(**wanted: object) -> list[int]:
            return [one.id for one in store.newest(conn, **wanted)]  # pyright: ignore[reportArgumentType]

        assert ids(actor="n.arnaud") == [6, 5, 4, 3, 2, 1]
        assert ids(actor="staff n.arnaud") == [6, 4, 2]
        assert ids(actor="n.arnaud", action="button.revoke") == [6, 5]
        assert ids(subject="1") == ids(subject="order 1") == [5, 2]
        assert ids(since=NOW + timedelta(hours=2), until=NOW + timedelta(hours=4)) == [4, 3]
        assert ids(limit=2, before=4) == [3, 2]
        assert ids(actor="nobody") == ids(subject="x\0") == []


def _uses_an_index(engine: sa.Engine, statement: sa.Select[tuple[int]]) -> str:
    text = str(statement.compile(engine, compile_kwargs={"literal_binds": True}))
    with engine.begin() as conn:
        return " ".join(str(row[-1]) for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))


@pytest.mark.parametrize("column", ["actor", "action", "subject"])
def test_each_filter_walks_an_index_in_its_order(tmp_path, column: str):
    engine = database.connect(f"sqlite:///{tmp_path / 'domino.db'}")
    database.metadata.create_all(engine, tables=[store.audit])
    wanted = store.audit.c[column].in_(["staff n.arnaud"])
    plan = _uses_an_index(engine, sa.select(store.audit.c.id).where(wanted).order_by(store.audit.c.id.desc()).limit(50))
    assert f"ix_audit_{column}_id" in plan


texts = st.text(max_size=300)
details = st.dictionaries(
    texts, st.recursive(st.none() | st.booleans() | st.integers() | texts, st.lists, max_leaves=5)
)


@given(texts, texts, texts, details, st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001
def test_a_line_of_an_export_is_the_same_entry_again(actor: str, action: str, subject: str, detail, at: datetime):
    at = at.replace(tzinfo=UTC, microsecond=at.microsecond // 1000 * 1000)
    said = plain(actor), plain(action), plain(subject), plain(detail)
    entry = Entry(1, at, *said, digest(BEFORE_ALL, 1, at, *said))
    again = of_json(to_json(entry))
    assert again == entry
    assert verify([again]) == (1, entry.digest)
    assert parse_noted(f"1:{entry.digest.hex()}") == (1, entry.digest)


@pytest.mark.parametrize("line", ["", "{}", "[]", "null", '{"id": 1}', "x"])
def test_a_line_that_is_no_entry_is_told(line: str):
    with pytest.raises(ValueError, match=r"entry|digest|hex|Expecting"):
        of_json(line)


@pytest.mark.parametrize("text", ["", "1", "1:", "0:" + "00" * 32, "x:" + "00" * 32, "1:00", "1:" + "00" * 33, "1:zz"])
def test_what_is_no_noted_digest_is_told(text: str):
    with pytest.raises(ValueError, match=r"entry|digest|hex|Expecting"):
        parse_noted(text)


# The watch


@pytest.fixture
def registry() -> prometheus_client.CollectorRegistry:
    return prometheus_client.CollectorRegistry()


@pytest.fixture
def watch(engine: sa.Engine, registry: prometheus_client.CollectorRegistry) -> Watch:
    return Watch(engine, registry=registry)


def test_the_watch_goes_on_from_where_it_was(engine: sa.Engine, watch: Watch, registry):
    watch.look(NOW)
    assert watch.facts() == {"verified": 0, "at": "2026-11-25T09:00:00+00:00"}
    deeds(engine, 1500)
    watch.look(NOW + timedelta(minutes=1))
    deeds(engine, 3)
    watch.look(NOW + timedelta(minutes=2))
    assert watch.seen is not None
    assert (watch.seen.last, watch.seen.broken) == (1503, None)
    assert registry.get_sample_value("domino_audit_verified_id") == 1503
    assert registry.get_sample_value("domino_audit_broken") == 0


@pytest.mark.parametrize(
    ("change", "later", "at"),
    [
        ("UPDATE audit SET actor = 'nobody' WHERE id = 5", timedelta(minutes=1), 5),  # after what was seen
        ("DELETE FROM audit WHERE id = 3", timedelta(minutes=1), 3),  # the very last that was seen
        ("UPDATE audit SET actor = 'nobody' WHERE id = 1", WHOLE, 1),  # long before: once a day
        ("DELETE FROM audit WHERE id > 2", timedelta(minutes=1), 3),
    ],
)
def test_the_watch_finds_what_was_changed_and_says_so(
    engine: sa.Engine, watch: Watch, registry, change: str, later: timedelta, at: int
):
    deeds(engine, 3)
    watch.look(NOW)
    deeds(engine, 3)
    unguarded(engine, change)
    watch.look(NOW + later)
    assert watch.seen is not None
    assert watch.seen.broken == watch.facts()["broken"] == at
    assert watch.seen.last == 3
    assert registry.get_sample_value("domino_audit_broken") == 1
    deeds(engine, 1)  # what is done is recorded all the same
    watch.look(NOW + later + timedelta(minutes=1))
    assert watch.seen.broken == at


def test_the_examples_are_true():
    assert doctest.testmod(model).failed == 0
