"""Passwords: argon2id with the parameters of the day, and no more at once than the memory bears."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import argon2

from cloud.accounts.model import TooBusy

AT_ONCE = 4  # 4 x 64 MiB, however many sign in together
IN_LINE = 4  # more; each keeps a thread of the pages, of which there are 40, and perhaps one of 15 connections waiting

_hasher = argon2.PasswordHasher()  # RFC 9106, low-memory profile: 64 MiB, 3 passes, 4 lanes
_at_once = threading.BoundedSemaphore(AT_ONCE)
_in_line = threading.BoundedSemaphore(AT_ONCE + IN_LINE)


@dataclass(frozen=True, slots=True)
class Hash:
    """A hashed password: whoever makes it beforehand keeps the slow part out of the transaction."""

    text: str = field(repr=False)


def digest(password: str) -> Hash:
    with _turn():
        return Hash(_hasher.hash(password))


def matches(text: str, password: str) -> bool:
    with _turn():
        try:
            return _hasher.verify(text, password)
        except argon2.exceptions.VerificationError:
            return False


@contextmanager
def _turn() -> Iterator[None]:
    """Raises `TooBusy` where too many wait already, so that a crowd at this door leaves the others open."""
    if not _in_line.acquire(blocking=False):
        raise TooBusy
    try:
        with _at_once:
            yield
    finally:
        _in_line.release()


def is_outdated(text: str) -> bool:
    """Whether the parameters have grown since this hash was made."""
    return _hasher.check_needs_rehash(text)
