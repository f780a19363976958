"""deploy/compose.yaml as it is read, and what its services run."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

DEPLOY = Path(__file__).parents[2] / "deploy"


def read_yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def services() -> dict[str, dict[str, Any]]:
    return read_yaml(DEPLOY / "compose.yaml")["services"]


def our_services() -> dict[str, dict[str, Any]]:
    """Those that run our image."""
    return {name: service for name, service in services().items() if service["image"] == "domino"}
