from pathlib import Path

from tests.benchmarks import fleet_list

SOME = ("all, in the middle", "lowest battery first", "silent, by place")


def test_the_list_is_measured_on_both_databases(tmp_path: Path):
    some = {case: fleet_list.CASES[case] for case in SOME}
    figures = fleet_list.run(tmp_path, buttons=400, frames=500, times=1, cases=some)
    told = {(figure.database, figure.case) for figure in figures}
    assert told == {(kind, case) for kind in ("SQLite", "PostgreSQL") for case in SOME}
    assert all(0 < figure.p50 <= figure.p95 and figure.times_small > 0 for figure in figures)
