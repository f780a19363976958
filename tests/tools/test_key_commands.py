"""`domino key` and the way of a fleet from one master key to the next, called as a script calls it."""

import json
import stat
from datetime import timedelta

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

import cloud.fleet.store as fleet
import cloud.stamps.store as stamps
from cloud import database
from cloud.alerts import routes
from cloud.alerts.model import Severity
from cloud.ingest.keys import KeyFileError, make_keys, read_keys
from cloud.secret import MASTER_KEY
from tests.stock import stock
from tools.flash.identity import Found, Registry
from tools.main import app
from tools.terminal import Failure, open_stamps

runner = CliRunner()
BUTTON = 0x0012AB34


def run(*arguments: str) -> Result:
    return runner.invoke(app, list(arguments))


def run_json(*arguments: str):
    done = run(*arguments, "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)


def failure(*arguments: str) -> str:
    done = run(*arguments)
    assert isinstance(done.exception, Failure | KeyFileError), done.output
    return str(done.exception)


@pytest.fixture
def folder(tmp_path) -> list[str]:
    """A data folder with a master key, a button whose key is on a board, and 20 stamps."""
    options = ["--data-dir", str(tmp_path)]
    keys = make_keys(tmp_path / "master.key")
    run("button", "add", "12ab34", *options)
    engine, vault = open_stamps(tmp_path, None)
    with engine.begin() as conn:
        button = fleet.find(conn, BUTTON)
        assert button is not None
        fleet.issue_key(conn, button, board="a", ticket="t")
        lease = stock(conn, 20, database.now(), vault)
        stamps.close_lease(conn, lease.id)
    assert keys.numbers == [1]
    return options


def engine_of(options: list[str]) -> sa.Engine:
    return database.connect(f"sqlite:///{options[1]}/domino.db")


def test_a_fleet_moves_to_a_new_master_key_step_by_step(folder, tmp_path):
    path = tmp_path / "master.key"
    old = read_keys(path)
    made = run_json("key", "new", *folder)
    keys = read_keys(path)
    assert (made["number"], made["fingerprint"], made["where"]) == (2, keys.fingerprint(2), str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    status = run_json("key", "status", *folder)
    assert [(one["number"], one["buttons"], one["sealed"]) for one in status["keys"]] == [(1, 1, 20), (2, 0, 0)]
    assert "in use: 1 buttons, 20 sealed codes" in failure("key", "retire", "1", *folder)

    assert run_json("key", "reseal", *folder) == {"resealed": 20, "number": 2}
    assert run_json("key", "reseal", *folder)["resealed"] == 0
    assert "in use: 1 buttons, 0 sealed" in failure("key", "retire", "1", *folder)

    # `domino flash --reprovision` gives it a key from the newest.
    registry = Registry(engine_of(folder), keys, BUTTON, is_new=False, place=None)
    assert registry.wanted().key == old.device_key(BUTTON, 0)
    given = registry.issue(Found("a", BUTTON, 0, 40, "not the same", None), "u")
    assert (given.generation, given.key) == (1, keys.device_key(BUTTON, 1, 2))
    assert run_json("button", "list", *folder)[0]["key_master"] == 2

    assert "newest" in failure("key", "retire", "2", *folder)
    assert run("key", "retire", "1", *folder).exit_code == 0
    assert read_keys(path) == keys.without(1)
    assert [one["number"] for one in run_json("key", "list", *folder)["keys"]] == [2]
    assert run("stamp", "show", "7K4F2M9X", *folder).exit_code != 0  # unknown, and not sealed under another key
    assert "no master key 1" in failure("key", "retire", "1", *folder)


def test_the_secrets_of_webhooks_move_along(folder, tmp_path):
    path, now = tmp_path / "master.key", database.now()
    with engine_of(folder).begin() as conn:
        said = {
            "least": Severity.WARNING,
            "rules": None,
            "lang": "en",
            "by": "a",
            "now": now,
            "safe": read_keys(path).safe(),
        }
        route, secret = routes.add_route(conn, name="a", kind=routes.Kind.WEBHOOK, to="https://shop.example/", **said)
    run("key", "new", *folder)
    assert [one["sealed"] for one in run_json("key", "status", *folder)["keys"]] == [21, 0]
    assert run_json("key", "reseal", *folder)["resealed"] == 21
    assert [one["sealed"] for one in run_json("key", "status", *folder)["keys"]] == [0, 21]
    alone = read_keys(path).without(1).safe()
    with database.reading(engine_of(folder)) as conn:
        assert routes.secrets_of(routes.find_route(conn, route.id), alone, now) == [secret]


def test_nothing_is_made_under_a_key_that_a_running_process_has_not_read(folder, tmp_path):
    with engine_of(folder).begin() as conn:
        lease_id = stamps.open_lease(conn, "worker:17", database.now() + timedelta(minutes=2))
    run("key", "new", *folder)
    registry = Registry(engine_of(folder), read_keys(tmp_path / "master.key"), BUTTON, is_new=False, place=None)
    assert failure("key", "reseal", *folder) == "worker:17 runs without master key 2: start it anew first"
    with pytest.raises(Failure, match="worker:17 runs without master key 2"):
        registry.issue(Found("a", BUTTON, 0, 1, "f", None), "u")
    assert run_json("key", "status", *folder)["running_without_newest"] == ["worker:17"]
    with engine_of(folder).begin() as conn:
        stamps.close_lease(conn, lease_id)
    assert run_json("key", "reseal", *folder)["resealed"] == 20


def test_no_command_prints_a_key(folder, tmp_path):
    said = run("key", "new", *folder).output
    for command in ("list", "status", "reseal"):
        said += run("key", command, *folder).output + run("key", command, *folder, "--json").output
    digits = [word.split(":")[1] for word in (tmp_path / "master.key").read_text().split()]
    assert len(digits) == 2
    assert not any(key in said for key in digits)


def test_keys_from_the_environment_are_written_to_a_file_that_is_named(folder, tmp_path, monkeypatch):
    monkeypatch.setenv(MASTER_KEY, (tmp_path / "master.key").read_text())
    assert MASTER_KEY in failure("key", "new", *folder)
    assert run_json("key", "list", *folder)["where"] == MASTER_KEY
    file = tmp_path / "both.key"
    assert run_json("key", "new", "--file", str(file), *folder)["where"] == str(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_keys(file).numbers == [1, 2]
    assert "exists" in failure("key", "new", "--file", str(file), *folder)
    monkeypatch.setenv(MASTER_KEY, file.read_text())
    assert run_json("key", "status", *folder)["newest"] == 2


def test_a_lost_button_is_revoked_with_a_reason_and_comes_back_under_its_next_key(folder):
    assert run("button", "revoke", "12ab34", "--why", "stolen with the letterbox", *folder).exit_code == 0
    (listed,) = run_json("button", "list", *folder)
    assert (listed["state"], listed["revoked_why"]) == ("revoked", "stolen with the letterbox")
    assert listed["revoked_by"].startswith("command line ")
    assert "key generation 1" in run("button", "found", "12ab34", *folder).output
    (listed,) = run_json("button", "list", *folder)
    assert (listed["state"], listed["key_generation"], listed["revoked_why"]) == ("active", 1, None)
    assert "not revoked" in failure("button", "found", "12ab34", *folder)
    assert run("button", "revoke", "12ab34", "--why", " ", *folder).exit_code == 2


def test_a_configuration_is_queued_listed_and_taken_back(folder):
    queued = run_json("button", "configure", "12ab34", "--hours", "48", "--reason", "battery [low]", *folder)
    assert (queued["state"], queued["heartbeat_hours"], queued["button"]) == ("queued", 48, "0012AB34")
    told = run_json("button", "downlinks", "12ab34", *folder)
    assert (told["used_today"], told["heartbeat_hours"], told["answers"]) == (0, None, [])
    assert [one["id"] for one in told["configurations"]] == [queued["id"]]
    listed = run("button", "downlinks", "12ab34", *folder).output
    assert "queued" in listed
    assert "[low]" in "".join(listed.split("\n"))
    cancelled = run_json("button", "downlinks", "12ab34", "--cancel", str(queued["id"]), *folder)
    assert cancelled["state"] == "cancelled"
    assert "is cancelled" in failure("button", "downlinks", "12ab34", "--cancel", str(queued["id"]), *folder)
    assert "not in the fleet" in failure("button", "downlinks", "99", *folder)
    assert "no button" in failure("button", "configure", "99", "--hours", "1", *folder)
    assert run("button", "configure", "12ab34", "--hours", "169", *folder).exit_code == 2
