"""The fleet's master keys, and what is derived from them: the buttons' keys (docs/wire-format.md, Keys), the stamps'.

Master keys are numbered from 1, because a fleet changes to a new one button by button: each button's row says from
which its key comes, and the older ones stay until nothing uses them (docs/decisions/0064). They are kept as one text, a
key a line: ``2:<64 hex digits>``. A line without a number is key 1.
"""

import hashlib
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFCMAC, CounterLocation, Mode

from cloud.fleet.model import Button
from cloud.secret import replace_secret, write_secret
from cloud.stamps.vault import Vault

MASTER_KEY_BYTES = 32
DEVICE_KEY_BYTES = 16
LABEL = b"domino button key"
STAMP_KEY_BYTES = 32
STAMP_LABEL = b"domino stamp vault"
FIRST = 1
MAX_NUMBER = 9999
MOST_TEXT = 100_000  # characters: more is no set of keys
NO_KEYS: Mapping[int, bytes] = MappingProxyType({})


class KeyFileError(ValueError):
    """The master keys are missing, open to others, or no such keys. Never quotes what is there."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Derives every button's key; holds the secrets of the fleet and never shows them.

    `master` is the newest master key, of this `number`; `older` are those that are still in use, by number.
    """

    master: bytes = field(repr=False)
    number: int = FIRST
    older: Mapping[int, bytes] = field(default_factory=lambda: NO_KEYS, repr=False)

    def __post_init__(self) -> None:
        for master in (self.master, *self.older.values()):
            if len(master) != MASTER_KEY_BYTES:
                raise KeyFileError(f"a master key has {MASTER_KEY_BYTES} bytes, not {len(master)}")

    @property
    def numbers(self) -> list[int]:
        """Of all master keys, the newest last."""
        return [*sorted(self.older), self.number]

    def device_key(self, device: int, generation: int, number: int = FIRST) -> bytes:
        """The 16-byte key of a button, by KBKDF-CMAC-AES256 in counter mode (NIST SP 800-108r1).

        Raises `KeyFileError` where master key `number` is not here.
        """
        return _derive_device_key(self._master(number), device, generation)

    def key_of(self, button: Button) -> bytes:
        """The key of the button's present generation; raises `KeyFileError`."""
        return self.device_key(button.id, button.key_generation, button.key_master)

    def stamp_key(self) -> bytes:
        """The 32-byte key that stamps are sealed with, derived likewise under a label of its own."""
        return _derive(self.master, STAMP_LABEL, b"", STAMP_KEY_BYTES)

    def vault(self) -> Vault:
        """Seals stamps under the newest master key, and opens them under any."""
        older = {number: _derive(key, STAMP_LABEL, b"", STAMP_KEY_BYTES) for number, key in self.older.items()}
        return Vault(self.stamp_key(), self.number, older)

    def fingerprint(self, number: int) -> str:
        """Tells master keys apart and gives none away: 8 bytes of a SHA-256 over a label and the key."""
        return hashlib.sha256(b"domino master key fingerprint" + self._master(number)).digest()[:8].hex()

    def with_new(self) -> "Keys":
        """These keys and a newest one, by the operating system's randomness."""
        return Keys(secrets.token_bytes(MASTER_KEY_BYTES), self.number + 1, {**self.older, self.number: self.master})

    def without(self, number: int) -> "Keys":
        """These keys but one of the older."""
        return Keys(self.master, self.number, {one: key for one, key in self.older.items() if one != number})

    def text(self) -> str:
        """All of them as they are kept: a secret, for a file of mode 0600 or a child's environment alone."""
        masters = {**self.older, self.number: self.master}
        if self.numbers == [FIRST]:
            return self.master.hex() + "\n"  # as it was before there were numbers
        return "".join(f"{number}:{masters[number].hex()}\n" for number in self.numbers)

    def _master(self, number: int) -> bytes:
        master = self.master if number == self.number else self.older.get(number)
        if master is None:
            raise KeyFileError(f"master key {number} is not among those that are here: {self.numbers}")
        return master


# The derivation costs 15 µs, a seal 1 µs: a burst from the same buttons should pay it once.
@lru_cache(maxsize=65_536)
def _derive_device_key(master: bytes, device: int, generation: int) -> bytes:
    return _derive(master, LABEL, device.to_bytes(4, "big") + bytes([generation]), DEVICE_KEY_BYTES)


def _derive(master: bytes, label: bytes, context: bytes, length: int) -> bytes:
    kdf = KBKDFCMAC(
        algorithm=AES256,
        mode=Mode.CounterMode,
        length=length,
        rlen=4,
        llen=4,
        location=CounterLocation.BeforeFixed,
        label=label,
        context=context,
        fixed=None,
    )
    return kdf.derive(master)


def parse_keys(text: str, where: str) -> Keys:
    """The keys in `text`, a line or a comma apart; raises `KeyFileError`, which names `where` and nothing of them."""
    masters: dict[int, bytes] = {}
    try:
        for word in text[:MOST_TEXT].replace(",", " ").split():
            number, digits = word.split(":") if ":" in word else (str(FIRST), word)
            if not (number.isascii() and number.isdecimal() and FIRST <= int(number) <= MAX_NUMBER):
                raise ValueError
            if not digits.isascii() or len(digits) != 2 * MASTER_KEY_BYTES or int(number) in masters:
                raise ValueError
            masters[int(number)] = bytes.fromhex(digits)
        newest = max(masters)
    except ValueError:
        raise KeyFileError(
            f"{where} does not hold a master key of {2 * MASTER_KEY_BYTES} hex digits, nor several as NUMBER:DIGITS"
        ) from None
    return Keys(masters.pop(newest), newest, masters)


def read_keys(path: Path) -> Keys:
    """The keys in the file `path`, which only its owner may read; raises `KeyFileError`."""
    try:
        # What systemd hands to a service it keeps from others itself, by means that the mode does not tell.
        if path.stat().st_mode & 0o077 and not _is_credential(path):
            raise KeyFileError(f"{path} can be read by others than its owner: chmod 600 it, or make a new key")
        with path.open(encoding="ascii") as file:
            return parse_keys(file.read(MOST_TEXT), str(path))
    except OSError as error:
        raise KeyFileError(f"the master key file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise KeyFileError(f"{path} does not hold a master key of {2 * MASTER_KEY_BYTES} hex digits") from None


def _is_credential(path: Path) -> bool:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return folder is not None and path.resolve().parent == Path(folder).resolve()


def make_keys(path: Path) -> Keys:
    """The keys in `path`, made by the operating system's randomness where there is no such file yet (mode 0600)."""
    with suppress(FileExistsError):
        write_secret(path, secrets.token_hex(MASTER_KEY_BYTES) + "\n")
    return read_keys(path)


def keep_keys(path: Path, keys: Keys) -> None:
    """Put `keys` in the place of what `path` holds: the old or the new are there, wherever the power goes."""
    replace_secret(path, keys.text())
