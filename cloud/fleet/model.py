"""A button as the cloud knows it."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cloud.words import N_

ID_DIGITS = 8  # a device id is 32 bits, written as upper-case hex
_ID = re.compile(f"[0-9A-Fa-f]{{1,{ID_DIGITS}}}")
_DEPARTMENT = re.compile(r"(97[1-6]|2[AB]|[0-9]{2})( |$)")
MAX_PLACE = 60  # characters
MAX_LABEL = 40  # characters
MAX_WHY = 200  # characters
LAST_GENERATION = 3  # of a button's key: two bits on the wire
DEPARTMENTS = frozenset(
    {f"{number:02}" for number in range(1, 96) if number != 20} | {"2A", "2B"} | {f"97{last}" for last in range(1, 7)}
)  # Corsica's is 2A and 2B since 1976


class State(StrEnum):
    ACTIVE = "active"
    REVOKED = "revoked"  # lost or stolen: what it sends is stored and refused


class Exists(ValueError):
    """The fleet has a button of this id already."""


class KeysUsedUp(ValueError):
    """The button has had all the keys that the wire format has room for."""


class WrongState(ValueError):
    """The button is revoked already, or is not."""


class Changed(RuntimeError):
    """Somebody else changed the button in between."""


@dataclass(frozen=True, slots=True)
class Button:
    """One button. `last_counter` is the highest accepted under its key, 0 when it was never heard.

    `key_board` names the board that was given the key, None where it has never left the cloud; `key_ticket` is what
    that board had to show for it. `key_master` is the number of the master key that the key comes from.
    """

    id: int
    key_generation: int
    state: State
    place: str | None
    department: str | None
    owner_id: int | None
    created_at: datetime
    claimed_at: datetime | None
    last_seen_at: datetime | None
    last_counter: int
    battery_mv: int | None
    temperature_c: int | None
    key_board: str | None = None
    key_ticket: str | None = None
    key_master: int = 1
    revoked_at: datetime | None = None
    revoked_by: str | None = None
    revoked_why: str | None = None
    label: str = ""  # the group that operators put it in, "pilot Rennes"
    heartbeat_hours: int | None = None  # as it was flashed or has proven; None: 24, which it has from the factory
    firmware: str | None = None  # that `domino flash` put on its board, at `firmware_at`; the wire tells none
    firmware_at: datetime | None = None
    rekey_planned_at: datetime | None = None
    rekey_planned_by: str | None = None

    @property
    def may_be_rekeyed(self) -> bool:
        """Whether a new key can be planned: it has one that was given away, and one is left."""
        was_given = self.key_board is not None or self.last_counter > 0
        return self.state is State.ACTIVE and was_given and self.key_generation < LAST_GENERATION


def format_id(device: int) -> str:
    """
    >>> format_id(0x12AB34)
    '0012AB34'
    """
    return f"{device:0{ID_DIGITS}X}"


def parse_id(text: str) -> int:
    """The id in `text`: hex in any case, leading zeros dropped or not, as Sigfox callbacks have it.

    >>> parse_id("12ab34") == parse_id("0012AB34") == 0x12AB34
    True
    """
    digits = text.strip()
    if not _ID.fullmatch(digits):
        said = {"most": ID_DIGITS, "example": "0012AB34", "text": repr(text[:40])}
        raise ValueError(N_("a button id is up to %(most)s hex digits such as %(example)s, not %(text)s", **said))
    return int(digits, 16)


def department(place: str | None) -> str | None:
    """The number that a place begins with, as the French count their departments.

    >>> department("35 Rennes"), department("2b Bastia"), department("974 Saint-Denis"), department("Rennes")
    ('35', '2B', '974', None)
    """
    found = _DEPARTMENT.match((place or "").upper())
    return found[1] if found else None


def fold(text: str | None) -> str:
    """How a name is looked for and put in order: case, accents and hyphens make no difference.

    >>> fold("42 Saint-Étienne"), fold("Œting"), fold(None)
    ('42 SAINT ETIENNE', 'OETING', '')
    """
    parts = unicodedata.normalize("NFKD", (text or "").upper().replace("Œ", "OE").replace("Æ", "AE"))
    return "".join(sign for sign in parts if not unicodedata.combining(sign)).replace("-", " ")


def check_why(text: str) -> str:
    """Why a button is revoked, on one line."""
    why = " ".join(text.split())
    if not 1 <= len(why) <= MAX_WHY or not why.isprintable():
        raise ValueError(N_("a reason has 1 to %(most)s characters, all of them printable", most=MAX_WHY))
    return why


def check_place(text: str) -> str:
    """The name of a place, for one line of a page or a terminal: nothing in it moves the cursor or ends the line."""
    place = text.strip()
    if not 1 <= len(place) <= MAX_PLACE or not place.isprintable():
        raise ValueError(f"a place has 1 to {MAX_PLACE} characters, all of them printable")
    return place


def check_label(text: str) -> str:
    """The group that a button is put in, on one line; empty for none."""
    label = text.strip()
    if len(label) > MAX_LABEL or not label.isprintable():
        raise ValueError(f"a label has at most {MAX_LABEL} characters, all of them printable")
    return label
