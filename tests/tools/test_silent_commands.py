"""`domino button silent`, called as a script calls it."""

import json
from datetime import timedelta

import sqlalchemy as sa
from typer.testing import CliRunner

from cloud import database
from cloud.fleet.store import buttons
from tools.main import app
from tools.terminal import Failure

runner = CliRunner()


def test_the_silent_ones_are_told_with_their_reasons(tmp_path):
    options = ["--data-dir", str(tmp_path)]
    assert "no button is silent" in runner.invoke(app, ["button", "silent", *options]).output
    for id, place in (("1", "35 Rennes"), ("2", "29 Quimper")):
        runner.invoke(app, ["button", "add", id, "--place", place, *options])
    engine = database.connect(f"sqlite:///{tmp_path}/domino.db")
    with engine.begin() as conn:
        conn.execute(sa.update(buttons).values(last_seen_at=database.now() - timedelta(days=9), battery_mv=2700))
        conn.execute(sa.update(buttons).values(temperature_c=20))
    engine.dispose()

    told = runner.invoke(app, ["button", "silent", "--department", "29", *options]).output
    assert "00000002 silent" in told
    assert "likely the battery" in " ".join(told.split())
    assert "00000001" not in told
    said = json.loads(runner.invoke(app, ["button", "silent", "--json", *options]).stdout)
    assert [(one["id"], one["verdict"], one["cause"], one["missed"]) for one in said] == [
        ("00000001", "silent", "battery", 8),
        ("00000002", "silent", "battery", 8),
    ]
    refused = runner.invoke(app, ["button", "silent", "--verdict", "alive", *options])
    assert isinstance(refused.exception, Failure)
