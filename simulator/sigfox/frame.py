"""What frames up and down share: the limits of their fields, and the named reasons for which one is refused."""

from enum import StrEnum

DEVICE_IDS = 2**32
SEQUENCE_NUMBERS = 2**12
KEY_BYTES = 16


class Reason(StrEnum):
    """Why bytes are no frame, or a frame is not taken."""

    WRONG_LENGTH = "wrong length"
    NO_PREAMBLE = "no preamble"
    UNKNOWN_TYPE = "unknown frame type"
    WRONG_CRC = "wrong CRC"
    MALFORMED = "malformed"
    WRONG_AUTH = "wrong auth"


class Refused(ValueError):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


def check_addressing(device_id: int, seq: int) -> None:
    if not 0 <= device_id < DEVICE_IDS:
        raise ValueError(f"a device id has 32 bits; {device_id} does not fit")
    if not 0 <= seq < SEQUENCE_NUMBERS:
        raise ValueError(f"a sequence number is 0 to {SEQUENCE_NUMBERS - 1}, not {seq}")


def check_key(key: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise ValueError(f"a network key has {KEY_BYTES} bytes, not {len(key)}")
