"""The firmware's AES-CCM on the VM against NIST's vectors (CAVP), which the package cryptography-vectors carries."""

import json
from pathlib import Path

import cryptography_vectors
import pytest

from simulator.board import vm

FOLDER = Path(cryptography_vectors.__file__).parent / "ciphers/AES/CCM"
COUNTS = {"DVPT": 240, "VADT": 330, "VNT": 70, "VPT": 250, "VTT": 70}  # of each family and key size
# Not 192: MicroPython's AES has keys of 128 and 256 bits.
FILES = {f"{family}{bits}.rsp": count for family, count in COUNTS.items() for bits in (128, 256)}


def cases(file: Path) -> list[dict[str, str]]:
    """A block of lines is one test if it has a CT; any other sets what holds for those that follow."""
    found, shared = [], {}
    for block in file.read_text().replace("\r", "").split("\n\n"):
        words = block.replace("[", "").replace("]", "").replace(",", "\n").splitlines()
        pairs = dict(word.strip().split(" = ") for word in words if " = " in word)
        if "CT" in pairs:
            found.append(shared | pairs)
        else:
            shared |= pairs
    return found


@pytest.mark.parametrize("name", FILES)
def test_nists_vectors_are_sealed_and_opened_to_the_byte(name: str):
    tests = cases(FOLDER / name)
    assert len(tests) == FILES[name]
    asked, expected = [], []
    for test in tests:
        header = test["Adata"][: 2 * int(test["Alen"])]
        body = test["Payload"][: 2 * int(test["Plen"])] if test.get("Result", "Pass") == "Pass" else None
        asked.append([test["Key"], test["Nonce"], header, test["CT"], int(test["Tlen"]), body])
        expected.append([body, test["CT"] if body is not None else None])
    given = "".join(json.dumps(one) + "\n" for one in asked)
    told = vm.run_on_vm(Path(__file__).parent / "on_vm/ccm.py", given).splitlines()
    assert [json.loads(line) for line in told] == expected


def test_no_file_of_theirs_is_left_out():
    assert {file.name for file in FOLDER.glob("*.rsp") if "192" not in file.name} == set(FILES)
