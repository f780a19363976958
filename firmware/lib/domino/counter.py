"""The message counter: in flash before it is used, and so never used twice.

A repeated counter would repeat the AES-CCM key stream. Hence a missing one is never taken for a new button's: only
provisioning writes the first. NVS keeps signed 32 bits, in which the unsigned counter lies as two's complement.
"""

from domino.identity import Unprovisioned

LAST = 0xFFFFFFFF


def advance(nvs):
    """The next counter, committed. A power cut on the way skips one, which harms nobody."""
    try:
        used = nvs.get_i32("ctr") & LAST
    except OSError:
        raise Unprovisioned
    if used == LAST:
        raise Unprovisioned  # worn out: it needs a new key
    count = used + 1
    nvs.set_i32("ctr", count - (1 << 32) if count >> 31 else count)
    nvs.commit()
    return count
