"""The simulation of a week: its queue against the formulas, what a crash does, and that it repeats itself."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest.writer import MOST_IN_A_BATCH
from tests.benchmarks import capacity, fleets
from tests.benchmarks.capacity import DOCUMENT, FIRST, SERVICES, Load, Outage, Service

TOWN = Load(buttons=100_000)
SLOW = Service("a slow one", batch_ms=5.0, message_us=2000.0)


def served(came: np.ndarray, service: Service, down: tuple[float, float] = (math.inf, math.inf)) -> np.ndarray:
    done = np.empty_like(came)
    capacity.serve(came, 0.0, service.batch_ms / 1e3, service.message_us / 1e6, MOST_IN_A_BATCH, *down, done)
    return done


def test_a_week_has_the_presses_and_heartbeats_that_were_asked_for():
    presses, heartbeats = capacity.presses_by_minute(TOWN), capacity.heartbeats_by_minute(TOWN)
    assert presses.sum() * 60 == pytest.approx(200_000)
    assert heartbeats.sum() * 60 == pytest.approx(700_000)
    assert np.argmax(presses) < 12 * 60  # Monday, in the morning


def test_arrivals_come_in_order_at_the_rate_of_their_minute():
    by_minute = np.array([10.0, 0.0, 100.0])
    came = capacity.arrivals(by_minute, 60, np.random.default_rng(1))
    assert (np.diff(came) >= 0).all()
    in_minute, _ = np.histogram(came, bins=[3600, 3660, 3720, 3780])
    assert in_minute[1] == 0
    assert abs(in_minute - by_minute * 60).max() < 5 * math.sqrt(6000)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=200).map(sorted), st.floats(0, 50), st.floats(0, 20))
def test_every_message_is_served_after_it_came_and_in_its_turn(times: list[float], down_s: float, lasts_s: float):
    came = np.array(times)
    done = served(came, SLOW, (down_s, down_s + lasts_s))
    assert (done >= came + SLOW.seconds(1) - 1e-9).all()
    assert (np.diff(done) >= 0).all()
    assert not ((done > down_s) & (done < down_s + lasts_s)).any()


@given(st.lists(st.floats(0, 100), min_size=1, max_size=200).map(sorted))
def test_a_worker_works_no_faster_than_it_can(times: list[float]):
    done = served(np.array(times), SLOW)
    batches = np.unique(done, return_counts=True)
    for end, before, size in zip(batches[0][1:], batches[0][:-1], batches[1][1:], strict=True):
        assert end - before >= SLOW.seconds(int(size)) - 1e-9


def test_a_steady_load_waits_as_the_formula_of_the_queue_has_it():
    service, rate = Service("one", batch_ms=5.0, message_us=200.0), 3000.0
    came = capacity.arrivals(np.full(10, rate), 0, np.random.default_rng(2))
    waited = served(came, service) - came
    cycle_s = service.seconds(capacity.steady_batch(service, rate))
    assert np.mean(waited) == pytest.approx(1.5 * cycle_s, rel=0.1)
    assert np.quantile(waited, 0.99) < 2.5 * cycle_s


def test_what_comes_while_a_worker_is_gone_waits_for_it_and_for_no_longer():
    outage = Outage(lasts_s=30)
    for everybody in (False, True):
        hour, block = capacity.peak(TOWN, SERVICES[-1], 2, replace(outage, everybody=everybody))
        waited = block.done - block.came
        assert outage.lasts_s * 0.9 < hour.most_s < outage.lasts_s + 1
        late = waited > 1
        assert (block.came[late] >= outage.at_s - 1).all()
        assert (block.came[late] <= outage.at_s + outage.lasts_s + 1).all()
        assert late.sum() == pytest.approx((1.0 if everybody else 0.5) * _came_during(block.came, outage), rel=0.1)


def _came_during(came: np.ndarray, outage: Outage) -> int:
    return int(((came >= outage.at_s) & (came < outage.at_s + outage.lasts_s - 1)).sum())


def test_the_same_seed_gives_the_same_week():
    weeks = [[list(capacity.hours(block)) for block in capacity.blocks(TOWN, SERVICES[0], 2)] for _ in range(2)]
    assert weeks[0] == weeks[1]
    assert sum(hour.messages for block in weeks[0] for hour in block) == pytest.approx(900_000 * TOWN.copies, rel=0.01)


@pytest.mark.parametrize("opened", [fleets.sqlite, fleets.postgresql], ids=["SQLite", "PostgreSQL"])
def test_service_times_are_taken_of_a_real_database(opened: fleets.Opened, tmp_path):
    service = capacity.measured("here", opened, loop_us=40.0, folder=tmp_path, tried=2)
    assert service.batch_ms >= 0
    assert service.message_us > 0
    assert service.row_bytes >= 0


def test_the_document_says_what_the_service_times_give(tmp_path):
    """Its tables, for a town: those of ten million take a minute."""
    told = capacity.tables(SERVICES, TOWN)
    written = DOCUMENT.read_text().partition(FIRST)[2]
    for service in SERVICES:
        line = capacity.told(service)
        assert line in told
        assert line in written
    for theme in capacity.THEMES:
        capacity.draw(SERVICES[-1], theme, tmp_path / f"{theme}.svg", TOWN)
        assert (tmp_path / f"{theme}.svg").read_text().rstrip().endswith("</svg>")
