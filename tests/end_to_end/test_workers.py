"""`domino ingest` beside `domino web`, as their users run them, on a real broker and both databases."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

import cloud.accounts.store as accounts
import cloud.fleet.store as fleet
from cloud import database
from cloud.accounts import guard, passwords
from cloud.accounts.model import Role
from cloud.frames.model import Result
from cloud.frames.store import frames
from cloud.ingest.keys import make_keys
from cloud.pickups.store import pickups
from cloud.stamps.store import stamps
from tests.cloud.console.streaming import Client, until
from tests.cloud.web.site import PASSWORD, csrf_of
from tests.end_to_end.service import DOMINO, domino
from tests.mqtt import Publisher, publish
from tests.sealing import callback, seal
from tools.children import Broker, started
from tools.workers import NOTE, read_note

FIRST_ID = 0x02000000
PRESSES = 600
WAIT_S = 90


@dataclass(frozen=True)
class Site:
    """A folder, a database with PRESSES buttons, and a broker."""

    folder: Path
    url: str
    broker: Broker

    @property
    def engine(self) -> sa.Engine:
        return database.connect(self.url)

    def options(self, *more: str) -> list[str]:
        return ["--data-dir", str(self.folder), "--database-url", self.url, *more]

    @contextmanager
    def ingest(self, workers: int, *more: str) -> Iterator[dict[str, Any]]:
        """Running workers, all ready, and what they said of themselves."""
        options = self.options("--broker-url", self.broker.url, "--ingest-port", "0", "--workers", str(workers), *more)
        yield from self._started("ingest", options)

    @contextmanager
    def web(self) -> Iterator[dict[str, Any]]:
        yield from self._started("web", self.options("--http-port", "0"))

    def beside(self) -> "Site":
        """The same database and keys on another machine, as far as a folder can be one."""
        folder = self.folder.with_name("beside")
        folder.mkdir(mode=0o700)
        shutil.copy(self.folder / "master.key", folder)
        return replace(self, folder=folder)

    def _started(self, command: str, options: list[str]) -> Iterator[dict[str, Any]]:
        log_file = self.folder / f"{command}.log"
        before = log_file.stat().st_size if log_file.exists() else 0
        line = [*DOMINO, command, "--json", *options]
        with started(command, line, log_file, lambda log: '{"pid"' in log):
            said = log_file.read_bytes()[before:].decode()
            yield json.loads(next(one for one in said.splitlines() if one.startswith('{"pid"')))

    def presses(self, count: int = PRESSES, first: int = 0, counter: int = 1) -> list[tuple[str, bytes]]:
        keys = make_keys(self.folder / "master.key")
        return [
            (
                f"sigfox/{device:08X}/up",
                callback(device, seal(device=device, key=keys.device_key(device, 0), counter=counter), seq=counter),
            )
            for device in range(FIRST_ID + first, FIRST_ID + first + count)
        ]

    def ordered(self) -> list[int]:
        """The buttons of all orders."""
        with database.reading(self.engine) as conn:
            return sorted(conn.scalars(sa.select(pickups.c.button_id)))

    def results(self) -> list[Result]:
        with database.reading(self.engine) as conn:
            return [Result(one) for one in conn.scalars(sa.select(frames.c.result))]


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def site(request: pytest.FixtureRequest, tmp_path: Path, mosquitto: Broker) -> Site:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    if request.param == "SQLite":
        url = f"sqlite:///{folder / 'domino.db'}"
    else:
        url = request.getfixturevalue("postgres_empty_url")
    database.migrate(url)
    site = Site(folder, url, mosquitto)
    with site.engine.begin() as conn:
        for device in range(FIRST_ID, FIRST_ID + PRESSES):
            fleet.add(conn, id=device, place=None, claim_code=f"code {device}", now=database.now())
    return site


def wait_until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


def buttons(count: int = PRESSES) -> list[int]:
    return list(range(FIRST_ID, FIRST_ID + count))


def test_two_workers_share_the_presses_and_one_that_is_killed_loses_and_doubles_none(site: Site):
    with site.web() as web, site.ingest(2) as running, Publisher(site.broker.port) as publisher:
        victim = running["workers"][0]
        presses = site.presses()
        publisher.send(presses[: PRESSES // 2])
        wait_until(lambda: len(site.ordered()) > PRESSES // 10)
        os.kill(victim["pid"], signal.SIGKILL)
        publisher.send(presses[PRESSES // 2 :])
        publisher.wait()
        wait_until(lambda: len(set(site.ordered())) == PRESSES)

        wait_until(lambda: httpx2.get(running["http_url"] + "/health").status_code == 200)
        health = httpx2.get(running["http_url"] + "/health").json()
        metrics = httpx2.get(running["http_url"] + "/metrics").text
        wait_until(lambda: stamped(site) == PRESSES)
        assert httpx2.get(web["http_url"] + "/health").status_code == 200

    assert site.ordered() == buttons(), "a press was doubled"
    assert site.results().count(Result.ACCEPTED) == PRESSES
    assert [(w["worker"], w["starts"]) for w in health["workers"]] == [(1, 2), (2, 1)]
    assert health["parts"] == {"worker 1": "up", "worker 2": "up"}
    assert 'domino_frames_total{result="accepted",worker="2"}' in metrics
    assert 'domino_worker_starts_total{worker="1"} 2.0' in metrics


def test_any_of_several_web_processes_serves_a_stream_a_form_and_a_session_that_another_began(site: Site):
    with site.engine.begin() as conn:
        kept = passwords.digest(PASSWORD)
        accounts.add(conn, name="anne", display_name="Anne", role=Role.ADMIN, password=kept, now=database.now())
    with site.ingest(1), Publisher(site.broker.port) as publisher, site.web() as one, site.beside().web() as two:
        with httpx2.Client() as browser:
            browser.post(f"{one['http_url']}/sign-in", data={"name": "anne", "password": PASSWORD})
            cookie = browser.cookies[guard.COOKIE]
            page = browser.get(f"{one['http_url']}/buttons/{FIRST_ID:08X}").text
            form = {"text": "seen on the round", "csrf": csrf_of(page)}
            noted = browser.post(f"{two['http_url']}/buttons/{FIRST_ID:08X}/notes", data=form)
            assert noted.status_code == 303
            assert "seen on the round" in browser.get(f"{one['http_url']}{noted.headers['location']}").text

        seen: list[int] = []
        # Each time the connection is cut and leads elsewhere, at the last when all has come.
        for at, (web, up_to) in enumerate([(one, 5), (two, 15), (one, 25), (two, 40)]):
            publisher.send(site.presses(10, first=10 * at))
            with Client(web["http_url"], cookie).open(after=0, last_event_id=len(seen)) as events:
                told = until(events, up_to)
            seen += [id for news in told for id, *_ in news.rows]
            assert told[-1].id == len(seen)
    assert seen == list(range(1, 41))


def stamped(site: Site) -> int:
    with database.reading(site.engine) as conn:
        return conn.scalar(sa.select(sa.func.count()).where(stamps.c.pickup_id.is_not(None))) or 0


def test_what_the_broker_holds_for_workers_that_are_no_more_wanted_is_taken_and_their_sessions_end(site: Site):
    with site.ingest(3):
        pass
    publish(site.broker.port, site.presses(60))  # a share of it waits in each of the three sessions
    assert site.ordered() == []
    with site.ingest(1):
        wait_until(lambda: len(site.ordered()) == 60)
        wait_until(lambda: len(read_note(site.folder / NOTE)) == 1)
    publish(site.broker.port, site.presses(60, first=60))
    with site.ingest(1):
        wait_until(lambda: len(site.ordered()) == 120)  # none of it went to a session that is no more
    assert site.results() == [Result.ACCEPTED] * 120


def test_a_machine_that_is_taken_out_leaves_nothing_at_the_broker(site: Site):
    with site.ingest(2):
        pass
    publish(site.broker.port, site.presses(40))
    options = site.options("--broker-url", site.broker.url, "--ingest-port", "0")
    done = domino("ingest", "--json", "--retire", *options)
    assert json.loads(done.stdout) == {"retired": 2}
    assert site.ordered() == buttons(40)
    assert read_note(site.folder / NOTE) == []
    publish(site.broker.port, site.presses(40, first=40))  # nobody is subscribed, so nobody gets these
    domino("ingest", "--json", "--retire", "--workers", "2", *options)
    assert site.ordered() == buttons(40)
