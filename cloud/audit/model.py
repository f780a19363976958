"""Who did what, as a chain: each entry's digest covers the one before, so none is changed or left out unseen."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

BEFORE_ALL = bytes(32)  # the digest that the first entry follows
MAX_TEXT = 200  # characters of an actor, an action, a subject, and of each text in a detail
MIN_NOTED = 8  # bytes of a digest, as somebody noted it: 16 hex digits


@dataclass(frozen=True, slots=True)
class Entry:
    """One deed: `actor` ("staff n.arnaud") did `action` ("button.revoke") to `subject` ("button 0012AB34").

    `detail` holds what else it takes to understand it, never a secret and never where a person lives.
    """

    id: int  # 1, 2, 3, … without a gap
    at: datetime
    actor: str
    action: str
    subject: str
    detail: Mapping[str, object]
    digest: bytes = field(repr=False)


class Broken(Exception):
    """The chain does not hold at entry `id`."""

    def __init__(self, id: int, why: str) -> None:
        super().__init__(f"entry {id}: {why}")
        self.id, self.why = id, why


def digest(
    before: bytes, id: int, at: datetime, actor: str, action: str, subject: str, detail: Mapping[str, object]
) -> bytes:
    """SHA-256 of the digest before and the entry as JSON with sorted keys: 32 bytes.

    >>> digest(BEFORE_ALL, 1, datetime.fromisoformat("2026-11-20T00:00Z"), "staff a", "b", "c", {}).hex()[:16]
    'ade1006ecd323c47'
    """
    said = [id, round(at.timestamp() * 1000), actor, action, subject, detail]
    text = json.dumps(said, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(before + text.encode()).digest()


def verify(
    entries: Iterable[Entry],
    before: bytes = BEFORE_ALL,
    last: int = 0,
    expected: Mapping[int, bytes] = MappingProxyType({}),
) -> tuple[int, bytes]:
    """Follow the chain from the entry `last`, whose digest is `before`; gives the newest entry's. Raises `Broken`.

    `expected` are digests, or what they begin with, of some entries as they were noted outside: a chain that was cut
    off at its end, or made anew from somewhere on, holds in itself, and only this tells.
    """
    for entry in entries:
        if entry.id != last + 1:
            raise Broken(last + 1, f"missing; {entry.id} follows {last}")
        right = digest(before, entry.id, entry.at, entry.actor, entry.action, entry.subject, entry.detail)
        if right != entry.digest:
            raise Broken(entry.id, "was changed, or an entry before it was")
        if not right.startswith(expected.get(entry.id, b"")):
            raise Broken(entry.id, "is another than was noted: the chain was made anew, from there or before")
        last, before = entry.id, right
    if expected and (noted := max(expected)) > last:
        raise Broken(last + 1, f"missing; the trail ends at {last}, and entry {noted} was noted")
    return last, before


def parse_noted(text: str) -> tuple[int, bytes]:
    """An entry's id and its digest, or what it begins with, as a command shows them; raises ValueError.

    >>> parse_noted("431:ade1006ecd323c47")[0]
    431
    """
    id, colon, digits = text.strip().partition(":")
    if not (colon and id.isdecimal() and int(id)):
        raise ValueError("an entry is noted as ID:DIGEST, such as 431:ade1006ecd323c47")
    noted = bytes.fromhex(digits)
    if not MIN_NOTED <= len(noted) <= len(BEFORE_ALL):
        raise ValueError(f"a digest has {2 * len(BEFORE_ALL)} hex digits, of which {2 * MIN_NOTED} must be there")
    return int(id), noted


def plain(value: object) -> Any:
    """`value` as JSON has it and every database keeps it: texts on one line of print, at most MAX_TEXT long.

    >>> plain({"why": "lost\\n", "ids": (1, 2)})
    {'why': 'lost\ufffd', 'ids': [1, 2]}
    """
    if isinstance(value, str):
        return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in value[:MAX_TEXT])
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return {plain(str(name)): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in (sorted(value) if isinstance(value, set | frozenset) else value)]
    raise TypeError(f"an entry's detail is text, whole numbers, lists and objects, not {type(value).__name__}")


def to_json(entry: Entry) -> str:
    """One line, from which `of_json` makes the same entry."""
    at = entry.at.astimezone(UTC).isoformat(timespec="milliseconds")
    said = {"id": entry.id, "at": at, "actor": entry.actor, "action": entry.action, "subject": entry.subject}
    return json.dumps(said | {"detail": dict(entry.detail), "digest": entry.digest.hex()}, ensure_ascii=False)


def of_json(line: str) -> Entry:
    """Raises ValueError for a line that is no entry."""
    try:
        said = json.loads(line)
        at, digest = datetime.fromisoformat(said["at"]), bytes.fromhex(said["digest"])
        return Entry(said["id"], at, said["actor"], said["action"], said["subject"], said["detail"], digest)
    except (TypeError, KeyError) as error:
        raise ValueError(f"this is no entry: {error}") from None
