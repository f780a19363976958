"""`domino flash` as it is typed: what it refuses, what it prints and writes, and that no secret is in either."""

import datetime
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zxingcpp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner, Result

from cloud.ingest.keys import read_keys
from tests.tools.boards import Desk, desk
from tools.flash import card, settings
from tools.main import app
from tools.terminal import Failure

PASSWORD = "sesame-of-the-letterbox"
GIVEN = ("--wifi", "letterbox", "--broker", "127.0.0.1:9", "--no-finger", "--skip", "radio", "--skip", "light")
started: list[str] = []  # the argument lists of all processes that this one starts
sys.addaudithook(lambda event, args: started.append(repr(args[1])) if event == "subprocess.Popen" else None)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path / "board") as running:
        yield running


def run(*arguments: str) -> Result:
    return CliRunner(env={settings.PASSWORD_VARIABLE: PASSWORD}).invoke(app, ["flash", *arguments])


def test_a_board_is_flashed_shown_exported_and_erased_and_nothing_tells_its_secrets(board: Desk, tmp_path: Path):
    data, drawn = ("--data-dir", str(tmp_path / "data")), tmp_path / "card.svg"
    port = ("--port", board.port)
    started.clear()
    first = run(*port, *data, *GIVEN, "--new", "--button", "12ab34", "--card", str(drawn))
    assert first.exit_code == 0, first.output
    for word in ("0012AB34, key generation 0", "fingerprint", "claim code", "17 of 17 files copied", "left out"):
        assert word in first.stdout
    code = first.stdout.split("claim code")[1].split()[0]
    assert f">{code}</text>" in drawn.read_text()

    board.ask("press", clicks=1, hold_ms=None)
    told = run(*port, *data, "--no-finger", "--skip", "radio", "--button", "12ab34", "--json")
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["claim_code"] is None

    exported = run(*port, "--export", str(tmp_path / "export.json"), "--erase", "--yes", "--json")
    assert exported.exit_code == 0, exported.output
    assert json.loads((tmp_path / "export.json").read_text())["button"] == "0012AB34"
    assert json.loads((board.folder / "nvs.json").read_text()) == {"domino": {}}

    key = read_keys(tmp_path / "data/master.key").device_key(0x12AB34, 0).hex()
    certificates = [path.read_text() for path in (tmp_path / "data/certificates").iterdir()]
    assert len(certificates) == 2
    trace = (board.folder / "trace.jsonl").read_text()
    everything = [first.output, told.output, exported.output, trace, *certificates, *started, drawn.read_text()]
    assert started  # mpy-cross, at the least
    assert not [text for text in everything for secret in (key, PASSWORD) if secret in text.lower()]


def test_a_slip_makes_a_board_elsewhere(board: Desk, tmp_path: Path):
    runner, slip = CliRunner(), tmp_path / "slip.json"
    data = ("--data-dir", str(tmp_path / "data"))
    assert runner.invoke(app, ["button", "add", "12ab34", *data]).exit_code == 0
    written = runner.invoke(app, ["button", "export", "12ab34", str(slip), *data, "--json"])
    assert written.exit_code == 0, written.output
    key = json.loads(slip.read_text())["key"]
    elsewhere = ("--data-dir", str(tmp_path / "elsewhere"))
    done = run("--port", board.port, *elsewhere, *GIVEN, "--from", str(slip), "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["button"], told["claim_code"]) == ("0012AB34", json.loads(written.stdout)["claim_code"])
    assert key not in slip.read_text() + done.output + written.output
    assert json.loads((board.folder / "nvs.json").read_text())["domino"]["key"][1] == key
    assert not (tmp_path / "elsewhere/domino.db").exists()


def test_erasing_asks_first(board: Desk):
    done = run("--port", board.port, "--erase")
    assert isinstance(done.exception, Failure)
    assert "--yes" in str(done.exception)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--port", "/dev/none"], "no port /dev/none"),
        (["--button", "1", "--from", "x"], "one of"),
        (["--erase", "--new"], "one of"),
        (["--port", "x", "--skip", "taste"], "no test taste"),
        (["--port", "x", "--card", "card.gif"], ".svg or .png"),
        (["--port", "x", "--link", "pigeon"], "mqtt or wisol"),
        (["--port", "x", "--broker", "http://x"], "HOST:PORT"),
        (["--port", "x", "--broker", "h:99999"], "HOST:PORT"),
        (["--port", "x", "--wifi", "x" * 33], "32 bytes"),
        (["--port", "x", "--wifi", "x", "--wifi-password-file", "/none"], "cannot be read"),
        (["--port", "x", "--ca", "pyproject.toml"], "no certificate"),
        (["--port", "x", "--from", "/none"], "cannot be read"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_what_is_typed_wrong_is_told_before_any_board_is_touched(arguments, why):
    done = run(*arguments)
    assert isinstance(done.exception, Failure), done.output
    assert why in str(done.exception)


def gather(**given):
    nothing: dict[str, Any] = dict.fromkeys(("link", "wifi", "password_file", "broker", "ca", "heartbeat_hours"))
    return settings.gather(**nothing | {"no_ca": False, "slip": {}} | given)


def test_settings_are_those_of_the_options_then_of_the_slip(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(settings.PASSWORD_VARIABLE, raising=False)
    slip = {"wifi": "home", "wifi_password": "known", "broker": "b.example", "heartbeat_hours": 6, "link": "mqtt"}
    whole = {"link": "mqtt", "hours": 6, "ssid": "home", "psk": "known", "host": "b.example", "port": 1883}
    assert gather(slip=slip) == whole
    assert gather(slip=slip, broker="[::1]:99", heartbeat_hours=2) == whole | {"hours": 2, "host": "::1", "port": 99}
    with pytest.raises(Failure, match="password of other is missing"):
        gather(slip=slip, wifi="other")
    assert gather() == {}
    assert gather(no_ca=True) == {"ca": None, "ca_size": 0}


def test_a_ca_is_taken_as_pem_or_der_and_moves_the_port(tmp_path: Path):
    der = certificate_der()
    (tmp_path / "ca.der").write_bytes(der)
    (tmp_path / "ca.pem").write_bytes(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM))
    for file in ("ca.der", "ca.pem"):
        told = gather(ca=tmp_path / file, broker="h")
        assert told == {"ca": der.hex(), "ca_size": len(der), "host": "h", "port": 8883}


def certificate_der() -> bytes:
    key, day = ec.generate_private_key(ec.SECP256R1()), datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(day).not_valid_after(day + datetime.timedelta(days=36500))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize("url", [None, "https://domino.example/", "http://127.0.0.1:8710/very/long/folder/of/pages"])
def test_the_card_is_read_by_a_phone(tmp_path: Path, url):
    card.write_card(tmp_path / "card.png", "0012AB34", "7K4F-2M9X-11AB", url)
    (read,) = zxingcpp.read_barcodes(Image.open(tmp_path / "card.png"))
    assert read.text == (f"{url.rstrip('/')}/claim?code=7K4F-2M9X-11AB" if url else "7K4F-2M9X-11AB")


def test_the_terminal_shows_code_and_qr():
    console = Console(record=True, width=100, file=io.StringIO())
    card.show_claim("7K4F-2M9X-11AB", None, console)
    told = console.export_text()
    assert "7K4F-2M9X-11AB" in told
    assert "▄▄▄▄▄" in told
