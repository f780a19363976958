"""`domino stations`, called as a script calls it."""

import json
from pathlib import Path

from typer.testing import CliRunner

from tools.main import app
from tools.terminal import Failure

runner = CliRunner()


def test_stations_are_named_from_a_file_all_or_none(tmp_path: Path):
    at, file = ["--data-dir", str(tmp_path), "--json"], tmp_path / "stations.csv"
    file.write_text("id;name;department\n1F08;Rennes Sud;35\n2C7F;2A Ajaccio;\n")
    done = runner.invoke(app, ["stations", "import", str(file), *at])
    assert json.loads(done.stdout) == {"named": 2}, done.output
    file.write_text("id;name\n1F08;Renamed\n<>;Broken\n")
    refused = runner.invoke(app, ["stations", "import", str(file), *at]).exception
    assert isinstance(refused, Failure)
    assert "line 3" in str(refused)
    assert json.loads(runner.invoke(app, ["stations", "list", *at]).stdout) == [
        {"id": "1F08", "name": "Rennes Sud", "department": "35"},
        {"id": "2C7F", "name": "2A Ajaccio", "department": "2A"},
    ]
    trail = [json.loads(line) for line in runner.invoke(app, ["audit", "list", *at]).stdout.splitlines()]
    assert "station.import" in str(trail)
