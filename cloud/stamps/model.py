"""The digital stamp: an eight-character code that a postman writes by hand and a machine reads back, errors and all.

A code has no structure and no key, it is random and kept in a register, sealed at rest. Any two codes of the register
differ in at least three places, so that one misread character is still nearest to the right code, and no two swapped
neighbours turn one stamp into another.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from operator import ne

from cloud.words import N_

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUVWXY"  # without O, I, S and Z, which a hand writes like 0, 1, 5 and 2
LENGTH = 8
MIN_DISTANCE = 3  # places in which any two codes differ

BITS_OF_SYMBOL = 5
CODE_BITS = BITS_OF_SYMBOL * LENGTH

_FOLD = str.maketrans("abcdefghijklmnopqrstuvwxyzOISZ", "ABCDEFGH1JKLMN0PQR5TUVWXY20152", "-\N{HYPHEN}\N{EN DASH}")


class State(StrEnum):
    """The life of a stamp."""

    MINTED = "minted"  # in the pool
    RESERVED = "reserved"  # for a pickup that waits for its confirmation
    LIVE = "live"
    REDEEMED = "redeemed"
    VOID = "void"
    EXPIRED = "expired"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.MINTED: frozenset({State.RESERVED}),
    State.RESERVED: frozenset({State.LIVE, State.VOID, State.EXPIRED}),
    State.LIVE: frozenset({State.REDEEMED, State.VOID, State.EXPIRED}),
    State.REDEEMED: frozenset(),
    State.VOID: frozenset(),
    State.EXPIRED: frozenset(),
}

# They move no more; after the quarantine their codes are released.
SPENT = frozenset(state for state, ends in TRANSITIONS.items() if not ends)


class Kind(StrEnum):
    """What a reading comes to."""

    ACCEPTED = "accepted"
    AMBIGUOUS = "ambiguous"  # two stamps are nearly as likely: a person looks
    ALREADY_USED = "already used"
    UNKNOWN_CLEAR = "unknown clear"  # well written, and no stamp
    ILLEGIBLE = "illegible"  # a person looks


class NotReady(Exception):
    """The register is not loaded yet; the next try may come in RETRY_S seconds."""

    RETRY_S = 5

    def __init__(self) -> None:
        text = N_("the stamps are being loaded; nothing can be read yet, ask again in %(n)s seconds", n=self.RETRY_S)
        super().__init__(text)


class TooManyGuesses(Exception):
    """Too many codes tried in vain of late, by one party or at one place; `again_at` is when the next is heard."""

    def __init__(self, again_at: datetime) -> None:
        super().__init__(
            N_(
                "too many readings found no stamp of late, by this token or at this place; "
                "the next one is heard at %(time)s UTC",
                time=f"{again_at:%Y-%m-%d %H:%M:%S}",
            )
        )
        self.again_at = again_at


class WrongState(Exception):
    """A move that TRANSITIONS forbids."""


class NotFound(LookupError):
    """No stamp has this code, or none any more."""


@dataclass(frozen=True, slots=True)
class Stamp:
    code: str = field(repr=False)  # as good as money while it is live, so it is in no log
    state: State
    pickup_id: int | None
    minted_at: datetime
    changed_at: datetime  # when it came to its state
    piece: str | None = None  # the mail piece that it was redeemed for
    place: str | None = None  # where
    actor: str | None = None  # by whom it was redeemed or made void: "staff n.arnaud"; none where an order was
    released_at: datetime | None = None  # the end of its quarantine: the code may be another stamp's since then


@dataclass(frozen=True, slots=True)
class Redeemed:
    """The mail piece is paid for. The same piece again gets the same answer."""

    stamp: Stamp


@dataclass(frozen=True, slots=True)
class AlreadyUsed:
    """Another mail piece had it: `stamp` says which, when and where. For staff alone."""

    stamp: Stamp


@dataclass(frozen=True, slots=True)
class NotLive:
    """It was never confirmed, or is void or expired: `stamp.state` says so."""

    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Unknown:
    """No stamp has this code."""


Redemption = Redeemed | AlreadyUsed | NotLive | Unknown


def parse(text: str) -> str:
    """The code that was written, whatever its case, spaces and dashes, and with O, I, S, Z for 0, 1, 5, 2.

    >>> parse("7k 4f-2m 9x")
    '7K4F2M9X'
    """
    code = "".join(text.split()).translate(_FOLD)
    for place, symbol in enumerate(code, 1):
        if symbol not in ALPHABET:
            raise ValueError(f"a stamp code is made of {ALPHABET}, not {symbol!r} as in place {place}")
    if len(code) != LENGTH:
        raise ValueError(f"a stamp code has {LENGTH} characters, not {len(code)}")
    return code


def pairs(code: str) -> tuple[str, str, str, str]:
    return code[0:2], code[2:4], code[4:6], code[6:8]


def format_pairs(code: str) -> str:
    """As it is shown and written: '7K 4F 2M 9X'."""
    return " ".join(pairs(code))


def distance(a: str, b: str) -> int:
    """In how many places two codes differ (Hamming)."""
    return sum(map(ne, a, b))


def number_of(code: str) -> int:
    """The code's 40 bits, five a symbol in ALPHABET's order, the first symbol highest.

    >>> number_of("0000000Y")
    31
    """
    number = 0
    for symbol in code:
        number = number << BITS_OF_SYMBOL | ALPHABET.index(symbol)
    return number


def code_of(number: int) -> str:
    """The code of 40 bits.

    >>> code_of(31)
    '0000000Y'
    """
    places = range(CODE_BITS - BITS_OF_SYMBOL, -1, -BITS_OF_SYMBOL)
    return "".join(ALPHABET[number >> place & 31] for place in places)
