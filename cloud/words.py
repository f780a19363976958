"""Words that are chosen before their language is known: marked here, said where the page is made.

Staff's texts are written in the code and the templates in English, which is also their key in the French catalogue:
``{{ _("Frames a minute") }}`` in a template, ``N_("Counter %(counter)s", counter=431)`` in code, which a template says
by ``{{ step.title | say }}``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Said:
    """A text and what stands in it, not yet in any language."""

    text: str
    values: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        """
        >>> str(N_("Counter %(counter)s", counter=431))
        'Counter 431'
        """
        return self.text % {name: plain(value) for name, value in self.values.items()} if self.values else self.text


def N_(text: str, /, **values: object) -> Said:  # noqa: N802  the name that marks a text in every gettext tool
    """Mark `text` for the catalogue; a value that is `Said` is said in the same language, a tuple as a list."""
    return Said(text, values)


def plain(value: object) -> object:
    """
    >>> plain((N_("Sign out"), 30))
    'Sign out, 30'
    """
    return ", ".join(map(str, value)) if isinstance(value, tuple) else value


def words_of(error: Exception, otherwise: Said | None = None) -> Said | str:
    """What an error says: marked, where it was raised with a marked text, else `otherwise` or its own plain English.

    >>> words_of(ValueError(N_("this is for staff"))), words_of(ValueError("no number"))
    (Said(text='this is for staff', values={}), 'no number')
    """
    text = error.args[0] if error.args else None
    return text if isinstance(text, Said) else otherwise or str(error)
