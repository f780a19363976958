"""Sends whatever the budget lets through, in virtual time and through sleeps.

A JSON line each: [air ms, confirm ms, s between attempts, attempts, is heartbeat]; gives [times sent, times asked].
"""

import json
import sys

from domino.budget import Budget
from domino.memory import Memory


class Link:
    AIR_MS = CONFIRM_MS = 0


kept = [b""]


def rtc(data=None):
    if data is None:
        return kept[0]
    kept[0] = data
    return None


for line in sys.stdin:
    Link.AIR_MS, Link.CONFIRM_MS, every_s, attempts, is_heartbeat = json.loads(line)
    kept[0] = b""
    sent, asked = [], []
    for attempt in range(attempts):
        now = attempt * every_s
        budget = Budget(Memory(rtc, now), Link, now)  # as after a deep sleep
        if budget.has_room(is_heartbeat):
            listens = budget.may_listen(is_heartbeat)
            budget.spend(listens)
            sent.append(now)
            if listens:
                asked.append(now)
    print(json.dumps([sent, asked]))
