import json
import os
from dataclasses import asdict

import pytest

from tools.running import FILE, Running, find_running, noted
from tools.terminal import Failure

HERE = Running(os.getpid(), "http://127.0.0.1:8710", 1883)


def test_a_service_is_found_as_long_as_it_runs(tmp_path):
    with noted(tmp_path, HERE):
        assert find_running(tmp_path) == HERE
    with pytest.raises(Failure, match="no service runs"):
        find_running(tmp_path)


@pytest.mark.parametrize(
    "left",
    [json.dumps(asdict(HERE)), "", "null", "[]", '{"pid": 1e99}'],
    ids=["the note of a process that lives", "nothing", "null", "a list", "an impossible number"],
)
def test_what_a_killed_service_left_is_no_service_though_its_process_id_lives_again(tmp_path, left):
    (tmp_path / FILE).write_text(left)
    with pytest.raises(Failure, match="no service runs"):
        find_running(tmp_path)
    with noted(tmp_path, HERE):
        assert find_running(tmp_path) == HERE
