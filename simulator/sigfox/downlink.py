"""Sigfox downlink frames: eight bytes for one device, under the sequence number of the uplink that asked for them.

    parity 4 bytes | payload 8 | auth 2 | CRC 1        then whitened

The parity is a BCH(15, 11) code across the frame: bit n of the fifteen bytes is one code word, for each n. So one bad
byte, whatever became of its bits, is one error in each of eight words, and is repaired.
"""

import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from simulator.sigfox.frame import Reason, Refused, check_addressing, check_key

SYNC = bytes.fromhex("b227")  # precedes the frame on air
PAYLOAD_BYTES = 8
PARITY_BYTES, AUTH_BYTES, CRC_BYTES = 4, 2, 1
FRAME_BYTES = PARITY_BYTES + PAYLOAD_BYTES + AUTH_BYTES + CRC_BYTES


@dataclass(frozen=True, slots=True)
class Downlink:
    payload: bytes
    auth: bytes
    crc: bytes
    corrected_bits: int


def encode(payload: bytes, *, device_id: int, seq: int, key: bytes) -> bytes:
    """The frame after the sync word; `seq` is that of the uplink it answers, `key` the device's network key."""
    check_addressing(device_id, seq)
    if len(payload) != PAYLOAD_BYTES:
        raise ValueError(f"a downlink has {PAYLOAD_BYTES} bytes, not {len(payload)}")
    signed = payload + _auth(payload, device_id, seq, key)
    message = signed + _crc(signed)
    return whitened(_remainder(message) + message, device_id, seq)


def decode(frame: bytes, *, device_id: int, seq: int, key: bytes) -> Downlink:
    """What the device takes from `frame`, repaired; raises Refused."""
    check_addressing(device_id, seq)
    check_key(key)
    if len(frame) != FRAME_BYTES:
        raise Refused(Reason.WRONG_LENGTH, f"a downlink frame has {FRAME_BYTES} bytes, not {len(frame)}")
    repaired, corrected_bits = _repaired(whitened(frame, device_id, seq))
    signed, crc = repaired[PARITY_BYTES:-CRC_BYTES], repaired[-CRC_BYTES:]
    if crc != _crc(signed):
        raise Refused(Reason.WRONG_CRC, f"{crc.hex()}, and the bytes before it give {_crc(signed).hex()}")
    payload, auth = signed[:PAYLOAD_BYTES], signed[PAYLOAD_BYTES:]
    if not hmac.compare_digest(auth, _auth(payload, device_id, seq, key)):
        raise Refused(Reason.WRONG_AUTH, "made with another key, for another device or another uplink")
    return Downlink(payload, auth, crc, corrected_bits)


def whitened(frame: bytes, device_id: int, seq: int) -> bytes:
    """`frame` under the bits of a shift register (x⁹ + x⁵ + 1) that device and uplink seed; its own inverse."""
    state = device_id * seq & 0x1FF or 0x1FF
    noise = 0
    for _ in range(14):
        for _ in range(8):
            state = state >> 1 | (state >> 5 ^ state) << 8 & 0x100
        noise = noise << 9 | state
    noise >>= 14 * 9 - 8 * FRAME_BYTES
    return (int.from_bytes(frame, "big") ^ noise).to_bytes(FRAME_BYTES, "big")


def _auth(payload: bytes, device_id: int, seq: int, key: bytes) -> bytes:
    check_key(key)
    device = device_id.to_bytes(4, "little")
    encryptor = Cipher(AES(key), ECB()).encryptor()  # noqa: S305  one block, as the network has it
    return encryptor.update(device + seq.to_bytes(2, "little") + payload + device[:2])[:AUTH_BYTES]


def _crc(signed: bytes) -> bytes:
    """CRC-8 with the polynomial 0x2F, from 0."""
    crc = 0
    for byte in signed:
        crc ^= byte
        for _ in range(8):
            crc = crc << 1 & 0xFF ^ (0x2F if crc & 0x80 else 0)
    return bytes([crc])


def _remainder(message: bytes) -> bytes:
    """Of x⁴ · message by x⁴ + x + 1, for the eight bit columns at once; the lowest power stands first."""
    r0 = r1 = r2 = r3 = 0
    for byte in reversed(message):
        carry = byte ^ r3
        r0, r1, r2, r3 = carry, r0 ^ carry, r1, r2
    return bytes([r0, r1, r2, r3])


def _repaired(received: bytes) -> tuple[bytes, int]:
    """The nearest code words, and how many bits they differ in: at most one in each of the eight columns."""
    syndrome = _syndrome(received)
    repaired, corrected_bits = bytearray(received), 0
    for at, signature in enumerate(SIGNATURES):
        wrong = 0xFF  # the columns whose syndrome is that of an error in this byte
        for bits, sign in zip(syndrome, signature, strict=True):
            wrong &= bits if sign else ~bits
        repaired[at] ^= wrong
        corrected_bits += wrong.bit_count()
    return bytes(repaired), corrected_bits


def _syndrome(received: bytes) -> bytes:
    """For each bit column 4 bits, one in each of 4 bytes: what its parity differs by."""
    parity, message = received[:PARITY_BYTES], received[PARITY_BYTES:]
    return bytes(got ^ want for got, want in zip(parity, _remainder(message), strict=True))


# Of an error in each of the fifteen bytes: all different, so a syndrome names its byte.
SIGNATURES = tuple(_syndrome((1 << 8 * at).to_bytes(FRAME_BYTES, "little")) for at in range(FRAME_BYTES))
