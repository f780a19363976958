"""Every message has its French and its English, none is left over, and both are set as their language wants."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import cloud.web
from cloud import pages
from cloud.appeals.model import Fault
from cloud.appeals.model import State as AppealState
from cloud.pickups.model import State
from cloud.places.model import Reason

CLOUD = Path(pages.__file__).parent

# Keys that the templates and the code put together as they run.
FAMILIES = {
    *(f"error.{status}.{part}" for status in cloud.web.TOLD for part in ("title", "text")),
    *(f"pickup.state.{state}" for state in State),
    *(f"pickup.{part}.{state}" for state in State if state is not State.REQUESTED for part in ("title", "text")),
    *(f"address.line.{line}" for line in range(1, 7)),
    *(f"address.fault.missing.{line}" for line in (1, 4, 6)),
    *(f"address.fault.{reason}" for reason in set(Reason) - {Reason.MISSING, Reason.NOT_SIX_LINES}),
    *(f"appeal.fault.{fault}" for fault in Fault),
    *(f"appeal.{part}.{state}" for state in AppealState for part in ("state", "told")),
    *(f"claim.fault.password {reason}" for reason in ("short", "long", "name")),
}


def _catalogue(lang: str) -> dict[str, Message]:
    with (CLOUD / "locale" / lang / "LC_MESSAGES" / "domino.po").open("rb") as source:
        catalogue = read_po(source, locale=lang, abort_invalid=True)
    messages = [message for message in catalogue if message.id]
    keys = [key for message in messages for key in _ids(message)]
    assert len(keys) == len(set(keys))
    return {_ids(message)[0]: message for message in messages}


def _ids(message: Message) -> tuple[str, ...]:
    return (message.id,) if isinstance(message.id, str) else tuple(message.id)


def _texts(message: Message) -> tuple[str, ...]:
    return (message.string,) if isinstance(message.string, str) else tuple(message.string or ())


def _used_in_templates() -> Iterator[str]:
    found = extract_from_dir(str(CLOUD / "templates"), [("**.html", "jinja2.ext:babel_extract")])
    for _file, _line, ids, _comments, _context in found:
        yield ids if isinstance(ids, str) else ids[0]


# Customers' texts stand under keys, in both languages; staff's stand where they are used, and in French in desk/*.po.
KEY = re.compile(r"[a-z_]+(\.[a-z0-9_ -]+)+")


def _used_in_code(keys: set[str]) -> Iterator[str]:
    for file in CLOUD.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and node.value in keys:
                yield node.value


@pytest.mark.parametrize("lang", pages.LANGUAGES)
def test_every_message_used_is_written_and_every_message_written_is_used(lang: str) -> None:
    written = set(_catalogue(lang))
    in_templates = {text for text in _used_in_templates() if KEY.fullmatch(text)}
    used = FAMILIES | in_templates | set(_used_in_code(written))
    assert used - written == set()
    assert written - used == set()


def test_the_languages_say_the_same_things_with_the_same_values() -> None:
    english, french = _catalogue("en"), _catalogue("fr")
    assert english.keys() == french.keys()
    for key, message in english.items():
        values = [set(re.findall(r"%\(\w+\)s", " ".join(_texts(one)))) for one in (message, french[key])]
        assert values[0] == values[1], key


@pytest.mark.parametrize("lang", pages.LANGUAGES)
def test_every_text_is_there_and_is_set_with_care(lang: str) -> None:
    for key, message in _catalogue(lang).items():
        for text in _texts(message):
            assert text.strip() == text != "", key
            assert not re.search(r"['\"]|  |\.\.\.|!", text), (key, "typewriter signs, or shouting")


def test_french_signs_keep_to_their_word_by_spaces_that_do_not_break() -> None:
    for key, message in _catalogue("fr").items():
        for text in _texts(message):
            assert not re.search(r"(?<!\u202f)[;?]", text), key
            assert not re.search(r"(?<!\u00a0)[:%](?!\()", text), key
            assert not re.search(r"«(?!\u00a0)|(?<!\u00a0)»", text), key
            assert not re.search(r"\b(tu|ton|ta|tes|toi)\b", text, re.IGNORECASE), (key, "vous, never tu")
