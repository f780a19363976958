"""The commands that end by themselves, called as a script calls them."""

import json
import re
import subprocess
import sys

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

import cloud.accounts.store as accounts
import cloud.stamps.store as stamps
from cloud import database
from cloud.ingest.keys import KeyFileError, make_keys
from cloud.stamps.model import format_pairs
from cloud.stamps.vault import Vault
from tests.sealing import VECTORS
from tests.stock import stock
from tools.main import COMMANDS, app
from tools.terminal import Failure

runner = CliRunner()
KEY = VECTORS["uplinks"][1]["device_key"]
UPLINK = VECTORS["uplinks"][1]["uplink"]


def run(*arguments: str) -> Result:
    return runner.invoke(app, list(arguments))


def run_json(*arguments: str):
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.parametrize("vector", VECTORS["uplinks"], ids=lambda v: f"{v['device_id']}-{v['counter']}")
def test_encode_and_decode_agree_with_the_vectors(vector):
    options = ["--device", vector["device_id"], "--key", vector["device_key"]]
    said = {name: str(vector[name]) for name in ("counter", "kind", "parcels", "battery_mv", "temperature_c")}
    said |= {"reset_cause": str(vector["reset_cause"]), "link_failures": str(vector["link_failures"])}
    fields = [word for name, value in said.items() for word in (f"--{name.replace('_', '-')}", value)]
    encoded = run("uplink", "encode", *options, *fields, "--generation", str(vector["key_generation"]))
    assert encoded.stdout.strip() == vector["uplink"]
    decoded = run_json("uplink", "decode", *options, "--last-counter", str(vector["counter"] - 1), vector["uplink"])
    assert decoded == {name: vector[name] for name in decoded}
    assert len(decoded) == 9


def test_to_name_the_commands_loads_none_and_to_ask_for_one_loads_no_other():
    script = """
import sys
from tools.main import COMMANDS, load
loaded = {where.split(":")[0] for where in COMMANDS.values()} & set(sys.modules)
load("button")
loaded |= {"tools.uplinks", "tools.flash.command", "tools.drill.command", "fastapi", "jinja2"} & set(sys.modules)
print(loaded, "tools.buttons" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set() True\n"


def test_every_command_has_its_line_of_help():
    told = run("--help").stdout
    for name in COMMANDS:
        assert re.search(rf"^│ {name} +\w", told, re.MULTILINE), name


def test_a_command_mistyped_is_told_the_one_like_it():
    done = run("buton", "list")
    assert done.exit_code == 2
    assert "Did you mean 'button'" in done.stderr


def test_decode_refuses_with_the_named_reason():
    wrong = UPLINK[:-1] + ("0" if UPLINK[-1] != "0" else "1")
    done = run("uplink", "decode", "--device", "0012AB34", "--key", KEY, wrong)
    assert isinstance(done.exception, Failure)
    assert str(done.exception).startswith("bad seal:")


def test_explain_names_every_field():
    sealed = run("uplink", "explain", UPLINK)
    assert sealed.exit_code == 0
    for word in ("version", "key generation", "counter", "body", "seal"):
        assert word in sealed.stdout
    parts = {
        part["field"].strip(): part
        for part in run_json("uplink", "explain", UPLINK, "--device", "12ab34", "--key", KEY)
    }
    assert parts["kind"]["value"] == "0 pickup"
    assert parts["battery"]["value"] == "3000 mV"
    bits = "".join(
        parts[name]["bits"] for name in ("kind", "parcels", "battery", "temperature", "reset cause", "link failures")
    )
    assert len(bits) == 24


@pytest.mark.parametrize(
    "arguments",
    [
        ["uplink", "explain", "00"],
        ["uplink", "explain", "zz" * 12],
        ["uplink", "explain", UPLINK, "--device", "12AB34"],
        ["uplink", "decode", "--device", "xyz", "--key", KEY, UPLINK],
        ["uplink", "decode", "--device", "1", "--key", "00", UPLINK],
        ["uplink", "encode", "--device", "1", "--key", KEY, "--counter", "0", "--kind", "alive"],
        ["uplink", "encode", "--device", "1", "--key", KEY, "--counter", "1", "--kind", "jump"],
        ["uplink", "encode", "--device", "1", "--key", KEY, "--counter", "1", "--kind", "pickup"],
        ["button", "add", "not-an-id"],
        ["button", "add", "1", "--place", ""],
        ["button", "add", "1", "--place", "35\x1b[31m"],
        ["button", "add", "1", "--place", "35\nRennes"],
        ["button", "press", "1", "--mqtt-port", "65536"],
        ["stamp", "show", "7K4F"],
        ["stamp", "redeem", "7K4F2M9X", "--piece", " ", "--place", "35 Rennes"],
        ["token", "create", "--role", "king"],
    ],
)
def test_wrong_input_is_a_usage_error_that_repeats_no_key(arguments):
    done = run(*arguments)
    assert done.exit_code == 2
    assert KEY not in done.output


def test_a_button_is_added_listed_and_its_claim_code_shown_once(tmp_path):
    folder = ["--data-dir", str(tmp_path)]
    added = run_json("button", "add", "12ab34", "--place", "35 Rennes", *folder)
    assert added["id"] == "0012AB34"
    (listed,) = run_json("button", "list", *folder)
    assert (listed["id"], listed["place"], listed["claimed"]) == ("0012AB34", "35 Rennes", False)
    assert added["claim_code"] not in run("button", "list", *folder).output


def test_a_lost_button_is_revoked(tmp_path):
    folder = ["--data-dir", str(tmp_path)]
    run("button", "add", "12ab34", *folder)
    assert run("button", "revoke", "12ab34", *folder).exit_code == 0
    (listed,) = run_json("button", "list", *folder)
    assert listed["state"] == "revoked"
    assert isinstance(run("button", "revoke", "99", *folder).exception, Failure)


def test_a_place_is_listed_as_it_is_written(tmp_path):
    run("button", "add", "1", "--place", "[/35] [bold]Rennes", "--data-dir", str(tmp_path))
    assert "[/35] [bold]Rennes" in run("button", "list", "--data-dir", str(tmp_path)).output


def test_an_empty_fleet_says_how_to_fill_it(tmp_path):
    assert "domino button add" in run("button", "list", "--data-dir", str(tmp_path)).output


def test_a_token_works_and_only_its_hash_is_kept(tmp_path):
    made = run_json("token", "create", "--role", "viewer", "--data-dir", str(tmp_path))
    engine = database.connect(f"sqlite:///{tmp_path / 'domino.db'}")
    with database.reading(engine) as conn:
        found = accounts.find_token(conn, made["token"], database.now())
    engine.dispose()
    assert found is not None
    assert found.role == "viewer"
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("domino.db*"))
    assert made["token"].encode() not in kept


def test_staff_are_added_with_a_password_that_is_asked_for(tmp_path):
    folder = ["--data-dir", str(tmp_path)]
    made = runner.invoke(app, ["account", "add", "N.Arnaud", "--role", "operator", *folder], input="a long password\n")
    assert (made.exit_code, made.output) == (0, "n.arnaud can sign in, as operator\n")
    changed = runner.invoke(app, ["account", "password", "n.arnaud", *folder], input="another long one\n")
    assert changed.exit_code == 0
    engine = database.connect(f"sqlite:///{tmp_path / 'domino.db'}")
    with database.reading(engine) as conn:
        assert accounts.check_password(conn, "n.arnaud", "a long password") is None
        assert accounts.check_password(conn, "n.arnaud", "another long one") is not None
    engine.dispose()


@pytest.mark.parametrize(
    ("arguments", "typed"),
    [
        (["add", "n.arnaud", "--role", "operator"], "short\n"),
        (["password", "nobody"], "a long password\n"),
    ],
)
def test_an_account_command_that_fails_says_why_and_repeats_no_password(tmp_path, arguments, typed):
    done = runner.invoke(app, ["account", *arguments, "--data-dir", str(tmp_path)], input=typed)
    assert isinstance(done.exception, Failure)
    assert typed.strip() not in str(done.exception)


@pytest.fixture
def stamp(tmp_path) -> str:
    """A live stamp's code, in pairs."""
    vault = Vault(make_keys(tmp_path / "master.key").stamp_key())
    engine = database.connect(f"sqlite:///{tmp_path / 'domino.db'}")
    database.migrate(f"sqlite:///{tmp_path / 'domino.db'}")
    with engine.begin() as conn:
        stock(conn, 1, vault=vault)
        conn.execute(stamps.stamps.update().values(state="live"))
        code = vault.open(conn.execute(sa.select(stamps.stamps.c.sealed)).scalar_one())
    engine.dispose()
    return format_pairs(code)


@pytest.mark.parametrize("command", [["show"], ["void"], ["redeem", "--piece", "6A 123", "--place", "35 Rennes"]])
def test_a_stamp_that_does_not_exist_is_said_so(tmp_path, stamp, command):
    other = "7K 4F 2M 9X" if stamp != "7K 4F 2M 9X" else "7K 4F 2M 9W"
    done = run("stamp", *command, other, "--data-dir", str(tmp_path))
    assert isinstance(done.exception, Failure)
    assert "no stamp" in str(done.exception)


def test_a_stamp_is_redeemed_once_and_staff_are_told_when_and_where(tmp_path, stamp):
    folder = ["--data-dir", str(tmp_path)]
    first = run_json("stamp", "redeem", stamp.lower(), "--piece", "6A 123", "--place", "[35] Rennes", *folder)
    assert (first["pairs"], first["state"], first["place"]) == (stamp, "redeemed", "[35] Rennes")
    again = run_json("stamp", "redeem", stamp, "--piece", "6A 123", "--place", "69 Lyon", *folder)
    assert again == first == run_json("stamp", "show", stamp, *folder)
    assert "[35] Rennes" in run("stamp", "show", stamp, *folder).output
    other = run("stamp", "redeem", stamp, "--piece", "6A 999", "--place", "69 Lyon", *folder)
    assert isinstance(other.exception, Failure)
    assert "used already" in str(other.exception)
    assert "at [35] Rennes, for 6A 123" in str(other.exception)


def test_a_void_stamp_is_redeemed_no_more(tmp_path, stamp):
    folder = ["--data-dir", str(tmp_path)]
    assert run_json("stamp", "void", stamp, *folder)["state"] == "void"
    for command in (["void"], ["redeem", "--piece", "6A 123", "--place", "35 Rennes"]):
        done = run("stamp", *command, stamp, *folder)
        assert isinstance(done.exception, Failure)
        assert "is void" in str(done.exception)


def test_the_stamps_are_not_touched_with_another_master_key_or_none(tmp_path, stamp):
    key = tmp_path / "master.key"
    key.write_text("ab" * 32)
    done = run("stamp", "void", stamp, "--data-dir", str(tmp_path))
    assert isinstance(done.exception, Failure)
    assert "another master key" in str(done.exception)
    key.unlink()
    assert isinstance(run("stamp", "void", stamp, "--data-dir", str(tmp_path)).exception, KeyFileError)
    assert not key.exists()


def test_migrating_twice_is_harmless(tmp_path):
    for _ in range(2):
        assert "up to date" in run("migrate", "--data-dir", str(tmp_path)).output
