"""Every drill in its short form: what a witness outside saw acknowledged is there once, whatever breaks."""

from pathlib import Path

import pytest

from tools.drill.command import choose, perform
from tools.drill.drills import DRILLS
from tools.drill.scene import Drill
from tools.drill.system import missing
from tools.terminal import Failure

PRIVILEGES = ("root", "loop devices")


@pytest.mark.parametrize("drill", DRILLS.values(), ids=DRILLS)
def test_nothing_acknowledged_is_lost_or_doubled(drill: Drill, tmp_path: Path):
    chosen = choose(drill, short=True)
    if missing(need for need in drill.needs if need in PRIVILEGES):  # in most containers even root may not mount
        with pytest.raises(Failure, match=f"{drill.name} needs root"):
            perform(drill, chosen, build=tmp_path)
        return
    report = perform(drill, chosen, build=tmp_path)
    assert report.passed, report.as_json()


def test_a_broker_that_forgets_what_it_acknowledged_is_found_out(tmp_path: Path):
    """Mosquitto keeps its backlog in memory between its saves: so the witness can fail a drill."""
    drill = DRILLS["kill-broker-with-backlog"]
    report = perform(drill, choose(drill, broker="mosquitto", short=True), build=tmp_path)
    assert report.passed, report.as_json()
    assert report.forgotten_by_broker > 0
