"""The 12 bytes a button sends and the 8 it may hear back: docs/wire-format.md, byte for byte."""

import struct

from domino import ccm

KINDS = ("pickup", "cancel", "alive", "boot", "ask")  # in the order of their numbers
STATUSES = (None, "accepted", "unclaimed", "cancelled", "refused", "configure", "state")
MOST_STATE = 5  # could not be collected: one that we do not know has no light
UP, DOWN = 0, 1
UP_TAG, DOWN_TAG = 6, 4  # bytes of CCM tag
DOWN_SIZE = 8


def seal(button, count, kind, parcels, battery_mv, temperature_c, reset_cause, link_failures):
    """The uplink of message `count`. Values outside a field's range are clamped to its ends."""
    body = 0
    for value, bits in (
        (KINDS.index(kind), 3),
        (parcels, 3),
        ((battery_mv - 1800 + 25) // 50, 6),
        (temperature_c + 20, 6),
        (reset_cause, 3),
        (link_failures, 3),
    ):
        body = body << bits | max(0, min(value, (1 << bits) - 1))
    header = _header(button)
    sealed = ccm.seal(button.key, _nonce(UP, button, count), header, body.to_bytes(3, "big"), UP_TAG)
    return header + (count & 0xFFFF).to_bytes(2, "big") + sealed


def kind_of(button, count, message):
    """What this button said by message `count`; None when it has never sealed that."""
    if message[:1] != _header(button):
        return None
    body = ccm.open(button.key, _nonce(UP, button, count), message[:1], message[3:], UP_TAG)
    return KINDS[body[0] >> 5] if body and body[0] >> 5 < len(KINDS) else None


def open_answer(button, count, downlink):
    """(status, argument) of the answer to message `count`, or (None, 0) when it is not one, or not a known one."""
    if len(downlink) != DOWN_SIZE or downlink[:1] != _header(button):
        return None, 0
    body = ccm.open(button.key, _nonce(DOWN, button, count), downlink[:1], downlink[1:], DOWN_TAG)
    if not body or body[0] >= len(STATUSES):
        return None, 0
    status, argument = STATUSES[body[0]], body[1] << 8 | body[2]
    return (None, 0) if status == "state" and argument > MOST_STATE else (status, argument)


def _header(button):
    return bytes((button.generation << 4,))  # version 0


def _nonce(direction, button, count):
    return struct.pack(">BIII", direction, button.id, count, 0)
