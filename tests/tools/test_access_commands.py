"""`domino audit`, `token` and `account`, called as a script calls them."""

import doctest
import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cloud import database
from cloud.accounts import store as accounts
from cloud.accounts.model import Role
from tools import tokens
from tools.main import app
from tools.terminal import Failure

runner = CliRunner()
PASSWORD = "quatre navettes bleues\n"


@pytest.fixture
def at(tmp_path: Path) -> list[str]:
    return ["--data-dir", str(tmp_path)]


def run(*arguments: str, typed: str = "") -> Result:
    return runner.invoke(app, list(arguments), input=typed)


def told(*arguments: str, typed: str = "") -> list:
    done = run(*arguments, "--json", typed=typed)
    assert done.exit_code == 0, (done.output, done.exception)
    return [json.loads(line) for line in done.stdout.splitlines()]


def failure(*arguments: str) -> Failure:
    done = run(*arguments)
    assert isinstance(done.exception, Failure), (done.output, done.exception)
    return done.exception


def test_what_commands_do_is_listed_exported_and_holds(at: list[str], tmp_path: Path):
    run("button", "add", "12ab34", *at)
    run("button", "revoke", "12ab34", "--why", "stolen", *at)
    listed = told("audit", "list", *at)
    assert [(one["action"], one["subject"]) for one in listed] == [
        ("button.revoke", "button 0012AB34"),
        ("button.add", "button 0012AB34"),
    ]
    assert all(one["actor"].startswith("command line ") for one in listed)
    assert [one["id"] for one in told("audit", "list", "--action", "button.add", "--subject", "0012AB34", *at)] == [1]
    assert "Button revoked:" in run("audit", "list", *at).stdout  # in a narrow column

    [held] = told("audit", "verify", *at)
    assert (held["holds"], held["entries"]) == (True, 2)
    [held] = told(
        "audit", "verify", "--expect", f"2:{held['digest']}", "--expect", f"1:{listed[1]['digest'][:16]}", *at
    )
    assert held["expected"] == 2

    file = tmp_path / "trail.jsonl"
    run("audit", "export", "--out", str(file), *at)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert told("audit", "verify", "--file", str(file))[0]["entries"] == 2
    assert told("audit", "list", *at)[0]["action"] == "audit.export"


def test_what_does_not_hold_ends_with_1_and_says_where(at: list[str], tmp_path: Path):
    run("button", "add", "12ab34", *at)
    run("button", "add", "12ab35", *at)
    file = tmp_path / "trail.jsonl"
    run("audit", "export", "--out", str(file), *at)
    [held] = told("audit", "verify", *at)
    cut = failure("audit", "verify", "--file", str(file), "--expect", f"3:{held['digest']}")
    assert cut.exit_code == 1
    assert "the trail ends at 2, and entry 3 was noted" in str(cut)
    file.write_text(file.read_text().replace("0012AB34", "0012AB36"))
    assert "entry 1: was changed" in str(failure("audit", "verify", "--file", str(file)))
    file.write_text("no entry")
    assert failure("audit", "verify", "--file", str(file)).exit_code == 2
    assert run("audit", "verify", "--expect", "1:zz", *at).exit_code == 2


def test_a_token_is_made_for_what_it_needs_listed_and_revoked(at: list[str], tmp_path: Path):
    [made] = told("token", "create", "--scope", "see", "--expires", "12h", "--from", "2001:db8::/32", *at)
    assert (made["role"], made["rights"], made["networks"]) == ("viewer", ["see"], ["2001:db8::/32"])
    engine = database.connect(f"sqlite:///{tmp_path}/domino.db")
    with database.reading(engine) as conn:
        assert accounts.find_token(conn, made["token"], database.now()) is not None
    [[listed]] = told("token", "list", *at)
    assert (listed["name"], listed["in_force"], listed["last_used_at"]) == (made["name"], True, None)
    assert made["token"] not in str(told("audit", "list", *at))
    assert run("token", "revoke", made["name"], *at).exit_code == 0
    assert told("token", "list", *at)[0][0]["in_force"] is False
    assert [one["action"] for one in told("audit", "list", *at)] == ["token.revoke", "token.create"]


def test_ninety_days_is_what_a_token_lasts_where_nothing_is_said(at: list[str]):
    done = run("token", "create", "--role", "sorter", "--name", "line 3", *at)
    assert done.stdout.splitlines()[0].startswith("domino_")
    assert "line 3: may read stamps, redeem; until " in done.stderr
    [[listed]] = told("token", "list", *at)
    assert listed["expires_at"][:10] > listed["created_at"][:10]
    assert "give it another name" in str(failure("token", "create", "--role", "viewer", "--name", "line 3", *at))


@pytest.mark.parametrize(
    "wrong",
    [
        ["--role", "customer"],
        ["--role", "viewer", "--scope", "redeem"],
        ["--scope", "own"],
        ["--role", "viewer", "--from", "nowhere"],
        [],
    ],
)
def test_a_token_that_cannot_be_is_refused(at: list[str], wrong: list[str]):
    assert failure("token", "create", *wrong, *at).exit_code == 1
    assert told("token", "list", *at) == [[]]


def test_staff_is_listed_changed_and_the_last_admin_kept(at: list[str]):
    for name, role in (("boss", "admin"), ("n.arnaud", "operator")):
        assert run("account", "add", name, "--role", role, *at, typed=PASSWORD).exit_code == 0
    assert "the last admin" in str(failure("account", "disable", "boss", *at))
    assert "the last admin" in str(failure("account", "role", "boss", "viewer", *at))
    assert run("account", "role", "n.arnaud", "admin", *at).exit_code == 0
    assert run("account", "disable", "boss", *at).exit_code == 0
    [listed] = told("account", "list", *at)
    assert [(one["name"], one["role"], one["disabled_at"] is None) for one in listed] == [
        ("n.arnaud", "admin", True),
        ("boss", "admin", False),
    ]
    assert run("account", "enable", "boss", *at).exit_code == 0
    assert run("account", "password", "boss", *at, typed=PASSWORD).exit_code == 0
    actions = [one["action"] for one in told("audit", "list", *at)]
    assert actions[:4] == ["account.password", "account.enable", "account.disable", "account.role"]
    assert "no account" in str(failure("account", "disable", "nobody", *at))
    assert "letters, digits" in str(failure("account", "add", "a b", "--role", "viewer", *at))


def test_the_examples_are_true():
    assert doctest.testmod(tokens).failed == 0
    assert Role.CUSTOMER not in tokens.EVERY_RIGHT
