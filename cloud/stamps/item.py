"""What stands on a parcel, and back to the parcel: the code, the parcel number, or the DataMatrix that holds both.

Each of the three is enough. The code is looked up in the register. The number is the pickup's id in the form of UPU
S10 and needs no table: it is public and says nothing of the code. A DataMatrix that was put together from two parcels
contradicts itself, and is refused.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from cloud.stamps import s10
from cloud.stamps.model import LENGTH, parse

T = TypeVar("T")

SERVICES = ("CD", "CE", "CF", "CG")  # parcel services of S10, taken in turn: 10⁸ pickups each
COUNTRY = "FR"
NUMBER_LENGTH = 13


@dataclass(frozen=True, slots=True)
class Marks:
    """What was read of an item; at least one is there."""

    code: str | None = field(repr=False)  # good for a parcel: it has no business in a log
    pickup_id: int | None


class Contradiction(ValueError):
    """Code and number of one DataMatrix belong to two items."""


def parcel_number(pickup_id: int) -> s10.Number:
    """
    >>> parcel_number(604127).grouped
    'CD 0060 4127 2 FR'
    """
    turn, serial = divmod(pickup_id, s10.SERIALS)
    if not 0 <= turn < len(SERVICES):
        raise ValueError(
            f"pickup {pickup_id} is beyond the {len(SERVICES)} parcel services that S10 numbers are made of"
        )
    return s10.Number(SERVICES[turn], serial, COUNTRY)


def pickup_of(number: s10.Number) -> int:
    """Raises `ValueError` for a number that is not one of ours.

    >>> pickup_of(s10.parse("CD006041272FR"))
    604127
    """
    if number.country != COUNTRY or number.service not in SERVICES:
        raise ValueError(
            f"{number.grouped} is another post's or service's number, ours begin with {', '.join(SERVICES)}"
        )
    return SERVICES.index(number.service) * s10.SERIALS + number.serial


def payload(code: str, number: s10.Number) -> str:
    """The text in the DataMatrix: both, without a space."""
    return f"{code}{number}"


def read_marks(text: str) -> Marks:
    """What was typed or scanned, told apart by its length. Raises `ValueError`, which says what is wrong with it.

    >>> read_marks("CD 0060 4127 2 FR").pickup_id
    604127
    """
    signs = "".join(text.replace("-", " ").split())
    match len(signs):
        case n if n == LENGTH:
            return Marks(parse(signs), None)
        case n if n == NUMBER_LENGTH:
            return Marks(None, pickup_of(s10.parse(signs)))
        case n if n == LENGTH + NUMBER_LENGTH:
            return Marks(parse(signs[:LENGTH]), pickup_of(s10.parse(signs[LENGTH:])))
    raise ValueError(
        f"{len(signs)} characters are neither a code ({LENGTH}), a parcel number ({NUMBER_LENGTH}) "
        f"nor a DataMatrix ({LENGTH + NUMBER_LENGTH})"
    )


def find_item(text: str, by_code: Callable[[str], T | None], by_pickup: Callable[[int], T | None]) -> T | None:
    """The one item that any of the three names, None where there is none. Raises `ValueError`, `Contradiction`."""
    marks = read_marks(text)
    by_its_code = None if marks.code is None else by_code(marks.code)
    if marks.pickup_id is None:
        return by_its_code
    by_its_number = by_pickup(marks.pickup_id)
    if marks.code is not None and by_its_code != by_its_number:
        raise Contradiction("code and parcel number of this label belong to different parcels: look at both by hand")
    return by_its_number
