"""Every benchmark in its short form: that it works, never how fast anything is."""

import json
import math

import pytest

from tests.benchmarks import report
from tests.benchmarks.__main__ import BENCHMARKS
from tests.benchmarks.measure import Benchmark, Role, measure, nearest_rank


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark.name)
def test_a_benchmark_gives_a_figure_for_every_way_beside_a_peer_or_a_limit(benchmark: Benchmark, tmp_path):
    rows = measure(benchmark, tmp_path, count=benchmark.short_count, rounds=1, warm_up=False, on_run=lambda *_: None)
    ours, *others = [row for row in rows if (row.quantile, row.unit) == (0.5, benchmark.unit)]
    assert (ours.role, ours.ratio) == (Role.OURS, 1)
    assert others
    for row in rows:
        assert all(math.isfinite(figure) and figure > 0 for figure in (row.figure, row.lowest, row.highest, row.ratio))

    told = json.loads(report.as_json(rows, report.machine(tmp_path)))
    assert [(row["way"], row["figure"]) for row in told["rows"]] == [(row.way, row.figure) for row in rows]
    assert told["machine"]["fsync_ms"] > 0
    assert report.as_table(rows, told["machine"]).row_count == len(rows)


def test_a_quantile_is_a_sample_that_was_measured():
    samples = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [nearest_rank(samples, quantile) for quantile in (0.01, 0.5, 0.99)] == [1, 3, 5]


@pytest.mark.parametrize(("value", "said"), [(12_345.6, "12,300"), (99.96, "100"), (1.234, "1.23"), (0.0456, "0.0456")])
def test_a_figure_is_told_with_three_digits(value: float, said: str):
    assert report.number(value) == said
