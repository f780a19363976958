"""What the bench says, in English and French: gettext's catalogue, and texts that are chosen before their language is.

English stands in the templates and in the code and is the key of the French in ``locale/``.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from markupsafe import Markup

LANGUAGES = ("en", "fr")
PARIS = ZoneInfo("Europe/Paris")  # as the console's pages have it
NBSP = "\N{NO-BREAK SPACE}"
FRENCH = Path(__file__).parent / "locale" / "fr" / "LC_MESSAGES" / "bench.po"


@dataclass(frozen=True, slots=True)
class Said:
    """A text and what stands in it, not yet in any language."""

    text: str
    values: Mapping[str, object] = field(default_factory=dict)
    several: str = ""  # the plural, chosen by the value `n`

    def __str__(self) -> str:
        """
        >>> str(N_("Counter %(counter)s", counter=431)), str(N_n("%(n)s click", "%(n)s clicks", 2))
        ('Counter 431', '2 clicks')
        """
        return Words("en").say(self)


def N_(text: str, **values: object) -> Said:  # noqa: N802  the name that marks a text in every gettext tool
    """Mark `text` for the catalogue; a value that is `Said` is said in the same language."""
    return Said(text, values)


def N_n(one: str, several: str, n: int, **values: object) -> Said:  # noqa: N802
    """Likewise of a number of things."""
    return Said(one, {"n": n, **values}, several)


def _french() -> Translations:
    with FRENCH.open("rb") as source:
        catalogue = read_po(source, locale="fr", abort_invalid=True)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(compiled)


_CATALOGUES: dict[str, NullTranslations] = {"en": NullTranslations(), "fr": _french()}


class Words:
    """One language."""

    def __init__(self, lang: str) -> None:
        self.lang = lang
        self.messages = _CATALOGUES[lang]

    def say(self, said: Said | str) -> str:
        if isinstance(said, str):
            return self.messages.ugettext(said) if said else ""
        values = {name: self._value(value) for name, value in said.values.items()}
        if said.several:
            count = said.values["n"]
            assert isinstance(count, int)
            text = self.messages.ungettext(said.text, said.several, count)
        else:
            text = self.messages.ugettext(said.text)
        return text % values if values else text

    def _value(self, value: object) -> object:
        if isinstance(value, Said):
            return self.say(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self.number(value)
        return value

    def number(self, value: float, digits: int | None = None) -> str:
        """
        >>> Words("fr").number(3050), Words("fr").number(0.31), Words("en").number(2.0)
        ('3\\xa0050', '0,31', '2.0')
        """
        text = f"{value:,}" if digits is None else f"{value:,.{digits}f}"
        text = text.replace(",", NBSP).replace("-", "\N{MINUS SIGN}")
        return text.replace(".", ",") if self.lang == "fr" else text

    def clock(self, moment: datetime) -> Markup:
        """The second of the day in Paris, with the date behind it."""
        there = moment.astimezone(PARIS)
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            there.isoformat(timespec="milliseconds"),
            there.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3],
            there.strftime("%H:%M:%S"),
        )
