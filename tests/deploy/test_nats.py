"""deploy/nats: what nats-server itself says of its configuration, and the compose file against its specification."""

import json
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

NATS = Path(__file__).parents[2] / "deploy" / "nats"
SERVER = Path(sys.executable).parent / "nats-server"
COMPOSE = YAML(typ="safe").load(NATS / "compose.yaml")
PASSWORDS = {f"NATS_{user}_PASSWORD": "12e345" for user in ("INGEST", "PUBLISHER", "NETWORK", "ADMIN", "ROUTE")}


def environment(service: str, tmp_path: Path) -> dict[str, str]:
    """What compose gives to `service`, with passwords that look like numbers."""
    given: dict[str, str] = COMPOSE["services"][service]["environment"]
    filled = {
        name: re.sub(r"\$\{(\w+):\?\}", lambda found: PASSWORDS[found[1]], value) for name, value in given.items()
    }
    return filled | {"NATS_STORE": str(tmp_path)}


def check(configuration: str, given: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [str(SERVER), "-t", "-c", str(NATS / configuration)]
    return subprocess.run(command, env=given, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("configuration", ["server.conf", "node.conf"])
@pytest.mark.parametrize("service", ["nats-1", "nats-2", "nats-3"])
def test_nats_server_takes_its_configuration_with_what_compose_gives_it(configuration, service, tmp_path):
    checked = check(configuration, environment(service, tmp_path))
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("name", sorted(PASSWORDS))
def test_no_server_starts_without_each_password(name, tmp_path):
    given = environment("nats-1", tmp_path)
    del given[name]
    checked = check("node.conf", given)
    assert checked.returncode != 0
    assert name in checked.stderr


def test_the_compose_file_is_of_its_specification():
    schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())
    jsonschema.validate(COMPOSE, schema)


def test_each_server_of_the_compose_file_knows_all_three_and_keeps_its_own_store():
    services: dict[str, dict[str, Any]] = COMPOSE["services"]
    assert len(services) == 3
    for name, service in services.items():
        assert service["environment"]["NATS_NAME"] == name
        assert set(re.findall(r"@([\w-]+):6222", service["environment"]["NATS_ROUTES"])) == set(services)
        mounted = [volume.split(":")[0] for volume in service["volumes"]]
        assert mounted == ["./server.conf", "./node.conf", name]
        assert all((NATS / file).is_file() for file in mounted[:2])
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert set(COMPOSE["volumes"]) == set(services)
