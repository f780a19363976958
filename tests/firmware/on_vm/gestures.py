"""Plays key movements to the gesture in virtual time.

A JSON line each: [is down at the start, ms between two looks, [[down or not, for ms], …], how often to play them].
"""

import json
import sys

from domino.gesture import Gesture

for line in sys.stdin:
    is_down, step_ms, moves, times = json.loads(line)
    gesture = Gesture(is_down)
    age_ms = ends_ms = 0
    for _ in range(times):
        for level, for_ms in moves:
            ends_ms += for_ms
            while age_ms + step_ms <= ends_ms and not gesture.is_over:
                age_ms += step_ms
                gesture.feed(bool(level), step_ms)
    print(json.dumps([gesture.is_over, gesture.kind, gesture.parcels, age_ms]))
