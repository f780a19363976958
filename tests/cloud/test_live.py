"""The bell, and the ears by which it is rung for what other processes commit."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from cloud import database
from cloud.live import Bell, Ear
from tests.cloud.ingest.test_receive import make_engine

LONG_S = 30  # only ever waited out by a test that fails


def test_a_ring_from_another_thread_wakes_everyone_who_waits():
    bell = Bell()

    async def wait_thrice() -> list[bool]:
        waiting = [asyncio.create_task(bell.wait(bell.rings, LONG_S)) for _ in range(3)]
        await asyncio.sleep(0)  # so that all three wait
        threading.Thread(target=bell.ring).start()
        return await asyncio.gather(*waiting)

    assert asyncio.run(wait_thrice()) == [True] * 3


def test_a_ring_between_the_look_and_the_wait_is_not_missed():
    bell = Bell()
    before = bell.rings
    bell.ring()
    assert asyncio.run(bell.wait(before, LONG_S))


def test_without_a_ring_the_time_runs_out():
    bell = Bell()
    bell.ring()
    assert not asyncio.run(bell.wait(bell.rings, 0.01))


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    in_file = f"sqlite:///{tmp_path / 'domino.db'}"
    engine = make_engine(in_file if request.param == "SQLite" else request.getfixturevalue("postgres_url"))
    yield engine
    engine.dispose()


@contextmanager
def hearing(engine: sa.Engine) -> Iterator[tuple[Bell, Ear]]:
    bell = Bell()
    ear = Ear(engine, bell.ring)
    thread = threading.Thread(target=ear.run)
    thread.start()
    try:
        assert ear.wait_listening(LONG_S)
        assert rung_since(bell, 0)  # something may have been missed before
        yield bell, ear
    finally:
        ear.stop()
        thread.join()


def rung_since(bell: Bell, rings: int) -> bool:
    return asyncio.run(bell.wait(rings, LONG_S))


# What another process does to the database that its command line names.
PRESS = """
import sys
from cloud import database
from tests.cloud.ingest.test_receive import press, take
engine = database.connect(sys.argv[1])
take(engine, press(1))
"""
CANCEL = """
import sys
import cloud.pickups.store as pickups
from cloud import database
with database.connect(sys.argv[1]).begin() as conn:
    pickups.cancel(conn, 1, "a test", database.now())
"""


def in_another_process(program: str, engine: sa.Engine) -> None:
    url = engine.url.render_as_string(hide_password=False)
    subprocess.run([sys.executable, "-c", program, url], check=True)


def test_what_another_process_commits_rings_here(engine: sa.Engine):
    with hearing(engine) as (bell, _):
        for program in (PRESS, CANCEL):
            rings = bell.rings
            in_another_process(program, engine)
            assert rung_since(bell, rings), program


def test_what_is_not_committed_rings_nobody(postgres_url: str):
    engine = make_engine(postgres_url)
    with hearing(engine) as (bell, _):
        rings = bell.rings
        with engine.connect() as conn:
            conn.execute(sa.text("NOTIFY domino"))
            conn.rollback()
        with engine.begin() as conn:  # heard in the order of the commits, so that nothing else was heard before
            conn.execute(sa.text("NOTIFY domino"))
        assert rung_since(bell, rings)
        assert bell.rings == rings + 1
    engine.dispose()


def test_an_ear_whose_connection_is_cut_listens_again_and_says_that_it_may_have_missed_something(postgres_url: str):
    engine = make_engine(postgres_url)
    plain = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with hearing(engine) as (bell, ear), psycopg.connect(plain, autocommit=True) as other:
        rings = bell.rings
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        assert rung_since(bell, rings)
        assert ear.wait_listening(LONG_S)
        rings = bell.rings
        other.execute("NOTIFY domino")
        assert rung_since(bell, rings)
    engine.dispose()


def test_an_ear_is_stopped_while_the_database_is_away(tmp_path: Path):
    engine = database.connect(f"postgresql+psycopg://domino@/domino?host={tmp_path}")  # where no server listens
    ear = Ear(engine, Bell().ring)
    thread = threading.Thread(target=ear.run)
    thread.start()
    assert not ear.wait_listening(0.05)
    ear.stop()
    thread.join(LONG_S)
    assert not thread.is_alive()
