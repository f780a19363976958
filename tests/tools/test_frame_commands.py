"""`domino frame`, called as a script calls it, on the golden vectors."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.simulator.sigfox.vectors import DOWNLINKS, HARD_DOWNLINKS, KEY, PUBLISHED, UPLINKS, name_of
from tools.main import app
from tools.terminal import Failure

runner = CliRunner()
DEVICE = ["--device", "004D33DB", "--key", KEY.hex()]
ENCODE = ["frame", "encode", *DEVICE, "--seq", "416"]
DECODE_DOWNLINK = ["frame", "downlink", "decode", *DEVICE]
PLAIN, SEVEN, FIVE = next(v["frames"] for v in UPLINKS if v["seq"] == 416)
DOWN = "3516816cc7ce125ef60d5b6d78c1c1"


def run(*arguments: str) -> Result:
    return runner.invoke(app, list(arguments))


def run_json(*arguments: str) -> Any:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def options(vector: dict[str, Any]) -> list[str]:
    seq = vector.get("seq", vector.get("uplink_seq"))
    return ["--device", vector["device_id"], "--key", vector["key"], "--seq", str(seq)]


def same(printed: dict[str, Any], vector: dict[str, Any]) -> bool:
    """Whether each field that both have says the same; an id in any case."""
    both = printed.keys() & vector.keys() - {"device_id", "frames"}
    return printed["device_id"] == vector["device_id"].upper() and all(printed[name] == vector[name] for name in both)


@pytest.mark.parametrize("vector", UPLINKS, ids=name_of)
def test_uplinks_are_encoded_and_each_replica_decoded_as_the_vectors_have_it(vector: dict[str, Any]) -> None:
    mode = vector.get("mode", "bytes")
    content = ["--payload", vector["payload"]] if mode == "bytes" else ["--bit", mode[-1]]
    ack = ["--ack"] if vector.get("downlink_request") else []
    encoded = run_json("frame", "encode", *options(vector), *content, *ack)
    assert encoded["frames"][: len(vector["frames"])] == vector["frames"]
    assert same(encoded, vector)
    for number, frame in enumerate(encoded["frames"], 1):
        decoded = run_json("frame", "decode", frame, "--key", vector["key"])
        assert same(decoded, vector)
        assert (decoded["replica"], decoded["auth_check"], decoded["mode"]) == (number, "right", mode)


@pytest.mark.parametrize("vector", DOWNLINKS, ids=name_of)
def test_downlinks_are_encoded_and_decoded_as_the_vectors_have_it(vector: dict[str, Any]) -> None:
    encoded = run_json("frame", "downlink", "encode", *options(vector), "--payload", vector["payload"])
    assert encoded == {name: vector[name] for name in encoded} | {"device_id": vector["device_id"].upper()}
    decoded = run_json("frame", "downlink", "decode", encoded["frame"], *options(vector))
    assert same(decoded, vector)
    assert (decoded["auth_check"], decoded["corrected_bits"]) == ("right", 0)


@pytest.mark.parametrize("vector", HARD_DOWNLINKS, ids=lambda v: f"{v['case']}-{v['uplink_seq']}")
def test_a_downlink_is_repaired_or_refused_as_the_official_device_does(vector: dict[str, Any]) -> None:
    done = run("frame", "downlink", "decode", vector["frame"], *options(vector), "--json")
    printed = json.loads(done.stdout)
    if vector["official_valid"]:
        assert (printed["payload"], printed["corrected_bits"]) == (vector["payload"], 8)
    else:
        assert done.exit_code == 1
        assert printed == {"result": "refused", "reason": printed["reason"]}
        assert printed["reason"] in {"wrong CRC", "wrong auth"}


def test_an_empty_payload_is_a_frame_too() -> None:
    for nothing in ([], ["--payload", ""]):
        encoded = run_json(*ENCODE, *nothing)
        assert (encoded["mode"], encoded["payload"], len(encoded["frames"][0])) == ("bytes", "", 28)


@pytest.mark.parametrize("ack", [[], ["--ack"]], ids=["", "ack"])
@pytest.mark.parametrize(
    "content",
    [["--bit", "0"], ["--bit", "1"], *(["--payload", bytes(range(0xA0, 0xA0 + size)).hex()] for size in range(13))],
    ids=" ".join,
)
def test_every_length_goes_there_and_back_by_each_replica_in_any_case(content: list[str], ack: list[str]) -> None:
    encoded = run_json(*ENCODE, *content, *ack)
    shouted = [word if word.startswith("--") else word.upper() for word in [*DEVICE, *content]]
    assert run_json("frame", "encode", *shouted, "--seq", "416", *ack) == encoded
    assert encoded["downlink_request"] == bool(ack)
    for number, frame in enumerate(encoded["frames"], 1):
        for spelled in (frame, frame.upper(), " ".join(frame[at : at + 2] for at in range(0, len(frame), 2))):
            decoded = run_json("frame", "decode", spelled, "--key", KEY.hex().upper())
            assert decoded.pop("replica") == number
            assert decoded.pop("auth_check") == "right"
            assert decoded.items() <= encoded.items()


def test_without_the_key_the_auth_is_unchecked() -> None:
    assert run_json("frame", "decode", PLAIN)["auth_check"] == "unchecked"


def test_under_another_key_the_fields_are_shown_and_the_command_fails() -> None:
    done = run("frame", "decode", SEVEN, "--key", "00" * 16, "--json")
    assert json.loads(done.stdout)["auth_check"] == "wrong"
    assert json.loads(done.stdout)["payload"] == "abad1dea"
    assert isinstance(done.exception, Failure)
    assert str(done.exception) == "wrong auth: not made with this key"


def test_a_damaged_frame_is_refused_by_name() -> None:
    done = run("frame", "decode", FIVE[:-1] + "0", "--json")
    assert json.loads(done.stdout) == {"result": "refused", "reason": "wrong CRC"}
    assert isinstance(done.exception, Failure)
    assert str(done.exception).startswith("wrong CRC: ")


def test_without_json_there_is_a_table_to_read() -> None:
    encoded = run(*ENCODE, "--payload", "abad1dea").stdout.splitlines()
    assert [line.split()[-1] for line in encoded[:3]] == [PLAIN, SEVEN, FIVE]
    assert encoded[3].endswith("3 × 1.44 s")
    decoded = run("frame", "decode", FIVE, "--key", KEY.hex()).stdout
    rows = dict(line.split(maxsplit=1) for line in decoded.splitlines() if line.count(" ") and "  " in line)
    assert (rows["replica"], rows["seq"], rows["payload"], rows["li"]) == ("3", "416", "abad1dea", "0")
    assert run("frame", "downlink", "encode", *DEVICE, "--seq", "417", "--payload", "deadbeef02468ace").stdout == (
        f"{DOWN}\n"
    )
    assert "deadbeef02468ace" in run(*DECODE_DOWNLINK, "--seq", "417", DOWN).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [*ENCODE, "--payload", "00" * 13],
        [*ENCODE, "--payload", "zz"],
        [*ENCODE, "--payload", "0"],
        [*ENCODE, "--payload", "00", "--bit", "1"],
        [*ENCODE, "--bit", "2"],
        ["frame", "encode", *DEVICE, "--seq", "4096", "--payload", "00"],
        ["frame", "encode", *DEVICE, "--seq", "-1", "--payload", "00"],
        ["frame", "encode", "--device", "123456789", "--key", KEY.hex(), "--seq", "1"],
        ["frame", "encode", "--device", "1", "--key", KEY.hex()[:-2], "--seq", "1"],
        ["frame", "decode", "zz"],
        ["frame", "decode", PLAIN, "--key", KEY.hex() + "00"],
        [*DECODE_DOWNLINK, "--seq", "4096", DOWN],
        ["frame", "downlink", "encode", *DEVICE, "--seq", "417", "--payload", "deadbeef"],
    ],
)
def test_wrong_input_is_a_usage_error_that_repeats_no_key(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    assert PUBLISHED["key"][:-2] not in done.output


@pytest.mark.parametrize("frame", ["", "00", PLAIN[:-2], "00" + PLAIN[2:]])
def test_what_is_no_frame_is_one_clear_line(frame: str) -> None:
    for arguments in (["frame", "decode", frame], [*DECODE_DOWNLINK, "--seq", "417", frame]):
        done = run(*arguments)
        assert isinstance(done.exception, Failure)
        assert "\n" not in str(done.exception)
