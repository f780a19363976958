# type: ignore  MicroPython's modules and the firmware's
"""How long sealing takes on the VM: {"what", "times"} in, microseconds out, as JSON."""

import json
import sys
import time

from cryptolib import aes

from domino import uplink
from domino.identity import Identity

BUTTON = Identity(0x0012AB34, 0, bytes(range(16)))


def seal(times):
    for count in range(1, times + 1):
        uplink.seal(BUTTON, count, "pickup", 1, 3000, 20, 4, 0)


def blocks(times):
    # What no seal can do without: its key schedule and its five AES blocks.
    for _ in range(times):
        ecb = aes(BUTTON.key, 1)
        for _ in range(5):
            ecb.encrypt(BUTTON.key)


asked = json.loads(sys.stdin.readline())
began = time.ticks_us()
{"seal": seal, "blocks": blocks}[asked["what"]](asked["times"])
sys.stdout.write(json.dumps(time.ticks_diff(time.ticks_us(), began) / asked["times"]) + "\n")
