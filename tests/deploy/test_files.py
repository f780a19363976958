"""The files in deploy/ by the tools that read them; and all that they name exists: commands, options, settings."""

import json
import re
import shlex
import subprocess
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
from typer.main import get_command

from cloud.settings import Settings
from tests.deploy.compose import DEPLOY, our_services, read_yaml, services
from tools.main import app

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
TIMERS = sorted((DEPLOY / "systemd").glob("*.timer"))
EXPOSURE_LIMIT = 2.0  # of systemd's 10
BEYOND_SETTINGS = {"DOMINO_SECRETS", "DOMINO_SETTINGS"}
OURS = "/opt/domino/.venv/bin/domino"


def settings_of(unit: Path, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit.read_text(), re.MULTILINE)


def check_command(words: list[str]) -> None:
    """Raises for a command or an option that `domino` has not; nothing is run."""
    command: Any = get_command(app)
    context = typer.Context(command, info_name="domino")
    while hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
        context = typer.Context(command, parent=context, info_name=name)
    command.make_context(command.name, words, parent=context, resilient_parsing=False)


def check_variable(name: str) -> None:
    assert name in BEYOND_SETTINGS or name.removeprefix("DOMINO_").lower() in Settings.model_fields, name


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units, with a program that is there."""
    folder = tmp_path_factory.mktemp("units")
    for unit in (*UNITS, *TIMERS):
        (folder / unit.name).write_text(unit.read_text().replace(OURS, "/bin/true"))
    return folder


def test_systemd_finds_nothing_wrong_with_the_units(installed: Path):
    units = [str(installed / unit.name) for unit in (*UNITS, *TIMERS)]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if str(installed) in line]) == (0, [])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_may_do_little(unit: Path, installed: Path):
    limit = f"--threshold={int(EXPOSURE_LIMIT * 10)}"
    command = ["systemd-analyze", "security", "--offline=yes", limit, str(installed / unit.name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_runs_what_domino_has(unit: Path):
    (line,) = settings_of(unit, "ExecStart")
    program, *words = shlex.split(line.replace("${DOMINO_WORKERS}", "2"))
    assert program == OURS
    check_command(words)
    given = [word for words in settings_of(unit, "Environment") for word in words.split()]
    for name in (word.partition("=")[0] for word in given):
        if name.startswith("DOMINO_") and name != "DOMINO_WORKERS":
            check_variable(name)
    for credential in settings_of(unit, "LoadCredential"):
        name = credential.partition(":")[0]
        if name != "master_key":
            check_variable(name.upper())


def test_the_compose_file_is_of_its_specification():
    schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())
    jsonschema.validate(read_yaml(DEPLOY / "compose.yaml"), schema)


@pytest.mark.parametrize("name", our_services())
def test_a_container_runs_what_domino_has(name: str):
    service = our_services()[name]
    check_command([str(word) for word in service["command"]])
    for variable in service["environment"]:
        check_variable(variable)


def test_containers_have_no_rights_and_no_secrets_in_their_environment():
    for name, service in services().items():
        if name not in ("postgres", "grafana"):  # their images start as they must
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
        said = json.dumps(service.get("environment", {}))
        assert not re.search(r'PASSWORD"|KEY"|://[^"@]*:[^"@]*@', said), name


def test_what_containers_mount_is_there_or_a_secret_to_be_made():
    whole = read_yaml(DEPLOY / "compose.yaml")
    sources = [volume.split(":")[0] for service in services().values() for volume in service.get("volumes", ())]
    sources += [secret["file"] for secret in whole["secrets"].values()]
    paths = {source for source in sources if source.startswith(".")}
    missing = {path for path in paths if not (DEPLOY / path).exists()}
    assert all(path.startswith("./secrets/") for path in missing)
    assert {source for source in sources if not source.startswith(".")} <= set(whole["volumes"])
    guide = (DEPLOY.parent / "docs/operating/deploy.md").read_text()
    assert not [path for path in missing if Path(path).name not in guide]


def test_the_image_is_built_of_what_is_there_and_runs_as_nobody_of_rank():
    text = (DEPLOY / "Containerfile").read_text()
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE)[-1] == "1883:1883"
    assert re.search(r"^RUN make setup\b", text, re.MULTILINE)
    assert set(re.findall(r"^([A-Z]+) ", text, re.MULTILINE)) <= {
        *("FROM", "RUN", "WORKDIR", "COPY", "USER", "ENV", "VOLUME", "EXPOSE", "ENTRYPOINT", "CMD")
    }
    ignored = (DEPLOY / "Containerfile.dockerignore").read_text().split()
    assert {"data", "deploy/secrets", ".git"} <= set(ignored)
    assert not [name for name in ("cloud", "simulator", "tools", "firmware", "constraints.txt") if name in ignored]


def promtool(*arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_its_configuration_and_rules():
    promtool("check", "config", str(DEPLOY / "prometheus/prometheus.yml"))


def test_each_alert_fires_when_it_should_and_is_silent_when_not():
    promtool("test", "rules", str(Path(__file__).with_name("alerts_test.yaml")))
    cases = {case["name"] for case in read_yaml(Path(__file__).with_name("alerts_test.yaml"))["tests"]}
    assert not {f"{alert['alert']} fires" for alert in alerts()} - cases


def alerts() -> list[dict[str, Any]]:
    groups = read_yaml(DEPLOY / "prometheus/alerts.yaml")["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_each_alert_leads_to_what_is_to_be_done():
    for alert in alerts():
        path, _, anchor = alert["annotations"]["runbook"].partition("#")
        text = (DEPLOY.parent / path).read_text()
        headings = {title.lower() for title in re.findall(r"^#+ (\w+)$", text, re.MULTILINE)}
        assert anchor in headings, alert["alert"]
        assert alert["labels"]["severity"] in ("page", "warn")


def dashboard() -> dict[str, Any]:
    return json.loads((DEPLOY / "grafana/domino.json").read_text())


def test_the_dashboard_is_whole():
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert {panel["type"] for panel in panels} == {"row", "stat", "timeseries"}
    for panel in panels:
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
            assert panel["description"], panel["title"]
            assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert is_beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"], (one, other)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


def test_prometheus_reads_each_query_of_the_dashboard(tmp_path: Path):
    queries = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]
    filled = [query.replace("$__rate_interval", "1m").replace("$instance", ".*") for query in queries]
    rules = [{"record": f"q{number}", "expr": query} for number, query in enumerate(filled)]
    file = tmp_path / "queries.json"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(file))
