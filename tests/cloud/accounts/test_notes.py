"""What many requests leave behind: bounded, however many guess, and without loss while the database is away."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from cloud import database
from cloud.accounts import store
from cloud.accounts.model import Role
from cloud.accounts.notes import PER_MINUTE, Notes
from cloud.accounts.passwords import Hash
from cloud.audit.model import Entry, verify
from cloud.audit.store import chain

NOW = datetime(2026, 11, 25, 9, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = database.connect(f"sqlite:///{tmp_path / 'domino.db'}")
    database.metadata.create_all(engine)
    yield engine
    engine.dispose()


def refuse(notes: Notes, name: str = "n.arnaud", address: str = "192.0.2.7", now: datetime = NOW) -> None:
    notes.refused("session.refused", tried=name, subject=f"account {name}", address=address, now=now)


def trail(engine: sa.Engine) -> list[Entry]:
    with database.reading(engine) as conn:
        entries = list(chain(conn))
    verify(entries)
    return entries


def test_the_first_refusal_of_a_minute_is_written_at_once_and_the_others_with_their_count(engine: sa.Engine):
    notes = Notes(engine)
    for second in range(5):
        refuse(notes, now=NOW + timedelta(seconds=second))
    assert [one.detail for one in trail(engine)] == [{"count": 1, "network": "192.0.2.7"}]
    notes.write(NOW + timedelta(seconds=20))
    assert len(trail(engine)) == 1  # the minute goes on
    notes.write(NOW + MINUTE)
    first, others = trail(engine)
    assert (others.subject, others.detail["count"]) == (first.subject, 4)
    assert others.at == datetime(2026, 11, 25, 9, 1, tzinfo=UTC)


def test_names_and_addresses_are_told_apart_and_an_ipv6_network_is_one(engine: sa.Engine):
    notes = Notes(engine)
    refuse(notes)
    refuse(notes, name="other")
    refuse(notes, address="2001:db8:1:2::1")
    refuse(notes, address="2001:db8:1:2::9")
    assert [(one.subject, one.detail["network"]) for one in trail(engine)] == [
        ("account n.arnaud", "192.0.2.7"),
        ("account other", "192.0.2.7"),
        ("account n.arnaud", "2001:db8:1:2::/64"),
    ]


def test_a_flood_of_names_makes_a_few_dozen_entries_a_minute_and_none_is_uncounted(engine: sa.Engine):
    notes = Notes(engine)
    with ThreadPoolExecutor(8) as crowd:
        list(crowd.map(lambda n: refuse(notes, name=f"guess{n}", address=f"198.51.100.{n % 250}"), range(1000)))
    notes.write(NOW, is_last=True)
    entries = trail(engine)
    assert len(entries) <= 2 * PER_MINUTE + 1
    assert sum(int(str(one.detail["count"])) for one in entries) == 1000
    assert entries[-1].subject == "several names"


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 240)), max_size=60))
def test_every_refusal_is_counted_once(tmp_path_factory, refusals: list[tuple[int, int]]):
    engine = database.connect(f"sqlite:///{tmp_path_factory.mktemp('notes') / 'domino.db'}")
    database.metadata.create_all(engine)
    notes = Notes(engine)
    for name, second in sorted(refusals, key=lambda one: one[1]):
        refuse(notes, name=str(name), now=NOW + timedelta(seconds=second))
        if second % 7 == 0:
            notes.write(NOW + timedelta(seconds=second))
    notes.write(NOW + timedelta(seconds=300), is_last=True)
    told = [(one.subject, int(str(one.detail["count"]))) for one in trail(engine)]
    for name in {name for name, _ in refusals}:
        wanted = sum(1 for one, _ in refusals if one == name)
        assert sum(count for subject, count in told if subject == f"account {name}") == wanted
    engine.dispose()


def test_what_the_database_does_not_take_now_is_written_later(engine: sa.Engine):
    notes = Notes(engine)
    with engine.begin() as conn:
        account = store.add(conn, name="a", display_name="A", role=Role.ADMIN, password=Hash("-"), now=NOW)
        token, _ = store.open_session(conn, account.id, NOW)
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=10"))
    engine.dispose()
    with engine.begin():  # keeps the one writer's lock
        refuse(notes)
        notes.write(NOW + MINUTE)
    assert trail(engine) == []
    notes.write(NOW + MINUTE)
    assert [one.detail["count"] for one in trail(engine)] == [1]
    assert token


def test_a_session_and_a_token_are_noted_once_a_minute(engine: sa.Engine):
    notes = Notes(engine)
    with engine.begin() as conn:
        account = store.add(conn, name="a", display_name="A", role=Role.ADMIN, password=Hash("-"), now=NOW)
        token, _ = store.open_session(conn, account.id, NOW)
        store.create_token(conn, name="grafana", role=Role.VIEWER, now=NOW)

    def noted_at() -> tuple[datetime | None, datetime]:
        with database.reading(engine) as conn:
            [listed], [session] = store.tokens(conn, NOW), store.sessions_of(conn, account, NOW + MINUTE, token)
            return listed.last_used_at, session.seen_at

    for second, expected in ((1, 1), (30, 1), (59, 1), (61, 61)):
        at = NOW + timedelta(seconds=second)
        notes.seen(store.hash_of(token), at)
        notes.used(1, at)
        notes.write(at)
        assert noted_at() == (NOW + timedelta(seconds=expected),) * 2


def test_what_was_typed_as_a_name_stands_nowhere(engine: sa.Engine):
    notes = Notes(engine)
    typed = "my password in the wrong field"
    notes.refused("session.refused", tried=typed, subject="unknown name", address="192.0.2.7", now=NOW)
    notes.write(NOW, is_last=True)
    assert typed not in str(trail(engine))
