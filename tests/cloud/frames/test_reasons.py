import ast
import re
from pathlib import Path

import pytest

from cloud import pages
from cloud.frames.reasons import BETWEEN, TEXTS, read
from cloud.words import Said

INGEST = Path(pages.__file__).parent / "ingest"
NAMING = ("receive.py", "unseal.py")  # where a reason has a name before it is given


def _text(node: ast.expr) -> list[str]:
    """The texts that an expression can be, with X where a figure comes; none of a name, whose texts come by the way."""
    match node:
        case ast.Constant(value=str(text)) if text:
            return [text]
        case ast.JoinedStr(values=parts):
            return ["".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in parts)]
        case ast.IfExp(body=one, orelse=other):
            return [*_text(one), *_text(other)]
        case _:
            return []


def written() -> dict[str, str]:
    """Every reason that ingest writes down, and where."""
    found: dict[str, str] = {}
    for path in sorted(INGEST.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(id="Rejected" | "Effect"), args=[_, *said]):
                    texts = [text for argument in said for text in _text(argument)]
                case ast.Assign(targets=[ast.Name(id="said" | "note" | "reason")]) if path.name in NAMING:
                    texts = _text(node.value)
                case _:
                    continue
            found |= dict.fromkeys(texts, path.name)
    return found


def test_every_reason_that_ingest_writes_is_said_in_french():
    reasons = written()
    assert len(reasons) >= len(TEXTS) - 1  # one is joined to another, and so found by the next test
    for reason, where in reasons.items():
        said = read(reason)
        assert all(isinstance(one, Said) for one in said), f"{where}: {reason}"
        assert [pages.say(one, "fr") for one in said] != [reason]


@pytest.mark.parametrize("known", TEXTS)
def test_every_known_reason_is_still_written(known: Said):
    source = "".join(path.read_text() for path in INGEST.glob("*.py"))
    literal = max(re.split(r"%\(\w+\)s", known.text), key=len)
    assert literal in source


def test_two_reasons_of_one_frame_are_both_said():
    kept = BETWEEN.join(["no customer has claimed this button yet", "not answered: the day’s downlinks are used up"])
    assert [pages.say(one, "en") for one in read(kept)] == kept.split(BETWEEN)
    assert [pages.say(one, "fr") for one in read(kept)] == [
        "aucun client n’a encore enregistré ce bouton",
        "sans réponse\u00a0: les messages descendants du jour sont épuisés",
    ]


@pytest.mark.parametrize("reason", ["", "as nobody wrote", "one; and another; of another version"])
def test_what_is_not_known_stays_as_it_was_written(reason: str):
    assert read(reason) == ((reason,) if reason else ())


def test_figures_stay_as_they_are_and_a_quoted_text_is_not_cut():
    assert pages.say(read("8 bytes; an uplink has 12")[0], "fr") == "8 octets\u202f; un message en a 12"
    assert pages.say(read("data 'a; b' is not hex")[0], "fr") == "les données 'a; b' ne sont pas hexadécimales"
