"""Claim codes: what stands on the card in the box, and makes who types it the button's owner.

Twelve symbols of the stamp alphabet are 60 bits from the operating system: not to be guessed through a form, nor out
of a stolen table, which holds their hashes only.
"""

import hashlib
import hmac
import secrets

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUVWXY"  # no O, I, S, Z: those who type them mean 0, 1, 5, 2
LENGTH = 12
BITS = 5  # of a symbol
_FOLD = str.maketrans("OISZ", "0152", "- \t\n")


def new_claim_code() -> str:
    """A fresh code as it is printed: three groups of four."""
    return _printed(secrets.randbits(LENGTH * BITS))


def code_by(secret: bytes, device: int) -> str:
    """The claim code of one of many buttons that are added together: HMAC-SHA256, as good as a fresh one.

    Who holds the 32 random bytes has all their codes, so that these need be kept nowhere.
    """
    drawn = hmac.digest(secret, b"claim code" + device.to_bytes(4), "sha256")
    return _printed(int.from_bytes(drawn[:8]) >> (64 - LENGTH * BITS))


def _printed(number: int) -> str:
    symbols = "".join(ALPHABET[number >> BITS * i & 31] for i in range(LENGTH))
    return "-".join(symbols[i : i + 4] for i in range(0, LENGTH, 4))


def claim_hash(code: str) -> bytes:
    """SHA-256 of the code, however it was typed: case, spaces, dashes and O I S Z make no difference."""
    return hashlib.sha256(code.upper().translate(_FOLD).encode()).digest()
