"""Runs the firmware's own sealing for the host: JSON lines in, JSON lines out. Keys come by the pipe, never by argv."""

import json
import sys

from domino import uplink
from domino.identity import Identity

for line in sys.stdin:
    asked = json.loads(line)
    button = Identity(asked.pop("device_id"), asked.pop("generation"), bytes.fromhex(asked.pop("key")))
    count = asked.pop("counter")
    if "downlink" in asked:
        print(json.dumps(uplink.open_answer(button, count, bytes.fromhex(asked["downlink"]))))
    else:
        print(json.dumps(uplink.seal(button, count, **asked).hex()))
