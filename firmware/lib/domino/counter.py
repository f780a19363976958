"""The message counter: never used twice, wherever the power goes.

A repeated counter would repeat the AES-CCM key stream. Flash holds the end of the block that is in use, written
before the block's first; RTC memory holds where in the block we are. When the battery takes RTC memory with it, the
rest of the block is skipped, which harms nobody: the cloud takes jumps of thousands. A missing counter is never taken
for a new button's: only provisioning writes the first, beside the key, so that they live and die together.

Flash wear: NVS appends entries of 32 bytes, 126 to a page of 4 KB, in a partition of 6 pages of which one stays free; a
page bears 100 000 erasures. A block costs one entry. With the press itself (outbox.py: three writes of 3 to 4 entries),
140 messages a day are some 1 500 entries, 12 pages erased a day or 2.4 for each page: over a hundred years.
"""

from domino.identity import Unprovisioned

BLOCK = 16
LAST = 0xFFFFFFFF


def advance(nvs, memory):
    """The next counter. A power cut on the way skips some, which harms nobody."""
    try:
        reserved = nvs.get_i32("ctr") & LAST  # NVS keeps signed 32 bits: two's complement
    except OSError:
        raise Unprovisioned
    if memory.ceiling != reserved or memory.count >= reserved:  # another life's block, or used up
        if reserved == LAST:
            raise Unprovisioned  # worn out: it needs a new key
        memory.count = reserved
        memory.ceiling = min(reserved + BLOCK, LAST)
        nvs.set_i32("ctr", memory.ceiling - (1 << 32) if memory.ceiling >> 31 else memory.ceiling)
        nvs.commit()
    memory.count += 1
    memory.save()
    return memory.count
