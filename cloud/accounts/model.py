"""Who may do what: roles, the rights they carry, and the sessions and tokens that carry a role."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from cloud.words import N_, Said

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

# Without a page opened or a form sent, after which a session is over: a screen that was left is not left to others. A
# wall that only shows is signed in as viewer, and a round is walked with the telephone in the pocket.
SESSION_IDLE = {role: timedelta(hours=2) for role in Role} | {
    role: SESSION_LASTS[role] for role in (Role.CUSTOMER, Role.VIEWER, Role.POSTMAN)
}

STAFF = tuple(role for role in Role if role is not Role.CUSTOMER)
TOKEN_LASTS = timedelta(days=90)  # where nothing else is said
ONCE_LASTS = timedelta(days=7)  # a password that was given out for once
SCOPES = frozenset(Right) - {Right.OWN}  # what a token may be for
MAX_NETWORKS = 20  # of a token

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Account:
    id: int
    name: str  # what one signs in with: a short name or an e-mail address, lower case
    display_name: str
    role: Role
    created_at: datetime
    password_hash: str = field(repr=False)
    disabled_at: datetime | None = None
    password_until: datetime | None = None  # of a password for once: it must be changed by then, before anything else

    @property
    def rights(self) -> frozenset[Right]:
        return RIGHTS[self.role]

    @property
    def actor(self) -> str:
        """As the audit trail names it: a customer by number, because what stands there stands for ever."""
        return f"customer {self.id}" if self.role is Role.CUSTOMER else f"staff {self.name}"

    @property
    def subject(self) -> str:
        return f"customer {self.id}" if self.role is Role.CUSTOMER else f"account {self.name}"


@dataclass(frozen=True, slots=True)
class Session:
    account: Account
    csrf: str = field(repr=False)  # what every form of this session must carry


@dataclass(frozen=True, slots=True)
class OpenSession:
    """One of an account's sessions, for its owner's list."""

    name: str  # what a form calls it by; it opens nothing
    opened_at: datetime
    seen_at: datetime
    network: str | None  # whence it was opened
    browser: str | None  # which browser, as it said itself
    is_this: bool


@dataclass(frozen=True, slots=True)
class Token:
    """What a bearer token of the API stands for. `scopes` None: all that its role may."""

    name: str
    role: Role
    scopes: frozenset[Right] | None = None
    networks: tuple[Network, ...] = ()  # whence it may come; none: from anywhere
    id: int = field(default=0, compare=False)

    @property
    def rights(self) -> frozenset[Right]:
        return RIGHTS[self.role] if self.scopes is None else RIGHTS[self.role] & self.scopes

    def may_come_from(self, host: str) -> bool:
        """Whether it may be used from this address; an IPv4 address may come as an IPv6 one."""
        if not self.networks:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self.networks)


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A token as it is listed."""

    token: Token
    created_at: datetime
    made_by: str | None  # as the audit trail names them; none: a token from before this was noted
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    def is_in_force(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Exists(Exception):
    """An account of this name is there already."""


class SignInNeeded(Exception):
    """The page is for people who have signed in."""


class TokenNeeded(Exception):
    """The API wants a bearer token that is known, in force and not expired."""


class Forbidden(Exception):
    """Known, but without the right to this."""


class PasswordDue(Exception):
    """Who has signed in with a password for once has to choose one of their own first."""


class LastAdmin(Exception):
    """Without this account nobody could administer."""

    def __init__(self) -> None:
        super().__init__(N_("the last admin can be neither disabled nor given another role: make another admin first"))


class NotFound(LookupError):
    """No such account, session or token."""


class Faulty(ValueError):
    """What was asked for an account or a token cannot be; the text says why."""


class TooManyAttempts(Exception):
    """Too many attempts of late: wrong passwords, claim codes, appeals; `again_at` is when the next one is heard."""

    def __init__(self, again_at: datetime) -> None:
        super().__init__(N_("too many attempts; the next one is heard at %(time)s UTC", time=f"{again_at:%H:%M:%S}"))
        self.again_at = again_at


class TooBusy(Exception):
    """More passwords wait to be checked than can be; the next may come in RETRY_S seconds."""

    RETRY_S = 5

    def __init__(self) -> None:
        super().__init__(N_("too many sign in at this moment"))


class PasswordRefused(ValueError):
    """Why a new password is not taken; `reason` is short, long or name."""

    def __init__(self, reason: str, sentence: Said) -> None:
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
        text = N_("the password has %(n)s characters, it needs %(least)s", n=len(password), least=MIN_PASSWORD)
        raise PasswordRefused("short", text)
    if len(password) > MAX_PASSWORD:
        raise PasswordRefused("long", N_("the password has more than %(n)s characters", n=MAX_PASSWORD))
    if password.lower() == fold_name(name):
        raise PasswordRefused("name", N_("the password is the name one signs in with"))


def least_role(scopes: Iterable[Right]) -> Role:
    """The role of staff with the fewest rights that has all of these; raises Faulty where none has.

    >>> least_role([Right.REDEEM]), least_role([Right.SEE, Right.JUDGE])
    (<Role.SORTER: 'sorter'>, <Role.SUPPORT: 'support'>)
    """
    wanted = frozenset(scopes)
    able = [role for role in STAFF if wanted <= RIGHTS[role]]
    if not able or not wanted:
        raise Faulty(N_("a token is for one right at least, and for what some role of staff may"))
    return min(able, key=lambda role: len(RIGHTS[role]))


def granted(
    maker: frozenset[Right], role: Role | None, scopes: frozenset[Right] | None
) -> tuple[Role, frozenset[Right]]:
    """The role and the rights of a token that somebody with the rights `maker` asks for.

    Of `role` and `scopes` one may be missing. Raises Faulty, and Forbidden for a right that its maker has not.
    """
    if role is None:
        role = least_role(scopes or ())
    if role is Role.CUSTOMER or (scopes is not None and not scopes <= SCOPES):
        raise Faulty(N_("a token is for staff and machines, not for customers"))
    if scopes is not None and (beyond := scopes - RIGHTS[role]):
        raise Faulty(N_("a token of role %(role)s has no right to %(rights)s", role=Said(role), rights=_said(beyond)))
    rights = RIGHTS[role] if scopes is None else scopes
    if scopes is not None and not scopes:
        raise Faulty(N_("a token is for one right at least"))
    if beyond := rights - maker:
        raise Forbidden(N_("nobody hands on a right that they have not: %(rights)s", rights=_said(beyond)))
    return role, rights


def _said(rights: Iterable[Right]) -> tuple[Said, ...]:
    return tuple(map(Said, sorted(rights)))


def parse_networks(text: str) -> tuple[Network, ...]:
    """Addresses and networks, apart by spaces or commas; raises Faulty.

    >>> [str(one) for one in parse_networks("192.0.2.7, 2001:db8::/32")]
    ['192.0.2.7/32', '2001:db8::/32']
    """
    words = text.replace(",", " ").split()
    if len(words) > MAX_NETWORKS:
        raise Faulty(N_("a token has at most %(n)s addresses", n=MAX_NETWORKS))
    try:
        return tuple(_as_ipv4(ipaddress.ip_network(word)) for word in words)
    except ValueError:
        raise Faulty(N_("addresses are such as %(examples)s", examples="192.0.2.7, 2001:db8::/32")) from None


def _as_ipv4(network: Network) -> Network:
    """IPv4 that is written as IPv6, such as ::ffff:192.0.2.7, is IPv4 like the addresses it is asked for."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is None or network.prefixlen < _MAPPED_BITS:
        return network
    return ipaddress.ip_network((mapped, network.prefixlen - _MAPPED_BITS))


_MAPPED_BITS = 96  # of ::ffff:0:0/96

MAX_NAME = 80  # characters


def check_name(name: str, what: Said | str) -> str:
    """A name that people read, on one line; raises Faulty.

    >>> check_name("  N. Arnaud ", N_("a name"))
    'N. Arnaud'
    """
    name = " ".join(name.split())
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise Faulty(N_("%(what)s has 1 to %(most)s characters on one line", what=what, most=MAX_NAME))
    return name


def check_sign_in_name(name: str) -> str:
    """What one of staff signs in with: no space, so that the audit trail's actors are told apart; raises Faulty."""
    name = fold_name(name)
    if not re.fullmatch(r"[\w.@+-]{1,80}", name):
        raise Faulty(N_("a name to sign in with has 1 to 80 letters, digits and . _ - @ +"))
    return name
