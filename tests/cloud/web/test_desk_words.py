"""Staff's pages in French: every text of theirs is marked, has its French, and is set as French wants."""

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

import cloud.accounts.model
import cloud.alerts.model
import cloud.appeals.model
import cloud.console.thread
import cloud.downlinks.model
import cloud.fleet.battery
import cloud.fleet.imports
import cloud.fleet.rhythm
import cloud.frames.history
import cloud.frames.model
import cloud.pickups.model
import cloud.stamps.alarms
import cloud.stamps.ledger
import cloud.stamps.model
from cloud import pages
from cloud.console.filters import KINDS
from cloud.ingest.uplink import Kind
from cloud.words import N_
from tests.cloud.web.test_catalogues import CLOUD, KEY, _ids, _texts, _used_in_templates

FRENCH = CLOUD / "locale" / "fr" / "LC_MESSAGES" / "desk"
TEMPLATES = CLOUD / "templates" / "console"

# Words of the domain that pages say as they are stored: `{{ _(frame.result) }}`.
FAMILIES = {
    *cloud.accounts.model.Role,
    *cloud.accounts.model.Right,
    *cloud.frames.model.Result,
    *cloud.pickups.model.State,
    *cloud.pickups.model.Event,
    *(kind.word for kind in Kind),
    *cloud.console.thread.LANES,
    *("limit", "average", "good", "excellent"),  # Sigfox's classes of link
}
FAMILIES |= {*cloud.downlinks.model.State, *cloud.fleet.battery.Pack, *cloud.fleet.rhythm.Verdict}
FAMILIES |= {*cloud.frames.history.LQI}
FAMILIES |= {*cloud.fleet.imports.Kept, *cloud.fleet.imports.ImportState}
FAMILIES |= {*KINDS}
FAMILIES |= {*cloud.alerts.model.Severity, *cloud.alerts.model.State, *cloud.stamps.alarms.Sign}
FAMILIES |= {*cloud.appeals.model.State, *cloud.stamps.ledger.Form, *cloud.stamps.model.State}
FAMILIES |= {*cloud.stamps.ledger.REFUSED} - {"unknown clear"}

# Names and units, the same in every language.
NAMES = {"Domino", "Français", "English", "dBm", "mV", "ms", "Enter", "SHA"}


class _Text(HTMLParser):
    """What a page says: its text, and the attributes that are read out or shown."""

    SAID = frozenset({"aria-label", "placeholder", "title", "alt"})

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.silent = 0  # inside of what is code

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.silent += tag in ("script", "style")
        self.said += [value for name, value in attrs if name in self.SAID and value]

    def handle_endtag(self, tag: str) -> None:
        self.silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.said.append(data)


def _unmarked(source: str) -> list[str]:
    """The words that a template says in every language: all that Jinja does not put there."""
    tokens = pages._environments["en"].lex(source)
    markup, depth = [], 0
    for _line, kind, value in tokens:
        depth += kind in ("variable_begin", "block_begin", "comment_begin")
        if kind == "data":
            markup.append(value)
        if kind in ("variable_end", "block_end", "comment_end"):
            depth -= 1
            markup.append("0")
    text = _Text()
    text.feed("".join(markup))
    text.close()
    words = re.findall(r"[^\W\d_]{2,}", " ".join(text.said))
    return [word for word in words if word not in NAMES]


def _marked_in_code() -> Iterator[str]:
    for file in CLOUD.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == N_.__name__:
                text = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
                assert isinstance(text, str), f"{file.name}:{node.lineno} marks what is no text"
                yield text


def _french() -> dict[str, tuple[str, ...]]:
    written: dict[str, tuple[str, ...]] = {}
    for path in sorted(FRENCH.glob("*.po")):
        with path.open("rb") as source:
            catalogue = read_po(source, locale="fr", abort_invalid=True)
        for message in catalogue:
            if message.id:
                assert _ids(message)[0] not in written, f"{path.name} says again: {message.id}"
                written[_ids(message)[0]] = _texts(message)
    return written


USED = {text for text in _used_in_templates() if not KEY.fullmatch(text)} | set(_marked_in_code()) | FAMILIES


def test_every_text_has_its_french_and_no_french_is_left_over() -> None:
    written = set(_french())
    assert USED - written == set()
    assert written - USED == set()


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_a_template_says_nothing_that_is_not_marked(path: Path) -> None:
    assert _unmarked(path.read_text()) == []


def test_french_says_the_same_values_and_is_set_with_care() -> None:
    for english, texts in _french().items():
        for text in texts:
            assert text.strip() == text != "", english
            assert set(re.findall(r"%\(\w+\)s", text)) == set(re.findall(r"%\(\w+\)s", english)), english
            assert not re.search(r"['\"]|  |\.\.\.|!", text), (english, "typewriter signs, or shouting")
            assert not re.search(r"(?<!\u202f)[;?]", text), english
            assert not re.search(r"(?<!\u00a0)[:%](?!\()", text), english
            assert not re.search(r"«(?!\u00a0)|(?<!\u00a0)»", text), english


def test_a_text_of_code_is_said_in_the_readers_language() -> None:
    said = N_("Sign out")
    assert pages.Words("fr").say(said) == "Se déconnecter"
    assert pages.Words("en").say(said) == "Sign out"
