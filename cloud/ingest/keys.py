"""The fleet's master key, and what is derived from it: the buttons' keys (docs/wire-format.md, Keys), the stamps'."""

import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct

from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFCMAC, CounterLocation, Mode

from cloud.secret import write_secret

MASTER_KEY_BYTES = 32
DEVICE_KEY_BYTES = 16
LABEL = b"domino button key"
_DEVICE_KEY_PREFIX = b"\0\0\0\1" + LABEL + b"\0"  # block counter, label, separator
_DEVICE_KEY_CONTEXT = Struct(">IBI")  # device id, key generation; length in bits
STAMP_KEY_BYTES = 32
STAMP_LABEL = b"domino stamp vault"


class KeyFileError(ValueError):
    """The master key file is missing, open to others, or does not hold 64 hex digits. Never quotes what it holds."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Derives every button's key; holds the one secret of the fleet and never shows it."""

    master: bytes = field(repr=False)
    _device_prf: CMAC = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.master) != MASTER_KEY_BYTES:
            raise KeyFileError(f"a master key has {MASTER_KEY_BYTES} bytes, not {len(self.master)}")
        prf = CMAC(AES256(self.master))
        prf.update(_DEVICE_KEY_PREFIX)
        object.__setattr__(self, "_device_prf", prf)

    def device_key(self, device: int, generation: int) -> bytes:
        """The 16-byte key of a button, by KBKDF-CMAC-AES256 in counter mode (NIST SP 800-108r1).

        A key is one block, and so one CMAC, of which all but the end is the same for every button: 1 µs, where setting
        up KBKDFCMAC takes 6. With millions of buttons no cache helps, as each is heard once in hours.
        """
        prf = self._device_prf.copy()
        prf.update(_DEVICE_KEY_CONTEXT.pack(device, generation, 8 * DEVICE_KEY_BYTES))
        return prf.finalize()

    def stamp_key(self) -> bytes:
        """The 32-byte key of `cloud.stamps.vault`, derived likewise under a label of its own."""
        return _derive(self.master, STAMP_LABEL, b"", STAMP_KEY_BYTES)


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


def read_keys(path: Path) -> Keys:
    """The keys under the master key in `path`, 64 hex digits; raises `KeyFileError`."""
    try:
        if path.stat().st_mode & 0o077:
            raise KeyFileError(f"{path} can be read by others than its owner: chmod 600 it, or make a new key")
        return Keys(bytes.fromhex(path.read_text("ascii").strip()))
    except OSError as error:
        raise KeyFileError(f"the master key file {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        if isinstance(error, KeyFileError):
            raise
        raise KeyFileError(f"{path} does not hold a master key of {2 * MASTER_KEY_BYTES} hex digits") from None


def make_keys(path: Path) -> Keys:
    """The keys in `path`, made by the operating system's randomness where there is no such file yet (mode 0600)."""
    with suppress(FileExistsError):
        write_secret(path, secrets.token_hex(MASTER_KEY_BYTES) + "\n")
    return read_keys(path)
