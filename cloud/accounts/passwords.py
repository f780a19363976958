"""Passwords: argon2id with the parameters of the day, and no more at once than the memory bears."""

import threading
from dataclasses import dataclass, field

import argon2

_hasher = argon2.PasswordHasher()  # RFC 9106, low-memory profile: 64 MiB, 3 passes, 4 lanes
_at_once = threading.BoundedSemaphore(4)  # 4 x 64 MiB, however many sign in together


@dataclass(frozen=True, slots=True)
class Hash:
    """A hashed password: whoever makes it beforehand keeps the slow part out of the transaction."""

    text: str = field(repr=False)


def digest(password: str) -> Hash:
    with _at_once:
        return Hash(_hasher.hash(password))


def matches(text: str, password: str) -> bool:
    with _at_once:
        try:
            return _hasher.verify(text, password)
        except argon2.exceptions.VerificationError:
            return False


def is_outdated(text: str) -> bool:
    """Whether the parameters have grown since this hash was made."""
    return _hasher.check_needs_rehash(text)
