"""How pages are made: the templates, what they may say of times and numbers, and the language they speak.

There is one Jinja environment a language. Customers' pages speak French or English, each
written for itself in its own catalogue under ``locale/``, whose keys stand in the templates: ``{{ _("my.title") }}``.
Staff's texts stand in their templates in English, and in French in the catalogues of ``locale/fr/LC_MESSAGES/desk/``.
"""

import io
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import jinja2
from babel.dates import format_date, format_datetime, format_time
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations
from fastapi import Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from cloud import database, replay
from cloud.replay import Moment
from cloud.words import Said

LANGUAGES = ("fr", "en")  # the first is spoken to customers who ask for neither
STAFF = "en"  # and this to staff
LANGUAGE_COOKIE = "domino_lang"
PARIS = ZoneInfo("Europe/Paris")  # where the letterboxes hang
NBSP = "\N{NO-BREAK SPACE}"
STATIC = Path(__file__).parent / "static"
LOCALE = Path(__file__).parent / "locale"

_CLOCK = {"fr": "H 'h' mm", "en": "HH:mm"}
_DAY = "EEE d MMM"
_INSTANT = {"fr": "EEE d MMM, H 'h' mm", "en": "EEE d MMM, HH:mm"}
_SECOND = {"fr": "EEE d MMM, H 'h' mm 'min' ss 's'", "en": "EEE d MMM, HH:mm:ss"}
_INSTANT_WHOLE = {
    "fr": "EEEE d MMMM y, H 'h' mm 'min' ss 's, heure de Paris'",
    "en": "EEE d MMM y, HH:mm:ss, 'Paris time'",
}


def render(
    request: Request, template: str, *, lang: str = "en", status: int = 200, here: str | None = None, **context: Any
) -> HTMLResponse:
    """The page as an answer. `here` is where its language can be switched, when that is not the path asked for."""
    url = request.url.replace(path=here, query="") if here else request.url
    switch = {other: "?".join((url.path, url.include_query_params(lang=other).query)) for other in LANGUAGES}
    known = {"status": status, "path": request.url.path, "session": getattr(request.state, "session", None)}
    known["moment"] = getattr(request.state, "moment", None)  # cloud.replay
    # A live code is worth money: who may not read stamps sees none.
    known["may_read_stamps"] = known["session"] is not None and "read stamps" in known["session"].account.rights
    known["station_name"] = getattr(request.app.state, "station_name", str)
    known["bench_url"] = getattr(request.app.state, "bench_url", None)
    page = fragment(template, lang=lang, switch=switch, **known, **context)
    answer = HTMLResponse(page, status)
    if request.query_params.get("lang") in LANGUAGES:
        answer.set_cookie(
            LANGUAGE_COOKIE, request.query_params["lang"], max_age=365 * 86400, httponly=True, samesite="lax"
        )
    return answer


def render_for_staff(request: Request, template: str, **context: Any) -> HTMLResponse:
    """As `render`, in the language that the operator chose; within a replay the page says that it is beside it."""
    replay.beside(request)
    return render(request, template, lang=language(request, STAFF), **context)


def not_yet(request: Request, said: Said, at: datetime | None) -> HTMLResponse:
    """What was asked for came later than the replay has come to: at `at`, when it will be shown."""
    moment = replay.moment(request)
    return render_for_staff(request, "console/not_yet.html", status=404, now=moment.now, said=said, next_at=at)


def time_of_day(moment: datetime) -> time:
    """In Paris, for a sentence: ``N_("… at %(time)s", time=time_of_day(now))``."""
    return moment.astimezone(PARIS).time()


def fragment(
    template: str, *, lang: str = "en", now: datetime | None = None, moment: Moment | None = None, **context: Any
) -> str:
    """A template alone, such as one row of a live table; `now` is what ages are counted from."""
    known = {"lang": lang, "now": now or database.now(), "moment": moment, "station_name": str}
    known["may_act"] = moment is None or not moment.is_replay
    said = _environments[lang].get_template(template).render(known | context)
    return said if moment is None else moment.carry(said)


def language(request: Request, otherwise: str = LANGUAGES[0]) -> str:
    """``?lang=``, then the cookie, then what the browser would rather read, then `otherwise`."""
    asked = request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)
    wanted = (*asked, *_by_preference(request.headers.get("accept-language", "")))
    return next((lang for lang in wanted if lang in LANGUAGES), otherwise)


def _by_preference(accept: str) -> list[str]:
    """
    >>> _by_preference("de-CH, en;q=0.7, fr-FR;q=0.9, *;q=0.1")
    ['de', 'fr', 'en', '*']
    """
    weighed = []
    for entry in accept[:1000].split(","):
        tag, _, weight = entry.strip().partition(";q=")
        try:
            weighed.append((-float(weight or 1), tag.split("-")[0].lower()))
        except ValueError:
            continue
    return [tag for _, tag in sorted(weighed, key=lambda pair: pair[0])]


def local_path(target: str) -> str | None:
    """`target` if it is a path of this site and nothing else, so that ``?next=`` leads nowhere else.

    >>> local_path("/my/pickups/7?lang=en"), local_path("//evil.example"), local_path("/\\\\evil.example")
    ('/my/pickups/7?lang=en', None, None)
    """
    if not target.isascii() or not target.isprintable() or "\\" in target or not target.startswith("/"):
        return None
    return None if target.startswith("//") or urlsplit(target).netloc else target


# What templates may say


def pairs(code: str) -> str:
    """
    >>> pairs("7K4F2M9X").split(NBSP)
    ['7K', '4F', '2M', '9X']
    """
    return NBSP.join(code[i : i + 2] for i in range(0, len(code), 2))


def device_id(device: int) -> str:
    return f"{device:08X}"


def _read_catalogue(path: Path, lang: str) -> Translations:
    with path.open("rb") as source:
        catalogue = read_po(source, locale=lang, abort_invalid=True)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(compiled)


class Words:
    """The filters that need a language."""

    def __init__(self, lang: str) -> None:
        self.lang = lang
        folder = LOCALE / lang / "LC_MESSAGES"
        self.messages = _read_catalogue(folder / "domino.po", lang)
        for path in sorted(folder.glob("desk/*.po")):
            self.messages.merge(_read_catalogue(path, lang))

    def say(self, said: Said | str) -> str:
        """What was marked by `N_`, or a plain English text that stands in a catalogue."""
        if isinstance(said, str):
            return said and self.messages.ugettext(said)  # an empty key is the catalogue's own head
        values = {name: self._value(value) for name, value in said.values.items()}
        text = self.messages.ugettext(said.text)
        return text % values if values else text

    def _value(self, value: object) -> object:
        """What stands in a text: times and fractions as the language writes them."""
        if isinstance(value, Said):
            return self.say(value)
        if isinstance(value, tuple):
            return ", ".join(str(self._value(one)) for one in value)
        if isinstance(value, datetime):
            return self._format(value, _INSTANT)
        if isinstance(value, timedelta):
            return self._span(value)
        if isinstance(value, time):
            return format_time(value, _CLOCK[self.lang], locale=self.lang).replace(" h ", f"{NBSP}h{NBSP}")
        return self.number(value, 2).removesuffix("0") if isinstance(value, float) else value

    def number(self, value: float, digits: int = 0) -> str:
        """Thousands apart by a no-break space in both languages, as the look has it."""
        text = f"{value:,.{digits}f}".replace(",", NBSP)
        return text.replace(".", ",") if self.lang == "fr" else text

    @jinja2.pass_context
    def age(self, context: jinja2.runtime.Context, moment: datetime) -> Markup:
        """How long ago: ``9 h 12 min``, with the time itself behind it."""
        return self._time(moment, self._span(context["now"] - moment))

    @jinja2.pass_context
    def ago(self, context: jinja2.runtime.Context, moment: datetime) -> Markup:
        """``9 h 12 min ago``."""
        span = context["now"] - moment
        if span < timedelta(seconds=1):
            return self._time(moment, self.messages.ugettext("time.now"))
        return self._time(moment, self.messages.ugettext("time.ago") % {"span": self._span(span)})

    def instant(self, moment: datetime) -> Markup:
        """``Fri 20 Nov, 09:42``, in Paris."""
        return self._time(moment, self._format(moment, _INSTANT))

    def short_day(self, moment: datetime) -> str:
        """The day, where a page says it once: ``Wed 18``, ``mer. 18``."""
        return format_datetime(moment, "EEE d", tzinfo=PARIS, locale=self.lang)

    def second(self, moment: datetime) -> Markup:
        """``Fri 20 Nov, 09:42:30``, in Paris."""
        return self._time(moment, self._format(moment, _SECOND))

    def clock(self, moment: datetime) -> str:
        """The time of the day in Paris: ``09:42``, ``9 h 42``."""
        return self._format(moment, _CLOCK)

    def day(self, moment: date) -> str:
        """``12 Oct``, ``12 oct.``."""
        return format_date(moment, "d MMM", locale=self.lang)

    def month(self, moment: date) -> str:
        """``Oct 26``, ``oct. 26``."""
        return format_date(moment, "MMM yy", locale=self.lang)

    def month_of_year(self, moment: date) -> str:
        """``Oct 2026``, ``oct. 2026``."""
        return format_date(moment, "MMM y", locale=self.lang)

    def weekday(self, moment: date) -> str:
        """``Fri 20 Nov``, ``ven. 20 nov.``."""
        return format_date(moment, "EEE d MMM", locale=self.lang)

    def _span(self, span: timedelta) -> str:
        seconds = max(0, int(span.total_seconds()))
        days, hours, minutes = seconds // 86400, seconds // 3600, seconds // 60
        if days >= 2:
            return self.messages.ungettext("time.day", "time.days", days) % {"n": days}
        if hours:
            return f"{hours}{NBSP}h" + (f" {minutes % 60}{NBSP}min" if minutes % 60 else "")
        return f"{minutes}{NBSP}min" if minutes else f"{seconds}{NBSP}s"

    def _format(self, moment: datetime, patterns: dict[str, str]) -> str:
        text = format_datetime(moment, patterns[self.lang], tzinfo=PARIS, locale=self.lang)
        return text.replace(" h ", f"{NBSP}h{NBSP}")

    def _time(self, moment: datetime, words: str) -> Markup:
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            moment.astimezone(PARIS).isoformat(timespec="seconds"), self._format(moment, _INSTANT_WHOLE), words
        )


def _environment(lang: str) -> jinja2.Environment:
    words = _words[lang]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(words.messages, newstyle=True)  # type: ignore[attr-defined]
    environment.globals["lang"] = lang  # macros that are imported see no page's
    environment.filters.update(
        pairs=pairs,
        device_id=device_id,
        number=words.number,
        age=words.age,
        ago=words.ago,
        instant=words.instant,
        second=words.second,
        clock=words.clock,
        day=words.day,
        month=words.month,
        month_of_year=words.month_of_year,
        short_day=words.short_day,
        weekday=words.weekday,
        say=words.say,
    )
    return environment


def say(said: Said | str, lang: str = STAFF) -> str:
    """In plain text, for an answer that is no page."""
    return _words[lang].say(said)


_words = {lang: Words(lang) for lang in LANGUAGES}
_environments = {lang: _environment(lang) for lang in LANGUAGES}
