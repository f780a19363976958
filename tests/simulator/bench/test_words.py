"""The bench in French: every text is marked, has its French, none is left over, and all are set as French wants."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from simulator.bench import app, wire, words
from simulator.bench.boards import State
from simulator.bench.journal import Way
from simulator.bench.words import N_, N_n, Words
from tests.cloud.web.test_desk_words import _unmarked

BENCH = Path(app.__file__).parent
# Said as they are stored: states and ways on the page, statuses as a row's title.
FAMILIES = {*State, *Way, *filter(None, wire.STATUSES)}
NAMES = {"NVS"}


def in_templates() -> Iterator[str]:
    for _file, _line, ids, _comments, _context in extract_from_dir(
        str(BENCH / "templates"), [("**.html", "jinja2.ext:babel_extract")]
    ):
        yield ids if isinstance(ids, str) else ids[0]


def in_code() -> Iterator[str]:
    for file in BENCH.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("N_", "N_n"):
                first = node.args[0]
                assert isinstance(first, ast.Constant), f"{file.name}:{node.lineno} marks what is no text"
                assert isinstance(first.value, str), f"{file.name}:{node.lineno} marks what is no text"
                yield first.value


def french() -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """By their first English text: all English ones, all French ones."""
    with words.FRENCH.open("rb") as source:
        catalogue = read_po(source, locale="fr", abort_invalid=True)
    written = {}
    for message in catalogue:
        if message.id:
            ids = (message.id,) if isinstance(message.id, str) else tuple(message.id)
            texts = (message.string,) if isinstance(message.string, str) else tuple(message.string or ())
            assert ids[0] not in written
            written[ids[0]] = ids, texts
    return written


def test_every_text_has_its_french_and_no_french_is_left_over() -> None:
    used, written = {*in_templates(), *in_code(), *map(str, FAMILIES)}, set(french())
    assert used - written == set()
    assert written - used == set()


@pytest.mark.parametrize("path", sorted((BENCH / "templates").glob("*.html")), ids=lambda path: path.name)
def test_a_template_says_nothing_that_is_not_marked(path: Path) -> None:
    assert [word for word in _unmarked(path.read_text()) if word not in NAMES] == []


def test_french_says_the_same_values_and_is_set_with_care() -> None:
    for english, (ids, texts) in french().items():
        for id, text in zip(ids, texts, strict=True):
            assert text.strip() == text != "", english
            assert set(re.findall(r"%\(\w+\)s", text)) == set(re.findall(r"%\(\w+\)s", id)), english
            assert not re.search(r"['\"]|  |\.\.\.|!", text), (english, "typewriter signs, or shouting")
            assert not re.search(r"(?<!\u202f)[;?]", text), english
            assert not re.search(r"(?<![\u00a0%])[:%](?!\()", text), english


def test_a_text_of_code_is_said_in_the_readers_language_with_its_numbers() -> None:
    said = N_n("%(n)s failed attempt before", "%(n)s failed attempts before", 2)
    assert (Words("en").say(said), Words("fr").say(said)) == ("2 failed attempts before", "2 essais manqués avant")
    assert Words("fr").say(N_("%(mv)s mV", mv=3050)) == "3\u00a0050\u00a0mV"
