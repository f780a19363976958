"""Codes at rest: sealed and opened one by one and in bulk, and never under another key."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest.keys import Keys
from cloud.stamps.model import ALPHABET, CODE_BITS, LENGTH, code_of, number_of
from cloud.stamps.vault import BLOCK, Vault, WrongKey

VAULT = Vault(Keys(bytes(range(32))).stamp_key())
codes = st.text(ALPHABET, min_size=LENGTH, max_size=LENGTH)
numbers = st.integers(0, 2**CODE_BITS - 1)


@given(numbers)
def test_a_code_is_its_40_bits(number: int) -> None:
    assert number_of(code_of(number)) == number


@given(codes, codes)
def test_opening_undoes_sealing_and_equal_codes_alone_have_equal_blocks(one: str, other: str) -> None:
    block = VAULT.seal(one)
    assert len(block) == BLOCK
    assert VAULT.open(block) == one
    assert (VAULT.seal(other) == block) == (one == other)


@given(st.lists(codes, max_size=30))
def test_in_bulk_it_is_the_same(many: list[str]) -> None:
    import numpy as np

    as_numbers = np.array([number_of(code) for code in many], np.uint64)
    blocks = VAULT.seal_many(as_numbers)
    assert blocks == [VAULT.seal(code) for code in many]
    assert [code_of(int(number)) for number in VAULT.open_many(b"".join(blocks))] == many


def test_the_block_is_aes_256_of_the_code_and_zeros_under_the_derived_key() -> None:
    """So that whoever holds the master key can open a backup by other means, with this version or a later one."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.cmac import CMAC

    master, fixed = bytes(range(32)), b"domino stamp vault" + b"\0" + (256).to_bytes(4, "big")
    key = b""
    for counter in (1, 2):  # NIST SP 800-108r1, counter mode, two blocks of CMAC
        mac = CMAC(algorithms.AES256(master))
        mac.update(counter.to_bytes(4, "big") + fixed)
        key += mac.finalize()
    plain = int("0011110011001000111100010101010100111110", 2).to_bytes(5, "big") + bytes(11)
    aes = Cipher(algorithms.AES256(key), modes.ECB()).encryptor()  # noqa: S305  one block
    assert Vault(key) == VAULT
    assert VAULT.seal("7K4F2M9X") == aes.update(plain)


@given(st.lists(codes, min_size=1, max_size=5))
def test_another_key_opens_nothing(many: list[str]) -> None:
    blocks = [Vault(bytes(32)).seal(code) for code in many]
    with pytest.raises(WrongKey):
        VAULT.open(blocks[0])
    with pytest.raises(WrongKey):
        VAULT.open_many(VAULT.seal(many[0]) + b"".join(blocks))


def test_a_key_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes, not 16"):
        Vault(bytes(16))


def test_neither_key_nor_code_shows() -> None:
    assert repr(VAULT) == "Vault()"


def test_what_presses_and_pages_need_imports_no_kernels() -> None:
    """numpy and numba cost a second and a hundred megabytes, which neither a press nor the command line need pay."""
    said = (
        "import sys, cloud.__main__\nfrom tools.main import COMMANDS, load\nfor name in COMMANDS:\n    load(name)\n"
        "print(sorted({'numpy', 'numba'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", said], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
