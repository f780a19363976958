"""Who a board is to be, and whether it may: from the cloud's registry, or from a slip for those who flash elsewhere.

A key has one counter, and the counter lives beside it on one board. So no key is ever given to two boards, nor twice
to one that may have used it. A cut cable must not cost a key either, as a button has only four. Both hang on a ticket
(docs/decisions/0015): drawn on the board, then noted by the giver together with the key's generation, and erased by the
board once it has the key. A board that still shows the ticket which the giver has noted has not had that key.
"""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa

import cloud.fleet.store as fleet
from cloud import database
from cloud.fleet.claims import new_claim_code
from cloud.fleet.model import LAST_GENERATION, Button, Changed, Exists, KeysUsedUp, State, format_id, parse_id
from cloud.ingest.keys import DEVICE_KEY_BYTES, Keys
from cloud.secret import replace_secret, write_secret
from tools import deeds
from tools.terminal import Failure, check_all_know

SECRET = ("key", "broker_password")  # on a slip until it is used
ON_A_SLIP = "slip"  # for the board that the slip will be used for
SLIP_FORMAT = "domino-button-1"
SETTINGS = ("link", "wifi", "wifi_password", "broker")  # that a slip may have besides


@dataclass(frozen=True, slots=True)
class Wanted:
    """The button that a board is to be, with the key that its giver has noted last, and who was given that."""

    id: int
    generation: int
    key: bytes = field(repr=False)
    board: str | None = None
    ticket: str | None = None
    heard: int = 0  # the highest counter that the cloud has accepted under this key
    spent: str | None = None  # the fingerprint of a key that its giver has no more
    broker_password: str | None = field(default=None, repr=False, compare=False)  # of this button under this generation

    @property
    def name(self) -> str:
        return format_id(self.id)

    @property
    def fingerprint(self) -> str:
        return self.spent or fingerprint(self.id, self.generation, self.key)


def fingerprint(id: int, generation: int, key: bytes) -> str:
    """Tells keys apart and gives none away: the first 8 bytes of a SHA-256 over a label, the id, the generation, the
    key."""
    told = b"domino key fingerprint" + id.to_bytes(4, "big") + bytes([generation]) + key
    return hashlib.sha256(told).digest()[:8].hex()


@dataclass(frozen=True, slots=True)
class Found:
    """What a board said that it is."""

    board: str
    id: int | None
    generation: int | None
    counter: int | None  # the end of its block: every counter up to it may have been used
    fingerprint: str | None
    ticket: str | None

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> "Found":
        return cls(**{name: report[name] for name in cls.__dataclass_fields__})

    @property
    def is_button(self) -> bool:
        return None not in (self.id, self.generation, self.counter, self.fingerprint)

    @property
    def name(self) -> str:
        return "no button" if self.id is None else f"button {format_id(self.id)}, key generation {self.generation}"


class Step(Enum):
    KEEP = "it is this button already"
    RESUME = "it was about to become this button"
    ISSUE = "it needs a key that no board has had"


def decide(found: Found, wanted: Wanted, *, may_replace: bool) -> Step:
    """What makes this board that button. Raises `Failure` where that would end another's life without `may_replace`."""
    if found.is_button and (found.id, found.fingerprint) == (wanted.id, wanted.fingerprint):
        is_a_copy = wanted.board not in (None, ON_A_SLIP, found.board)
        if not is_a_copy and (found.counter or 0) >= wanted.heard:
            return Step.KEEP
        why = (
            f"its key is on board {wanted.board} too"
            if is_a_copy
            else f"its counter stands at {found.counter}, but {wanted.heard} was heard: it would use counters again"
        )
        _must(may_replace, f"the board is button {wanted.name}, but {why}", "gives it a new key")
        return Step.ISSUE
    if found.is_button:
        _must(may_replace, f"the board is {found.name} already", f"makes it {wanted.name}, and ends what it was")
    if wanted.ticket is not None and found.ticket == wanted.ticket:
        return Step.RESUME
    if wanted.board not in (None, found.board):
        where = "on a slip" if wanted.board == ON_A_SLIP else f"on another board, {wanted.board}"
        _must(
            may_replace,
            f"the key of button {wanted.name} is {where}",
            "gives this board a new one, and whoever has that one falls silent",
        )
    return Step.ISSUE


def _must(may_replace: bool, what_is: str, what_then: str) -> None:
    if not may_replace:
        raise Failure(f"{what_is}. Nothing was changed. --reprovision {what_then}", 3)


class Giver(Protocol):
    """Where buttons and their keys come from."""

    def wanted(self) -> Wanted: ...

    def issue(self, found: Found, ticket: str) -> Wanted:
        """Note, before it goes there, that this board is given a key; one that no board has had."""
        ...

    def conclude(self, board: str, *, new_code: bool | None) -> str | None:
        """The board has the key. Gives the claim code for the card, where there is one to print: None for `new_code`
        means one for a key that has just arrived."""
        ...

    def note_board(self, *, firmware: str, heartbeat_hours: int) -> None:
        """What else the board has now, for the button's page."""
        ...


class Registry:
    """The cloud's own: its database and master key. `is_new`: the button joins the fleet when its board is ready."""

    def __init__(self, engine: sa.Engine, keys: Keys, id: int | None, *, is_new: bool, place: str | None) -> None:
        self._engine, self._keys, self._place, self._is_new = engine, keys, place, is_new
        self._id = secrets.randbits(32) if id is None else id

    def wanted(self) -> Wanted:
        button = self._find()
        if button is not None and self._is_new:
            raise Failure(f"button {format_id(self._id)} is in the fleet already: leave out --new")
        if button is None and not self._is_new:
            raise Failure(f"button {format_id(self._id)} is not in the fleet: add --new to take it in")
        if button is None:
            key = self._keys.device_key(self._id, 0, self._keys.number)
            return Wanted(self._id, 0, key, broker_password=self._password(0, self._keys.number))
        if button.state is State.REVOKED:
            name = format_id(self._id)
            raise Failure(
                f"button {name} is revoked ({button.revoked_why or 'no reason noted'}): `domino button found {name}` "
                "takes it back under its next key, or make the board another one, with --new"
            )
        return self._wanted(button)

    def issue(self, found: Found, ticket: str) -> Wanted:
        beyond = found.generation if found.id == self._id and found.generation is not None else -1
        try:
            with self._engine.begin() as conn:
                check_all_know(conn, self._keys)
                newest = self._keys.number
                if self._is_new:
                    # Its code is shown once the board is ready; until then there is one that nobody knows.
                    code, now = new_claim_code(), database.now()
                    button = fleet.add(
                        conn, id=self._id, place=self._place, claim_code=code, now=now, key_master=newest
                    )
                else:
                    button = fleet.find(conn, self._id)
                    if button is None:
                        raise Changed(f"button {format_id(self._id)} is gone")
                given = fleet.issue_key(
                    conn, button, board=found.board, ticket=ticket, beyond=beyond, key_master=newest
                )
                subject = f"button {format_id(self._id)}"
                if self._is_new:
                    deeds.note(conn, "button.add", subject)
                deeds.note(conn, "button.key", subject, key_generation=given.key_generation, board=found.board)
                return self._wanted(given)
        except KeysUsedUp as error:
            raise Failure(f"{error}: `domino button revoke` it, and make the board another one, with --new") from None
        except (Changed, Exists) as error:
            raise Failure(f"{error}: run the same command again") from None

    def conclude(self, board: str, *, new_code: bool | None) -> str | None:
        button = self._find()
        assert button is not None
        with self._engine.begin() as conn:
            if not fleet.note_arrival(conn, button, board):
                raise Failure(f"button {format_id(self._id)} was changed by somebody else: run the same command again")
            code = new_claim_code()
            wants_code = button.key_ticket is not None if new_code is None else new_code
            is_renewed = wants_code and fleet.renew_claim_code(conn, button.id, code)
            about = {"board": board, "claim_code": "new" if is_renewed else "as before"}
            deeds.note(conn, "button.ready", f"button {format_id(self._id)}", **about)
            return code if is_renewed else None

    def note_board(self, *, firmware: str, heartbeat_hours: int) -> None:
        with self._engine.begin() as conn:
            fleet.note_board(conn, self._id, firmware=firmware, heartbeat_hours=heartbeat_hours, now=database.now())

    def _find(self) -> Button | None:
        with database.reading(self._engine) as conn:
            return fleet.find(conn, self._id)

    def _wanted(self, button: Button) -> Wanted:
        key = self._keys.key_of(button)
        return Wanted(
            button.id,
            button.key_generation,
            key,
            button.key_board,
            button.key_ticket,
            button.last_counter,
            broker_password=self._password(button.key_generation, button.key_master),
        )

    def _password(self, generation: int, key_master: int) -> str:
        return self._keys.broker_password(format_id(self._id), generation, key_master)


def export_slip(
    engine: sa.Engine, keys: Keys, id: int, path: Path, *, claim_url: str | None, may_replace: bool
) -> dict[str, Any]:
    """Write a slip with a key that no board has had, for one board. Gives what stands on it, without the key."""
    if path.exists():
        raise Failure(f"{path} exists: name another file, for this one may hold a key")
    registry = Registry(engine, keys, id, is_new=False, place=None)
    if (now := registry.wanted()).board is not None:
        where = "on a slip already" if now.board == ON_A_SLIP else f"on board {now.board}"
        _must(may_replace, f"the key of button {now.name} is {where}", "writes a new one, and that one falls silent")
    nowhere = Found(ON_A_SLIP, None, None, None, None, None)
    wanted = registry.issue(nowhere, secrets.token_hex(8))
    code = registry.conclude(ON_A_SLIP, new_code=None)
    slip = {
        "format": SLIP_FORMAT,
        "id": wanted.name,
        "key_generation": wanted.generation,
        "key": wanted.key.hex(),
        "broker_password": wanted.broker_password,
        "claim_code": code,
        "claim_url": claim_url,
        "board": None,
        "ticket": None,
    }
    write_secret(path, json.dumps(slip, indent=2) + "\n")
    told = {name: value for name, value in slip.items() if name not in SECRET}
    return told | {"key_fingerprint": wanted.fingerprint}


class Slip:
    """A file with one button's key, for one board. It notes which, and gives the key up once that board has it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told = self._read()

    @property
    def settings(self) -> Mapping[str, Any]:
        """What it says besides: perhaps wifi, wifi_password, broker, link, heartbeat_hours, claim_url."""
        return self._told

    def wanted(self) -> Wanted:
        told = self._told
        key = bytes.fromhex(told["key"]) if told.get("key") else b""
        return Wanted(
            parse_id(told["id"]),
            told["key_generation"],
            key,
            board=told.get("board"),
            ticket=told.get("ticket"),
            spent=told.get("key_fingerprint"),
            broker_password=told.get("broker_password"),
        )

    def issue(self, found: Found, ticket: str) -> Wanted:
        if self._told.get("board") is not None or not self._told.get("key"):
            raise Failure(
                f"the key in {self._path} has been given to board {self._told.get('board')} and is good for one board "
                f"once: `domino button export {self._told['id']}` writes another"
            )
        if found.id == parse_id(self._told["id"]) and (found.generation or 0) >= self._told["key_generation"]:
            raise Failure(f"the board has had a newer key than the one in {self._path}: export another")
        self._write({"board": found.board, "ticket": ticket})
        return self.wanted()

    def conclude(self, board: str, *, new_code: bool | None) -> str | None:
        if self._told.get("key"):
            given = dict.fromkeys(SECRET) | {"key_fingerprint": self.wanted().fingerprint}
            self._write({"board": board, "ticket": None, **given})
        return self._told.get("claim_code")

    def note_board(self, *, firmware: str, heartbeat_hours: int) -> None:
        """Nothing: the fleet is elsewhere."""

    def _read(self) -> dict[str, Any]:
        try:
            if self._path.stat().st_mode & 0o077:
                raise Failure(f"{self._path} can be read by others, and it holds a key: chmod 600 {self._path}")
            told = json.loads(self._path.read_text())
            if told["format"] != SLIP_FORMAT:
                raise ValueError
            parse_id(told["id"])
            if told.get("key") and len(bytes.fromhex(told["key"])) != DEVICE_KEY_BYTES:
                raise ValueError
            texts = ("claim_code", "claim_url", "board", "ticket", "key_fingerprint", "broker_password", *SETTINGS)
            if told["key_generation"] not in range(LAST_GENERATION + 1):
                raise ValueError
            if not all(isinstance(told.get(name) or "", str) for name in texts):
                raise ValueError
            if told.get("heartbeat_hours") not in (None, *range(1, 169)):
                raise ValueError
        except OSError as error:
            raise Failure(f"{self._path} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Failure(
                f"{self._path} is no button's slip: `domino button export` writes one (docs/button.md, Flashing)"
            ) from None
        return told

    def _write(self, changes: dict[str, Any]) -> None:
        self._told |= changes
        replace_secret(self._path, json.dumps(self._told, indent=2) + "\n")
