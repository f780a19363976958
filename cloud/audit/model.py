"""Who did what, as a chain: each entry's digest covers the one before, so none is changed or left out unseen."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

BEFORE_ALL = bytes(32)  # the digest that the first entry follows


@dataclass(frozen=True, slots=True)
class Entry:
    """One deed: `actor` ("staff n.arnaud") did `action` ("button.revoke") to `subject` ("button 0012AB34").

    `detail` holds what else it takes to understand it, never a secret and never a person's address.
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


def verify(entries: Iterable[Entry], before: bytes = BEFORE_ALL, last: int = 0) -> tuple[int, bytes]:
    """Follow the chain from the entry `last`, whose digest is `before`; gives the newest entry's. Raises `Broken`."""
    for entry in entries:
        if entry.id != last + 1:
            raise Broken(last + 1, f"missing; {entry.id} follows {last}")
        right = digest(before, entry.id, entry.at, entry.actor, entry.action, entry.subject, entry.detail)
        if right != entry.digest:
            raise Broken(entry.id, "was changed, or an entry before it was")
        last, before = entry.id, right
    return last, before
