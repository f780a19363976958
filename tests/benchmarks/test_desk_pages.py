from pathlib import Path

from tests.benchmarks import desk_pages

SOME = ("all, in the middle", "silent, by place", *desk_pages.PAGES)


def test_the_pages_are_measured_on_both_databases(tmp_path: Path):
    figures = desk_pages.run(tmp_path, buttons=400, frames=500, times=1, cases=SOME)
    told = {(figure.database, figure.case) for figure in figures}
    assert told == {(kind, case) for kind in ("SQLite", "PostgreSQL") for case in SOME}
    assert all(0 < figure.p50 <= figure.p95 and figure.times_small > 0 for figure in figures)
