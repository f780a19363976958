"""Tells the host the firmware's table of lights, as JSON."""

import json

from domino import light

print(json.dumps(light.PATTERNS))
