"""The words that somebody reads who was refused: as each error has them, or by its kind where it was raised without.

Errors are raised with a text marked by `cloud.words.N_`, so that a page says it in its reader's language and the JSON
API in English. What frameworks refuse, and what is raised in plain English, has its words here.
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy.exc
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

import cloud.fleet.model
from cloud.words import N_, Said, words_of

FAILED = N_("Something failed here. It is in the log.")
AWAY = N_("The database is away, full, or others keep it busy: try again.")  # its own words are of the schema
FOREIGN = N_("The form came from another site.")

REFUSED = N_("The request was refused.")

# Of errors that are raised in plain English, with more than a reader of another language is told.
BY_KIND: Mapping[type[Exception], Said] = {
    cloud.fleet.model.Exists: N_("This button is in the fleet already."),
    cloud.fleet.model.KeysUsedUp: N_("This button has had all of its keys."),
    cloud.fleet.model.WrongState: N_("This button’s state does not allow it."),
}


def _faults(limits: Mapping[str, Any]) -> dict[str, Said]:
    """By pydantic's names of what can be wrong with a field; `limits` is what it says of the field's own."""
    said = {name: str(value) for name, value in limits.items()}
    longest, shortest = said.get("max_length", ""), said.get("min_length", "")
    least = N_("is to be %(n)s or more", n=said.get("ge", said.get("gt", "")))
    most = N_("is to be %(n)s or less", n=said.get("le", said.get("lt", "")))
    number = N_("is no number")
    day = N_("is no date")
    return {
        "missing": N_("is missing"),
        "string_too_long": N_("has more than %(n)s characters", n=longest),
        "string_too_short": N_("has fewer than %(n)s characters", n=shortest),
        "too_long": N_("has more than %(n)s values", n=longest),
        "greater_than": least,
        "greater_than_equal": least,
        "less_than": most,
        "less_than_equal": most,
        "int_parsing": number,
        "int_parsing_size": number,
        "int_from_float": number,
        "float_parsing": number,
        "finite_number": number,
        "bool_parsing": N_("is neither yes nor no"),
        "date_from_datetime_parsing": day,
        "date_from_datetime_inexact": day,
        "date_parsing": day,
        "enum": N_("is none of: %(known)s", known=said.get("expected", "").replace(" or ", ", ")),
    }


def of_fields(error: RequestValidationError) -> Said:
    """Where and what, never the value itself: it may be a password."""
    other = N_("is not as it should be")
    faults = tuple(
        N_(
            "%(field)s: %(why)s",
            field=".".join(map(str, fault["loc"][1:])),
            why=_faults(fault.get("ctx", {})).get(fault["type"], other),
        )
        for fault in error.errors()
    )
    return N_("What was sent cannot be taken: %(faults)s", faults=faults)


def in_english(error: Exception, status: int) -> str:
    """As the JSON API tells it."""
    if isinstance(error, HTTPException):
        return str(error.detail)
    if isinstance(error, RequestValidationError):
        return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
    return str(of(error, status))


def of(error: Exception, status: int, lang: str = "en") -> Said | str:
    """As a page tells it, to be said in `lang`."""
    if isinstance(error, sqlalchemy.exc.OperationalError):
        return AWAY
    if isinstance(error, RequestValidationError):
        return of_fields(error)
    if isinstance(error, HTTPException):
        detail: object = error.detail
        return detail if isinstance(detail, Said) else REFUSED
    if status == 500:
        return FAILED
    words = words_of(error)
    if isinstance(words, Said) or lang == "en":
        return words
    return next((BY_KIND[kind] for kind in type(error).__mro__ if kind in BY_KIND), REFUSED)
