"""The console leads to the simulator's bench where one is, and nowhere else."""

import pydantic
import pytest

from cloud.settings import load
from tests.cloud.console.service import running_service


def test_the_bar_has_a_way_to_the_bench_only_where_one_is_set(tmp_path) -> None:
    with running_service(tmp_path) as service:
        browser = service.browser()
        assert ">Bench<" not in browser.get("/").text
        service.app.state.bench_url = "http://127.0.0.1:8740"
        assert '<a href="http://127.0.0.1:8740">Bench</a>' in browser.get("/").text


@pytest.mark.parametrize("url", ["https://bench.example", "http://10.0.0.7:8740", "http://127.0.0.1.example:8740"])
def test_a_bench_is_on_this_machine_or_refused(url: str) -> None:
    assert load(bench_url="http://127.0.0.1:8740").bench_url == "http://127.0.0.1:8740"
    with pytest.raises(pydantic.ValidationError):
        load(bench_url=url)
