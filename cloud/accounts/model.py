"""Who may do what: roles, the rights they carry, and the sessions and tokens that carry a role."""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

MIN_PASSWORD = 10  # characters
MAX_PASSWORD = 1024  # characters; more is not a password but work for the hash


class Right(StrEnum):
    OWN = "own"  # one's own buttons and requests
    SEE = "see"  # the operators' pages and the API, reading
    OPERATE = "operate"  # confirm and cancel for a customer
    COLLECT = "collect"  # put on a round, collect or say why not, deliver
    ADMINISTER = "administer"  # add buttons
    READ_STAMPS = "read stamps"  # learn from a code what it is worth: nobody outside may
    REDEEM = "redeem"  # pay for a mail piece with a stamp
    JUDGE = "judge"  # read appeals and decide them


class Role(StrEnum):
    CUSTOMER = "customer"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    POSTMAN = "postman"
    SORTER = "sorter"
    SUPPORT = "support"


_STAFF = frozenset({Right.SEE, Right.READ_STAMPS, Right.JUDGE})

RIGHTS: dict[Role, frozenset[Right]] = {
    Role.CUSTOMER: frozenset({Right.OWN}),
    Role.VIEWER: frozenset({Right.SEE}),
    Role.OPERATOR: _STAFF | {Right.OPERATE, Right.COLLECT, Right.REDEEM},
    Role.ADMIN: _STAFF | {Right.OPERATE, Right.COLLECT, Right.REDEEM, Right.ADMINISTER},
    Role.POSTMAN: frozenset({Right.COLLECT}),
    Role.SORTER: frozenset({Right.READ_STAMPS, Right.REDEEM}),
    Role.SUPPORT: _STAFF,
}

# A customer comes back when the button was pressed, perhaps weeks later; staff sign in for a shift.
SESSION_LASTS = {role: timedelta(days=30) if role is Role.CUSTOMER else timedelta(hours=12) for role in Role}


@dataclass(frozen=True, slots=True)
class Account:
    id: int
    name: str  # what one signs in with: a short name or an e-mail address, lower case
    display_name: str
    role: Role
    created_at: datetime
    password_hash: str = field(repr=False)

    @property
    def rights(self) -> frozenset[Right]:
        return RIGHTS[self.role]


@dataclass(frozen=True, slots=True)
class Session:
    account: Account
    csrf: str = field(repr=False)  # what every form of this session must carry


@dataclass(frozen=True, slots=True)
class Token:
    """What a bearer token of the API stands for."""

    name: str
    role: Role

    @property
    def rights(self) -> frozenset[Right]:
        return RIGHTS[self.role]


class Exists(Exception):
    """An account of this name is there already."""


class SignInNeeded(Exception):
    """The page is for people who have signed in."""


class TokenNeeded(Exception):
    """The API wants a bearer token that is known, in force and not expired."""


class Forbidden(Exception):
    """Known, but without the right to this."""


class TooManyAttempts(Exception):
    """Too many attempts of late: wrong passwords, claim codes, appeals; `again_at` is when the next one is heard."""

    def __init__(self, again_at: datetime) -> None:
        super().__init__(f"too many attempts; the next one is heard at {again_at:%H:%M:%S} UTC")
        self.again_at = again_at


class TooBusy(Exception):
    """More passwords wait to be checked than can be; the next may come in RETRY_S seconds."""

    RETRY_S = 5

    def __init__(self) -> None:
        super().__init__("too many sign in at this moment")


class PasswordRefused(ValueError):
    """Why a new password is not taken; `reason` is short, long or name."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


def fold_name(name: str) -> str:
    """
    >>> fold_name(" C.Morvan@Example.org ")
    'c.morvan@example.org'
    """
    return name.strip().lower()


def is_email(name: str) -> bool:
    """Whether `name` has the form of an e-mail address; only a message sent there can say more."""
    return len(name) <= 254 and name.isprintable() and re.fullmatch(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+", name) is not None


def check_new_password(password: str, name: str) -> None:
    """Raises PasswordRefused; length is what counts (NIST SP 800-63B), so no rules on signs."""
    if len(password) < MIN_PASSWORD:
        raise PasswordRefused("short", f"the password has {len(password)} characters, it needs {MIN_PASSWORD}")
    if len(password) > MAX_PASSWORD:
        raise PasswordRefused("long", f"the password has more than {MAX_PASSWORD} characters")
    if password.lower() == fold_name(name):
        raise PasswordRefused("name", "the password is the name one signs in with")
