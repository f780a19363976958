"""The filter of a stream as it stands in an address: ``button=00D1F3A7&result=replayed&kind=pickup&department=35``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from urllib.parse import parse_qsl, urlencode

from cloud.fleet.model import format_id, parse_id
from cloud.frames.model import Filter, Result
from cloud.ingest.uplink import Kind
from cloud.words import N_, Said

KINDS = tuple(kind.word for kind in Kind)
NAMES = ("button", "result", "kind", "department")
_DEPARTMENT = re.compile(r"97[1-6]|2[AB]|[0-9]{2}")


def read(said: Mapping[str, str]) -> Filter:
    """Of the parameters of an address; empty ones say nothing. Raises ValueError, whose text tells what is wrong.

    >>> read({"button": "d1f3a7", "result": "replayed", "kind": "", "department": "2a"})
    Filter(device=13759399, result=<Result.REPLAYED: 'replayed'>, kind=None, department='2A')
    """
    button, result, kind, department = (said.get(name, "").strip() for name in NAMES)
    if result and result not in set(Result):
        known = tuple(map(Said, Result))
        raise ValueError(N_("there is no result “%(said)s”; there are: %(known)s", said=result, known=known))
    if kind and kind not in KINDS:
        known = tuple(map(Said, KINDS))
        raise ValueError(N_("there is no kind “%(said)s”; there are: %(known)s", said=kind, known=known))
    if department and not _DEPARTMENT.fullmatch(department.upper()):
        raise ValueError(N_("“%(said)s” is no department: 01 to 95, 2A, 2B, 971 to 976", said=department))
    return Filter(
        parse_id(button) if button else None,
        Result(result) if result else None,
        kind or None,
        department.upper() or None,
    )


def write(wanted: Filter) -> str:
    """The opposite of `read`, as a query.

    >>> write(Filter(device=0x00D1F3A7, result=Result.BAD_SEAL))
    'button=00D1F3A7&result=bad+seal'
    """
    device = None if wanted.device is None else format_id(wanted.device)
    values = zip(NAMES, (device, wanted.result, wanted.kind, wanted.department), strict=True)
    return urlencode({name: value for name, value in values if value is not None})


class Rows(StrEnum):
    """How a frame is shown as a row."""

    NARROW = "narrow"  # beside other things, on the overview
    WIDE = "wide"  # with all its fields


@dataclass(frozen=True, slots=True)
class View:
    """What one page wants of a stream. As text it is a query: ``rows=wide&result=replayed``, or none."""

    wanted: Filter
    rows: Rows = Rows.NARROW

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises ValueError."""
        said = dict(parse_qsl(text))
        return cls(read(said), Rows(said.get("rows", Rows.NARROW)))

    def __str__(self) -> str:
        rows = "" if self.rows is Rows.NARROW else f"rows={self.rows}"
        return "&".join(filter(None, (rows, write(self.wanted))))
