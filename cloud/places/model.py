"""A postal address in France by AFNOR NF Z10-011: six lines of at most 38 characters, the most particular first.

1 name · 2 flat, floor · 3 building, entrance · 4 number and street · 5 hamlet or PO box · 6 postcode and town
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

LINES = 6
LINE_LENGTH = 38  # characters, NF Z10-011
# In every second address: who seeks a street by these alone seeks all of them.
COMMON = frozenset({"A", "AU", "AUX", "D", "DE", "DES", "DU", "ET", "EN", "L", "LA", "LE", "LES", "RUE"})


class Reason(StrEnum):
    """What can be wrong with a line; the pages say it in the customer's language."""

    NOT_SIX_LINES = "not six lines"
    MISSING = "missing"
    TOO_LONG = "too long"
    CHARACTER = "character"  # one that is not written with Latin letters, digits and signs
    POSTCODE = "postcode"  # line 6 is not five digits and a town


class AddressError(ValueError):
    """All that is wrong at once: `errors` holds (line 1 to 6, or 0 for the whole; reason)."""

    def __init__(self, errors: Sequence[tuple[int, Reason]]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(f"line {line}: {reason}" if line else reason for line, reason in errors))


@dataclass(frozen=True, slots=True)
class Address:
    """Six lines as they go on the label, "" where there is nothing to say. From what was typed: `Address.of`."""

    lines: tuple[str, ...]

    @classmethod
    def of(cls, lines: Sequence[str]) -> "Address":
        """Spaces squeezed, no punctuation from line 4 on, line 6 in capitals without accents.

        >>> Address.of(["Mme  Claire Morvan", "", "", "12, rue de l'Église", "", "35400 Saint-Malo"]).lines
        ('Mme Claire Morvan', '', '', '12 rue de l Église', '', '35400 SAINT MALO')
        """
        if len(lines) != LINES:
            raise AddressError([(0, Reason.NOT_SIX_LINES)])
        typed = [unicodedata.normalize("NFC", line) for line in lines]
        clean = [_squeeze(line) for line in typed[:3]]
        clean += [_without_punctuation(line) for line in typed[3:5]]
        clean += [_without_punctuation(_plain_capitals(typed[5]))]

        required = {1, 6} if clean[4] else {1, 4, 6}
        errors: list[tuple[int, Reason]] = []
        for number, (raw, line) in enumerate(zip(typed, clean, strict=True), start=1):
            if not all(map(_is_written_in_france, _squeeze(raw))):
                errors.append((number, Reason.CHARACTER))
            elif not line and number in required:
                errors.append((number, Reason.MISSING))
            elif number == LINES and not _POSTCODE_AND_TOWN.fullmatch(line):
                errors.append((number, Reason.POSTCODE))
            if len(line) > LINE_LENGTH:
                errors.append((number, Reason.TOO_LONG))
        if errors:
            raise AddressError(errors)
        return cls(tuple(clean))

    @property
    def street_words(self) -> tuple[str, ...]:
        """The words by which street and town are found: of lines 4 and 6, folded, without those of COMMON."""
        return words(f"{self.lines[3]} {self.lines[5]}")


def words(text: str) -> tuple[str, ...]:
    """What of `text` can be sought, each once: capitals without accents or punctuation, as on line 6 of an envelope.

    >>> words("18, rue de l'Église, 35400 Saint-Malo")
    ('18', 'EGLISE', '35400', 'SAINT', 'MALO')
    """
    folded = _without_punctuation(_plain_capitals(unicodedata.normalize("NFC", text))).split()
    return tuple(dict.fromkeys(word for word in folded if word not in COMMON))


_POSTCODE_AND_TOWN = re.compile(r"[0-9]{5} (?=.*[A-Z])[0-9A-Z ]+")


def _squeeze(line: str) -> str:
    return " ".join(line.split())


def _without_punctuation(line: str) -> str:
    return _squeeze("".join(symbol if symbol.isalnum() else " " for symbol in line))


def _plain_capitals(line: str) -> str:
    line = line.upper().replace("Œ", "OE").replace("Æ", "AE")  # which Unicode does not take apart
    return "".join(symbol for symbol in unicodedata.normalize("NFKD", line) if not unicodedata.combining(symbol))


def _is_written_in_france(symbol: str) -> bool:
    if symbol.isascii():
        return symbol.isprintable()
    return symbol in "’°«»–" or unicodedata.name(symbol, "").startswith("LATIN ")
