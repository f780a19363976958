"""What holds of the repository itself: its shape, its pins, and that its documents say what is there."""

import re
import subprocess
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from cloud.settings import Settings
from tools.setup.front_end import FILES

ROOT = Path(__file__).parents[1]
TOP_LEVEL = {
    *(".ci", ".gitignore", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "SECURITY.md"),
    *("cloud", "constraints.txt", "deploy", "docs", "firmware", "pyproject.toml", "simulator", "tests", "tools"),
}
TRACKED = [
    ROOT / name
    for name in subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    .stdout.rstrip("\0")
    .split("\0")
]
DOCUMENTS = [path for path in TRACKED if path.suffix == ".md"]
MAKEFILE = (ROOT / "Makefile").read_text()
PINS = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")
)


def needs(package: str, extras: set[str]) -> dict[str, set[str]]:
    """What `package` with `extras` needs directly, on this machine: names, each with the extras it is needed with."""
    return {
        re.sub(r"[-_.]+", "-", one.name).lower(): one.extras
        for one in map(Requirement, requires(package) or ())
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras | {""})
    }


def test_the_top_level_is_fixed() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in TRACKED} <= TOP_LEVEL


def test_everything_that_is_needed_is_pinned_and_here_at_its_version() -> None:
    left, found = {"domino": {"dev"}, "setuptools": set()}, {}
    while left:
        package, extras = left.popitem()
        found[package] = version(package)
        left |= {name: more for name, more in needs(package, extras).items() if name not in found}
    del found["domino"]
    assert found == {package: PINS.get(package) for package in found}


def test_pins_are_names_and_versions_alone() -> None:
    assert not [line for line in PINS.items() if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", "==".join(line))]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.path.name)
def test_the_pages_use_the_very_files_that_were_chosen(file) -> None:
    assert file.is_there()


def test_nothing_is_skipped() -> None:
    """What a test needs is there, or it fails: a skipped test is one that nobody misses when it breaks."""
    skips = re.compile(r"pytest\.(skip|importorskip|mark\.skip)|allow_module_level")
    tests = [path for path in TRACKED if path.suffix == ".py" and path.is_relative_to(ROOT / "tests")]
    assert not [path for path in tests if path != Path(__file__) and skips.search(path.read_text())]


def test_no_tracked_file_names_a_machine() -> None:
    """Folders of somebody's machine and addresses of package registries have no place in a repository."""
    machine = re.compile(rb"(?<![\w.])/(?:work|root|home/\w+)/|pythonhosted|registry\.npmjs|artifactregistry")
    assert not [path for path in TRACKED if path != Path(__file__) and machine.search(path.read_bytes())]


def test_the_readme_opens_with_the_two_commands() -> None:
    commands = re.findall(r"^ *(make [\w-]+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert commands[:2] == ["make demo", "make test"]


def test_documents_name_only_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    named = {name for path in DOCUMENTS for name in re.findall(r"`make ([a-z-]+)", path.read_text())}
    assert named <= targets


def test_documents_name_only_files_that_exist() -> None:
    missing = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in DOCUMENTS
        for name in re.findall(r"`((?:cloud|docs|firmware|simulator|tests|tools)/[\w./-]+)`", path.read_text())
        if not (ROOT / name).exists()
    ]
    assert not missing


def test_links_in_documents_lead_somewhere() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in DOCUMENTS
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)|src(?:set)?=\"([^\"]+)\"", path.read_text())
        for target in filter(None, target)
        if not target.startswith("https://") and not (path.parent / target).exists()
    ]
    assert not broken


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs/operating.md").read_text()
    variables = [one.validation_alias or f"DOMINO_{name.upper()}" for name, one in Settings.model_fields.items()]
    assert not [variable for variable in variables if f"`{variable}`" not in text]
