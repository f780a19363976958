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
        return self.text % self.values if self.values else self.text


def N_(text: str, **values: object) -> Said:  # noqa: N802  the name that marks a text in every gettext tool
    """Mark `text` for the catalogue; a value that is `Said` is said in the same language."""
    return Said(text, values)
