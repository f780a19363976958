"""An appeal: somebody whose parcel was refused says that the stamp was good, and a person decides.

What is answered to an appeal does not depend on the code that it names: it is written down unread, so that the form
tells nobody whether a code is a stamp.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from cloud.stamps import model as stamps
from cloud.words import N_

MAX_NAME = 100
MAX_CONTACT = 254  # an e-mail address has no more, RFC 5321
MAX_PIECE = 40
MAX_TEXT = 2000
MIN_REASON = 10  # letters: "no" is no reason
MAX_REASON = 1000


class State(StrEnum):
    OPEN = "open"
    UPHELD = "upheld"  # the appeal was right
    REJECTED = "rejected"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.OPEN: frozenset({State.UPHELD, State.REJECTED}),
    State.UPHELD: frozenset(),
    State.REJECTED: frozenset(),
}


class NotFound(LookupError):
    """There is no such appeal."""


class WrongState(Exception):
    """It is decided already."""


class Fault(StrEnum):
    MISSING = "missing"
    LONG = "long"
    UNPRINTABLE = "unprintable"
    CODE = "code"  # eight characters of the alphabet it is not; whether it is a stamp is another matter
    NEITHER = "neither"  # number nor code


class Faulty(ValueError):
    """What is wrong with an appeal, field by field."""

    def __init__(self, faults: dict[str, Fault]) -> None:
        super().__init__("; ".join(f"{name}: {WORDS[fault]}" for name, fault in faults.items()))
        self.faults = faults


WORDS = {
    Fault.MISSING: "is missing",
    Fault.LONG: f"is too long; at most {MAX_NAME}, {MAX_CONTACT}, {MAX_PIECE} and {MAX_TEXT} characters in this order",
    Fault.UNPRINTABLE: "has a character that cannot be printed",
    Fault.CODE: f"a stamp code has {stamps.LENGTH} characters of {stamps.ALPHABET}",
    Fault.NEITHER: "say the number on the item, the code, or both",
}


@dataclass(frozen=True, slots=True)
class Claim:
    """What is said, checked for its form alone: see `claim`."""

    name: str
    contact: str
    piece: str | None
    code: str | None = field(repr=False)
    text: str


def claim(*, name: str, contact: str, piece: str = "", code: str = "", text: str) -> Claim:
    """Raises `Faulty`."""
    name, contact, piece, text = name.strip(), contact.strip(), piece.strip(), text.strip()
    faults: dict[str, Fault] = {}
    needed = (("name", name, MAX_NAME), ("contact", contact, MAX_CONTACT), ("text", text, MAX_TEXT))
    for key, value, most in (*needed, ("piece", piece, MAX_PIECE)):
        if not value and key != "piece":
            faults[key] = Fault.MISSING
        elif len(value) > most:
            faults[key] = Fault.LONG
        elif not is_plain(value):
            faults[key] = Fault.UNPRINTABLE
    parsed = None
    if code.strip():
        try:
            parsed = stamps.parse(code)
        except ValueError:
            faults["code"] = Fault.CODE
    elif not piece:
        faults["piece"] = Fault.NEITHER
    if faults:
        raise Faulty(faults)
    return Claim(name, contact, piece or None, parsed, text)


def is_plain(text: str) -> bool:
    """Nothing but what prints, and lines.

    >>> is_plain("Refusé,\\nà tort"), is_plain("\\0")
    (True, False)
    """
    return all(sign.isprintable() or sign in "\r\n\t" for sign in text)


@dataclass(frozen=True, slots=True)
class Appeal:
    id: int
    reference: str = field(repr=False)  # whoever has it may read the outcome
    state: State
    filed_at: datetime
    name: str
    contact: str = field(repr=False)
    piece: str | None
    code: str | None = field(repr=False)
    text: str
    decided_at: datetime | None = None
    decided_by: str | None = None
    reason: str | None = None  # told to who appealed


def check_reason(reason: str) -> str:
    """Raises ValueError."""
    reason = reason.strip()
    if not MIN_REASON <= len(reason) <= MAX_REASON or not is_plain(reason):
        limits = {"least": MIN_REASON, "most": MAX_REASON}
        raise ValueError(N_("a reason is %(least)s to %(most)s characters long: who appealed will read it", **limits))
    return reason
