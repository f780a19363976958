"""The API's short form: a few hundred requests, the same at every run; `make fuzz` asks thousands."""

from pathlib import Path

from tests.fuzz.api import ask, service

REQUESTS = 10  # an operation


def test_whatever_the_api_is_asked_it_answers_without_a_server_error(tmp_path: Path):
    with service(tmp_path / "data") as (url, tokens):
        asked = ask(url, tokens, REQUESTS)
    assert asked.errors == []
    assert {200, 401, 403, 404, 422} <= set(asked.statuses)
