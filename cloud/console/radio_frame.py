"""A Sigfox uplink frame as it is on the air, read far enough to explain it: docs/sigfox.md, "Up".

The network checks its auth by the device's network key, which is the network's alone; the CRC needs no key.
"""

import binascii
from dataclasses import dataclass

from cloud.words import N_

PREAMBLE = 0xAAAAA
HEAD_BYTES, ADDRESS_BYTES, CRC_BYTES, SHORTEST_AUTH = 4, 6, 2, 2
# By the frame's length in bytes, the types of its three replicas.
TYPES = {
    14: (0x06B, 0x6E0, 0x034),
    15: (0x08D, 0x0D2, 0x302),
    18: (0x35F, 0x598, 0x5A3),
    22: (0x611, 0x6BF, 0x72C),
    26: (0x94C, 0x971, 0x997),
}
TAPS = ((), (1, 2), (2,))  # earlier bits that are added to each bit of a replica: plain, octal 7, octal 5


class NoFrame(ValueError):
    """The bytes are no such frame; the text says where that is seen."""


@dataclass(frozen=True, slots=True)
class RadioFrame:
    """One replica, its code undone. `bit` is the payload where that is a single bit, and `payload` is empty then."""

    frame_type: int
    replica: int  # 1 to 3
    length_indicator: int  # 0 to 3
    asks_downlink: bool
    seq: int  # 0 to 4095
    device: int
    payload: bytes
    bit: bool | None
    auth: bytes
    crc: bytes


def read_frame(data: bytes) -> RadioFrame:
    """Any one replica, preamble included; raises `NoFrame`."""
    if len(data) not in TYPES:
        raise NoFrame(N_("%(n)s bytes; a Sigfox frame has %(lengths)s", n=len(data), lengths=tuple(TYPES)))
    head = int.from_bytes(data[:HEAD_BYTES], "big")
    if head >> 12 != PREAMBLE:
        said = {"head": f"{head >> 12:05X}", "preamble": f"{PREAMBLE:X}"}
        raise NoFrame(N_("it begins with %(head)s; a Sigfox frame begins with %(preamble)s", **said))
    types = TYPES[len(data)]
    if (frame_type := head & 0xFFF) not in types:
        said = {"type": f"{frame_type:03X}", "types": tuple(f"{one:03X}" for one in types)}
        raise NoFrame(N_("type %(type)s; of this length there are %(types)s", **said))
    replica = types.index(frame_type)
    packet = _undone(data[HEAD_BYTES:], TAPS[replica])
    signed, crc = packet[:-CRC_BYTES], packet[-CRC_BYTES:]
    if crc != (right := (binascii.crc_hqx(signed, 0) ^ 0xFFFF).to_bytes(CRC_BYTES, "big")):
        said = {"crc": crc.hex(), "right": right.hex()}
        raise NoFrame(N_("CRC %(crc)s, and the bytes before it give %(right)s: some bit is wrong", **said))
    flags, body = int.from_bytes(signed[:2], "big"), signed[ADDRESS_BYTES:]
    indicator = flags >> 14
    is_bit = len(body) == SHORTEST_AUTH and indicator >= 2
    auth_bytes = SHORTEST_AUTH if len(body) <= SHORTEST_AUTH + 1 else SHORTEST_AUTH + indicator
    return RadioFrame(
        frame_type=frame_type,
        replica=replica + 1,
        length_indicator=indicator,
        asks_downlink=bool(flags >> 13 & 1),
        seq=flags & 0xFFF,
        device=int.from_bytes(signed[2:ADDRESS_BYTES], "little"),
        payload=body[:-auth_bytes],
        bit=indicator == 3 if is_bit else None,
        auth=body[-auth_bytes:],
        crc=crc,
    )


def _undone(coded: bytes, taps: tuple[int, ...]) -> bytes:
    """Bit by bit as a receiver does: what was added to a bit are earlier bits of the packet itself."""
    size, bits, packet = 8 * len(coded), int.from_bytes(coded, "big"), 0
    for at in range(size):
        bit = bits >> size - 1 - at & 1
        for tap in taps:
            bit ^= packet >> tap - 1 & 1 if at >= tap else 0
        packet = packet << 1 | bit
    return packet.to_bytes(len(coded), "big")
