"""A bench as its commands make it: a real service, both brokers, the air, and boards with the real firmware."""

import time
from collections.abc import Callable, Iterator

import pytest

from simulator.bench.boards import Button, State
from simulator.bench.desk import Bench, bench
from simulator.bench.journal import Row, Way
from simulator.radio.model import Impairments
from tools.bench.stand import Stand, standing

SOON_S = 60.0  # a bound on a busy machine: what is waited for takes some seconds


@pytest.fixture(scope="module")
def stand(monkeypatch_module: pytest.MonkeyPatch) -> Iterator[Stand]:
    with standing(None, seed=1, stations=3, impairments=Impairments()) as stand:
        yield stand


@pytest.fixture(scope="module")
def monkeypatch_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """The usual data folder is one where nothing runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOMINO_DATA_DIR", str(tmp_path_factory.mktemp("nothing") / "data"))
        yield patch


@pytest.fixture
def desk(stand: Stand) -> Iterator[Bench]:
    stand.air.calm()
    with bench(stand.fleet, stand.air) as desk:
        yield desk


@pytest.fixture
def button(desk: Bench) -> Button:
    """Asleep, with answers left of its day's budget."""
    return rested(desk)


def rested(desk: Bench) -> Button:
    """One more board, asleep. One that was there in an earlier test may need a new battery: budgets die with it."""
    button = desk.boards.add()
    wait(desk, lambda: button.state is State.ASLEEP)
    memory = button.memory
    if memory is None or memory.used(button.board.clock_s)[1] > 1:
        desk.boards.cut_power(button.name)
        desk.boards.restore_power(button.name)
        wait(desk, lambda: button.state is State.ASLEEP)
    return button


def wait(desk: Bench, is_so: Callable[[], bool]) -> None:
    assert desk.boards.wait_until(is_so, SOON_S), "it did not come to be"


def rows(desk: Bench, button: Button, counter: int) -> dict[Way, Row]:
    """What the journal has of one message, once the cloud has told of it."""
    found: dict[Way, Row] = {}

    def all_there() -> bool:
        found.clear()
        found.update({row.way: row for row in desk.journal.newest(200, button.name) if row.counter == counter})
        return Way.UP in found

    wait_for(all_there)
    return found


def wait_for(is_so: Callable[[], bool]) -> None:
    """For what no board's change tells of."""
    gives_up_at = time.monotonic() + SOON_S
    while not is_so():
        assert time.monotonic() < gives_up_at, "it did not come to be"
        time.sleep(0.02)
