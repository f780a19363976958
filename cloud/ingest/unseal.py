"""For people who ask what some bytes are: which of a button's keys and counters opens them, whenever they were sealed.

Ingest tries two counters, near the last accepted (uplink.candidates). This tries all that the button may have used.
"""

from collections.abc import Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from cloud.fleet.model import Button
from cloud.frames.model import Result
from cloud.ingest.downlink import DOWN, TAG_SIZE, Status
from cloud.ingest.keys import KeyFileError, Keys
from cloud.ingest.uplink import LOW_COUNTERS, MAX_COUNTER, Header, Rejected, Uplink, nonce, open_uplink, read_header

MOST_TURNS = 64  # of the counter's low 16 bits that are tried: a button at its full daily budget makes one in 468 days


def open_any(data: bytes, button: Button, keys: Keys) -> Uplink:
    """Twelve bytes of `button`, under any key that it had and any counter that it may have reached.

    Raises `Rejected`: malformed, a generation that the button has not reached, or bad seal: none of them opens it.
    """
    header = read_header(data)
    if header.key_generation > button.key_generation:
        reason = f"key generation {header.key_generation}; the button is at {button.key_generation}"
        raise Rejected(Result.WRONG_GENERATION, reason)
    for key in _keys(button, header.key_generation, keys):
        for counter in _counters(header, button):
            try:
                return open_uplink(data, device=button.id, key=key, last_counter=counter - 1)
            except Rejected as rejected:
                if rejected.result is not Result.BAD_SEAL:
                    raise
    raise Rejected(Result.BAD_SEAL, "tag wrong: under no key and no counter that this button had")


def open_answer(data: bytes, uplink: tuple[int, int, int], button: Button, keys: Keys) -> tuple[Status, int] | None:
    """The status and the argument of eight bytes that answered `uplink` (button, generation, counter), if they did."""
    device, generation, counter = uplink
    for key in _keys(button, generation, keys):
        try:
            body = AESCCM(key, tag_length=TAG_SIZE).decrypt(nonce(DOWN, device, counter), data[1:], data[:1])
            return Status(body[0]), int.from_bytes(body[1:], "big")
        except (InvalidTag, ValueError):
            continue
    return None


def _keys(button: Button, generation: int, keys: Keys) -> Iterator[bytes]:
    """Under which master key an earlier generation was made is kept nowhere."""
    numbers = [button.key_master] if generation == button.key_generation else keys.numbers
    for number in numbers:
        try:
            yield keys.device_key(button.id, generation, number)
        except KeyFileError:
            continue


def _counters(header: Header, button: Button) -> Iterator[int]:
    """Those that end in the header's bits, the newest first, from a turn ahead of the last that was accepted.

    How far the counter came under an earlier key is kept nowhere.
    """
    is_present = header.key_generation == button.key_generation
    highest = min((button.last_counter if is_present else MOST_TURNS * LOW_COUNTERS) + LOW_COUNTERS, MAX_COUNTER)
    newest = highest - (highest - header.low_counter) % LOW_COUNTERS
    yield from range(newest, max(newest - MOST_TURNS * LOW_COUNTERS, 0), -LOW_COUNTERS)
