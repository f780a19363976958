"""The parcel number that all the world's posts read: UPU S10, thirteen characters.

Two letters for the service, eight digits, one check digit, two letters for the country: CD 0060 4127 2 FR.
"""

import re
from dataclasses import dataclass

WEIGHTS = (8, 6, 4, 2, 3, 5, 9, 7)  # UPU S10, one for each digit of the serial
SERIALS = 10**8  # of one service and country; S10 forbids to use one again within twelve months
_FORM = re.compile(r"([A-Z]{2})([0-9]{8})([0-9])([A-Z]{2})")


def check_digit(serial: int) -> int:
    """By the weights, modulo 11. Remainders 0 and 6 share the check digit 5.

    >>> check_digit(47312482)
    9
    """
    sum_ = sum(weight * int(digit) for weight, digit in zip(WEIGHTS, f"{serial:08}", strict=True))
    return {10: 0, 11: 5}.get(digit := 11 - sum_ % 11, digit)


@dataclass(frozen=True, slots=True)
class Number:
    service: str  # two letters: C for parcels, the second is the post's own
    serial: int  # 0 to 99 999 999
    country: str  # ISO 3166-1, of the post that gave the number

    def __post_init__(self) -> None:
        if not 0 <= self.serial < SERIALS:
            raise ValueError(f"a parcel number has eight digits, {self.serial} does not fit")

    def __str__(self) -> str:
        return f"{self.service}{self.serial:08}{check_digit(self.serial)}{self.country}"

    @property
    def grouped(self) -> str:
        """As it is shown and read out.

        >>> Number("RR", 28704377, "IN").grouped
        'RR 2870 4377 5 IN'
        """
        all_ = str(self)
        return " ".join((all_[0:2], all_[2:6], all_[6:10], all_[10], all_[11:13]))


def parse(text: str) -> Number:
    """Whatever its case, spaces and dashes. Raises `ValueError` for another form or a check digit that is not its own.

    >>> parse("rr 2870 4377 5 in")
    Number(service='RR', serial=28704377, country='IN')
    """
    form = _FORM.fullmatch("".join(text.replace("-", " ").split()).upper())
    if form is None:
        raise ValueError("a parcel number is two letters, nine digits, two letters: CD 0060 4127 2 FR")
    number = Number(form[1], int(form[2]), form[4])
    if check_digit(number.serial) != int(form[3]):
        raise ValueError(f"a digit of the parcel number is wrong: the check digit {form[3]} does not fit the rest")
    return number
