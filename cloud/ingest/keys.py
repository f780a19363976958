"""The fleet's master keys, and what is derived from them: the buttons' keys (docs/wire-format.md, Keys), the stamps',
the webhooks' (docs/decisions/0097), and the passwords at the broker (docs/decisions/0047).

Master keys are numbered from 1, because a fleet changes to a new one button by button: each button's row says from
which its key comes, and the older ones stay until nothing uses them (docs/decisions/0064). They are kept as one text, a
key a line: ``2:<64 hex digits>``. A line without a number is key 1.
"""

import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct
from types import MappingProxyType
from typing import Protocol
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFCMAC, CounterLocation, Mode

from cloud.alerts.safe import KEY_BYTES as SAFE_KEY_BYTES
from cloud.alerts.safe import Safe
from cloud.secret import replace_secret, write_secret
from cloud.stamps.vault import Vault

MASTER_KEY_BYTES = 32
DEVICE_KEY_BYTES = 16
LABEL = b"domino button key"
_DEVICE_KEY_PREFIX = b"\0\0\0\1" + LABEL + b"\0"  # block counter, label, separator
_DEVICE_KEY_CONTEXT = Struct(">IBI")  # device id, key generation; length in bits
STAMP_KEY_BYTES = 32
STAMP_LABEL = b"domino stamp vault"
SAFE_LABEL = b"domino alert webhooks"
BROKER_PASSWORD_BYTES = 16
BROKER_LABEL, BROKER_SALT_LABEL = b"domino broker password", b"domino broker salt"
FIRST = 1
MAX_NUMBER = 9999
MOST_TEXT = 100_000  # characters: more is no set of keys
NO_KEYS: Mapping[int, bytes] = MappingProxyType({})


class KeyFileError(ValueError):
    """The master keys are missing, open to others, or no such keys. Never quotes what is there."""


class Keyed(Protocol):
    """A button, as far as its key goes."""

    @property
    def id(self) -> int: ...

    @property
    def key_generation(self) -> int: ...

    @property
    def key_master(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Keys:
    """Derives every button's key; holds the secrets of the fleet and never shows them.

    `master` is the newest master key, of this `number`; `older` are those that are still in use, by number.
    """

    master: bytes = field(repr=False)
    number: int = FIRST
    older: Mapping[int, bytes] = field(default_factory=lambda: NO_KEYS, repr=False)
    _device_prfs: Mapping[int, CMAC] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for master in (self.master, *self.older.values()):
            if len(master) != MASTER_KEY_BYTES:
                raise KeyFileError(f"a master key has {MASTER_KEY_BYTES} bytes, not {len(master)}")

        prfs = {number: CMAC(AES256(self._master(number))) for number in self.numbers}
        for prf in prfs.values():
            prf.update(_DEVICE_KEY_PREFIX)
        object.__setattr__(self, "_device_prfs", prfs)

    @property
    def numbers(self) -> list[int]:
        """Of all master keys, the newest last."""
        return [*sorted(self.older), self.number]

    def device_key(self, device: int, generation: int, number: int = FIRST) -> bytes:
        """The 16-byte key of a button, by KBKDF-CMAC-AES256 in counter mode (NIST SP 800-108r1).

        A key is one block, and so one CMAC, of which all but the end is the same for every button: 1 µs, where setting
        up KBKDFCMAC takes 6. With millions of buttons no cache helps, as each is heard once in hours. Raises
        `KeyFileError` where master key `number` is not here.
        """
        if (prf := self._device_prfs.get(number)) is None:
            self._master(number)  # raises
            raise AssertionError(number)
        prf = prf.copy()
        prf.update(_DEVICE_KEY_CONTEXT.pack(device, generation, 8 * DEVICE_KEY_BYTES))
        return prf.finalize()

    def key_of(self, button: Keyed) -> bytes:
        """The key of the button's present generation; raises `KeyFileError`."""
        return self.device_key(button.id, button.key_generation, button.key_master)

    def stamp_key(self) -> bytes:
        """The 32-byte key that stamps are sealed with, derived likewise under a label of its own."""
        return _derive(self.master, STAMP_LABEL, b"", STAMP_KEY_BYTES)

    def vault(self) -> Vault:
        """Seals stamps under the newest master key, and opens them under any."""
        older = {number: _derive(key, STAMP_LABEL, b"", STAMP_KEY_BYTES) for number, key in self.older.items()}
        return Vault(self.stamp_key(), self.number, older)

    def safe(self) -> Safe:
        """Seals the secrets of webhooks likewise, under keys of their own."""
        older = {number: _derive(key, SAFE_LABEL, b"", SAFE_KEY_BYTES) for number, key in self.older.items()}
        return Safe(_derive(self.master, SAFE_LABEL, b"", SAFE_KEY_BYTES), self.number, older)

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

    def broker_password(self, user: str, generation: int = 0, number: int | None = None) -> str:
        """What `user` shows at the broker: a button by its 8 digits and its key's generation, or a service; 32 digits.

        It follows from master key `number`, of a button the one of its key; none: the newest.

        A board with an old generation's key has an old password too.
        """
        master = self._master(self.number if number is None else number)
        return _derive(master, BROKER_LABEL, user.encode() + bytes([generation]), BROKER_PASSWORD_BYTES).hex()

    def broker_salt(self, user: str, generation: int, length: int) -> bytes:
        """The salt of that password's hash: the same each time, so that a file of unchanged accounts is unchanged."""
        return _derive(self.master, BROKER_SALT_LABEL, user.encode() + bytes([generation]), length)


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


def sign_in(broker_url: str, keys: Callable[[], Keys]) -> str:
    """`broker_url`, with the password that belongs to its user where it names one without: mqtt://ingest@host."""
    parts = urlsplit(broker_url)
    if not parts.username or parts.password is not None:
        return broker_url
    password = keys().broker_password(parts.username)
    return parts._replace(netloc=f"{parts.username}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()


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
        if is_open_to_others(path.stat()) and not _is_credential(path):
            raise KeyFileError(f"{path} can be read by others than its owner: chmod 600 it, or make a new key")
        with path.open(encoding="ascii") as file:
            return parse_keys(file.read(MOST_TEXT), str(path))
    except OSError as error:
        raise KeyFileError(f"the master key file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise KeyFileError(f"{path} does not hold a master key of {2 * MASTER_KEY_BYTES} hex digits") from None


def is_open_to_others(found: os.stat_result) -> bool:
    """Whether others than its owner and root can read a file.

    A credential of systemd is root's with an access list for the service's user, which shows as a right of the group.
    """
    open_to = stat.S_IMODE(found.st_mode) & 0o077
    return open_to != 0 and not (open_to == 0o040 and found.st_uid == found.st_gid == 0)


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
